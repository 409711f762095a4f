//! Operations in an operator's words: for `commit check`, the log, and what the kernel refused.

use super::op::Op;
use super::spec::{AddressKey, DestKey, DestSpec, ServiceKey, ServiceSpec};
use crate::model::config::{Forward, Protocol};
use core::fmt;
use core::net::SocketAddr;

impl fmt::Display for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = match self.protocol {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        };
        write!(f, "{protocol} {}", SocketAddr::new(self.address, self.port))
    }
}

impl fmt::Display for DestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&SocketAddr::new(self.address, self.port), f)
    }
}

impl fmt::Display for AddressKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}", self.cidr, self.device)
    }
}

impl fmt::Display for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Nat => "nat",
            Self::Direct => "direct",
            Self::Tunnel => "tunnel",
        })
    }
}

impl fmt::Display for DestSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "weight {}, {}", self.weight, self.forward)
    }
}

impl fmt::Display for ServiceSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "scheduler {}", self.scheduler)?;
        match self.persistence_s {
            Some(seconds) => write!(f, ", persistence {seconds}s"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Op {
    /// An imperative without subject: `add address 1.2.3.1/24 on eth0`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SysctlSet { name, value } => write!(f, "set {name} to {value}"),
            Self::LinkUp { device } => write!(f, "bring {device} up"),
            Self::LinkMtu { device, mtu } => write!(f, "set the MTU of {device} to {mtu}"),
            Self::AddressAdd { key, .. } => write!(f, "add address {key}"),
            Self::AddressRelabel { key, spec } => match &spec.label {
                Some(label) => write!(f, "label address {key} as {label}"),
                None => write!(f, "take the label off address {key}"),
            },
            Self::AddressDelete { key } => write!(f, "remove address {key}"),
            Self::RouteSet { key, spec } => write!(f, "route {} via {}", key.to, spec.via),
            Self::RouteDelete { key } => write!(f, "remove the route to {}", key.to),
            Self::RulesetSet { .. } => f.write_str("replace the packet rules"),
            Self::ServiceAdd { key, spec } => write!(f, "add virtual server {key} ({spec})"),
            Self::ServiceEdit { key, spec } => write!(f, "change virtual server {key} to {spec}"),
            Self::ServiceDelete { key } => write!(f, "remove virtual server {key} with its connections"),
            Self::DestAdd { service, key, spec } => write!(f, "add real server {key} to {service} ({spec})"),
            Self::DestEdit { service, key, spec } => {
                write!(f, "change real server {key} of {service} to {spec}")
            }
            Self::DestDelete { service, key } => {
                write!(f, "remove real server {key} from {service} with its connections")
            }
            Self::Announce { key } => write!(f, "announce {key} by gratuitous ARP"),
        }
    }
}

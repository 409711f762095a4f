//! A plan in plain words.

use super::words::{endpoint, forward, protocol};
use crate::plan::op::Op;
use crate::plan::spec::{DestKey, ServiceKey, ServiceSpec};
use alloc::format;
use alloc::string::String;

/// What an operation does, for somebody who decides whether to commit.
pub fn describe(op: &Op) -> String {
    match op {
        Op::SysctlSet { name, value } => format!("set the kernel parameter {name} to {value}"),
        Op::LinkUp { device } => format!("switch the device {device} on"),
        Op::LinkMtu { device, mtu } => format!("set the largest packet of {device} to {mtu} bytes"),
        Op::VlanAdd { device, spec } => {
            format!("make the device {device} for VLAN {} of {}", spec.id, spec.parent)
        }
        Op::VlanDelete { device } => format!("remove the VLAN device {device}; its addresses go with it"),
        Op::AddressAdd { key, spec } => {
            let label = spec.label.as_ref().map(|l| format!(" with label {l}")).unwrap_or_default();
            format!("add the address {} to {}{label}", key.cidr, key.device)
        }
        Op::AddressRelabel { key, spec } => match &spec.label {
            Some(label) => format!("label the address {} on {} as {label}", key.cidr, key.device),
            None => format!("take the label off the address {} on {}", key.cidr, key.device),
        },
        Op::AddressDelete { key } => format!("delete the address {} from {}", key.cidr, key.device),
        Op::RouteSet { key, spec } => {
            let metric = if key.metric == 0 { String::new() } else { format!(" with metric {}", key.metric) };
            format!("route {} via {}{metric}", key.to, spec.via)
        }
        Op::RouteDelete { key } => format!("delete the route to {}", key.to),
        Op::RulesetSet { .. } => {
            String::from("replace the packet rules in one step (masquerade and forwarding)")
        }
        Op::ServiceAdd { key, spec } => {
            format!("add the virtual service {}, {}", service(key), settings(spec))
        }
        Op::ServiceEdit { key, spec } => {
            format!("change the virtual service {} to {}; connections stay", service(key), settings(spec))
        }
        Op::ServiceDelete { key } => {
            format!("delete the virtual service {} with its servers; its connections end", service(key))
        }
        Op::DestAdd { service: to, key, spec } => format!(
            "add the server {} to {}, forward {}, weight {}",
            dest(key),
            service(to),
            forward(spec.forward),
            spec.weight
        ),
        Op::DestEdit { service: of, key, spec } if spec.weight == 0 => {
            format!("quiesce the server {} of {}: weight 0, its connections may end", dest(key), service(of))
        }
        Op::DestEdit { service: of, key, spec } => format!(
            "change the server {} of {} to forward {}, weight {}; connections stay",
            dest(key),
            service(of),
            forward(spec.forward),
            spec.weight
        ),
        Op::DestDelete { service: of, key } => {
            format!("delete the server {} from {}; its connections end", dest(key), service(of))
        }
        Op::Announce { key } => {
            format!("announce the address {} on {} to its neighbours", key.cidr.address(), key.device)
        }
    }
}

fn service(key: &ServiceKey) -> String {
    format!("{} {}", protocol(key.protocol), endpoint(key.address, key.port))
}

fn dest(key: &DestKey) -> String {
    endpoint(key.address, key.port)
}

fn settings(spec: &ServiceSpec) -> String {
    let persistence = spec.persistence_s.map(|s| format!(", persistence {s} s")).unwrap_or_default();
    format!("scheduler {}{persistence}", spec.scheduler)
}

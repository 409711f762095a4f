//! A plan in plain words.

use super::words::{endpoint, forward, service_key};
use crate::plan::op::Op;
use crate::plan::spec::{DaemonRole, DestKey, DestSpec, ServiceKey, ServiceSpec, TunnelSpec};
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
            String::from("replace the packet rules in one step (forwarding, masquerade, marks)")
        }
        Op::DaemonStart { role: DaemonRole::Master, spec } => {
            format!("send connections to the peer by {}, sync id {}", spec.device, spec.id)
        }
        Op::DaemonStart { role: DaemonRole::Backup, spec } => {
            format!("take connections from the peer by {}, sync id {}", spec.device, spec.id)
        }
        Op::DaemonStop { role: DaemonRole::Master } => String::from("stop sending connections to the peer"),
        Op::DaemonStop { role: DaemonRole::Backup } => String::from("stop taking connections from the peer"),
        Op::TimeoutsSet { timeouts: t } => {
            format!(
                "forget idle connections: tcp {} s, after FIN {} s, udp {} s",
                t.tcp_s, t.tcp_fin_s, t.udp_s
            )
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
        Op::DestAdd { service: to, key, spec } => {
            format!("add the server {} to {}, {}", dest(key), service(to), dest_settings(spec))
        }
        Op::DestEdit { service: of, key, spec } if spec.weight == 0 => {
            format!("quiesce the server {} of {}: weight 0, its connections may end", dest(key), service(of))
        }
        Op::DestEdit { service: of, key, spec } => format!(
            "change the server {} of {} to {}; connections stay",
            dest(key),
            service(of),
            dest_settings(spec)
        ),
        Op::DestDelete { service: of, key } => {
            format!("delete the server {} from {}; its connections end", dest(key), service(of))
        }
        Op::Announce { key } => {
            format!("announce the address {} on {} to its neighbours", key.cidr.address(), key.device)
        }
    }
}

pub(super) fn service(key: &ServiceKey) -> String {
    service_key(key)
}

fn dest(key: &DestKey) -> String {
    endpoint(key.address, key.port)
}

fn settings(spec: &ServiceSpec) -> String {
    let mut text = format!("scheduler {}", spec.scheduler);
    if let Some(seconds) = spec.persistence_s {
        text.push_str(&format!(", persistence {seconds} s"));
    }
    if let Some(mask) = spec.mask {
        // A mask of IPv4 has its first bit set, a length of IPv6 is below 128.
        let bits = if mask < 128 { mask } else { mask.count_ones() };
        text.push_str(&format!(" by /{bits}"));
    }
    if let Some(engine) = &spec.engine {
        text.push_str(&format!(", engine {engine}"));
    }
    if spec.flags != 0 {
        text.push_str(&format!(", scheduler flags {:#x}", spec.flags));
    }
    if spec.one_packet {
        text.push_str(", one packet");
    }
    text
}

fn dest_settings(spec: &DestSpec) -> String {
    let mut text = format!("forward {}, weight {}", forward(spec.forward), spec.weight);
    if spec.tunnel != TunnelSpec::default() {
        let kind = match spec.tunnel.kind {
            1 => format!("gue port {}", spec.tunnel.port),
            2 => String::from("gre"),
            _ => String::from("ipip"),
        };
        text.push_str(&format!(", {kind}"));
    }
    if spec.upper != 0 {
        text.push_str(&format!(", at most {} connections", spec.upper));
    }
    text
}

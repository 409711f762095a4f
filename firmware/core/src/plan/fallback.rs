//! What answers when no real server of a virtual server takes connections: another machine, or a page of the box itself.
//!
//! The box is inserted as 127.0.0.1 or ::1 with direct routing, whatever the method of the pool: for a local destination
//! IPVS lets the packet go on to the box's own sockets as it is (`ip_vs_dr_xmit`), so a listener on the virtual address and
//! port gets it. NAT of outside traffic to loopback is refused by the kernel (`ip_vs_nat_xmit`).

use super::desired::{Circumstances, DesiredService, Usable, dest_port, keys};
use super::spec::{DestKey, DestSpec, Family, ServiceKey, TunnelSpec};
use crate::model::config::{Config, Forward, Pool, Protocol};
use crate::model::{Escaped, Name};
use alloc::collections::BTreeMap;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Pages of the box by the virtual address and port that they are shown on.
pub type Pages = BTreeMap<SocketAddr, Escaped>;

/// Where the box itself stands in a virtual server's table.
#[must_use]
pub fn own(service: &ServiceKey) -> DestKey {
    let address = match service.family() {
        Family::V4 => IpAddr::V4(Ipv4Addr::LOCALHOST),
        Family::V6 => IpAddr::V6(Ipv6Addr::LOCALHOST),
    };
    DestKey { address, port: service.port() }
}

/// What the pool falls back to for this virtual server.
fn fallback(config: &Config, service: &ServiceKey, pool: &Pool) -> Option<(DestKey, DestSpec)> {
    if pool.shortage.sorry_page.is_some() {
        place(service)?;
        return Some((own(service), spec(Forward::Direct, TunnelSpec::default())));
    }
    let address = config.real_servers.get(pool.shortage.sorry_server.as_ref()?)?.address?;
    let port = match pool.forward {
        Forward::Nat => pool.shortage.sorry_port.unwrap_or(service.port()),
        Forward::Direct | Forward::Tunnel => service.port(),
    };
    let tunnel =
        if pool.forward == Forward::Tunnel { TunnelSpec::of(&pool.tunnel) } else { TunnelSpec::default() };
    Some((DestKey { address, port }, spec(pool.forward, tunnel)))
}

/// Whether the pool falls back to anything for this virtual server.
pub(super) fn exists(config: &Config, service: &ServiceKey, pool: &Pool) -> bool {
    fallback(config, service, pool).is_some()
}

const fn spec(forward: Forward, tunnel: TunnelSpec) -> DestSpec {
    DestSpec { forward, weight: 1, upper: 0, lower: 0, tunnel }
}

/// Where a page is shown for a virtual server; nowhere for a mark, whose ports are several, nor for what is not TCP.
pub(crate) fn place(service: &ServiceKey) -> Option<SocketAddr> {
    match service {
        ServiceKey::Address { protocol: Protocol::Tcp, address, port } => {
            Some(SocketAddr::new(*address, *port))
        }
        ServiceKey::Address { .. } | ServiceKey::Mark { .. } => None,
    }
}

/// Adds the fall-back to `dests` when none of them takes connections. While a server's health is still unknown the
/// fall-back stays as it is: a restart must neither show the page nor take it away.
pub(super) fn insert(
    config: &Config,
    (service, asked): (&ServiceKey, u16),
    (pool_name, pool): (&Name, &Pool),
    circumstances: &impl Circumstances,
    dests: &mut BTreeMap<DestKey, DestSpec>,
) {
    if dests.values().any(|d| d.weight > 0) {
        return;
    }
    let Some((key, spec)) = fallback(config, service, pool) else { return };
    let undecided = !circumstances.standing(pool_name, asked).short
        && pool.servers.iter().any(|(name, member)| {
            let port = match dest_port(pool, member, service) {
                0 => asked,
                port => port,
            };
            circumstances.forced(pool_name, name).weight(member.weight).is_some_and(|weight| weight > 0)
                && circumstances.usable(pool_name, name, port) == Usable::Unknown
        });
    if !undecided || circumstances.present(service, &key).is_some() {
        dests.insert(key, spec);
    }
}

/// The pages that the box shows now: those of the virtual servers that it stands in itself.
pub(super) fn pages(config: &Config, services: &BTreeMap<ServiceKey, DesiredService>) -> Pages {
    let mut pages = Pages::new();
    for service in config.services.values() {
        let pool = service.pool.as_ref().and_then(|name| config.pools.get(name));
        let Some(text) = pool.and_then(|p| p.shortage.sorry_page.as_ref()) else { continue };
        for key in keys(config, service) {
            let inserted = services.get(&key).is_some_and(|s| s.dests.contains_key(&own(&key)));
            if let Some(place) = place(&key).filter(|_| inserted) {
                pages.insert(place, text.clone());
            }
        }
    }
    pages
}

#[cfg(test)]
#[path = "fallback_tests.rs"]
mod tests;

//! Real servers, pools, services.

use super::{Findings, balancing, not_a_host};
use crate::gather::Gather as _;
use crate::model::config::{CheckKind, Config, Forward, Pool, Protocol, Service};
use crate::model::ipvs::Tunnel;
use crate::model::limits::WEIGHT_MAX;
use crate::model::{Millis, Name};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::vec::Vec;
use core::net::IpAddr;

/// What services need to know of their pool, found once per pool.
#[derive(Default)]
struct Summary<'a> {
    /// A server of each family that serves its own family only: all but tunnelled ones.
    ipv4: Option<&'a Name>,
    ipv6: Option<&'a Name>,
    /// The same of those behind NAT.
    nat_ipv4: bool,
    nat_ipv6: bool,
    /// Ports that members set whose method cannot change the port, each with the first such member.
    fixed_ports: BTreeMap<u16, (&'a Name, Forward)>,
}

impl<'a> Summary<'a> {
    fn add(&mut self, server: &'a Name, address: IpAddr, forward: Forward) {
        if forward == Forward::Tunnel {
            return;
        }
        let (first, nat) = match address {
            IpAddr::V4(_) => (&mut self.ipv4, &mut self.nat_ipv4),
            IpAddr::V6(_) => (&mut self.ipv6, &mut self.nat_ipv6),
        };
        *first = first.or(Some(server));
        *nat |= forward == Forward::Nat;
    }
}

pub(super) fn check(config: &Config, found: &mut Findings) {
    for (name, server) in &config.real_servers {
        match server.address {
            None => {
                let text = format!("missing: set real-server {name} address");
                found.error(format!("real-server {name} address"), text);
            }
            Some(address) => {
                let local = matches!(address, IpAddr::V6(a) if a.is_unicast_link_local());
                let link_local = local.then_some("is a link-local address");
                if let Some(why) = not_a_host(address).or(link_local) {
                    let path = format!("real-server {name} address {address}");
                    found.error(path, format!("{why}: use a host's address"));
                }
            }
        }
    }
    let mut summaries = BTreeMap::new();
    for (name, pool) in &config.pools {
        timing(name, pool, found);
        asking(name, pool, found);
        summaries.insert(name, members(config, name, pool, found));
    }
    let mut taken = BTreeMap::new();
    for (name, service) in &config.services {
        check_service(config, name, service, found);
        balancing::check_service(config, name, service, found);
        fit(config, name, service, &summaries, found);
        collisions(config, name, service, &mut taken, found);
    }
    balancing::check_marks(config, found);
    balancing::check_sync(config, found);
    forwarding(config, &summaries, found);
    let used: BTreeSet<&Name> = config.services.values().filter_map(|s| s.pool.as_ref()).gather();
    for name in config.pools.keys().filter(|n| !used.contains(n)) {
        found.warning(format!("pool {name}"), "no service uses this pool");
    }
}

fn timing(name: &Name, pool: &Pool, found: &mut Findings) {
    for (word, count) in [("rise", pool.rise), ("fall", pool.fall)] {
        if count == 0 {
            found.error(format!("pool {name} {word}"), "must be at least 1");
        }
    }
    if pool.check == CheckKind::None {
        return;
    }
    let (interval, timeout) = (pool.interval, pool.timeout);
    for (word, span) in [("interval", interval), ("timeout", timeout)] {
        if span == Millis::new(0) {
            found.error(format!("pool {name} {word}"), "must be longer than 0");
        }
    }
    if timeout > interval {
        let text =
            format!("is longer than the interval of {interval}, so that checks would overlap: shorten it");
        found.error(format!("pool {name} timeout {timeout}"), text);
    }
    let least = interval.plus(timeout);
    if let Some(dead) = pool.dead_time.filter(|d| *d < least) {
        let text = format!(
            "is shorter than interval and timeout together, so that a good server could be given up between two \
             checks: use at least {least}"
        );
        found.error(format!("pool {name} dead-time {dead}"), text);
    }
}

fn asking(name: &Name, pool: &Pool, found: &mut Findings) {
    if pool.check_port == Some(0) {
        found.error(format!("pool {name} check-port"), "must be 1 to 65535");
    }
    let Some(http) = &pool.http else { return };
    if pool.check != CheckKind::Http {
        let text = format!("has no effect: set pool {name} check http, or delete it");
        found.warning(format!("pool {name} http"), text);
    }
    if !http.path.as_str().starts_with('/') {
        found.error(format!("pool {name} http path {}", http.path), "must begin with /");
    }
}

fn members<'a>(config: &'a Config, name: &Name, pool: &'a Pool, found: &mut Findings) -> Summary<'a> {
    let mut summary = Summary::default();
    if pool.servers.is_empty() {
        let text = format!("the pool has no servers: set pool {name} server");
        found.warning(format!("pool {name} server"), text);
    } else if pool.servers.values().all(|m| m.weight == 0) {
        found.warning(format!("pool {name} server"), "all weights are 0: no server takes connections");
    }
    // Beside servers it is compared with them.
    if let Some(sorry) = pool.shortage.sorry_server.as_ref().filter(|_| pool.servers.is_empty())
        && let Some(address) = config.real_servers.get(sorry).and_then(|s| s.address)
    {
        summary.add(sorry, address, pool.forward);
    }
    for (server, member) in &pool.servers {
        match config.real_servers.get(server).map(|s| s.address) {
            None => {
                let text = format!("there is no such real server: set real-server {server} address");
                found.error(format!("pool {name} server {server}"), text);
            }
            Some(None) => {}
            Some(Some(address)) => summary.add(server, address, pool.forward_of(member)),
        }
        if member.tunnel.is_some() && pool.forward_of(member) != Forward::Tunnel {
            let path = format!("pool {name} server {server} tunnel");
            found.warning(path, "has no effect: its forward is not tunnel");
        }
        if member.weight > WEIGHT_MAX {
            let path = format!("pool {name} server {server} weight {}", member.weight);
            found.error(path, format!("must be 0 to {WEIGHT_MAX}"));
        }
        if let Some(port) = member.port {
            if port == 0 {
                found.error(format!("pool {name} server {server} port 0"), "must be 1 to 65535");
            }
            let forward = pool.forward_of(member);
            if forward != Forward::Nat {
                summary.fixed_ports.entry(port).or_insert((server, forward));
            }
        }
    }
    let tunnelled = pool.forwards().any(|forward| forward == Forward::Tunnel);
    if pool.tunnel != Tunnel::default() && !tunnelled {
        found.warning(format!("pool {name} tunnel"), "has no effect: no server of the pool is tunnelled");
    }
    if let (Some(v4), Some(v6)) = (summary.ipv4, summary.ipv6) {
        let text = format!(
            "{v4} has an IPv4 address and {v6} an IPv6 address; only tunnels can mix them: use two pools"
        );
        found.error(format!("pool {name} server {v6}"), text);
    }
    summary
}

fn check_service(config: &Config, name: &Name, service: &Service, found: &mut Findings) {
    let marked = service.special.mark.is_some();
    if service.addresses.is_empty() && !marked {
        let text = format!("missing: set service {name} address with the name of a floating address");
        found.error(format!("service {name} address"), text);
    }
    for address in service.addresses.iter().filter(|a| !config.floating.contains_key(*a)) {
        let text = format!("there is no floating address {address}: set floating {address} address");
        found.error(format!("service {name} address {address}"), text);
    }
    if service.ports.is_empty() && !marked {
        found.error(format!("service {name} port"), format!("missing: set service {name} port"));
    }
    if service.ports.contains(&0) {
        found.error(format!("service {name} port 0"), "must be 1 to 65535");
    }
    match &service.pool {
        None => found.error(format!("service {name} pool"), format!("missing: set service {name} pool")),
        Some(pool) if !config.pools.contains_key(pool) => {
            let text = format!("there is no pool {pool}: set pool {pool} server");
            found.error(format!("service {name} pool {pool}"), text);
        }
        Some(_) => {}
    }
    if let Some(span) = service.persistence.filter(|p| p.get() == 0 || p.get() % 1000 != 0) {
        let text = "the kernel counts whole seconds, at least 1s: delete it to switch persistence off";
        found.error(format!("service {name} persistence {span}"), text);
    }
}

/// Whether the pool can serve the service's addresses and ports.
fn fit(
    config: &Config,
    name: &Name,
    service: &Service,
    summaries: &BTreeMap<&Name, Summary<'_>>,
    found: &mut Findings,
) {
    let Some(pool_name) = service.pool.as_ref().filter(|p| config.pools.contains_key(*p)) else { return };
    let Some(summary) = summaries.get(pool_name) else { return };
    let marked = service.special.mark.is_some();
    let fixed = &summary.fixed_ports;
    let other = fixed.iter().find(|(p, _)| marked || service.ports.iter().any(|own| own != *p));
    if let Some((port, (server, forward))) = other {
        let how = if *forward == Forward::Direct { "direct routing" } else { "a tunnel" };
        let text = format!(
            "{how} cannot change the port, but server {server} of the pool has port {port}: delete pool \
             {pool_name} server {server} port"
        );
        found.error(format!("service {name} pool {pool_name}"), text);
    }
    for (floating, address) in fronts(config, service) {
        let (other, family) = if address.is_ipv4() { (summary.ipv6, "IPv6") } else { (summary.ipv4, "IPv4") };
        if let Some(server) = other {
            let text = format!(
                "{address} cannot be served by pool {pool_name}: its server {server} has an {family} address"
            );
            let path = match &service.special.mark {
                Some(mark) => format!("service {name} mark {mark}"),
                None => format!("service {name} address {floating}"),
            };
            found.error(path, text);
        }
    }
}

/// What clients of a service connect to: its addresses, or those of its mark.
fn fronts<'a>(config: &'a Config, service: &'a Service) -> Vec<(&'a Name, IpAddr)> {
    let mark = service.special.mark.as_ref().and_then(|name| config.kernel.marks.get(name));
    let names = mark.map_or(&service.addresses, |mark| &mark.addresses);
    names.iter().filter_map(|name| Some((name, config.floating.get(name)?.address?.address()))).collect()
}

/// The addresses of a service that exist.
fn addresses<'a>(config: &'a Config, service: &'a Service) -> impl Iterator<Item = (&'a Name, IpAddr)> {
    service.addresses.iter().filter_map(|name| {
        let floating = config.floating.get(name)?;
        floating.address.map(|c| (name, c.address()))
    })
}

/// Two services must not want the same protocol, address and port.
fn collisions<'a>(
    config: &'a Config,
    name: &'a Name,
    service: &'a Service,
    taken: &mut BTreeMap<(Protocol, IpAddr, u16), &'a Name>,
    found: &mut Findings,
) {
    for (floating, address) in addresses(config, service) {
        for port in &service.ports {
            let Some(first) = taken.insert((service.protocol, address, *port), name) else { continue };
            let text = if first == name {
                format!("{address} port {port} is listed twice in this service: delete one")
            } else {
                format!(
                    "{address} port {port} is served by service {first} and by service {name}: change one"
                )
            };
            found.error(format!("service {name} address {floating}"), text);
        }
    }
}

/// Translated packets are forwarded ones. One finding per family, whatever the number of services.
fn forwarding(config: &Config, summaries: &BTreeMap<&Name, Summary<'_>>, found: &mut Findings) {
    for (family, on) in [("ipv4", config.forwarding.ipv4), ("ipv6", config.forwarding.ipv6)] {
        if on {
            continue;
        }
        let mut affected = config.services.iter().filter(|(_, service)| {
            let pool = service.pool.as_ref();
            let nat = pool
                .and_then(|p| config.pools.get(p))
                .is_some_and(|p| p.forwards().any(|forward| forward == Forward::Nat));
            let ipv4 = family == "ipv4";
            let summary = pool.and_then(|p| summaries.get(p));
            let server = summary.is_some_and(|s| if ipv4 { s.nat_ipv4 } else { s.nat_ipv6 });
            server || (nat && addresses(config, service).any(|(_, a)| a.is_ipv4() == ipv4))
        });
        if let Some((name, _)) = affected.next() {
            let more = affected.count();
            let others = if more == 0 { alloc::string::String::new() } else { format!(" (and {more} more)") };
            let text =
                format!("service {name}{others} forwards by nat and needs it: set forwarding {family} on");
            found.error(format!("forwarding {family}"), text);
        }
    }
}

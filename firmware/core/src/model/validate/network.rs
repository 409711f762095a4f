//! Interfaces, addresses, routes, masquerading.

use super::{Findings, not_a_host};
use crate::gather::Gather as _;
use crate::model::choice::Chosen as _;
use crate::model::config::{Config, Floating, Node, Route};
use crate::model::system::Sysctl;
use crate::model::{Cidr, Name};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;

/// Smallest and largest MTU: RFC 791 section 3.2, and the jumbo frames of common drivers.
const MTU: core::ops::RangeInclusive<u16> = 576..=9216;
/// Smallest MTU that carries IPv6 (RFC 8200 section 5).
const MTU_IPV6: u16 = 1280;

pub(super) fn check(config: &Config, found: &mut Findings) {
    interfaces(config, found);
    cards(config, found);
    thresholds(config, found);
    let nodes = nodes(config);
    for (title, node) in &nodes {
        node_addresses(config, title, node, found);
    }
    pair(config, found);
    twice(config, &nodes, found);
    floating(config, &nodes, found);
    for (destination, route) in &config.routes {
        check_route(config, *destination, route, &nodes, found);
    }
    masquerade(config, found);
}

/// The nodes that have anything configured.
fn nodes(config: &Config) -> Vec<(&'static str, &Node)> {
    let primary = Some(&config.primary).filter(|n| **n != Node::default());
    [("primary", primary), ("backup", config.backup.as_ref())]
        .into_iter()
        .filter_map(|(title, node)| node.map(|n| (title, n)))
        .collect()
}

fn interfaces(config: &Config, found: &mut Findings) {
    let mut devices = BTreeMap::new();
    for (name, interface) in &config.interfaces {
        match &interface.device {
            None => found.error(
                format!("interface {name} device"),
                format!("missing: set interface {name} device with the kernel's name, for example eth0"),
            ),
            Some(device) => {
                if let Some(other) = devices.insert(device, name) {
                    let text =
                        format!("{device} is the device of interface {other} already: use one role for it");
                    found.error(format!("interface {name} device {device}"), text);
                }
            }
        }
        let Some(mtu) = interface.mtu else { continue };
        let path = || format!("interface {name} mtu {mtu}");
        let ipv6 = addresses_on(config, name).any(|c| c.address().is_ipv6());
        if !MTU.contains(&mtu) {
            found.error(path(), format!("must be {} to {}", MTU.start(), MTU.end()));
        } else if ipv6 && mtu < MTU_IPV6 {
            found.error(path(), format!("IPv6 on this interface needs at least {MTU_IPV6}"));
        }
    }
}

/// Hardware addresses: of a known role, of no VLAN, of one role.
fn cards(config: &Config, found: &mut Findings) {
    for (title, node) in nodes(config) {
        let mut taken = BTreeMap::new();
        for (role, mac) in &node.macs {
            let path = || format!("node {title} interface {role} mac {mac}");
            match config.interfaces.get(role) {
                None => {
                    let text = format!("there is no interface {role}: set interface {role} device");
                    found.error(path(), text);
                }
                Some(interface) if interface.vlan.is_some() => {
                    found.error(path(), "is a VLAN, which has the address of the card below it: delete it");
                }
                Some(_) => {}
            }
            if let Some(other) = taken.insert(mac, role) {
                found.error(path(), format!("is the card of interface {other} already: use one role for it"));
            }
        }
    }
}

/// The kernel wants each threshold of a neighbour table above the one before it, or it drops neighbours too early.
fn thresholds(config: &Config, found: &mut Findings) {
    let value = |sysctl| config.kernel.sysctls.get(&sysctl).copied().flatten();
    let tables = [
        [Sysctl::NeighThresh1, Sysctl::NeighThresh2, Sysctl::NeighThresh3],
        [Sysctl::Neigh6Thresh1, Sysctl::Neigh6Thresh2, Sysctl::Neigh6Thresh3],
    ];
    for [first, second, third] in tables {
        for (low, high) in [(first, second), (second, third)] {
            if let (Some(below), Some(above)) = (value(low), value(high))
                && below > above
            {
                let text = format!("is above {} {above}: neighbours would be dropped early", high.word());
                found.warning(format!("sysctl {} value {below}", low.word()), text);
            }
        }
    }
}

/// What both nodes have on an interface.
fn addresses_on<'a>(config: &'a Config, interface: &'a Name) -> impl Iterator<Item = Cidr> + 'a {
    [Some(&config.primary), config.backup.as_ref()]
        .into_iter()
        .flatten()
        .filter_map(move |n| n.addresses.get(interface))
        .flatten()
        .copied()
}

/// Why an address with prefix cannot be set on a device.
fn not_an_interface_address(cidr: Cidr) -> Option<&'static str> {
    let network = cidr.network().address() == cidr.address();
    let broadcast = cidr.broadcast().map(IpAddr::V4) == Some(cidr.address());
    not_a_host(cidr.address()).or(match cidr.address() {
        IpAddr::V4(_) if cidr.prefix() <= 30 && network => Some("is the address of the network itself"),
        IpAddr::V4(_) if broadcast => Some("is the broadcast address of its network"),
        IpAddr::V4(_) | IpAddr::V6(_) => None,
    })
}

fn node_addresses(config: &Config, title: &str, node: &Node, found: &mut Findings) {
    let mut networks: BTreeMap<Cidr, &Name> = BTreeMap::new();
    for (interface, addresses) in &node.addresses {
        if !config.interfaces.contains_key(interface) {
            let text = format!("there is no interface {interface}: set interface {interface} device");
            found.error(format!("node {title} interface {interface}"), text);
        }
        for cidr in addresses {
            let path = || format!("node {title} interface {interface} address {cidr}");
            if let Some(why) = not_an_interface_address(*cidr) {
                found.error(path(), format!("{why}: use a host's address"));
            }
            match networks.get(&cidr.network()) {
                Some(other) if *other != interface && !is_host(*cidr) => {
                    let text = format!(
                        "{} is also on interface {other}: answers may leave by the wrong one",
                        cidr.network()
                    );
                    found.warning(path(), text);
                }
                Some(_) => {}
                None => {
                    networks.insert(cidr.network(), interface);
                }
            }
        }
    }
}

/// A prefix that covers one address: no subnet.
fn is_host(cidr: Cidr) -> bool {
    cidr == Cidr::host(cidr.address())
}

/// The two nodes must meet in the same subnets.
fn pair(config: &Config, found: &mut Findings) {
    let Some(backup) = &config.backup else { return };
    for (interface, addresses) in &backup.addresses {
        let Some(of_primary) = config.primary.addresses.get(interface) else { continue };
        for cidr in addresses {
            if !of_primary.iter().any(|p| p.network() == cidr.network()) {
                let path = format!("node backup interface {interface} address {cidr}");
                let text = format!("node primary has no address in {} on this interface", cidr.network());
                found.warning(path, text);
            }
        }
    }
}

/// Who has an address.
#[derive(Clone, Copy)]
enum Owner<'a> {
    Node(&'a str, &'a Name, Cidr),
    Floating(&'a Name, Cidr),
    RealServer(&'a Name, IpAddr),
}

impl fmt::Display for Owner<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(title, interface, cidr) => {
                write!(f, "node {title} interface {interface} address {cidr}")
            }
            Self::Floating(name, cidr) => write!(f, "floating {name} address {cidr}"),
            Self::RealServer(name, address) => write!(f, "real-server {name} address {address}"),
        }
    }
}

/// No address is used twice, and no real server has what is a broadcast address here.
fn twice(config: &Config, nodes: &[(&'static str, &Node)], found: &mut Findings) {
    let of_nodes = nodes.iter().flat_map(|(title, node)| {
        let all = node.addresses.iter();
        all.flat_map(move |(i, list)| list.iter().map(move |c| (c.address(), Owner::Node(title, i, *c))))
    });
    let of_floating = config
        .floating
        .iter()
        .filter_map(|(name, f)| f.address.map(|c| (c.address(), Owner::Floating(name, c))));
    let of_servers =
        config.real_servers.iter().filter_map(|(name, s)| s.address.map(|a| (a, Owner::RealServer(name, a))));
    let mut owners: BTreeMap<IpAddr, Owner<'_>> = BTreeMap::new();
    for (address, owner) in of_nodes.chain(of_floating).chain(of_servers) {
        match owners.get(&address) {
            Some(first) => found.error(format!("{owner}"), format!("the address is used already by {first}")),
            None => {
                owners.insert(address, owner);
            }
        }
    }
    let broadcasts: BTreeSet<IpAddr> = nodes
        .iter()
        .flat_map(|(_, node)| node.addresses.values().flatten())
        .filter_map(|c| c.broadcast().map(IpAddr::V4))
        .gather();
    for (name, server) in &config.real_servers {
        if let Some(address) = server.address.filter(|a| broadcasts.contains(a)) {
            let text = "is the broadcast address of a connected network: use a host's address";
            found.error(format!("real-server {name} address {address}"), text);
        }
    }
}

fn floating(config: &Config, nodes: &[(&'static str, &Node)], found: &mut Findings) {
    let mut labels = BTreeMap::new();
    for (name, floating) in &config.floating {
        if floating.address.is_none() {
            let text =
                format!("missing: set floating {name} address with prefix length, for example 192.0.2.1/24");
            found.error(format!("floating {name} address"), text);
        }
        if floating.interface.is_none() {
            let text = format!("missing: set floating {name} interface with the role that carries it");
            found.error(format!("floating {name} interface"), text);
        }
        if let Some(cidr) = floating.address {
            if let Some(why) = not_an_interface_address(cidr) {
                found
                    .error(format!("floating {name} address {cidr}"), format!("{why}: use a host's address"));
            }
            connected(config, name, cidr, floating, nodes, found);
        }
        let interface = floating.interface.as_ref();
        if let Some(interface) = interface.filter(|i| !config.interfaces.contains_key(i)) {
            let text = format!("there is no interface {interface}: set interface {interface} device");
            found.error(format!("floating {name} interface {interface}"), text);
        }
        let Some(label) = &floating.label else { continue };
        let path = || format!("floating {name} label {label}");
        if floating.address.is_some_and(|c| c.address().is_ipv6()) {
            found.error(path(), "IPv6 addresses have no labels: delete it");
        }
        let device = interface.and_then(|i| config.interfaces.get(i)).and_then(|i| i.device.as_ref());
        if let Some(device) = device {
            let rest = label.as_str().strip_prefix(device.as_str());
            if !rest.is_some_and(|r| r.len() > 1 && r.starts_with(':')) {
                let text = format!("must begin with the interface's device and a colon: {device}:1");
                found.error(path(), text);
            }
        }
        if let Some(other) = labels.insert(label, name) {
            found.error(path(), format!("is the label of floating {other} already: choose another"));
        }
    }
}

/// A floating address must lie in a subnet that each node has on that interface, or nobody finds it there.
fn connected(
    config: &Config,
    name: &Name,
    cidr: Cidr,
    floating: &Floating,
    nodes: &[(&'static str, &Node)],
    found: &mut Findings,
) {
    let Some(interface) = &floating.interface else { return };
    // Which subnet a server lends is not known beforehand.
    if config.interfaces.get(interface).is_some_and(|i| i.dhcp) {
        return;
    }
    for (title, node) in nodes {
        let own = node.addresses.get(interface);
        if own.is_some_and(|list| list.iter().any(|c| c.contains(cidr.address()))) {
            continue;
        }
        let path = format!("floating {name} address {cidr}");
        let text = format!("node {title} has no address in a subnet of it on interface {interface}");
        if is_host(cidr) {
            found.warning(path, format!("{text}: the routers must have a route to it"));
        } else {
            found.error(
                path,
                format!("{text}: set one, or use prefix length {}", Cidr::host(cidr.address()).prefix()),
            );
        }
    }
}

fn check_route(
    config: &Config,
    destination: Cidr,
    route: &Route,
    nodes: &[(&'static str, &Node)],
    found: &mut Findings,
) {
    if destination.network() != destination {
        let text = format!("has bits set beyond its prefix: write {}", destination.network());
        found.error(format!("route {destination}"), text);
    }
    let Some(via) = route.via else {
        let text = format!("missing: set route {destination} via with the address of the next router");
        return found.error(format!("route {destination} via"), text);
    };
    let path = || format!("route {destination} via {via}");
    if via.is_ipv4() != destination.address().is_ipv4() {
        return found.error(path(), "is not of the address family of the destination");
    }
    if let Some(why) = not_a_host(via) {
        return found.error(path(), format!("{why}: use the address of the next router"));
    }
    if config.interfaces.values().any(|i| i.dhcp) {
        return;
    }
    for (title, node) in nodes {
        let mut own = node.addresses.values().flatten();
        if !own.any(|c| c.contains(via) && !is_host(*c)) {
            found.error(path(), format!("is in no subnet that node {title} is connected to"));
        }
    }
}

fn masquerade(config: &Config, found: &mut Findings) {
    for (name, rule) in &config.masquerade {
        let missing = |what: &str, example: &str| -> String {
            format!("missing: set masquerade {name} {what} {example}")
        };
        match rule.source {
            None => found.error(
                format!("masquerade {name} source"),
                missing("source", "with the network of the real servers, for example 192.168.1.0/24"),
            ),
            Some(source) => {
                if source != source.network() {
                    let text = format!("has bits set beyond its prefix: write {}", source.network());
                    found.error(format!("masquerade {name} source {source}"), text);
                }
                let ipv4 = source.address().is_ipv4();
                let on = if ipv4 { config.forwarding.ipv4 } else { config.forwarding.ipv6 };
                if !on {
                    let family = if ipv4 { "ipv4" } else { "ipv6" };
                    let text = format!("nothing is forwarded: set forwarding {family} on");
                    found.error(format!("masquerade {name} source {source}"), text);
                }
            }
        }
        match &rule.out {
            None => found.error(
                format!("masquerade {name} out"),
                missing("out", "with the interface that the connections leave by"),
            ),
            Some(out) if !config.interfaces.contains_key(out) => {
                let text = format!("there is no interface {out}: set interface {out} device");
                found.error(format!("masquerade {name} out {out}"), text);
            }
            Some(_) => {}
        }
    }
}

//! What our packet rules are for: a pure function of the configuration and the role.

use super::desired::{device_of, keys};
use super::spec::ServiceKey;
use crate::gather::Gather as _;
use crate::model::config::{Config, Forward, Node, Pool, Protocol, Service};
use crate::model::ipvs::{Mark, SourceNat};
use crate::model::{Cidr, Device};
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::net::IpAddr;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Version of the rules that the platform makes of a [`Ruleset`] (`appliance/src/platform/nft/rules.rs`). Raise it
/// with every change there, so that a new firmware replaces the table of an old one.
pub const RULESET_FORMAT: u16 = 3;

/// Port of the control connection of FTP, which the kernel's helper for NAT looks at (`ip_vs_ftp.c`, `ports`).
pub(crate) const FTP_CONTROL: u16 = 21;

/// Our nf_tables table `inet director`, in terms of what it is for. The platform turns each part into chains
/// and rules (`appliance/src/platform/nft/`).
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Ruleset {
    /// Reassemble fragments before anything looks at ports: keeps a `ct` expression so that `nf_defrag` stays on.
    pub defragment: bool,
    /// Virtual servers whose client packets need no connection tracking.
    pub notrack: BTreeSet<(Protocol, IpAddr, u16)>,
    /// What gives packets a mark.
    pub marks: BTreeSet<MarkRule>,
    /// Marked packets are tracked too.
    pub track_marks: bool,
    /// Source NAT for what leaves by a device: network, device, and the address that the outside sees (`None`: the
    /// device's own).
    pub masquerade: Vec<(Cidr, Device, Option<IpAddr>)>,
    /// Source NAT of balanced connections.
    pub source_nat: BTreeSet<SourceNatRule>,
    /// Networks of the real servers and the devices they are behind: forwarding from them is allowed, towards them only
    /// what belongs to a tracked connection. Everything else that would be forwarded is dropped.
    pub inside: BTreeSet<(Device, Cidr)>,
    /// The device and UDP port of the sync daemon, whose messages are dropped on every other device: the kernel takes
    /// them from anybody.
    pub sync: Option<(Device, u16)>,
    /// Virtual addresses that servers of direct routing are asked for. Their answers are for our own client
    /// ([`crate::health::client`]), and the kernel, which knows nothing of the connection, would reset it.
    pub asked: BTreeSet<IpAddr>,
}

/// Packets that get a mark.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct MarkRule {
    /// The mark.
    pub mark: u32,
    /// Transport protocol.
    pub protocol: Protocol,
    /// Virtual address.
    pub address: IpAddr,
    /// First port.
    pub first: u16,
    /// Last port.
    pub last: u16,
}

/// Connections whose servers see the director instead of the client.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct SourceNatRule {
    /// Transport protocol.
    pub protocol: Protocol,
    /// Virtual address.
    pub address: IpAddr,
    /// First virtual port.
    pub first: u16,
    /// Last virtual port.
    pub last: u16,
    /// Only clients of this network; `None`: all.
    pub clients: Option<Cidr>,
}

impl Ruleset {
    /// Identifies these rules: SHA-256 over [`RULESET_FORMAT`] and the postcard encoding. The platform stores it in the
    /// table and gives it back in [`super::Observed::ruleset`].
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        // Serialising to memory has no way to fail for this type: no maps of unknown length, no skipped fields.
        let encoded = postcard::to_allocvec(self).unwrap_or_default();
        let hasher = Sha256::new().chain_update(RULESET_FORMAT.to_le_bytes()).chain_update(encoded);
        hasher.finalize().into()
    }
}

/// What clients connect to, as ranges of ports.
struct Front {
    protocol: Protocol,
    address: IpAddr,
    first: u16,
    last: u16,
}

/// The fronts of a service, by mark or not.
fn fronts(config: &Config, service: &Service) -> Vec<Front> {
    let marked = service.special.mark.as_ref().map(|name| config.kernel.marks.get(name));
    if let Some(mark) = marked {
        return mark.into_iter().flat_map(|mark| mark_fronts(config, mark)).collect();
    }
    let front = |key| match key {
        ServiceKey::Address { protocol, address, port } => {
            Some(Front { protocol, address, first: port, last: port })
        }
        ServiceKey::Mark { .. } => None,
    };
    keys(config, service).into_iter().filter_map(front).collect()
}

fn mark_fronts<'a>(config: &'a Config, mark: &'a Mark) -> impl Iterator<Item = Front> + 'a {
    let addresses = mark.addresses.iter().filter_map(|name| config.floating.get(name)?.address);
    addresses.flat_map(move |cidr| {
        let front = move |(first, last): &(u16, u16)| Front {
            protocol: mark.protocol,
            address: cidr.address(),
            first: *first,
            last: *last,
        };
        mark.ports.iter().map(front)
    })
}

/// Services with their pools, when a server of the pool is behind NAT.
fn translated(config: &Config) -> impl Iterator<Item = (&Service, &Pool)> {
    let pools = config.services.values().filter_map(|s| Some((s, config.pools.get(s.pool.as_ref()?)?)));
    pools.filter(|(_, pool)| pool.forwards().any(|forward| forward == Forward::Nat))
}

/// Whether the kernel must track the connections of virtual servers (`net.ipv4.vs.conntrack`): its FTP helper rewrites
/// addresses, and source NAT of balanced connections is done, with tracked connections only.
#[must_use]
pub fn tracks(config: &Config) -> bool {
    translated(config).any(|(service, _)| {
        let ftp = |f: &Front| f.protocol == Protocol::Tcp && (f.first..=f.last).contains(&FTP_CONTROL);
        service.special.source_nat != SourceNat::Off || fronts(config, service).iter().any(ftp)
    })
}

pub(crate) fn ruleset(config: &Config, node: &Node, active: bool) -> Ruleset {
    let networks: Vec<(Device, Cidr)> = node
        .addresses
        .iter()
        .filter_map(|(role, cidrs)| Some((device_of(config, role)?, cidrs)))
        .flat_map(|(device, cidrs)| cidrs.iter().map(|c| (device.clone(), c.network())))
        .collect();
    let mut rules = Ruleset {
        // A mark by port needs the port, which only the first fragment has.
        defragment: config.forwarding.defragment || !config.kernel.marks.is_empty(),
        track_marks: tracks(config),
        notrack: notrack(config),
        inside: inside(config, &networks),
        ..Ruleset::default()
    };
    for (name, mark) in &config.kernel.marks {
        let number = mark.number_of(name);
        let rule = |f: Front| MarkRule {
            mark: number,
            protocol: f.protocol,
            address: f.address,
            first: f.first,
            last: f.last,
        };
        rules.marks.extend(mark_fronts(config, mark).map(rule));
    }
    for rule in config.masquerade.values() {
        let Some(source) = rule.source else { continue };
        if let Some(out) = rule.out.as_ref().and_then(|role| device_of(config, role)) {
            let floating = rule.address.as_ref().and_then(|name| config.floating.get(name)?.address);
            // A standby box does not hold the address, and its answers would go to the active one.
            let fixed = floating.filter(|_| active).map(Cidr::address);
            rules.masquerade.push((source.network(), out.clone(), fixed));
        }
        rules.inside.extend(
            networks
                .iter()
                .filter(|(_, network)| {
                    network.contains(source.address()) || source.contains(network.address())
                })
                .map(|(device, _)| (device.clone(), source.network())),
        );
    }
    for (service, pool) in translated(config) {
        source_nat(config, service, pool, &networks, &mut rules.source_nat);
    }
    for (service, pool) in
        config.services.values().filter_map(|s| Some((s, config.pools.get(s.pool.as_ref()?)?)))
    {
        if pool.watch.via_virtual {
            rules.asked.extend(fronts(config, service).into_iter().map(|front| front.address));
        }
    }
    rules.sync = config.sync_daemon.as_ref().and_then(|sync| {
        let device = device_of(config, sync.interface.as_ref()?)?;
        Some((device.clone(), sync.port))
    });
    rules
}

/// Nothing is gained from tracking what clients send, except behind NAT with [`tracks`].
fn notrack(config: &Config) -> BTreeSet<(Protocol, IpAddr, u16)> {
    let tracked: BTreeSet<ServiceKey> = if tracks(config) {
        translated(config).flat_map(|(service, _)| keys(config, service)).gather()
    } else {
        BTreeSet::new()
    };
    let all = config.services.values().filter(|service| service.pool.is_some());
    all.flat_map(|service| keys(config, service))
        .filter(|key| !tracked.contains(key))
        .filter_map(|key| match key {
            ServiceKey::Address { protocol, address, port } => Some((protocol, address, port)),
            ServiceKey::Mark { .. } => None,
        })
        .gather()
}

/// Networks whose hosts we forward for: those of the node's interfaces that have a real server behind NAT.
fn inside(config: &Config, networks: &[(Device, Cidr)]) -> BTreeSet<(Device, Cidr)> {
    // A server of several pools comes several times, which costs less than telling ten thousand names apart.
    let servers = config.pools.values().flat_map(|pool| {
        let nat = pool.servers.iter().filter(|(_, member)| pool.forward_of(member) == Forward::Nat);
        let sorry = pool.shortage.sorry_server.iter().filter(|_| pool.forward == Forward::Nat);
        nat.map(|(name, _)| name).chain(sorry)
    });
    let behind_nat = servers.filter_map(|name| config.real_servers.get(name)?.address);
    let connected = |address| networks.iter().find(|(_, network)| network.contains(address));
    // Their answers come in by the device of their router, and must pass here before IPVS rewrites them.
    let routed = |address| {
        let routes = config.routes.iter().filter(|(to, _)| to.contains(address) && to.prefix() > 0);
        let (to, route) = routes.max_by_key(|(to, _)| to.prefix())?;
        Some((connected(route.via?)?.0.clone(), to.network()))
    };
    let by_default = |address| {
        let (_, route) = config.routes.iter().find(|(to, _)| to.prefix() == 0 && to.contains(address))?;
        Some((connected(route.via?)?.0.clone(), Cidr::host(address)))
    };
    behind_nat
        .filter_map(|address| {
            connected(address).cloned().or_else(|| routed(address)).or_else(|| by_default(address))
        })
        .gather()
}

fn source_nat(
    config: &Config,
    service: &Service,
    pool: &Pool,
    networks: &[(Device, Cidr)],
    rules: &mut BTreeSet<SourceNatRule>,
) {
    let clients: BTreeSet<Option<Cidr>> = match service.special.source_nat {
        SourceNat::Off => return,
        SourceNat::All => BTreeSet::from([None]),
        // Their answers would go straight to a client beside them, from an address that it did not ask.
        SourceNat::Hairpin => {
            let nat = pool.servers.iter().filter(|(_, member)| pool.forward_of(member) == Forward::Nat);
            let addresses = nat.filter_map(|(name, _)| config.real_servers.get(name)?.address);
            let network = |address| networks.iter().find(|(_, network)| network.contains(address));
            addresses.filter_map(|address| network(address).map(|(_, cidr)| Some(*cidr))).gather()
        }
    };
    for front in fronts(config, service) {
        let Front { protocol, address, first, last } = front;
        let same_family = |c: &&Option<Cidr>| c.is_none_or(|c| c.address().is_ipv4() == address.is_ipv4());
        let rule =
            |clients: &Option<Cidr>| SourceNatRule { protocol, address, first, last, clients: *clients };
        rules.extend(clients.iter().filter(same_family).map(rule));
    }
}

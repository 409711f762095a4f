//! What the kernel should hold: a pure function of configuration, role and verdicts.

use super::fallback::{self, Pages};
use super::spec::{
    AddressKey, AddressSpec, DestKey, DestSpec, Family, RouteKey, RouteSpec, ServiceKey, ServiceSpec,
    TimeoutSpec, TunnelSpec, VlanSpec,
};
use crate::dhcp::Lease;
use crate::health::Standing;
use crate::model::choice::Chosen as _;
use crate::model::config::{Config, Forward, Node, OnFailure, Pool, Protocol, Service};
use crate::model::{Cidr, Device, Name};
use crate::overrides::Forced;
use alloc::borrow::ToOwned;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::net::IpAddr;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Version of the rules that the platform makes of a [`Ruleset`] (`appliance/src/platform/nft/rules.rs`). Raise it
/// with every change there, so that a new firmware replaces the table of an old one.
pub const RULESET_FORMAT: u16 = 1;

/// A virtual server as it should be.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DesiredService {
    /// Settings.
    pub spec: ServiceSpec,
    /// Real servers.
    pub dests: BTreeMap<DestKey, DestSpec>,
}

/// A device as it should be. Devices without a role are left alone.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct DesiredLink {
    /// Bytes; `None` leaves the driver's.
    pub mtu: Option<u32>,
    /// Made by us on top of another.
    pub vlan: Option<VlanSpec>,
}

/// Our nf_tables table `inet director`, in terms of what it is for. The platform turns each part into chains
/// and rules (`appliance/src/platform/nft/`).
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Ruleset {
    /// Reassemble fragments before anything looks at ports: keeps a `ct` expression so that `nf_defrag` stays on.
    pub defragment: bool,
    /// Virtual servers whose client packets need no connection tracking.
    pub notrack: BTreeSet<(Protocol, IpAddr, u16)>,
    /// Source NAT for what leaves by a device: (network, device).
    pub masquerade: Vec<(Cidr, Device)>,
    /// Networks of the real servers and the devices they are behind: forwarding from them is allowed, towards them only
    /// what belongs to a tracked connection. Everything else that would be forwarded is dropped.
    pub inside: BTreeSet<(Device, Cidr)>,
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

/// Everything the kernel should hold.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Desired {
    /// Sysctls by dotted name. Those read before links are up come first in the plan.
    pub sysctls: BTreeMap<String, String>,
    /// Devices that must be up.
    pub links: BTreeMap<Device, DesiredLink>,
    /// Addresses that stay on this box.
    pub node_addresses: BTreeMap<AddressKey, AddressSpec>,
    /// Floating addresses this node should hold in its role.
    pub floating_addresses: BTreeMap<AddressKey, AddressSpec>,
    /// Floating addresses this node must not hold in its role.
    pub released: BTreeSet<AddressKey>,
    /// Static routes.
    pub routes: BTreeMap<RouteKey, RouteSpec>,
    /// The nf_tables table; `None`: none.
    pub ruleset: Option<Ruleset>,
    /// Virtual servers. The same in both roles (design 2.3).
    pub services: BTreeMap<ServiceKey, DesiredService>,
    /// Pages that the box itself shows; no kernel object.
    pub pages: Pages,
    /// Idle times of connections; `None`: left alone.
    pub timeouts: Option<TimeoutSpec>,
}

/// What the planner needs to know of a server's health.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Usable {
    /// Takes connections with its configured weight.
    Yes,
    /// Takes none; the pool's `on-failure` says how.
    No,
    /// Nobody knows yet. What the kernel has stays as it is: a director that lost its memory must not empty the table.
    Unknown,
}

/// What the outside world adds to the configuration.
pub trait Circumstances {
    /// Whether `server` of `pool` may take connections on `port`.
    fn usable(&self, pool: &Name, server: &Name, port: u16) -> Usable;
    /// What the kernel holds now for a real server of a virtual server.
    fn present(&self, service: &ServiceKey, dest: &DestKey) -> Option<DestSpec>;
    /// What a DHCP server lent to a device.
    fn lease(&self, device: &Device) -> Option<Lease> {
        let _: &Device = device;
        None
    }
    /// How `pool` as a whole stands for the services on `port`.
    fn standing(&self, pool: &Name, port: u16) -> Standing {
        let _: (&Name, u16) = (pool, port);
        Standing::default()
    }
    /// The part of `weight` that a usable server takes connections with: less while it starts slowly.
    fn share(&self, pool: &Name, server: &Name, port: u16, weight: u32) -> u32 {
        let _: (&Name, &Name, u16) = (pool, server, port);
        weight
    }
    /// Whether an unusable server was quiesced for so long that it leaves the table.
    fn removed(&self, pool: &Name, server: &Name, port: u16) -> bool {
        let _: (&Name, &Name, u16) = (pool, server, port);
        false
    }
    /// What an operator did to `server` of `pool` at run time.
    fn forced(&self, pool: &Name, server: &Name) -> Forced {
        let _: (&Name, &Name) = (pool, server);
        Forced::Normal
    }
}

/// What the kernel should hold on `node`, which is active (holds the floating addresses) or not.
#[must_use]
pub fn desired(config: &Config, node: &Node, active: bool, circumstances: &impl Circumstances) -> Desired {
    let mut want = Desired { sysctls: sysctls(config), ..Desired::default() };
    for interface in config.interfaces.values() {
        if let Some(device) = &interface.device {
            let vlan = match &interface.vlan {
                None => None,
                Some(vlan) => match (vlan.parent.as_ref().and_then(|p| device_of(config, p)), vlan.id) {
                    (Some(parent), Some(id)) => Some(VlanSpec { parent: parent.clone(), id }),
                    // Its card is not there: nothing to make it on.
                    _ => continue,
                },
            };
            want.links.insert(device.clone(), DesiredLink { mtu: interface.mtu.map(u32::from), vlan });
        }
    }
    for (role, addresses) in &node.addresses {
        let Some(device) = device_of(config, role) else { continue };
        for cidr in addresses {
            let key = AddressKey { device: device.clone(), cidr: *cidr };
            want.node_addresses.insert(key, AddressSpec::default());
        }
    }
    lent(config, circumstances, &mut want);
    if active {
        want.floating_addresses = floating_addresses(config);
    } else {
        want.released = floating_addresses(config).into_keys().collect();
    }
    for (to, route) in &config.routes {
        if let Some(via) = route.via {
            // IPv6's default metric; the kernel gives it back where 0 was asked for (IP6_RT_PRIO_USER).
            let default = to.address().is_ipv6() && route.metric == 1024;
            let metric = if default { 0 } else { route.metric };
            want.routes.insert(RouteKey { to: to.network(), metric }, RouteSpec { via });
        }
    }
    for service in config.services.values() {
        add_service(config, service, circumstances, &mut want.services);
    }
    want.pages = fallback::pages(config, &want.services);
    want.timeouts = Some(TimeoutSpec::of(&config.kernel.timeouts));
    want.ruleset = Some(ruleset(config, node, &want.services));
    want
}

/// Addresses lent by DHCP servers, and the first router that comes with one. A configured default route wins.
fn lent(config: &Config, circumstances: &impl Circumstances, want: &mut Desired) {
    let default = Cidr::any_ipv4();
    let mut router = None;
    for device in config.interfaces.values().filter(|i| i.dhcp).filter_map(|i| i.device.as_ref()) {
        let Some(lease) = circumstances.lease(device) else { continue };
        let key = AddressKey { device: device.clone(), cidr: lease.cidr() };
        want.node_addresses.entry(key).or_default();
        router = router.or(lease.router);
    }
    if let Some(router) = router.filter(|_| config.routes.get(&default).is_none_or(|r| r.via.is_none())) {
        want.routes.insert(RouteKey { to: default, metric: 0 }, RouteSpec { via: IpAddr::V4(router) });
    }
}

/// The device bound to an interface role.
fn device_of<'a>(config: &'a Config, role: &Name) -> Option<&'a Device> {
    config.interfaces.get(role).and_then(|i| i.device.as_ref())
}

/// All floating addresses as kernel objects.
fn floating_addresses(config: &Config) -> BTreeMap<AddressKey, AddressSpec> {
    config
        .floating
        .values()
        .filter_map(|f| {
            let device = device_of(config, f.interface.as_ref()?)?.clone();
            Some((AddressKey { device, cidr: f.address? }, AddressSpec { label: f.label.clone() }))
        })
        .collect()
}

/// Expands one service into a virtual server for each of its addresses and ports.
fn add_service(
    config: &Config,
    service: &Service,
    circumstances: &impl Circumstances,
    services: &mut BTreeMap<ServiceKey, DesiredService>,
) {
    let Some((pool_name, pool)) = service.pool.as_ref().and_then(|name| config.pools.get_key_value(name))
    else {
        return;
    };
    for key in keys(config, service) {
        let mut dests = dests(config, &key, pool_name, pool, circumstances);
        fallback::insert(config, &key, (pool_name, pool), circumstances, &mut dests);
        services.insert(key, DesiredService { spec: service_spec(service, key.family()), dests });
    }
}

/// The virtual servers that a service stands for.
pub fn keys<'a>(config: &'a Config, service: &'a Service) -> impl Iterator<Item = ServiceKey> + 'a {
    let addresses = service.addresses.iter().filter_map(|name| config.floating.get(name)?.address);
    addresses.flat_map(move |address| {
        service.ports.iter().map(move |port| ServiceKey::Address {
            protocol: service.protocol,
            address: address.address(),
            port: *port,
        })
    })
}

/// The settings of a service's virtual servers in one family.
#[must_use]
pub fn service_spec(service: &Service, family: Family) -> ServiceSpec {
    let mut spec = ServiceSpec::new(service.scheduler, service.persistence.map(|p| p.get() / 1000));
    let special = &service.special;
    spec.mask = match family {
        // The kernel has a mask for IPv4 and a length for IPv6.
        Family::V4 => special
            .mask_ipv4
            .filter(|bits| *bits < 32)
            .map(|bits| u32::MAX.checked_shl(32_u32.saturating_sub(u32::from(bits))).unwrap_or(0)),
        Family::V6 => special.mask_ipv6.filter(|bits| *bits < 128).map(u32::from),
    };
    spec.engine = special.engine.map(|engine| heapless::String::try_from(engine.word()).unwrap_or_default());
    spec.flags = special.flags.iter().fold(0, |flags, flag| flags | flag.bit());
    spec.one_packet = special.one_packet;
    spec
}

fn dests(
    config: &Config,
    service: &ServiceKey,
    pool_name: &Name,
    pool: &Pool,
    circumstances: &impl Circumstances,
) -> BTreeMap<DestKey, DestSpec> {
    let mut dests = BTreeMap::new();
    let standing = circumstances.standing(pool_name, service.port());
    // Without a fall-back the few that are left serve on.
    let yields = standing.short && !standing.panic && fallback::exists(config, service, pool);
    for (name, member) in &pool.servers {
        let Some(address) = config.real_servers.get(name).and_then(|s| s.address) else { continue };
        // Direct routing and tunnels leave the packet as it is: the port cannot change (ip_vs_ctl.c).
        let forward = pool.forward_of(member);
        let port = match forward {
            Forward::Nat => member.port.unwrap_or(service.port()),
            Forward::Direct | Forward::Tunnel => service.port(),
        };
        let key = DestKey { address, port };
        let forced = circumstances.forced(pool_name, name);
        let Some(weight) = forced.weight(member.weight) else { continue };
        let tunnel = match forward {
            Forward::Tunnel => TunnelSpec::of(&pool.tunnel_of(member)),
            Forward::Nat | Forward::Direct => TunnelSpec::default(),
        };
        let upper = member.upper.map_or(0, u32::from);
        let lower = member.lower.map_or(0, u32::from);
        let usable = DestSpec { forward, weight, upper, lower, tunnel };
        let spec = match circumstances.usable(pool_name, name, port) {
            Usable::Yes if yields => Some(DestSpec { weight: 0, ..usable }),
            Usable::Yes => {
                Some(DestSpec { weight: circumstances.share(pool_name, name, port, weight), ..usable })
            }
            Usable::No if standing.panic => Some(usable),
            Usable::No if circumstances.removed(pool_name, name, port) => None,
            Usable::No => match pool.on_failure {
                OnFailure::Quiesce => Some(DestSpec { weight: 0, ..usable }),
                OnFailure::Remove => None,
            },
            // Drained is drained, whatever is known of its health.
            Usable::Unknown if forced == Forced::Drain => {
                circumstances.present(service, &key).map(|_| usable)
            }
            Usable::Unknown => circumstances.present(service, &key),
        };
        if let Some(spec) = spec {
            dests.insert(key, spec);
        }
    }
    dests
}

/// Networks whose hosts we forward for: those of the node's interfaces that have a real server behind NAT, and
/// the masqueraded ones.
fn ruleset(config: &Config, node: &Node, services: &BTreeMap<ServiceKey, DesiredService>) -> Ruleset {
    let networks: Vec<(Device, Cidr)> = node
        .addresses
        .iter()
        .filter_map(|(role, cidrs)| Some((device_of(config, role)?, cidrs)))
        .flat_map(|(device, cidrs)| cidrs.iter().map(|c| (device.clone(), c.network())))
        .collect();
    let by_nat = |pool: &Pool, member| pool.forward_of(member) == Forward::Nat;
    let nat_servers = config
        .pools
        .values()
        .flat_map(|pool| {
            let members =
                pool.servers.iter().filter(|(_, member)| by_nat(pool, member)).map(|(name, _)| name);
            let sorry = pool.shortage.sorry_server.iter().filter(|_| pool.forward == Forward::Nat);
            members.chain(sorry)
        })
        .collect::<BTreeSet<_>>();
    let behind_nat = nat_servers.into_iter().filter_map(|name| config.real_servers.get(name)?.address);
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
    let mut inside: BTreeSet<(Device, Cidr)> = behind_nat
        .filter_map(|address| {
            connected(address).cloned().or_else(|| routed(address)).or_else(|| by_default(address))
        })
        .collect();
    let mut masquerade = Vec::new();
    for rule in config.masquerade.values() {
        let Some(source) = rule.source else { continue };
        if let Some(out) = rule.out.as_ref().and_then(|role| device_of(config, role)) {
            masquerade.push((source.network(), out.clone()));
        }
        inside.extend(
            networks
                .iter()
                .filter(|(_, network)| {
                    network.contains(source.address()) || source.contains(network.address())
                })
                .map(|(device, _)| (device.clone(), source.network())),
        );
    }
    let notrack = services
        .keys()
        .filter_map(|key| match key {
            ServiceKey::Address { protocol, address, port } => Some((*protocol, *address, *port)),
            ServiceKey::Mark { .. } => None,
        })
        .collect();
    Ruleset { defragment: config.forwarding.defragment, notrack, masquerade, inside }
}

/// The sysctls that we manage, with the reason for each value (features.md 4.12).
#[must_use]
pub fn sysctls(config: &Config) -> BTreeMap<String, String> {
    let flag = |on: bool| if on { "1" } else { "0" };
    let mut want: BTreeMap<String, String> = [
        ("net.ipv4.ip_forward", flag(config.forwarding.ipv4)),
        ("net.ipv6.conf.all.forwarding", flag(config.forwarding.ipv6)),
        // Connections of a server that left the table end at once instead of hanging until they time out.
        ("net.ipv4.vs.expire_nodest_conn", "1"),
        // Persistent clients leave a quiesced server.
        ("net.ipv4.vs.expire_quiescent_template", "1"),
        // IPVS keeps its own table; tracking everything twice costs memory and may fill up.
        ("net.ipv4.vs.conntrack", "0"),
        // Removing one address must not remove its neighbours in the same subnet.
        ("net.ipv4.conf.all.promote_secondaries", "1"),
        ("net.ipv4.conf.default.promote_secondaries", "1"),
        // With both networks on one NIC a redirect would send clients past the director.
        ("net.ipv4.conf.all.send_redirects", "0"),
        ("net.ipv4.conf.default.send_redirects", "0"),
        // Loose: answers of real servers may come by another way than the route to the client.
        ("net.ipv4.conf.all.rp_filter", "2"),
        // Answer ARP only for addresses of the interface that was asked, with the best source address.
        ("net.ipv4.conf.all.arp_ignore", "1"),
        ("net.ipv4.conf.all.arp_announce", "2"),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .collect();
    for device in config.interfaces.values().filter_map(|i| i.device.as_ref()) {
        // A dot in a device name is part of the name, not a separator (sysctl(8)).
        let device = device.as_str().replace('.', "/");
        want.insert(format!("net.ipv4.conf.{device}.send_redirects"), "0".to_owned());
        // Addresses come from the configuration alone.
        want.insert(format!("net.ipv6.conf.{device}.accept_ra"), "0".to_owned());
    }
    for (sysctl, value) in &config.kernel.sysctls {
        if let Some(value) = value {
            want.insert(sysctl.word().to_owned(), value.to_string());
        }
    }
    want
}

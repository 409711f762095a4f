//! What the kernel should hold: a pure function of configuration, role and verdicts.

use super::fallback::{self, Pages};
use super::rules::ruleset;
pub use super::rules::{MarkRule, Ruleset, SourceNatRule, tracks};
use super::spec::{
    AddressKey, AddressSpec, DaemonRole, DaemonSpec, DestKey, DestSpec, Family, RouteKey, RouteSpec,
    ServiceKey, ServiceSpec, TimeoutSpec, TunnelSpec, VlanSpec,
};
use crate::dhcp::Lease;
use crate::gather::Gather as _;
use crate::health::Standing;
use crate::model::choice::Chosen as _;
use crate::model::config::{Config, Forward, Member, Node, OnFailure, Pool, Service};
use crate::model::ipvs::Mark;
use crate::model::{Cidr, Device, Name};
use crate::overrides::Forced;
use alloc::borrow::ToOwned;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString as _};
use core::net::IpAddr;
use serde::{Deserialize, Serialize};

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

/// Switches forwarding by virtual servers off while a sync daemon receives (`ip_vs_core.c`, `sysctl_backup_only`).
const BACKUP_ONLY: &str = "net.ipv4.vs.backup_only";

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
    /// Kernel threads that copy connections to the peer, or take them from it.
    pub daemons: BTreeMap<DaemonRole, DaemonSpec>,
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
    /// Memory of the box in MiB; 0: not known.
    fn memory_mib(&self) -> u32 {
        0
    }
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
    /// Connections that a server takes at most, as it says itself.
    fn most(&self, server: &Name) -> Option<u32> {
        let _: &Name = server;
        None
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
    let sysctls = sysctls(config, circumstances.memory_mib());
    let mut want = Desired { sysctls, ..Desired::default() };
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
        want.released = floating_addresses(config).into_keys().gather();
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
    want.ruleset = Some(ruleset(config, node, active));
    if let Some(sync) = &config.sync_daemon
        && let Some(device) = sync.interface.as_ref().and_then(|role| device_of(config, role))
    {
        let role = if active { DaemonRole::Master } else { DaemonRole::Backup };
        want.daemons.insert(role, DaemonSpec::of(sync, device));
        // Only while standby: an active box with it forwards nothing.
        want.sysctls.insert(BACKUP_ONLY.to_owned(), if active { "0" } else { "1" }.to_owned());
    }
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
pub(crate) fn device_of<'a>(config: &'a Config, role: &Name) -> Option<&'a Device> {
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
        .gather()
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
        let asked = asked_port(config, service, &key);
        let mut dests = dests(config, (&key, asked), (pool_name, pool), circumstances);
        fallback::insert(config, (&key, asked), (pool_name, pool), circumstances, &mut dests);
        services.insert(key, DesiredService { spec: service_spec(service, key.family()), dests });
    }
}

/// The virtual servers that a service stands for.
#[must_use]
pub fn keys(config: &Config, service: &Service) -> BTreeSet<ServiceKey> {
    let address = |name: &Name| config.floating.get(name)?.address.map(Cidr::address);
    if let Some(name) = &service.special.mark {
        let Some(mark) = config.kernel.marks.get(name) else { return BTreeSet::new() };
        let families = mark.addresses.iter().filter_map(address).map(Family::of);
        return families.map(|family| ServiceKey::Mark { family, mark: mark.number_of(name) }).gather();
    }
    let addresses = service.addresses.iter().filter_map(address);
    let key = |address, port: &u16| ServiceKey::Address { protocol: service.protocol, address, port: *port };
    addresses.flat_map(|address| service.ports.iter().map(move |port| key(address, port))).gather()
}

/// The port that tells whether a server of this virtual server works: a mark has several, of which the first is asked.
#[must_use]
pub fn asked_port(config: &Config, service: &Service, key: &ServiceKey) -> u16 {
    let mark = service.special.mark.as_ref().and_then(|name| config.kernel.marks.get(name));
    mark.and_then(Mark::first_port).unwrap_or(key.port())
}

/// The port of a server in a virtual server: direct routing and tunnels leave the packet as it is (`ip_vs_ctl.c`).
#[must_use]
pub fn dest_port(pool: &Pool, member: &Member, key: &ServiceKey) -> u16 {
    match pool.forward_of(member) {
        Forward::Nat => member.port.unwrap_or(key.port()),
        Forward::Direct | Forward::Tunnel => key.port(),
    }
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
    (service, asked): (&ServiceKey, u16),
    (pool_name, pool): (&Name, &Pool),
    circumstances: &impl Circumstances,
) -> BTreeMap<DestKey, DestSpec> {
    let mut dests = BTreeMap::new();
    let standing = circumstances.standing(pool_name, asked);
    // Without a fall-back the few that are left serve on.
    let yields = standing.short && !standing.panic && fallback::exists(config, service, pool);
    for (name, member) in &pool.servers {
        let Some(address) = config.real_servers.get(name).and_then(|s| s.address) else { continue };
        let forward = pool.forward_of(member);
        let key = DestKey { address, port: dest_port(pool, member, service) };
        let asked = if key.port == 0 { asked } else { key.port };
        let forced = circumstances.forced(pool_name, name);
        let Some(weight) = forced.weight(member.weight) else { continue };
        let tunnel = match forward {
            Forward::Tunnel => TunnelSpec::of(&pool.tunnel_of(member)),
            Forward::Nat | Forward::Direct => TunnelSpec::default(),
        };
        let most = [member.upper.map(u32::from), circumstances.most(name)];
        let upper = most.into_iter().flatten().filter(|most| *most > 0).min().unwrap_or(0);
        let lower = member.lower.map_or(0, u32::from).min(upper);
        let usable = DestSpec { forward, weight, upper, lower, tunnel };
        let spec = match circumstances.usable(pool_name, name, asked) {
            Usable::Yes if yields => Some(DestSpec { weight: 0, ..usable }),
            Usable::Yes => {
                Some(DestSpec { weight: circumstances.share(pool_name, name, asked, weight), ..usable })
            }
            Usable::No if standing.panic => Some(usable),
            Usable::No if circumstances.removed(pool_name, name, asked) => None,
            Usable::No => match pool.on_failure {
                OnFailure::Quiesce => Some(DestSpec { weight: 0, ..usable }),
                OnFailure::Remove => None,
                OnFailure::Weight if yields => Some(DestSpec { weight: 0, ..usable }),
                OnFailure::Weight => {
                    let most = pool.watch.failure_weight.map_or(1, u32::from);
                    Some(DestSpec { weight: weight.min(most), ..usable })
                }
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

/// Smallest box that the firmware is for, in MiB.
const MEMORY_MIN_MIB: u32 = 64;
/// Pages of 4 KiB for each MiB of memory: the last eighth. The kernel looks once a second, and 10,000 half-open connections, a
/// second of a flood on the smallest box, take 4 MiB.
const RESERVE_PAGES: u32 = 32;
/// 256 MiB: more is not needed to defend oneself.
const RESERVE_PAGES_MAX: u32 = 65_536;
/// Tracked connections for each MiB of memory. One takes about 320 bytes: a twelfth of the memory at most.
const TRACKED: u32 = 256;
/// Bytes that wait for the answer of one neighbour: some small packets or three large ones. By default it is 208 KiB, and a flood from
/// a hundred addresses that nobody has would fill the smallest box.
const UNRESOLVED: &str = "8192";
/// A million connections, as IPVS itself is laid out for (`CONFIG_IP_VS_TAB_BITS`).
const TRACKED_MAX: u32 = 1 << 20;

/// The sysctls that we manage, with the reason for each value (features.md 4.12), on a box with so much memory.
#[must_use]
pub fn sysctls(config: &Config, memory_mib: u32) -> BTreeMap<String, String> {
    let memory = memory_mib.max(MEMORY_MIN_MIB);
    let reserve = memory.saturating_mul(RESERVE_PAGES).min(RESERVE_PAGES_MAX).to_string();
    let tracked = memory.saturating_mul(TRACKED).min(TRACKED_MAX).to_string();
    let flag = |on: bool| if on { "1" } else { "0" };
    let mut want: BTreeMap<String, String> = [
        ("net.ipv4.ip_forward", flag(config.forwarding.ipv4)),
        ("net.ipv6.conf.all.forwarding", flag(config.forwarding.ipv6)),
        // Connections of a server that left the table end at once instead of hanging until they time out.
        ("net.ipv4.vs.expire_nodest_conn", "1"),
        // Persistent clients leave a quiesced server.
        ("net.ipv4.vs.expire_quiescent_template", "1"),
        // IPVS keeps its own table; tracking everything twice costs memory and may fill up.
        ("net.ipv4.vs.conntrack", flag(tracks(config))),
        // See `desired`: on only in a standby box that takes connections from its peer.
        (BACKUP_ONLY, "0"),
        // Floods: forget half-open connections, then drop packets, as long as less than `amemthresh` pages are free;
        // so does secure_tcp shorten the timeouts. 0 would let a flood take all memory, 2 and 3 act without need.
        ("net.ipv4.vs.drop_entry", "1"),
        ("net.ipv4.vs.drop_packet", "1"),
        ("net.ipv4.vs.secure_tcp", "1"),
        ("net.ipv4.vs.amemthresh", &reserve),
        // The kernel's own limit is made for machines with swap. Masqueraded connections are kept as long as balanced ones.
        ("net.netfilter.nf_conntrack_max", &tracked),
        ("net.netfilter.nf_conntrack_tcp_timeout_established", "900"),
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
    .gather();
    for device in config.interfaces.values().filter_map(|i| i.device.as_ref()) {
        // A dot in a device name is part of the name, not a separator (sysctl(8)).
        let device = device.as_str().replace('.', "/");
        want.insert(format!("net.ipv4.conf.{device}.send_redirects"), "0".to_owned());
        for family in ["ipv4", "ipv6"] {
            want.insert(format!("net.{family}.neigh.{device}.unres_qlen_bytes"), UNRESOLVED.to_owned());
        }
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

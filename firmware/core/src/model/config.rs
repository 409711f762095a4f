//! The configuration of a pair of directors, schema version 1.
//!
//! One configuration describes both boxes and is identical on them; what differs per box (which node am I)
//! is [`crate::store::identity`]. The postcard encoding of [`Config`] is what lies in flash: fields may only
//! change through a new schema version (see [`crate::store`]).
//!
//! A `Config` in hand is well formed value by value. That the values fit together is checked by
//! [`super::validate::validate`], and nothing is applied before it passed.

use super::check::{Check, Join, LoadMonitor};
use super::cluster::Pairing;
use super::codes::Codes;
use super::ipvs::{Mark, PersistenceEngine, SchedulerFlag, SourceNat, SyncDaemon, Timeouts, Tunnel};
use super::limits;
use super::name::{Device, Hostname, Label, Name, Text};
use super::net::Cidr;
use super::system::{Sysctl, System};
use super::text::{Escaped, Mac};
use super::time::Millis;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use core::net::IpAddr;
use serde::{Deserialize, Serialize};

/// Everything an operator configures.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Config {
    /// `system`.
    pub system: Box<System>,
    /// `node primary`.
    pub primary: Node,
    /// `node backup`; absent on a single director.
    pub backup: Option<Node>,
    /// `interface NAME`: roles bound to devices.
    pub interfaces: BTreeMap<Name, Interface>,
    /// `cluster`.
    pub cluster: Cluster,
    /// `sync-daemon`; absent: connections are not copied to the peer.
    pub sync_daemon: Option<Box<SyncDaemon>>,
    /// `floating NAME`: addresses that move with the active role.
    pub floating: BTreeMap<Name, Floating>,
    /// `route PREFIX`: static routes, the same on both nodes.
    pub routes: BTreeMap<Cidr, Route>,
    /// `forwarding`.
    pub forwarding: Forwarding,
    /// `masquerade NAME`: outbound connections of the real servers.
    pub masquerade: BTreeMap<Name, Masquerade>,
    /// `sysctl`, `timeouts` and `mark`.
    pub kernel: Box<Kernel>,
    /// `load-monitor` and `check`.
    pub questions: Box<Questions>,
    /// `real-server NAME`: machines, each defined once.
    pub real_servers: BTreeMap<Name, RealServer>,
    /// `pool NAME`.
    pub pools: BTreeMap<Name, Pool>,
    /// `service NAME`.
    pub services: BTreeMap<Name, Service>,
}

/// Settings of the kernel that belong to no other thing.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Kernel {
    /// `sysctl NAME value`; an entry without value is half typed.
    pub sysctls: BTreeMap<Sysctl, Option<u32>>,
    /// `timeouts`.
    pub timeouts: Timeouts,
    /// `mark NAME`: traffic that is one service whatever its port.
    pub marks: BTreeMap<Name, Mark>,
}

/// What servers are asked beyond the checks of their pools.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Questions {
    /// `load-monitor NAME`.
    pub load_monitors: BTreeMap<Name, LoadMonitor>,
    /// `check NAME`: checks that pools use by name.
    pub checks: BTreeMap<Name, Check>,
}

/// What is fixed to one box of the pair.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Node {
    /// Host name, shown in the prompt.
    pub hostname: Option<Hostname>,
    /// The higher one is active when both can. Absent: the primary.
    pub priority: Option<u8>,
    /// `interface NAME address`: addresses that stay on this box, by interface role.
    pub addresses: BTreeMap<Name, heapless::Vec<Cidr, { limits::NODE_ADDRESSES }>>,
    /// `interface NAME mac`: the network card of this box that has the role.
    pub macs: BTreeMap<Name, Mac>,
}

/// An interface role. Both boxes use the same device for the same role.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Interface {
    /// Kernel device. Required; checked by validation so that a half-typed candidate can exist.
    pub device: Option<Device>,
    /// Bytes of the largest packet, 576 to 9216 (RFC 791 section 3.2; RFC 8200 needs 1280 for IPv6). Absent: the driver's.
    pub mtu: Option<u16>,
    /// Ask a DHCP server for an address.
    pub dhcp: bool,
    /// A VLAN of another role's device.
    pub vlan: Option<Vlan>,
}

/// `interface NAME vlan`: the role's device is made on top of another's.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Vlan {
    /// The role below.
    pub parent: Option<Name>,
    /// 802.1Q id, 1 to 4094.
    pub id: Option<u16>,
}

/// How the two nodes watch each other.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Cluster {
    /// UDP port of the heartbeat. Seeds use 1050 (Piranha GUI), 539 (pulse) and 694 (Linux-HA).
    pub heartbeat_port: u16,
    /// Time between heartbeats.
    pub heartbeat_interval: Millis,
    /// Silence after which the peer is dead.
    pub dead_time: Millis,
    /// The rest.
    pub pairing: Box<Pairing>,
}

impl Default for Cluster {
    fn default() -> Self {
        Self {
            heartbeat_port: 1050,
            heartbeat_interval: Millis::new(500),
            dead_time: Millis::from_secs(2),
            pairing: Box::default(),
        }
    }
}

/// An address held by the active node only.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Floating {
    /// Address and prefix length as set on the device.
    pub address: Option<Cidr>,
    /// Interface role that carries it.
    pub interface: Option<Name>,
    /// Address label, such as `eth0:1` (IPv4 only).
    pub label: Option<Label>,
}

/// A static route.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Route {
    /// Next hop.
    pub via: Option<IpAddr>,
    /// Metric, 0 to 2^32-1; a smaller one is preferred. 0 is the kernel's default for IPv4.
    pub metric: u32,
}

/// What the box does with packets that are not for itself.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Forwarding {
    /// `net.ipv4.ip_forward`. Needed for NAT.
    pub ipv4: bool,
    /// `net.ipv6.conf.all.forwarding`.
    pub ipv6: bool,
    /// Reassemble fragments before anything looks at ports (what `ip_always_defrag` did).
    pub defragment: bool,
}

/// Source NAT of what the real servers themselves send out.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Masquerade {
    /// Network whose connections are masqueraded.
    pub source: Option<Cidr>,
    /// Interface role they leave by.
    pub out: Option<Name>,
    /// Floating address that the outside sees. Absent: the box's own on that interface.
    pub address: Option<Name>,
}

/// A machine that serves.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct RealServer {
    /// Its address.
    pub address: Option<IpAddr>,
    /// Load monitor that moves its weights.
    pub load_monitor: Option<Name>,
}

/// How packets reach the real servers (ipvsadm -m, -g, -i).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
pub enum Forward {
    /// Network address translation; answers come back through the director.
    #[default]
    Nat,
    /// Direct routing; answers go straight to the client.
    Direct,
    /// IPIP tunnel; answers go straight to the client.
    Tunnel,
}

/// What asks a real server whether it serves.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
pub enum CheckKind {
    /// Complete a TCP handshake.
    #[default]
    Tcp,
    /// HTTP GET; the status line decides.
    Http,
    /// No question: always usable.
    None,
}

/// Details of `check http`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct HttpCheck {
    /// Request target, starts with `/`.
    pub path: Text,
    /// Host header; absent: the server's address.
    pub host: Option<Text>,
    /// Accepted status codes.
    pub status: Codes,
}

/// What happens in the kernel to a server that failed its check.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum OnFailure {
    /// Weight 0: no new connections, established ones may end (design section 6).
    #[default]
    Quiesce,
    /// Taken out of the table, as Piranha and ldirectord do.
    Remove,
    /// Few new connections: the weight of [`Watch::failure_weight`].
    Weight,
}

/// Real servers behind one check and one forwarding method.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Pool {
    /// Forwarding method.
    pub forward: Forward,
    /// The check.
    pub check: CheckKind,
    /// Port to check; absent: the server's port.
    pub check_port: Option<u16>,
    /// `http` details.
    pub http: Option<HttpCheck>,
    /// Time between the starts of two checks.
    pub interval: Millis,
    /// Hard end of one check.
    pub timeout: Millis,
    /// Successes in a row before a server is used.
    pub rise: u8,
    /// Failures in a row before a server is given up. Not looked at when there is a `dead_time`.
    pub fall: u8,
    /// Silence after which a server is given up, counted from its last good answer. Absent: `fall` decides.
    pub dead_time: Option<Millis>,
    /// How long a server that came back must stay good before it is used again.
    pub reentry: Millis,
    /// What happens to a failed server.
    pub on_failure: OnFailure,
    /// What tunnels to its servers are made of.
    pub tunnel: Tunnel,
    /// How it watches its servers beyond the check.
    pub watch: Watch,
    /// What it does when few or none of them are usable.
    pub shortage: Shortage,
    /// `server NAME`: members.
    pub servers: BTreeMap<Name, Member>,
}

impl Default for Pool {
    fn default() -> Self {
        Self {
            forward: Forward::default(),
            check: CheckKind::default(),
            check_port: None,
            http: None,
            interval: Millis::from_secs(2),
            timeout: Millis::from_secs(1),
            rise: 1,
            fall: 3,
            dead_time: None,
            reentry: Millis::new(0),
            on_failure: OnFailure::default(),
            tunnel: Tunnel::default(),
            watch: Watch::default(),
            shortage: Shortage::default(),
            servers: BTreeMap::new(),
        }
    }
}

impl Pool {
    /// How packets reach a member.
    pub fn forward_of(&self, member: &Member) -> Forward {
        member.forward.unwrap_or(self.forward)
    }

    /// What a member's tunnel is made of.
    pub fn tunnel_of(&self, member: &Member) -> Tunnel {
        member.tunnel.unwrap_or(self.tunnel)
    }

    /// How packets reach any of the members.
    pub fn forwards(&self) -> impl Iterator<Item = Forward> + '_ {
        self.servers.values().map(|member| self.forward_of(member))
    }
}

/// How a pool watches its servers beyond its check.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Watch {
    /// Named checks beside the pool's own; `check none` leaves only these.
    pub checks: heapless::Vec<Name, { limits::POOL_CHECKS }>,
    /// How they are joined.
    pub join: Join,
    /// Interface role whose own address the checks come from. Absent: what the route says.
    pub source: Option<Name>,
    /// Ask the server for the virtual address, as clients do (direct routing).
    pub via_virtual: bool,
    /// Interval after a first failure. Absent: the usual one.
    pub fast_retry: Option<Millis>,
    /// Interval while the node is standby. Absent: the usual one.
    pub standby_interval: Option<Millis>,
    /// Random part of the interval, in percent.
    pub jitter: u8,
    /// Changes of a server in ten minutes beyond which it is kept out. Absent: no damping.
    pub flap_limit: Option<u8>,
    /// Weight of a failed server with [`OnFailure::Weight`]. Absent: 1.
    pub failure_weight: Option<u16>,
}

/// What a pool does when few or none of its servers are usable.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Shortage {
    /// Usable servers below which the pool counts as down. Absent: 1.
    pub quorum: Option<u16>,
    /// How many more than the quorum bring it back.
    pub hysteresis: u16,
    /// Real server that answers when the pool is down.
    pub sorry_server: Option<Name>,
    /// Its port; absent: the service's.
    pub sorry_port: Option<u16>,
    /// Text of the page that the box itself answers with when the pool is down.
    pub sorry_page: Option<Escaped>,
    /// Time in which a returning server's weight grows to the full one.
    pub slow_start: Option<Millis>,
    /// Time after which a quiesced server leaves the table.
    pub remove_after: Option<Millis>,
    /// Percentage of servers down at once beyond which all are kept.
    pub panic_threshold: Option<u8>,
}

/// A real server's part in one pool.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Member {
    /// Share of new connections, 0 to 65535; 0 takes none.
    pub weight: u32,
    /// Port on the server; absent: the service's (direct routing and tunnels cannot change it).
    pub port: Option<u16>,
    /// Forwarding method; absent: the pool's.
    pub forward: Option<Forward>,
    /// What its tunnel is made of; absent: the pool's.
    pub tunnel: Option<Tunnel>,
    /// Connections at which it gets no new ones.
    pub upper: Option<u16>,
    /// Connections below which it gets new ones again. Absent: three quarters of `upper`.
    pub lower: Option<u16>,
}

impl Default for Member {
    fn default() -> Self {
        Self { weight: 1, port: None, forward: None, tunnel: None, upper: None, lower: None }
    }
}

/// Transport protocol of a service.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
pub enum Protocol {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

/// Scheduling algorithm: how the kernel picks a server for a new connection. Appended to, never reordered.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
pub enum Scheduler {
    /// Round robin.
    Rr,
    /// Weighted round robin.
    Wrr,
    /// Least connections.
    Lc,
    /// Weighted least connections.
    #[default]
    Wlc,
    /// Locality-based least connections.
    Lblc,
    /// Locality-based least connections with replication.
    Lblcr,
    /// Destination hashing.
    Dh,
    /// Source hashing.
    Sh,
    /// Shortest expected delay.
    Sed,
    /// Never queue.
    Nq,
    /// Weighted fail-over: the usable server with the highest weight.
    Fo,
    /// Weighted overflow: the highest weight until it has that many connections.
    Ovf,
    /// Maglev hashing.
    Mh,
    /// Power of two choices.
    Twos,
}

impl Scheduler {
    /// All, with the kernel's names.
    pub const ALL: [(Self, &'static str); 14] = [
        (Self::Rr, "rr"),
        (Self::Wrr, "wrr"),
        (Self::Lc, "lc"),
        (Self::Wlc, "wlc"),
        (Self::Lblc, "lblc"),
        (Self::Lblcr, "lblcr"),
        (Self::Dh, "dh"),
        (Self::Sh, "sh"),
        (Self::Sed, "sed"),
        (Self::Nq, "nq"),
        (Self::Fo, "fo"),
        (Self::Ovf, "ovf"),
        (Self::Mh, "mh"),
        (Self::Twos, "twos"),
    ];

    /// The kernel's name.
    pub fn kernel_name(self) -> &'static str {
        Self::ALL.iter().find(|(s, _)| *s == self).map_or("wlc", |(_, name)| name)
    }
}

/// A virtual server, or several that differ only in address and port.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Service {
    /// Names of floating addresses.
    pub addresses: heapless::Vec<Name, { limits::SERVICE_ADDRESSES }>,
    /// Transport protocol.
    pub protocol: Protocol,
    /// Ports, 1 to 65535.
    pub ports: heapless::Vec<u16, { limits::SERVICE_PORTS }>,
    /// Scheduling algorithm.
    pub scheduler: Scheduler,
    /// A client stays with its server for this long after its last connection. Absent: off. Whole seconds, at least 1 s.
    pub persistence: Option<Millis>,
    /// Settings that few services need.
    pub special: Special,
    /// The pool that answers.
    pub pool: Option<Name>,
}

/// Settings of a service that few need.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Special {
    /// Serves marked traffic instead of addresses and ports.
    pub mark: Option<Name>,
    /// Flags of the scheduler.
    pub flags: heapless::Vec<SchedulerFlag, { limits::SCHEDULER_FLAGS }>,
    /// Prefix length that makes clients one under persistence, 1 to 32. Absent: 32.
    pub mask_ipv4: Option<u8>,
    /// The same for IPv6, 1 to 128. Absent: 128.
    pub mask_ipv6: Option<u8>,
    /// What persistence looks at beside the client's address.
    pub engine: Option<PersistenceEngine>,
    /// Each UDP packet is scheduled by itself.
    pub one_packet: bool,
    /// Whose connections the servers see coming from the director.
    pub source_nat: SourceNat,
}

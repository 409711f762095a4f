//! The kernel's objects: identity and settings as separate types, so that "same key, other settings" is an
//! edit by construction, and equality is plain `==` without transient counters.

use crate::model::config::{Forward, Protocol, Scheduler};
use crate::model::ipvs::{Checksum, SyncDaemon, Timeouts, Tunnel, TunnelKind};
use crate::model::{Cidr, Device, Label};
use core::net::IpAddr;
use serde::{Deserialize, Serialize};

/// What identifies an address on the box: device and address with prefix length.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct AddressKey {
    /// The device that carries it.
    pub device: Device,
    /// Address and prefix length.
    pub cidr: Cidr,
}

/// Settings of an address that we manage.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct AddressSpec {
    /// IPv4 label. The kernel gives the device's name when none was set; that is read back as `None`.
    pub label: Option<Label>,
}

/// A VLAN device: 802.1Q frames of one id on the device below.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct VlanSpec {
    /// The device below.
    pub parent: Device,
    /// 802.1Q id, 1 to 4094.
    pub id: u16,
}

/// What identifies a static route in the main table.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct RouteKey {
    /// Destination network.
    pub to: Cidr,
    /// Metric.
    pub metric: u32,
}

/// Settings of a route.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RouteSpec {
    /// Next hop.
    pub via: IpAddr,
}

/// Address family of a virtual server by mark.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The family of an address.
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }
}

/// What identifies a virtual server in the kernel (`ip_vs_service`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum ServiceKey {
    /// By what clients connect to.
    Address {
        /// Transport protocol.
        protocol: Protocol,
        /// Virtual address.
        address: IpAddr,
        /// Virtual port, host order; 0 is every port that no other virtual server has.
        port: u16,
    },
    /// By the mark that a packet rule gave.
    Mark {
        /// The packets' family.
        family: Family,
        /// The mark, not 0.
        mark: u32,
    },
}

impl ServiceKey {
    /// Family of its packets.
    pub const fn family(&self) -> Family {
        match self {
            Self::Address { address, .. } => Family::of(*address),
            Self::Mark { family, .. } => *family,
        }
    }

    /// Virtual address; a mark has none of its own.
    pub const fn address(&self) -> Option<IpAddr> {
        match self {
            Self::Address { address, .. } => Some(*address),
            Self::Mark { .. } => None,
        }
    }

    /// Virtual port; 0 for a mark, whose packets keep the port they came for.
    pub const fn port(&self) -> u16 {
        match self {
            Self::Address { port, .. } => *port,
            Self::Mark { .. } => 0,
        }
    }
}

/// Settings of a virtual server.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ServiceSpec {
    /// Scheduler, by kernel name: what we read back may be one that we do not know.
    pub scheduler: heapless::String<15>,
    /// Seconds of persistence; `None` is off.
    pub persistence_s: Option<u32>,
    /// What of the client's address counts, as the kernel says it: a mask in host order for IPv4, a prefix length for
    /// IPv6. `None`: all of it.
    pub mask: Option<u32>,
    /// Persistence engine, by kernel name.
    pub engine: Option<heapless::String<15>>,
    /// The scheduler's flags, [`ServiceSpec::SCHEDULER_FLAGS`].
    pub flags: u32,
    /// Each UDP packet is scheduled by itself.
    pub one_packet: bool,
}

impl ServiceSpec {
    /// `IP_VS_SVC_F_SCHED1` to `IP_VS_SVC_F_SCHED3`: the bits that belong to the scheduler.
    pub const SCHEDULER_FLAGS: u32 = 0x38;

    /// Settings with one of our schedulers and nothing special.
    pub fn new(scheduler: Scheduler, persistence_s: Option<u32>) -> Self {
        // Every kernel name is at most 5 bytes long; an empty name cannot happen.
        let scheduler = heapless::String::try_from(scheduler.kernel_name()).unwrap_or_default();
        Self { scheduler, persistence_s, mask: None, engine: None, flags: 0, one_packet: false }
    }
}

/// What identifies a real server inside a virtual server (`ip_vs_dest`: address, port).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct DestKey {
    /// Address of the real server.
    pub address: IpAddr,
    /// Port, host order; 0 in a virtual server by mark: the packets' own.
    pub port: u16,
}

/// Settings of a real server inside a virtual server.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct DestSpec {
    /// Forwarding method.
    pub forward: Forward,
    /// Weight, 0 quiesces.
    pub weight: u32,
    /// Connections at which it gets no new ones; 0: never.
    pub upper: u32,
    /// Connections below which it gets new ones again; 0: three quarters of `upper`.
    pub lower: u32,
    /// What its tunnel is made of; the default with other methods.
    pub tunnel: TunnelSpec,
}

/// A tunnel in the kernel's numbers (`IP_VS_CONN_F_TUNNEL_TYPE_*`, `IP_VS_TUNNEL_ENCAP_FLAG_*`): what we read back may
/// be a combination that we do not know. The default is IPIP.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct TunnelSpec {
    /// 0 IPIP, 1 GUE, 2 GRE.
    pub kind: u8,
    /// UDP port of GUE.
    pub port: u16,
    /// 1 checksum, 2 remote checksum offload.
    pub flags: u16,
}

impl TunnelSpec {
    /// As configured.
    pub const fn of(tunnel: &Tunnel) -> Self {
        let kind = match tunnel.kind {
            TunnelKind::Ipip => 0,
            TunnelKind::Gue => 1,
            TunnelKind::Gre => 2,
        };
        let flags = match tunnel.checksum {
            Checksum::Off => 0,
            Checksum::On => 1,
            Checksum::Remote => 2,
        };
        let port = match tunnel.port {
            Some(port) => port,
            None => 0,
        };
        Self { kind, port, flags }
    }
}

/// Idle times after which the kernel forgets a connection, in seconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TimeoutSpec {
    /// Established TCP.
    pub tcp_s: u32,
    /// TCP after a FIN.
    pub tcp_fin_s: u32,
    /// UDP.
    pub udp_s: u32,
}

impl TimeoutSpec {
    /// As configured.
    pub const fn of(timeouts: &Timeouts) -> Self {
        Self {
            tcp_s: timeouts.tcp.get() / 1000,
            tcp_fin_s: timeouts.tcp_fin.get() / 1000,
            udp_s: timeouts.udp.get() / 1000,
        }
    }
}

/// What a sync daemon does (`IP_VS_STATE_MASTER`, `IP_VS_STATE_BACKUP`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum DaemonRole {
    /// Sends connections to the peer.
    Master,
    /// Takes connections from the peer.
    Backup,
}

/// Settings of a sync daemon. The kernel cannot change one that runs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DaemonSpec {
    /// Device that carries the messages.
    pub device: Device,
    /// Sync id.
    pub id: u8,
    /// Multicast group.
    pub group: IpAddr,
    /// UDP port.
    pub port: u16,
    /// Hops.
    pub ttl: u8,
    /// Bytes of the largest message.
    pub max_length: u16,
}

impl DaemonSpec {
    /// What an Ethernet frame carries beside the headers of IP and UDP, and what a receiver must take at least: the
    /// kernel brings other lengths into these bounds (`start_sync_thread`), and would seem to have forgotten ours.
    const LENGTHS: (u16, u16, u16) = (1024, 1500 - 28, 1500 - 48);

    /// As configured, on a device.
    pub fn of(sync: &SyncDaemon, device: &Device) -> Self {
        let (least, most4, most6) = Self::LENGTHS;
        let most = if sync.group.is_ipv4() { most4 } else { most6 };
        Self {
            device: device.clone(),
            id: sync.id,
            group: sync.group,
            port: sync.port,
            ttl: sync.ttl,
            max_length: sync.max_length.clamp(least, most),
        }
    }
}

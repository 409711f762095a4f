//! Settings of the kernel's balancer beside method, scheduler and persistence.

use super::choice::choices;
use super::config::Protocol;
use super::limits;
use super::name::Name;
use super::time::Millis;
use serde::{Deserialize, Serialize};

choices! {
    /// What packets to a tunnelled server are wrapped in (`ipvsadm --tun-type`).
    TunnelKind {
        #[default]
        Ipip "ipip" "IP in IP",
        Gue "gue" "Generic UDP encapsulation; needs a port",
        Gre "gre" "Generic routing encapsulation",
    }

    /// Checksums of the outer header (`ipvsadm --tun-nocsum`, `--tun-csum`, `--tun-remcsum`).
    Checksum {
        #[default]
        Off "off" "None",
        On "on" "Of the whole packet; gue and gre",
        Remote "remote" "Remote checksum offload; gue only",
    }

    /// Flags of a scheduler (`ipvsadm -b`).
    SchedulerFlag {
        #[default]
        ShPort "sh-port" "sh: the client's port counts too",
        ShFallback "sh-fallback" "sh: another server when the hashed one is out",
        MhPort "mh-port" "mh: the client's port counts too",
        MhFallback "mh-fallback" "mh: another server when the hashed one is out",
        Flag1 "flag-1" "First flag of the scheduler, whatever it means there",
        Flag2 "flag-2" "Second flag",
        Flag3 "flag-3" "Third flag",
    }

    /// Whose connections the servers see coming from the director (NAT only).
    SourceNat {
        #[default]
        Off "off" "Servers see the clients",
        Hairpin "hairpin" "Clients in the servers' own network come from the director",
        All "all" "All clients come from the director",
    }

    /// What persistence looks at beside the client's address (`ipvsadm --pe`).
    PersistenceEngine {
        #[default]
        Sip "sip" "The Call-ID of SIP over UDP",
    }
}

impl SchedulerFlag {
    /// The kernel's bit: the named flags are names for the three numbered ones (`ip_vs.h`).
    pub const fn bit(self) -> u32 {
        match self {
            Self::Flag1 | Self::ShFallback | Self::MhFallback => 0x0008,
            Self::Flag2 | Self::ShPort | Self::MhPort => 0x0010,
            Self::Flag3 => 0x0020,
        }
    }
}

/// How a tunnelled server is reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Tunnel {
    /// Encapsulation.
    pub kind: TunnelKind,
    /// UDP port of GUE on the server.
    pub port: Option<u16>,
    /// Checksums.
    pub checksum: Checksum,
}

/// Idle times after which the kernel forgets a connection (`ipvsadm --set`). Whole seconds; the defaults are the kernel's.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Timeouts {
    /// Established TCP.
    pub tcp: Millis,
    /// TCP after a FIN.
    pub tcp_fin: Millis,
    /// UDP.
    pub udp: Millis,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { tcp: Millis::from_secs(900), tcp_fin: Millis::from_secs(120), udp: Millis::from_secs(300) }
    }
}

/// Traffic that is one service whatever its port: the firmware writes the rules that mark it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Mark {
    /// Names of floating addresses.
    pub addresses: heapless::Vec<Name, { limits::SERVICE_ADDRESSES }>,
    /// Transport protocol.
    pub protocol: Protocol,
    /// First and last port.
    pub ports: heapless::Vec<(u16, u16), { limits::SERVICE_PORTS }>,
    /// The kernel's mark; absent: chosen by the firmware.
    pub number: Option<u32>,
}

impl Mark {
    /// Marks below are left for those that an operator numbers.
    const CHOSEN: u32 = 0x0100_0000;

    /// The kernel's mark: as configured, or made of the name (24 bits of FNV-1a), so that it stays the same whatever else
    /// is configured and connections outlive a commit.
    #[must_use]
    pub fn number_of(&self, name: &Name) -> u32 {
        let fnv = |hash: u32, byte: &u8| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
        let hash = name.as_str().as_bytes().iter().fold(0x811c_9dc5, fnv);
        self.number.unwrap_or(Self::CHOSEN | (hash & 0x00ff_ffff))
    }

    /// The first of its ports.
    #[must_use]
    pub fn first_port(&self) -> Option<u16> {
        self.ports.first().map(|(first, _)| *first)
    }
}

/// Copies of connections sent to the peer by the kernel (`ipvsadm --start-daemon`).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SyncDaemon {
    /// Interface role that carries them.
    pub interface: Option<Name>,
    /// Sync id, 0 to 255; 0 on the receiver takes all.
    pub id: u8,
    /// Multicast group.
    pub group: core::net::IpAddr,
    /// UDP port.
    pub port: u16,
    /// Hops.
    pub ttl: u8,
    /// Bytes of the largest message.
    pub max_length: u16,
}

impl Default for SyncDaemon {
    fn default() -> Self {
        let group = core::net::IpAddr::V4(core::net::Ipv4Addr::new(224, 0, 0, 81));
        Self { interface: None, id: 0, group, port: 8848, ttl: 1, max_length: 1472 }
    }
}

//! The box itself: time, log, console, and the kernel settings that an operator may change.

use super::choice::choices;
use super::limits;
use super::name::Hostname;
use super::text::Secret;
use super::time::Millis;
use core::net::IpAddr;
use serde::{Deserialize, Serialize};

choices! {
    /// How log lines travel.
    SyslogTransport {
        #[default]
        Udp "udp" "UDP (RFC 5426)",
        Tcp "tcp" "TCP (RFC 6587)",
    }

    /// Kernel settings that may be changed. Those that the firmware needs at one value are not among them.
    Sysctl {
        #[default] TcpBeLiberal "net.netfilter.nf_conntrack_tcp_be_liberal" "Out-of-window TCP packets are not invalid",
         ConntrackMax "net.netfilter.nf_conntrack_max" "Most tracked connections",
         ConntrackEstablished "net.netfilter.nf_conntrack_tcp_timeout_established" "Seconds until an idle tracked connection ends",
         Conntrack "net.ipv4.vs.conntrack" "Track balanced connections too; NAT features need it",
         ExpireNodest "net.ipv4.vs.expire_nodest_conn" "Connections of a removed server end at once",
         ExpireQuiescent "net.ipv4.vs.expire_quiescent_template" "Persistent clients leave a quiesced server",
         ConnReuse "net.ipv4.vs.conn_reuse_mode" "What a reused client port means",
         SloppyTcp "net.ipv4.vs.sloppy_tcp" "Pick TCP connections up in the middle",
         SloppySctp "net.ipv4.vs.sloppy_sctp" "Pick SCTP associations up in the middle",
         SyncRefresh "net.ipv4.vs.sync_refresh_period" "Seconds between two sync messages of a connection",
         SyncRetries "net.ipv4.vs.sync_retries" "How often a sync message is sent again",
         SyncPorts "net.ipv4.vs.sync_ports" "Sync threads",
         SyncPersist "net.ipv4.vs.sync_persist_mode" "Persistent connections are synced as templates only",
         SyncQueue "net.ipv4.vs.sync_qlen_max" "Most sync messages in the queue",
         SyncSocket "net.ipv4.vs.sync_sock_size" "Bytes of the sync socket's buffer",
         DropEntry "net.ipv4.vs.drop_entry" "Forget half-open connections: 0 never, 3 always",
         DropPacket "net.ipv4.vs.drop_packet" "Drop packets: 0 never, 3 always",
         SecureTcp "net.ipv4.vs.secure_tcp" "Short TCP timeouts: 0 never, 3 always",
         AmDroprate "net.ipv4.vs.am_droprate" "One of how many packets is dropped in mode 3",
         AmemThresh "net.ipv4.vs.amemthresh" "Pages of free memory below which defence starts",
         CacheBypass "net.ipv4.vs.cache_bypass" "Forward directly when no cache server is left",
         NatIcmpSend "net.ipv4.vs.nat_icmp_send" "ICMP errors for NAT packets without connection",
         PmtuDisc "net.ipv4.vs.pmtu_disc" "Path MTU discovery",
         ScheduleIcmp "net.ipv4.vs.schedule_icmp" "Schedule ICMP errors of unknown connections",
         SnatReroute "net.ipv4.vs.snat_reroute" "Route answers of NAT servers anew",
         IgnoreTunneled "net.ipv4.vs.ignore_tunneled" "Leave packets out of tunnels alone",
         RunEstimation "net.ipv4.vs.run_estimation" "Compute rates of services and servers",
         RpFilter "net.ipv4.conf.all.rp_filter" "Reverse path check: 0 off, 1 strict, 2 loose",
         NonlocalBind "net.ipv4.ip_nonlocal_bind" "Bind addresses that are not on the box",
         NeighThresh1 "net.ipv4.neigh.default.gc_thresh1" "IPv4 neighbours that are always kept",
         NeighThresh2 "net.ipv4.neigh.default.gc_thresh2" "IPv4 neighbours beyond which old ones go",
         NeighThresh3 "net.ipv4.neigh.default.gc_thresh3" "Most IPv4 neighbours",
         Neigh6Thresh1 "net.ipv6.neigh.default.gc_thresh1" "IPv6 neighbours that are always kept",
         Neigh6Thresh2 "net.ipv6.neigh.default.gc_thresh2" "IPv6 neighbours beyond which old ones go",
         Neigh6Thresh3 "net.ipv6.neigh.default.gc_thresh3" "Most IPv6 neighbours",
         FragHigh "net.ipv4.ipfrag_high_thresh" "Bytes for fragments in reassembly",
         FragTime "net.ipv4.ipfrag_time" "Seconds until an incomplete packet is dropped",
    }
}

impl Sysctl {
    /// How many there are.
    pub const COUNT: usize = <Self as super::choice::Chosen>::CHOICES.len();

    /// Smallest and largest safe value.
    pub const fn bounds(self) -> (u32, u32) {
        match self {
            Self::TcpBeLiberal => (0, 1),
            Self::ConntrackMax => (1_024, 4_194_304),
            Self::ConntrackEstablished => (60, 432_000),
            Self::Conntrack => (0, 1),
            Self::ExpireNodest => (0, 1),
            Self::ExpireQuiescent => (0, 1),
            Self::ConnReuse => (0, 3),
            Self::SloppyTcp => (0, 1),
            Self::SloppySctp => (0, 1),
            Self::SyncRefresh => (0, 3_600),
            Self::SyncRetries => (0, 3),
            Self::SyncPorts => (1, 4),
            Self::SyncPersist => (0, 1),
            Self::SyncQueue => (64, 1_048_576),
            Self::SyncSocket => (0, 16_777_216),
            Self::DropEntry => (0, 3),
            Self::DropPacket => (0, 3),
            Self::SecureTcp => (0, 3),
            Self::AmDroprate => (1, 1_000),
            Self::AmemThresh => (64, 1_048_576),
            Self::CacheBypass => (0, 1),
            Self::NatIcmpSend => (0, 1),
            Self::PmtuDisc => (0, 1),
            Self::ScheduleIcmp => (0, 1),
            Self::SnatReroute => (0, 1),
            Self::IgnoreTunneled => (0, 1),
            Self::RunEstimation => (0, 1),
            Self::RpFilter => (0, 2),
            Self::NonlocalBind => (0, 1),
            Self::NeighThresh1 => (128, 65_536),
            Self::NeighThresh2 => (512, 131_072),
            Self::NeighThresh3 => (1_024, 262_144),
            Self::Neigh6Thresh1 => (128, 65_536),
            Self::Neigh6Thresh2 => (512, 131_072),
            Self::Neigh6Thresh3 => (1_024, 262_144),
            Self::FragHigh => (65_536, 67_108_864),
            Self::FragTime => (1, 120),
        }
    }
}

/// Silence that ends a session when nothing else is set. Chosen: as Junos and IOS do, about.
pub const IDLE_DEFAULT: Millis = Millis::from_secs(15 * 60);
/// The shortest that may be set.
pub const IDLE_MIN: Millis = Millis::from_secs(10);

/// `system`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct System {
    /// Domain that completes host names.
    pub domain: Option<Hostname>,
    /// NTP servers.
    pub time_servers: heapless::Vec<IpAddr, { limits::TIME_SERVERS }>,
    /// Where log lines go beside the box.
    pub syslog: Option<Syslog>,
    /// Silence after which the console logs out; 0 never.
    pub idle_timeout: Millis,
    /// argon2id hash of the console's password, in PHC form. Absent: no login.
    pub password: Option<Secret>,
}

impl Default for System {
    fn default() -> Self {
        Self {
            domain: None,
            time_servers: heapless::Vec::new(),
            syslog: None,
            idle_timeout: IDLE_DEFAULT,
            password: None,
        }
    }
}

/// `system syslog`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Syslog {
    /// The receiver.
    pub server: Option<IpAddr>,
    /// Its port.
    pub port: u16,
    /// How lines travel.
    pub transport: SyslogTransport,
}

impl Default for Syslog {
    fn default() -> Self {
        Self { server: None, port: 514, transport: SyslogTransport::default() }
    }
}

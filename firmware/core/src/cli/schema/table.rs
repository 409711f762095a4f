//! The table itself. Order is the order of export and of `show`.

use super::checks::{CHECK as NAMED_CHECK, LOAD_MONITOR};
use super::system::{CLUSTER, SYNC_DAEMON, SYSTEM};
use super::{Item, ON_OFF, branch, choice, leaf, list, number, port, present, span, values};
use crate::cli::value::{Choice, Type};
use crate::model::check::Join;
use crate::model::ipvs::{Checksum, PersistenceEngine, SchedulerFlag, SourceNat, TunnelKind};
use crate::model::system::Sysctl;
use crate::model::{Millis, limits};

const DAY: Millis = Millis::from_secs(86_400);

/// Everything that can be configured.
pub static CONFIG: &[Item] = &[
    branch("system", "The box itself", SYSTEM),
    branch(
        "node",
        "What belongs to one box of the pair",
        &[branch("primary", "The primary box", NODE), present("backup", "The backup box", NODE)],
    ),
    list(
        "interface",
        "Roles of network devices",
        Type::Name,
        "Role, such as public",
        limits::INTERFACES,
        INTERFACE,
    ),
    branch("cluster", "How the two boxes watch each other", CLUSTER),
    present("sync-daemon", "Copy connections to the peer", SYNC_DAEMON),
    list(
        "floating",
        "Addresses held by the active box",
        Type::Name,
        "Name of the address",
        limits::FLOATING,
        FLOATING,
    ),
    list("route", "Static routes", Type::Network, "Destination, 0.0.0.0/0 for all", limits::ROUTES, ROUTE),
    branch("forwarding", "Packets that are not for the box itself", FORWARDING),
    list(
        "masquerade",
        "Outbound connections of the real servers",
        Type::Name,
        "Name of the rule",
        limits::MASQUERADES,
        MASQUERADE,
    ),
    list("sysctl", "Kernel settings", choice::<Sysctl>(), "Name of the setting", Sysctl::COUNT, SYSCTL),
    branch("timeouts", "When the kernel forgets idle connections", TIMEOUTS),
    list(
        "load-monitor",
        "What moves weights with the load",
        Type::Name,
        "Name of the monitor",
        limits::LOAD_MONITORS,
        LOAD_MONITOR,
    ),
    list(
        "check",
        "Checks that pools use by name",
        Type::Name,
        "Name of the check",
        limits::CHECKS,
        NAMED_CHECK,
    ),
    list("mark", "Traffic that is one service", Type::Name, "Name of the mark", limits::MARKS, MARK),
    list(
        "real-server",
        "Machines that serve",
        Type::Name,
        "Name of the machine",
        limits::REAL_SERVERS,
        REAL_SERVER,
    ),
    list("pool", "Real servers behind one check", Type::Name, "Name of the pool", limits::POOLS, POOL),
    list("service", "What clients connect to", Type::Name, "Name of the service", limits::SERVICES, SERVICE),
];

static NODE: &[Item] = &[
    leaf("hostname", "Host name, shown in the prompt", Type::Hostname, None),
    leaf("priority", "The higher is active; unset: the primary", number(1, 255), None),
    list(
        "interface",
        "Addresses that stay on this box",
        Type::Refer("interface"),
        "Role of the interface",
        limits::INTERFACES,
        &[
            values("address", "Address with prefix length", Type::Cidr, limits::NODE_ADDRESSES),
            leaf("mac", "Network card of this box; unset: by device name", Type::Mac, None),
        ],
    ),
];

static INTERFACE: &[Item] = &[
    leaf("device", "Kernel device of this role, on both boxes", Type::Device, None).joined(),
    leaf("mtu", "Largest packet in bytes; unset: the driver's", Type::Number { min: 576, max: 9216 }, None)
        .joined()
        .unit("bytes"),
    leaf("dhcp", "Ask a DHCP server for an address", ON_OFF, Some("off")),
    present("vlan", "A VLAN of another role's device", VLAN),
];

static VLAN: &[Item] = &[
    leaf("parent", "Role of the device below", Type::Refer("interface"), None).joined(),
    leaf("id", "802.1Q id", number(1, 4094), None).joined(),
];

static FLOATING: &[Item] = &[
    leaf("address", "Address with prefix length", Type::Cidr, None).joined(),
    leaf("interface", "Role of the interface that carries it", Type::Refer("interface"), None).joined(),
    leaf("label", "IPv4 label of the address", Type::Label, None).joined(),
];

static ROUTE: &[Item] = &[
    leaf("via", "Next hop", Type::Ip, None).joined(),
    leaf("metric", "Preference, a smaller one wins", Type::Number { min: 0, max: u32::MAX }, Some("0"))
        .joined(),
];

static FORWARDING: &[Item] = &[
    leaf("ipv4", "Forward IPv4 packets; NAT needs it", ON_OFF, Some("off")),
    leaf("ipv6", "Forward IPv6 packets", ON_OFF, Some("off")),
    leaf("defragment", "Reassemble fragments before balancing", ON_OFF, Some("off")),
];

static MASQUERADE: &[Item] = &[
    leaf("source", "Network of the real servers", Type::Network, None).joined(),
    leaf("out", "Role of the interface they leave by", Type::Refer("interface"), None).joined(),
    leaf("address", "Floating address seen outside; unset: the box's", Type::Refer("floating"), None)
        .joined(),
];

static SYSCTL: &[Item] =
    &[leaf("value", "New value; unset: the firmware's", number(0, u32::MAX), None).joined()];

static TIMEOUTS: &[Item] = &[
    leaf("tcp", "Established TCP", TIMEOUT, Some("15m")),
    leaf("tcp-fin", "TCP after a FIN", TIMEOUT, Some("2m")),
    leaf("udp", "UDP", TIMEOUT, Some("5m")),
];

/// `ipvsadm --set`: whole seconds, at most 31 days; the kernel reads 0 as "leave it".
const TIMEOUT: Type = Type::Span { min: 1000, max: 31 * DAY.get(), step: 1000 };

static MARK: &[Item] = &[
    values("address", "Name of a floating address", Type::Refer("floating"), limits::SERVICE_ADDRESSES)
        .joined(),
    leaf("protocol", "Transport protocol", PROTOCOL, Some("tcp")).joined(),
    values("port", "Port, or first and last", Type::Ports, limits::SERVICE_PORTS).joined(),
    leaf("number", "The kernel's mark; unset: chosen", number(1, 0x7fff_ffff), None),
];

static REAL_SERVER: &[Item] = &[
    leaf("address", "Address of the machine", Type::Ip, None).joined(),
    leaf("load-monitor", "What moves its weights; unset: nothing", Type::Refer("load-monitor"), None),
];

static POOL: &[Item] = &[
    leaf("forward", "How packets reach the servers", FORWARD, Some("nat")),
    leaf("check", "What tells a good server from a bad one", CHECK, Some("tcp")),
    leaf("check-port", "Port to check; unset: the server's port", port(), None),
    present("http", "Details of check http", HTTP),
    leaf("interval", "Time between two checks", span(Millis::new(50), DAY), Some("2s")),
    leaf("timeout", "Longest time for one check", span(Millis::new(10), Millis::from_secs(600)), Some("1s")),
    leaf("rise", "Good checks before a server is used", Type::Number { min: 1, max: 255 }, Some("1")),
    leaf("fall", "Bad checks before a server is given up", Type::Number { min: 1, max: 255 }, Some("3")),
    leaf(
        "dead-time",
        "Silence that gives a server up; unset: fall decides",
        span(Millis::new(100), DAY),
        None,
    ),
    leaf("reentry", "Time to stay good before a server is used again", span(Millis::new(0), DAY), Some("0s")),
    leaf("on-failure", "What happens to a failed server", ON_FAILURE, Some("quiesce")),
    branch("tunnel", "Details of forward tunnel", TUNNEL),
    values("use-check", "Named check beside the pool's own", Type::Refer("check"), limits::POOL_CHECKS),
    leaf("join", "How several checks are joined", choice::<Join>(), Some("all")),
    leaf("check-source", "Role whose address checks come from; unset: any", Type::Refer("interface"), None),
    leaf("check-virtual", "Ask the server for the virtual address", ON_OFF, Some("off")),
    leaf("fast-retry", "Interval after a first failure; unset: as usual", span(Millis::new(10), DAY), None),
    leaf("standby-interval", "Interval on a standby box; unset: as usual", span(Millis::new(50), DAY), None),
    leaf("jitter", "Random part of the interval", number(0, 50), Some("0")).unit("percent"),
    leaf("flap-limit", "Changes in 10 minutes that keep a server out", number(2, 255), None),
    leaf("failure-weight", "Weight with on-failure weight; unset: 1", number(1, 65_535), None),
    leaf("quorum", "Usable servers that make the pool up; unset: 1", number(1, 1000), None),
    leaf("hysteresis", "Servers beyond the quorum to be up again", number(0, 999), Some("0")),
    leaf("sorry-server", "Answers while the pool is down", Type::Refer("real-server"), None),
    leaf("sorry-port", "Port of the sorry server; unset: the service's", port(), None),
    leaf("sorry-page", "Text of a built-in page while the pool is down", Type::Escaped, None),
    leaf(
        "slow-start",
        "Time until a returning server has its full weight",
        span(Millis::from_secs(1), DAY),
        None,
    ),
    leaf("remove-after", "Time until a quiesced server is taken out", span(Millis::new(0), DAY), None),
    leaf("panic-threshold", "Servers down beyond which all are kept", number(1, 100), None).unit("percent"),
    list(
        "server",
        "Servers of the pool",
        Type::Refer("real-server"),
        "Name of a real-server",
        limits::POOL_SERVERS,
        MEMBER,
    ),
];

const FORWARD: Type = Type::Choice(&[
    Choice { word: "nat", help: "Address translation; answers return through here" },
    Choice { word: "direct", help: "Direct routing; answers go straight to the client" },
    Choice { word: "tunnel", help: "IPIP tunnel; answers go straight to the client" },
]);

const CHECK: Type = Type::Choice(&[
    Choice { word: "tcp", help: "Connect to the port" },
    Choice { word: "http", help: "Ask for a page; the status decides" },
    Choice { word: "none", help: "No check: always used" },
]);

const ON_FAILURE: Type = Type::Choice(&[
    Choice { word: "quiesce", help: "Weight 0: no new connections, old ones may end" },
    Choice { word: "remove", help: "Taken out of the table at once" },
    Choice { word: "weight", help: "Few new connections: failure-weight" },
]);

static HTTP: &[Item] = &[
    leaf("path", "Page to ask for (C-v ? types a question mark)", Type::Target, Some("/")).joined(),
    leaf("host", "Host header; unset: the server's address", Type::Text, None).joined(),
    leaf("status", "Good status codes", Type::Codes, Some("200-299")).joined(),
];

static TUNNEL: &[Item] = &[
    leaf("type", "What packets are wrapped in", choice::<TunnelKind>(), Some("ipip")).joined(),
    leaf("port", "UDP port of gue on the server", port(), None).joined(),
    leaf("checksum", "Checksums of the outer header", choice::<Checksum>(), Some("off")).joined(),
];

static MEMBER: &[Item] = &[
    leaf("weight", "Share of new connections", Type::Number { min: 0, max: limits::WEIGHT_MAX }, Some("1"))
        .joined(),
    leaf("port", "Port on the server; unset: the service's", port(), None).joined(),
    leaf("forward", "How packets reach it; unset: the pool's", FORWARD, None).joined(),
    leaf("upper", "Connections at which it gets no more", number(1, 65_535), None).joined(),
    leaf("lower", "Connections below which it gets some again", number(1, 65_535), None).joined(),
    present("tunnel", "Its own tunnel; unset: the pool's", TUNNEL),
];

static SERVICE: &[Item] = &[
    values("address", "Name of a floating address", Type::Refer("floating"), limits::SERVICE_ADDRESSES)
        .joined(),
    leaf("protocol", "Transport protocol", PROTOCOL, Some("tcp")).joined(),
    values("port", "Port that clients use", port(), limits::SERVICE_PORTS).joined(),
    leaf("scheduler", "How a server is picked", SCHEDULER, Some("wlc")),
    leaf("persistence", "How long a client stays with its server; unset: off", PERSISTENCE, None),
    leaf("mark", "Serves marked traffic, no address or port", Type::Refer("mark"), None),
    values("scheduler-flag", "Flag of the scheduler", choice::<SchedulerFlag>(), limits::SCHEDULER_FLAGS),
    leaf("persistence-mask-ipv4", "Prefix that makes clients one; unset: 32", number(1, 32), None)
        .unit("bits"),
    leaf("persistence-mask-ipv6", "Prefix that makes clients one; unset: 128", number(1, 128), None)
        .unit("bits"),
    leaf("persistence-engine", "What else makes clients one", choice::<PersistenceEngine>(), None),
    leaf("one-packet", "Schedule each UDP packet by itself", ON_OFF, Some("off")),
    leaf("source-nat", "Clients that servers see as the director (nat)", choice::<SourceNat>(), Some("off")),
    leaf("pool", "Pool that answers", Type::Refer("pool"), None),
];

const PROTOCOL: Type = Type::Choice(&[
    Choice { word: "tcp", help: "TCP" },
    Choice { word: "udp", help: "UDP" },
    Choice { word: "sctp", help: "SCTP" },
]);

/// `ipvsadm` allows 31 days (`MAX_TIMEOUT`); the kernel counts whole seconds.
const PERSISTENCE: Type = Type::Span { min: 1000, max: 31 * DAY.get(), step: 1000 };

const SCHEDULER: Type = Type::Choice(&[
    Choice { word: "rr", help: "Round robin" },
    Choice { word: "wrr", help: "Weighted round robin" },
    Choice { word: "lc", help: "Least connections" },
    Choice { word: "wlc", help: "Weighted least connections" },
    Choice { word: "lblc", help: "Locality-based least connections" },
    Choice { word: "lblcr", help: "Locality-based, with replication" },
    Choice { word: "dh", help: "Destination hashing" },
    Choice { word: "sh", help: "Source hashing" },
    Choice { word: "sed", help: "Shortest expected delay" },
    Choice { word: "nq", help: "Never queue" },
    Choice { word: "fo", help: "Fail-over: the usable server with the highest weight" },
    Choice { word: "ovf", help: "Overflow: the highest weight until it is full" },
    Choice { word: "mh", help: "Maglev hashing" },
    Choice { word: "twos", help: "The better of two chosen at random" },
]);

//! The table itself. Order is the order of export and of `show`.

use super::{Item, Kind, ON_OFF, branch, leaf, port, present, span, values};
use crate::cli::value::{Choice, Type};
use crate::model::{Millis, limits};

const fn list(
    word: &'static str,
    help: &'static str,
    key: Type,
    key_help: &'static str,
    max: usize,
    items: &'static [Item],
) -> Item {
    Item { word, help, joined: false, unit: "", kind: Kind::List { key, key_help, items, max } }
}

const DAY: Millis = Millis::from_secs(86_400);

/// Everything that can be configured.
pub static CONFIG: &[Item] = &[
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
    branch(
        "cluster",
        "How the two boxes watch each other",
        &[branch("heartbeat", "Signs of life", HEARTBEAT)],
    ),
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
    list(
        "interface",
        "Addresses that stay on this box",
        Type::Refer("interface"),
        "Role of the interface",
        limits::INTERFACES,
        &[values("address", "Address with prefix length", Type::Cidr, limits::NODE_ADDRESSES)],
    ),
];

static INTERFACE: &[Item] = &[
    leaf("device", "Kernel device of this role, on both boxes", Type::Device, None).joined(),
    leaf("mtu", "Largest packet in bytes; unset: the driver's", Type::Number { min: 576, max: 9216 }, None)
        .joined()
        .unit("bytes"),
];

static HEARTBEAT: &[Item] = &[
    leaf("port", "UDP port", port(), Some("1050")),
    leaf("interval", "Time between heartbeats", span(Millis::new(10), Millis::from_secs(60)), Some("500ms")),
    leaf("dead-time", "Silence that means dead", span(Millis::new(20), Millis::from_secs(3600)), Some("2s")),
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
];

static REAL_SERVER: &[Item] = &[leaf("address", "Address of the machine", Type::Ip, None).joined()];

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
]);

static HTTP: &[Item] = &[
    leaf("path", "Page to ask for (C-v ? types a question mark)", Type::Target, Some("/")).joined(),
    leaf("host", "Host header; unset: the server's address", Type::Text, None).joined(),
    leaf("status", "Good status codes", Type::Codes, Some("200-299")).joined(),
];

static MEMBER: &[Item] = &[
    leaf("weight", "Share of new connections", Type::Number { min: 0, max: limits::WEIGHT_MAX }, Some("1"))
        .joined(),
    leaf("port", "Port on the server; unset: the service's", port(), None).joined(),
];

static SERVICE: &[Item] = &[
    values("address", "Name of a floating address", Type::Refer("floating"), limits::SERVICE_ADDRESSES)
        .joined(),
    leaf("protocol", "Transport protocol", PROTOCOL, Some("tcp")).joined(),
    values("port", "Port that clients use", port(), limits::SERVICE_PORTS).joined(),
    leaf("scheduler", "How a server is picked", SCHEDULER, Some("wlc")),
    leaf("persistence", "How long a client stays with its server; unset: off", PERSISTENCE, None),
    leaf("pool", "Pool that answers", Type::Refer("pool"), None),
];

const PROTOCOL: Type =
    Type::Choice(&[Choice { word: "tcp", help: "TCP" }, Choice { word: "udp", help: "UDP" }]);

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

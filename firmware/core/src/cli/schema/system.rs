//! Rows of the box itself, of the pair and of the sync daemon.

use super::{Item, branch, choice, leaf, number, port, present, span, values};
use crate::cli::value::Type;
use crate::model::cluster::{Authentication, Detection, Failback, Speed, Transport};
use crate::model::system::SyslogTransport;
use crate::model::{Millis, limits};

pub(super) static SYSTEM: &[Item] = &[
    leaf("domain", "Domain that completes host names", Type::Hostname, None),
    values("time-server", "NTP server", Type::Ip, limits::TIME_SERVERS),
    present("syslog", "Send the log to another machine", SYSLOG),
    leaf(
        "idle-timeout",
        "Silence that ends a console login; 0s: never",
        span(Millis::new(0), Millis::from_secs(86_400)),
        Some("15m"),
    ),
    leaf("password-hash", "Hash of the console password; set system password makes it", Type::Hash, None),
];

static SYSLOG: &[Item] = &[
    leaf("server", "Address of the receiver", Type::Ip, None),
    leaf("port", "Port of the receiver", port(), Some("514")),
    leaf("transport", "How lines travel", choice::<SyslogTransport>(), Some("udp")),
];

const HOUR: Millis = Millis::from_secs(3600);

pub(super) static CLUSTER: &[Item] = &[
    branch("heartbeat", "Signs of life", HEARTBEAT),
    leaf("group", "Number of the pair, unlike any other's here", number(1, 255), Some("1")),
    leaf("detection", "What makes a silent peer dead", choice::<Detection>(), Some("probe")),
    leaf(
        "warn-time",
        "Silence worth a warning; unset: half the dead time",
        span(Millis::new(10), HOUR),
        None,
    ),
    leaf(
        "start-hold",
        "How long a starting box waits for its peer",
        span(Millis::new(0), Millis::from_secs(120)),
        Some("12s"),
    ),
    leaf("transport", "How heartbeats travel", choice::<Transport>(), Some("unicast")),
    leaf("multicast", "Group of transport multicast", Type::Ip, None),
    values(
        "path",
        "Interface role with heartbeats; unset: all",
        Type::Refer("interface"),
        limits::HEARTBEAT_PATHS,
    ),
    present("serial", "Heartbeats over a null modem", SERIAL),
    leaf("failback", "When the better box takes over again", choice::<Failback>(), Some("automatic")),
    leaf(
        "failback-delay",
        "Wait of failback delayed",
        span(Millis::new(0), Millis::from_secs(86_400)),
        Some("1m"),
    ),
    values("witness", "Host that tells whether our own link works", Type::Ip, limits::WITNESSES),
    leaf("authentication", "What counts as authentic", choice::<Authentication>(), Some("enforce")),
    leaf("secret", "Secret that signs heartbeats, the same on both boxes", Type::Secret, None),
    leaf("key", "Id of the key that signs; unset: 1", number(1, 255), None),
    values("accept-key", "Id of a key that is accepted too", number(1, 255), limits::KEYS),
];

static HEARTBEAT: &[Item] = &[
    leaf("port", "UDP port", port(), Some("1050")),
    leaf("interval", "Time between heartbeats", span(Millis::new(10), Millis::from_secs(60)), Some("500ms")),
    leaf("dead-time", "Silence that means dead", span(Millis::new(20), HOUR), Some("2s")),
];

static SERIAL: &[Item] = &[
    leaf("device", "Serial port, such as ttyS1", Type::Device, None),
    leaf("speed", "Bits per second", choice::<Speed>(), Some("115200")),
];

pub(super) static SYNC_DAEMON: &[Item] = &[
    leaf("interface", "Role of the interface that carries it", Type::Refer("interface"), None),
    leaf("id", "Sync id; a receiver with 0 takes all", number(0, 255), Some("0")),
    leaf("group", "Multicast group", Type::Ip, Some("224.0.0.81")),
    leaf("port", "UDP port", port(), Some("8848")),
    leaf("ttl", "Hops", number(1, 255), Some("1")),
    leaf("max-length", "Largest message", number(64, 9000), Some("1472")).unit("bytes"),
];

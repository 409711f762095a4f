//! Rows of named checks and load monitors.

use super::{Item, ON_OFF, choice, leaf, list, number, port, present, span, values};
use crate::cli::value::Type;
use crate::model::check::{Certificate, Compare, LoadSource, Method, Question, RecordType};
use crate::model::{Millis, limits};

const DAY: Millis = Millis::from_secs(86_400);

const COMPARE: Item = leaf("compare", "How it is compared", choice::<Compare>(), Some("contains"));

pub(super) static CHECK: &[Item] = &[
    leaf("question", "What is asked", choice::<Question>(), Some("tcp")),
    leaf("port", "Port to ask; unset: the server's", port(), None),
    leaf("address", "Address to ask; unset: the server's", Type::Ip, None),
    present("tls", "Ask inside TLS", TLS),
    list(
        "step",
        "Steps of send-expect, in order",
        number(1, 255),
        "Number of the step",
        limits::CHECK_STEPS,
        STEP,
    ),
    present("http", "Details of question http", HTTP),
    present("smtp", "Details of question smtp", SMTP),
    present("login", "Who logs in", LOGIN),
    present("ldap", "Details of question ldap", LDAP),
    present("dns", "Details of question dns", DNS),
    present("sip", "Details of question sip", SIP),
    present("radius", "Details of question radius", RADIUS),
    present("sql", "Details of question mysql and postgresql", SQL),
    present("udp", "Details of question udp", UDP),
    present("ping", "Details of question ping", PING),
];

static TLS: &[Item] = &[
    leaf("sni", "Server name to ask for; unset: none", Type::Hostname, None),
    leaf("certificate", "What the certificate must be", choice::<Certificate>(), Some("any")),
    leaf("fingerprint", "SHA-256 of the certificate, or of the authority's", Type::Fingerprint, None),
    leaf(
        "expiry-warning",
        "Warn when it ends sooner",
        span(Millis::new(0), Millis::from_secs(45 * 86_400)),
        Some("14d"),
    ),
    leaf("starttls", "Begin in clear, as the protocol has it", ON_OFF, Some("off")),
];

static STEP: &[Item] = &[
    leaf("send", "What is sent; unset: nothing", Type::Escaped, None),
    leaf("expect", "What must come; unset: nothing is awaited", Type::Escaped, None),
    COMPARE,
];

static HTTP: &[Item] = &[
    leaf("method", "HTTP method", choice::<Method>(), Some("get")),
    leaf("path", "Page to ask for; unset: /", Type::Target, None),
    leaf("host", "Host header; unset: the server's address", Type::Text, None),
    values("header", "More headers, each Name:value", Type::Escaped, limits::CHECK_HEADERS),
    leaf("status", "Good status codes", Type::Codes, Some("200-299")),
    leaf("body", "What the body must hold; unset: anything", Type::Escaped, None),
    COMPARE,
];

static SMTP: &[Item] = &[
    leaf("helo", "Name in EHLO; unset: this box's host name", Type::Hostname, None),
    leaf("starttls", "STARTTLS must be offered, and with tls is used", ON_OFF, Some("off")),
];

static LOGIN: &[Item] =
    &[leaf("user", "User", Type::Text, None), leaf("password", "Password", Type::Secret, None)];

static LDAP: &[Item] = &[
    leaf("base", "Base of a search; unset: bind only", Type::Escaped, None),
    leaf("filter", "Filter of the search; unset: everything", Type::Escaped, None),
];

static DNS: &[Item] = &[
    leaf("name", "Name to resolve; unset: the root", Type::Text, None),
    leaf("record", "Record type", choice::<RecordType>(), Some("a")),
    leaf("answer", "What must be among the answers; unset: any", Type::Text, None),
];

static SIP: &[Item] = &[
    leaf("uri", "Request URI; unset: the server's address", Type::Text, None),
    leaf("tcp", "Over TCP instead of UDP", ON_OFF, Some("off")),
];

static RADIUS: &[Item] = &[
    leaf("secret", "Shared secret", Type::Secret, None),
    leaf("reject-is-good", "An Access-Reject is good too", ON_OFF, Some("off")),
];

static SQL: &[Item] = &[leaf("database", "Data base; unset: none is chosen", Type::Text, None)];

static UDP: &[Item] = &[
    leaf("payload", "What is sent", Type::Escaped, None),
    leaf("reply", "What must come back; unset: silence is good", Type::Escaped, None),
    COMPARE,
];

static PING: &[Item] = &[leaf("size", "Data in the echo", number(0, 1472), Some("56")).unit("bytes")];

pub(super) static LOAD_MONITOR: &[Item] = &[
    leaf("source", "Where the load comes from", choice::<LoadSource>(), Some("agent")),
    leaf("port", "Port to ask; unset: the source's own; agents have none", port(), None),
    leaf("path", "Page of source http; unset: /", Type::Target, None),
    leaf("header", "Header of source http; unset: the body", Type::Text, None),
    leaf("interval", "Time between two questions", span(Millis::from_secs(1), DAY), Some("10s")),
    leaf("timeout", "Longest time for one", span(Millis::new(10), Millis::from_secs(600)), Some("2s")),
    leaf("least", "Least weight, of the configured one", number(1, 100), Some("10")).unit("percent"),
    leaf("greatest", "Greatest weight, of the configured one", number(100, 1000), Some("100"))
        .unit("percent"),
    leaf("step", "Largest change in one interval", number(1, 100), Some("25")).unit("percent"),
    leaf(
        "silence",
        "Silence after which the configured weight holds",
        span(Millis::from_secs(1), DAY),
        Some("1m"),
    ),
];

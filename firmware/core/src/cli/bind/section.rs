//! Which field of which type stands under which word. Reading and writing both come from this list.

use super::{BindError, Read, Write};
use crate::model::check::{
    Check, Dialogue, Dns, HttpProbe, Ldap, LoadMonitor, Login, Ping, Radius, Sip, Smtp, Sql, Tls, Udp,
};
use crate::model::cluster::{Pairing, SerialLine};
use crate::model::config::{
    Floating, Forwarding, Interface, Masquerade, Member, RealServer, Route, Service, Shortage, Special, Vlan,
    Watch,
};
use crate::model::ipvs::{Mark, SyncDaemon, Timeouts, Tunnel};
use crate::model::system::{Syslog, System};

/// Fields of one level of the tree.
pub(super) trait Section: Sized {
    fn read(r: Read<'_>) -> Result<Self, BindError>;
    fn write(&self, w: &mut Write<'_>);
}

/// `maybe`: leaf without default. `get`: leaf with default. `values`: leaf-list. `branch`: words that may all be absent.
/// `present`: branch that means something by itself. `list`: entries. `here`: fields of this same level.
macro_rules! sections {
    (@read $r:ident maybe $word:literal) => { $r.maybe($word)? };
    (@read $r:ident get $word:literal) => { $r.get($word)? };
    (@read $r:ident values $word:literal) => { $r.values($word)? };
    (@read $r:ident branch $word:literal) => { $r.section($word)? };
    (@read $r:ident list $word:literal) => { $r.sections($word)? };
    (@read $r:ident here $word:literal) => { Section::read($r)? };
    (@read $r:ident present $word:literal) => {{
        let inner = $r.branch($word)?;
        inner.branch.map(|_| Section::read(inner)).transpose()?
    }};
    (@write $w:ident $field:expr, maybe $word:literal) => { $w.maybe($word, $field.as_ref()) };
    (@write $w:ident $field:expr, get $word:literal) => { $w.leaf($word, &$field) };
    (@write $w:ident $field:expr, values $word:literal) => { $w.values($word, &$field) };
    (@write $w:ident $field:expr, branch $word:literal) => { $w.section($word, &$field) };
    (@write $w:ident $field:expr, list $word:literal) => { $w.sections($word, &$field) };
    (@write $w:ident $field:expr, here $word:literal) => { $field.write($w) };
    (@write $w:ident $field:expr, present $word:literal) => {
        if let Some(inner) = &$field {
            $w.section($word, inner);
        }
    };
    ($($type:ident { $($field:ident: $how:ident $word:literal,)+ })+) => {$(
        impl Section for $type {
            fn read(r: Read<'_>) -> Result<Self, BindError> {
                Ok(Self { $($field: sections!(@read r $how $word),)+ })
            }
            fn write(&self, w: &mut Write<'_>) {
                $(sections!(@write w self.$field, $how $word);)+
            }
        }
    )+};
}

sections! {
    System {
        domain: maybe "domain",
        time_servers: values "time-server",
        syslog: present "syslog",
        idle_timeout: get "idle-timeout",
        password: maybe "password-hash",
    }
    Syslog { server: maybe "server", port: get "port", transport: get "transport", }
    Interface { device: maybe "device", mtu: maybe "mtu", dhcp: get "dhcp", vlan: present "vlan", }
    Vlan { parent: maybe "parent", id: maybe "id", }
    Pairing {
        group: get "group",
        detection: get "detection",
        warn_time: maybe "warn-time",
        start_hold: get "start-hold",
        transport: get "transport",
        multicast: maybe "multicast",
        paths: values "path",
        serial: present "serial",
        failback: get "failback",
        failback_delay: get "failback-delay",
        witnesses: values "witness",
        authentication: get "authentication",
        secret: maybe "secret",
        key: maybe "key",
        accepted_keys: values "accept-key",
    }
    SerialLine { device: maybe "device", speed: get "speed", }
    SyncDaemon {
        interface: maybe "interface",
        id: get "id",
        group: get "group",
        port: get "port",
        ttl: get "ttl",
        max_length: get "max-length",
    }
    Floating { address: maybe "address", interface: maybe "interface", label: maybe "label", }
    Route { via: maybe "via", metric: get "metric", }
    Forwarding { ipv4: get "ipv4", ipv6: get "ipv6", defragment: get "defragment", }
    Masquerade { source: maybe "source", out: maybe "out", address: maybe "address", }
    Timeouts { tcp: get "tcp", tcp_fin: get "tcp-fin", udp: get "udp", }
    LoadMonitor {
        source: get "source",
        port: maybe "port",
        path: maybe "path",
        header: maybe "header",
        interval: get "interval",
        timeout: get "timeout",
        least: get "least",
        greatest: get "greatest",
        step: get "step",
        silence: get "silence",
    }
    Check {
        question: get "question",
        port: maybe "port",
        address: maybe "address",
        tls: present "tls",
        steps: list "step",
        http: present "http",
        smtp: present "smtp",
        login: present "login",
        ldap: present "ldap",
        dns: present "dns",
        sip: present "sip",
        radius: present "radius",
        sql: present "sql",
        udp: present "udp",
        ping: present "ping",
    }
    Tls {
        sni: maybe "sni",
        certificate: get "certificate",
        fingerprint: maybe "fingerprint",
        expiry_warning: get "expiry-warning",
        starttls: get "starttls",
    }
    Dialogue { send: maybe "send", expect: maybe "expect", compare: get "compare", }
    HttpProbe {
        method: get "method",
        path: maybe "path",
        host: maybe "host",
        headers: values "header",
        status: get "status",
        body: maybe "body",
        compare: get "compare",
    }
    Smtp { helo: maybe "helo", starttls: get "starttls", }
    Login { user: maybe "user", password: maybe "password", }
    Ldap { base: maybe "base", filter: maybe "filter", }
    Dns { name: maybe "name", record: get "record", answer: maybe "answer", }
    Sip { uri: maybe "uri", tcp: get "tcp", }
    Radius { secret: maybe "secret", reject_is_good: get "reject-is-good", }
    Sql { database: maybe "database", }
    Udp { payload: maybe "payload", reply: maybe "reply", compare: get "compare", }
    Ping { size: get "size", }
    Mark { addresses: values "address", protocol: get "protocol", ports: values "port", number: maybe "number", }
    RealServer { address: maybe "address", load_monitor: maybe "load-monitor", }
    Watch {
        checks: values "use-check",
        join: get "join",
        source: maybe "check-source",
        via_virtual: get "check-virtual",
        fast_retry: maybe "fast-retry",
        standby_interval: maybe "standby-interval",
        jitter: get "jitter",
        flap_limit: maybe "flap-limit",
        failure_weight: maybe "failure-weight",
    }
    Shortage {
        quorum: maybe "quorum",
        hysteresis: get "hysteresis",
        sorry_server: maybe "sorry-server",
        sorry_port: maybe "sorry-port",
        sorry_page: maybe "sorry-page",
        slow_start: maybe "slow-start",
        remove_after: maybe "remove-after",
        panic_threshold: maybe "panic-threshold",
    }
    Tunnel { kind: get "type", port: maybe "port", checksum: get "checksum", }
    Member {
        weight: get "weight",
        port: maybe "port",
        forward: maybe "forward",
        upper: maybe "upper",
        lower: maybe "lower",
        tunnel: present "tunnel",
    }
    Service {
        addresses: values "address",
        protocol: get "protocol",
        ports: values "port",
        scheduler: get "scheduler",
        persistence: maybe "persistence",
        special: here "",
        pool: maybe "pool",
    }
    Special {
        mark: maybe "mark",
        flags: values "scheduler-flag",
        mask_ipv4: maybe "persistence-mask-ipv4",
        mask_ipv6: maybe "persistence-mask-ipv6",
        engine: maybe "persistence-engine",
        one_packet: get "one-packet",
        source_nat: get "source-nat",
    }
}

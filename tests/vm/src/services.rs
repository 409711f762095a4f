//! Configurations with a service of every kind that the kernel has.

use std::fmt::Write as _;

/// Virtual servers of [`all_kinds`].
pub const ALL_KINDS: usize = SCHEDULERS.len() + FLAGGED.len() + SPECIAL.len() + 2 + METHODS.len() * 2 + 2 + 1;

const SCHEDULERS: [&str; 14] =
    ["rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "sed", "nq", "fo", "ovf", "mh", "twos"];

/// Scheduler, and its flags.
const FLAGGED: [(&str, &str); 6] = [
    ("sh", "sh-port"),
    ("sh", "sh-fallback"),
    ("sh", "sh-port sh-fallback"),
    ("mh", "mh-port mh-fallback"),
    ("mh", "mh-fallback"),
    ("wlc", "flag-1 flag-3"),
];

/// Address, protocol, and what is set beside.
const SPECIAL: [(&str, &str, &[&str]); 13] = [
    ("v4", "tcp", &["persistence 100s"]),
    ("v4", "tcp", &["persistence 5m", "persistence-mask-ipv4 24"]),
    ("v4", "tcp", &["persistence 1h", "persistence-mask-ipv4 1"]),
    ("v6", "tcp", &["persistence 5m"]),
    ("v6", "tcp", &["persistence 5m", "persistence-mask-ipv6 64"]),
    ("v6", "tcp", &["persistence 5m", "persistence-mask-ipv6 1"]),
    ("v4", "udp", &[]),
    ("v4", "udp", &["one-packet on"]),
    ("v6", "udp", &["one-packet on"]),
    ("v4", "udp", &["persistence 1m", "persistence-engine sip"]),
    ("v6", "udp", &["persistence 1m", "persistence-engine sip", "one-packet on"]),
    ("v4", "sctp", &[]),
    ("v6", "sctp", &["persistence 5m", "persistence-mask-ipv6 48", "scheduler sh", "scheduler-flag sh-port"]),
];

/// Forwarding method and tunnel of a pool.
const METHODS: [&[&str]; 9] = [
    &["forward nat"],
    &["forward direct"],
    &["forward tunnel"],
    &["forward tunnel", "tunnel type gue port 6080"],
    &["forward tunnel", "tunnel type gue port 6080 checksum on"],
    &["forward tunnel", "tunnel type gue port 6080 checksum remote"],
    &["forward tunnel", "tunnel type gre"],
    &["forward tunnel", "tunnel type gre checksum on"],
    &[
        "forward nat",
        "server FIRST port 8080 upper 100 lower 80 weight 0",
        "server SECOND weight 65535 upper 65535",
    ],
];

/// Two interfaces with both families, and a service of every kind: scheduler, flags, persistence, protocol, mark, method,
/// tunnel, threshold, weight. No checks: the servers do not exist.
///
/// # Panics
/// Never: writing to a String cannot fail.
#[must_use]
pub fn all_kinds() -> String {
    let mut text = base();
    let mut port = 2000_u16;
    let mut service = |text: &mut String, name: &str, address: &str, pool: &str, settings: &[&str]| {
        writeln!(text, "set service {name} address {address} port {port}\nset service {name} pool {pool}")
            .unwrap();
        for setting in settings {
            writeln!(text, "set service {name} {setting}").unwrap();
        }
        port += 1;
    };
    for (n, scheduler) in SCHEDULERS.iter().enumerate() {
        service(&mut text, &format!("s{n}"), "v4", "pool4", &[&format!("scheduler {scheduler}")]);
    }
    for (n, (scheduler, flags)) in FLAGGED.iter().enumerate() {
        let mut settings = vec![format!("scheduler {scheduler}")];
        settings.extend(flags.split(' ').map(|flag| format!("scheduler-flag {flag}")));
        let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
        service(&mut text, &format!("f{n}"), "v4", "pool4", &settings);
    }
    for (n, (address, protocol, settings)) in SPECIAL.iter().enumerate() {
        let protocol = format!("protocol {protocol}");
        let settings: Vec<&str> = settings.iter().copied().chain([protocol.as_str()]).collect();
        let pool = if *address == "v4" { "pool4" } else { "pool6" };
        service(&mut text, &format!("p{n}"), address, pool, &settings);
    }
    for (family, first, second) in [("4", "a1", "a2"), ("6", "b1", "b2")] {
        for (n, settings) in METHODS.iter().enumerate() {
            let pool = format!("m{family}{n}");
            writeln!(
                text,
                "set pool {pool} check none\nset pool {pool} server {first}\nset pool {pool} server {second}"
            )
            .unwrap();
            for setting in *settings {
                let setting = setting.replace("FIRST", first).replace("SECOND", second);
                writeln!(text, "set pool {pool} {setting}").unwrap();
            }
            service(&mut text, &pool, &format!("v{family}"), &pool, &[]);
        }
        // Two servers of the other family, each with a tunnel of its own, and one of the own family behind NAT.
        let (pool, other) =
            (format!("mixed{family}"), if family == "4" { ["b1", "b2"] } else { ["a1", "a2"] });
        writeln!(text, "set pool {pool} check none\nset pool {pool} server {first}").unwrap();
        writeln!(text, "set pool {pool} server {} forward tunnel", other[0]).unwrap();
        writeln!(text, "set pool {pool} server {} forward tunnel tunnel type gre", other[1]).unwrap();
        service(&mut text, &pool, &format!("v{family}"), &pool, &[]);
    }
    text.push_str(
        "set mark one address v4 port 21\nset mark one port 10000-20000\nset mark one number 7\n\
         set service one mark one\nset service one pool pool4\nset service one persistence 5m\n\
         set mark six address v6 port 7000\nset mark six protocol udp\nset mark six number 8\n\
         set service six mark six\nset service six pool pool6\nset service six one-packet on\n",
    );
    text.push_str(
        "set service bare address v4 port 9999\nset service bare pool empty\nset pool empty check none\n",
    );
    text
}

fn base() -> String {
    let mut text = String::from(
        "set node primary hostname lvs1\n\
         set node primary interface public address 1.2.3.2/24\n\
         set node primary interface public address 2001:db8:1::2/64\n\
         set node primary interface private address 192.168.1.1/24\n\
         set node primary interface private address 2001:db8:2::1/64\n\
         set interface public device eth0\nset interface private device eth1\n\
         set floating v4 address 1.2.3.1/24 interface public\n\
         set floating v6 address 2001:db8:1::1/64 interface public\n\
         set forwarding ipv4 on\nset forwarding ipv6 on\n",
    );
    for (name, address) in
        [("a1", "192.168.1.11"), ("a2", "192.168.1.12"), ("b1", "2001:db8:2::11"), ("b2", "2001:db8:2::12")]
    {
        writeln!(text, "set real-server {name} address {address}").unwrap();
    }
    for (pool, servers) in [("pool4", ["a1", "a2"]), ("pool6", ["b1", "b2"])] {
        writeln!(text, "set pool {pool} check none").unwrap();
        for server in servers {
            writeln!(text, "set pool {pool} server {server} weight 1").unwrap();
        }
    }
    text
}

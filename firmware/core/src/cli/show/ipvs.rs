//! The kernel's table in the layouts of ipvsadm (`ipvsadm.c`: `print_title`, `print_service_entry`, `print_dest`), without
//! the line that tells the kernel module's version.

use super::words::endpoint;
use crate::director::status::{IpvsDest, IpvsService, Status};
use crate::model::config::{Forward, Protocol};
use crate::plan::observed::Stats;
use crate::plan::{DaemonRole, DaemonSpec, Family, ServiceKey, ServiceSpec};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::Ipv4Addr;

/// Which columns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Columns {
    /// `-Ln`.
    Plain,
    /// `--stats --exact`.
    Stats,
    /// `--rate --exact`.
    Rate,
    /// `--thresholds`.
    Thresholds,
    /// `--persistent-conn`.
    Persistent,
}

/// What stands where direct return leaves nothing to count.
const BYPASSED: &str = "direct";

/// ipvsadm sorts by mark, family, protocol, address and port (`ipvs_cmp_services`).
fn sorted(status: &Status) -> Vec<&IpvsService> {
    let mut all: Vec<&IpvsService> = status.ipvs.iter().collect();
    all.sort_by_key(|s| match s.key {
        ServiceKey::Address { .. } => (0, s.key.family(), s.key),
        ServiceKey::Mark { mark, family } => (mark, family, s.key),
    });
    all
}

pub(super) fn table(status: &Status, columns: Columns) -> Vec<String> {
    let place = "Prot LocalAddress:Port";
    let counts = |names: [&str; 5]| {
        let titles = names.map(|name| format!(" {name:>8}")).concat();
        Vec::from([format!("{place:<33}{titles}"), "  -> RemoteAddress:Port".to_string()])
    };
    let mut out = match columns {
        Columns::Plain => Vec::from([
            "Prot LocalAddress:Port Scheduler Flags".to_string(),
            "  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn".to_string(),
        ]),
        Columns::Stats => counts(["Conns", "InPkts", "OutPkts", "InBytes", "OutBytes"]),
        Columns::Rate => counts(["CPS", "InPPS", "OutPPS", "InBPS", "OutBPS"]),
        Columns::Thresholds => Vec::from([
            format!("{place:<33} Uthreshold Lthreshold ActiveConn InActConn"),
            "  -> RemoteAddress:Port".to_string(),
        ]),
        Columns::Persistent => Vec::from([
            format!("{place:<33} Weight    PersistConn ActiveConn InActConn"),
            "  -> RemoteAddress:Port".to_string(),
        ]),
    };
    for service in sorted(status) {
        let name = service_name(&service.key);
        // What no server of NAT answered did not pass here.
        let answers =
            service.dests.iter().any(|d| d.spec.forward == Forward::Nat) || service.dests.is_empty();
        out.push(match columns {
            Columns::Plain => format!("{name} {}", settings(&service.spec, service.key.family())),
            Columns::Thresholds | Columns::Persistent => name,
            Columns::Stats => format!("{name:<33}{}", totals(service.stats, answers)),
            Columns::Rate => format!("{name:<33}{}", rates(service.stats, answers)),
        });
        out.extend(service.dests.iter().map(|dest| row(dest, columns)));
    }
    out
}

fn row(dest: &IpvsDest, columns: Columns) -> String {
    let remote = endpoint(dest.key.address, dest.key.port);
    let spec = &dest.spec;
    let (active, inactive) = (dest.active, dest.inactive);
    let answers = spec.forward == Forward::Nat;
    let method = match spec.forward {
        Forward::Nat => "Masq",
        Forward::Direct => "Route",
        Forward::Tunnel => "Tunnel",
    };
    let line = match columns {
        Columns::Plain => {
            format!("  -> {remote:<28} {method:<7} {:<6} {active:<10} {inactive:<10}", spec.weight)
        }
        Columns::Stats => format!("  -> {remote:<28}{}", totals(dest.stats, answers)),
        Columns::Rate => format!("  -> {remote:<28}{}", rates(dest.stats, answers)),
        Columns::Thresholds => {
            let (upper, lower) = (spec.upper, spec.lower);
            format!("  -> {remote:<28} {upper:<10} {lower:<10} {active:<10} {inactive:<10}")
        }
        Columns::Persistent => {
            let (weight, persistent) = (spec.weight, dest.persistent);
            format!("  -> {remote:<28} {weight:<9} {persistent:<11} {active:<10} {inactive:<10}")
        }
    };
    line.trim_end().to_string()
}

/// Packets and bytes to clients by-pass the director with direct routing and tunnels.
fn outward(count: u64, answers: bool) -> String {
    if answers { count.to_string() } else { BYPASSED.to_string() }
}

fn totals(s: Stats, answers: bool) -> String {
    let (packets, bytes) = (outward(s.out_packets, answers), outward(s.out_bytes, answers));
    format!(" {:>8} {:>8} {packets:>8} {:>8} {bytes:>8}", s.connections, s.in_packets, s.in_bytes)
}

fn rates(s: Stats, answers: bool) -> String {
    let (packets, bytes) = (outward(s.out_pps, answers), outward(s.out_bps, answers));
    format!(" {:>8} {:>8} {packets:>8} {:>8} {bytes:>8}", s.cps, s.in_pps, s.in_bps)
}

fn service_name(key: &ServiceKey) -> String {
    match key {
        ServiceKey::Address { protocol, address, port } => {
            let protocol = match protocol {
                Protocol::Tcp => "TCP",
                Protocol::Udp => "UDP",
                Protocol::Sctp => "SCTP",
            };
            format!("{protocol:<4} {}", endpoint(*address, *port))
        }
        ServiceKey::Mark { family: Family::V4, mark } => format!("FWM  {mark}"),
        ServiceKey::Mark { family: Family::V6, mark } => format!("FWM  {mark} IPv6"),
    }
}

/// A mask of IPv4 in dots, a prefix length of IPv6; nothing when all of the address counts.
fn mask(spec: &ServiceSpec, family: Family) -> Option<String> {
    spec.mask.map(|mask| match family {
        Family::V4 => Ipv4Addr::from_bits(mask).to_string(),
        Family::V6 => mask.to_string(),
    })
}

/// Names of the scheduler's flags (`print_sched_flags`).
fn flags(spec: &ServiceSpec) -> String {
    let names = match spec.scheduler.as_str() {
        "sh" => ["sh-fallback", "sh-port", "flag-3"],
        "mh" => ["mh-fallback", "mh-port", "flag-3"],
        _ => ["flag-1", "flag-2", "flag-3"],
    };
    let bits = [0x08, 0x10, 0x20];
    let set = bits.into_iter().zip(names).filter(|(bit, _)| spec.flags & bit != 0).map(|(_, name)| name);
    set.collect::<Vec<_>>().join(",")
}

fn settings(spec: &ServiceSpec, family: Family) -> String {
    let mut text = spec.scheduler.to_string();
    if spec.flags != 0 {
        text.push_str(&format!(" ({})", flags(spec)));
    }
    if let Some(seconds) = spec.persistence_s {
        text.push_str(&format!(" persistent {seconds}"));
        if let Some(mask) = mask(spec, family) {
            text.push_str(&format!(" mask {mask}"));
        }
    }
    if let Some(engine) = &spec.engine {
        text.push_str(&format!(" pe {engine}"));
    }
    if spec.one_packet {
        text.push_str(" ops");
    }
    text
}

/// Lines for `ipvsadm -R`, in the order and form of `ipvsadm -Sn`. What that leaves out, thresholds and timeouts, follows as
/// remarks, which `-R` skips; without their `# ` it takes them too.
pub(super) fn save(status: &Status) -> Vec<String> {
    let (mut out, mut more) = (Vec::new(), Vec::new());
    for service in sorted(status) {
        let name = match &service.key {
            ServiceKey::Address { protocol, address, port } => {
                let switch = match protocol {
                    Protocol::Tcp => "-t",
                    Protocol::Udp => "-u",
                    Protocol::Sctp => "--sctp-service",
                };
                format!("{switch} {}", endpoint(*address, *port))
            }
            ServiceKey::Mark { family: Family::V4, mark } => format!("-f {mark}"),
            ServiceKey::Mark { family: Family::V6, mark } => format!("-f {mark} -6"),
        };
        out.push(format!("-A {name} -s {}{}", service.spec.scheduler, options(service)));
        for dest in &service.dests {
            let line = saved_dest(&name, dest);
            more.extend(thresholds(dest).map(|limits| format!("# -e {line}{limits}")));
            out.push(format!("-a {line}"));
        }
    }
    more.extend(status.timeouts.map(|t| format!("# --set {} {} {}", t.tcp_s, t.tcp_fin_s, t.udp_s)));
    if !more.is_empty() && !out.is_empty() {
        out.push(LEFT_OUT.to_string());
        out.extend(more);
    }
    out
}

/// Above the remarks.
const LEFT_OUT: &str = "# ipvsadm -Sn leaves these out; without the # they are lines like those above:";

fn options(service: &IpvsService) -> String {
    let spec = &service.spec;
    let mut text = String::new();
    if let Some(seconds) = spec.persistence_s {
        text.push_str(&format!(" -p {seconds}"));
        if let Some(mask) = mask(spec, service.key.family()) {
            text.push_str(&format!(" -M {mask}"));
        }
    }
    if let Some(engine) = &spec.engine {
        text.push_str(&format!(" --pe {engine}"));
    }
    if spec.one_packet {
        text.push_str(" -o");
    }
    if spec.flags != 0 {
        text.push_str(&format!(" -b {}", flags(spec)));
    }
    text
}

fn saved_dest(service: &str, dest: &IpvsDest) -> String {
    let spec = &dest.spec;
    let method = match spec.forward {
        Forward::Nat => "-m",
        Forward::Direct => "-g",
        Forward::Tunnel => "-i",
    };
    let remote = endpoint(dest.key.address, dest.key.port);
    let mut text = format!("{service} -r {remote} {method} -w {}", spec.weight);
    if spec.forward == Forward::Tunnel {
        let checksum = match spec.tunnel.flags {
            flags if flags & 2 != 0 => "--tun-remcsum",
            flags if flags & 1 != 0 => "--tun-csum",
            _ => "--tun-nocsum",
        };
        match spec.tunnel.kind {
            1 => text.push_str(&format!(" --tun-type gue --tun-port {} {checksum}", spec.tunnel.port)),
            2 => text.push_str(&format!(" --tun-type gre {checksum}")),
            _ => text.push_str(" --tun-type ipip"),
        }
    }
    text
}

/// Its limits of connections, if it has any.
fn thresholds(dest: &IpvsDest) -> Option<String> {
    let option = |name: &str, value: u32| if value == 0 { String::new() } else { format!(" {name} {value}") };
    let text = [option("-x", dest.spec.upper), option("-y", dest.spec.lower)].concat();
    (!text.is_empty()).then_some(text)
}

/// `ipvsadm -L --timeout`.
pub(super) fn timeouts(status: &Status) -> Vec<String> {
    let line = status.timeouts.map_or_else(
        || "this kernel has no IPVS".to_string(),
        |t| format!("Timeout (tcp tcpfin udp): {} {} {}", t.tcp_s, t.tcp_fin_s, t.udp_s),
    );
    Vec::from([line])
}

/// `ipvsadm -L --daemon`.
pub(super) fn daemons(status: &Status) -> Vec<String> {
    if status.daemons.is_empty() {
        return Vec::from(["no sync daemon runs: set sync-daemon interface starts one".to_string()]);
    }
    let line = |(role, d): &(DaemonRole, DaemonSpec)| {
        let role = match role {
            DaemonRole::Master => "master",
            DaemonRole::Backup => "backup",
        };
        format!(
            "{role} sync daemon (mcast={}, syncid={}, maxlen={}, group={}, port={}, ttl={})",
            d.device, d.id, d.max_length, d.group, d.port, d.ttl
        )
    };
    status.daemons.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::config::Scheduler;
    use crate::plan::{DestKey, DestSpec, TimeoutSpec, TunnelSpec};

    fn status() -> Status {
        let mut status = crate::cli::testing::status::status();
        let spec = ServiceSpec {
            mask: Some(0xffff_ff00),
            flags: 0x18,
            ..ServiceSpec::new(Scheduler::Sh, Some(300))
        };
        let tunnel = TunnelSpec { kind: 1, port: 6080, flags: 2 };
        let far = DestSpec { forward: Forward::Tunnel, weight: 1, upper: 100, lower: 80, tunnel };
        let dest = |last, spec| IpvsDest {
            key: DestKey { address: [192, 168, 1, last].into(), port: 0 },
            spec,
            active: 3,
            inactive: 12,
            persistent: 2,
            stats: Stats { connections: 7, in_packets: 42, in_bytes: 4200, ..Stats::default() },
        };
        status.ipvs.insert(
            0,
            IpvsService {
                key: ServiceKey::Mark { family: Family::V4, mark: 7 },
                spec,
                stats: Stats { connections: 7, ..Stats::default() },
                dests: Vec::from([
                    dest(3, far),
                    dest(4, DestSpec { forward: Forward::Direct, weight: 2, ..DestSpec::default() }),
                ]),
            },
        );
        let udp = ServiceKey::Address { protocol: Protocol::Udp, address: [1, 2, 3, 1].into(), port: 5060 };
        let spec = ServiceSpec {
            engine: Some("sip".try_into().unwrap()),
            one_packet: true,
            ..ServiceSpec::new(Scheduler::Rr, Some(60))
        };
        status.timeouts = Some(TimeoutSpec { tcp_s: 900, tcp_fin_s: 120, udp_s: 300 });
        status.ipvs.push(IpvsService { key: udp, spec, stats: Stats::default(), dests: Vec::new() });
        status
    }

    #[track_caller]
    fn shows(lines: &[String], expected: &[&str]) {
        assert_eq!(lines, expected);
    }

    #[test]
    fn what_is_saved_is_what_ipvsadm_restores() {
        shows(
            &save(&status()),
            &[
                "-A -t 1.2.3.1:80 -s wlc -p 300",
                "-a -t 1.2.3.1:80 -r 192.168.1.3:80 -m -w 2000",
                "-a -t 1.2.3.1:80 -r 192.168.1.4:80 -m -w 0",
                "-a -t 1.2.3.1:80 -r 192.168.1.5:80 -m -w 1000",
                "-A -u 1.2.3.1:5060 -s rr -p 60 --pe sip -o",
                "-A -f 7 -s sh -p 300 -M 255.255.255.0 -b sh-fallback,sh-port",
                "-a -f 7 -r 192.168.1.3:0 -i -w 1 --tun-type gue --tun-port 6080 --tun-remcsum",
                "-a -f 7 -r 192.168.1.4:0 -g -w 2",
                LEFT_OUT,
                "# -e -f 7 -r 192.168.1.3:0 -i -w 1 --tun-type gue --tun-port 6080 --tun-remcsum -x 100 -y 80",
                "# --set 900 120 300",
            ],
        );
    }

    #[test]
    fn the_table_has_the_settings_beside_the_scheduler() {
        let lines = table(&status(), Columns::Plain);
        shows(
            lines.get(6..9).unwrap(),
            &[
                "UDP  1.2.3.1:5060 rr persistent 60 pe sip ops",
                "FWM  7 sh (sh-fallback,sh-port) persistent 300 mask 255.255.255.0",
                "  -> 192.168.1.3:0                Tunnel  1      3          12",
            ],
        );
    }

    #[test]
    fn counters_that_direct_return_cannot_have_say_so() {
        let lines = table(&status(), Columns::Stats);
        shows(
            lines.get(7..9).unwrap(),
            &[
                "FWM  7                                   7        0   direct        0   direct",
                "  -> 192.168.1.3:0                       7       42   direct     4200   direct",
            ],
        );
    }

    #[test]
    fn thresholds_and_persistence_have_columns_of_their_own() {
        let last = |columns| table(&status(), columns).into_iter().nth(8).unwrap();
        assert_eq!(
            last(Columns::Thresholds),
            "  -> 192.168.1.3:0                100        80         3          12"
        );
        assert_eq!(
            last(Columns::Persistent),
            "  -> 192.168.1.3:0                1         2           3          12"
        );
    }
}

//! From lines of configuration to what the kernel should hold: marks, methods, source NAT, the sync daemon.

use director_core::cli::parse_set_lines;
use director_core::model::Name;
use director_core::model::config::{Forward, Protocol};
use director_core::model::validate::{Severity, validate};
use director_core::plan::desired::{Circumstances, Usable, tracks};
use director_core::plan::*;
use std::collections::BTreeMap;
use std::net::IpAddr;

const BASE: &str = include_str!("../../golden/cli/five-nodes.set");

/// Every server is good, on the ports that are asked.
struct AllGood;

impl Circumstances for AllGood {
    fn usable(&self, _: &Name, _: &Name, port: u16) -> Usable {
        assert_ne!(port, 0, "nobody can be asked on port 0");
        Usable::Yes
    }

    fn present(&self, _: &ServiceKey, _: &DestKey) -> Option<DestSpec> {
        None
    }
}

fn wanted(lines: &str, active: bool) -> Desired {
    let config = parse_set_lines(&format!("{BASE}\n{lines}")).unwrap();
    desired(&config, &config.primary, active, &AllGood)
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn web() -> ServiceKey {
    ServiceKey::Address { protocol: Protocol::Tcp, address: ip("1.2.3.1"), port: 80 }
}

const FTP: &str = "set mark ftp address vs1 port 21\nset mark ftp port 10000-20000\nset mark ftp number 7\nset \
                   service ftp mark ftp\nset service ftp pool web\nset service ftp persistence 5m";

#[test]
fn a_mark_is_one_virtual_server_and_the_rules_that_mark_its_ports() {
    let want = wanted(FTP, true);
    let key = ServiceKey::Mark { family: Family::V4, mark: 7 };
    let dests: Vec<u16> = want.services[&key].dests.keys().map(|dest| dest.port).collect();
    assert_eq!(dests, [0, 0, 0]);
    let rules = want.ruleset.unwrap();
    let marked: Vec<_> = rules.marks.iter().map(|m| (m.mark, m.first, m.last)).collect();
    assert_eq!(marked, [(7, 21, 21), (7, 10_000, 20_000)]);
    assert!(rules.defragment, "only the first fragment has the port");
}

#[test]
fn the_number_of_a_mark_does_not_depend_on_other_marks() {
    let number = |lines: &str| wanted(lines, true).ruleset.unwrap().marks.first().unwrap().mark;
    let alone = number("set mark zoo address vs1 port 100");
    let with_other = wanted("set mark zoo address vs1 port 100\nset mark ape address vs1 port 200", true);
    assert!(with_other.ruleset.unwrap().marks.iter().any(|m| m.mark == alone && m.first == 100));
    assert!(alone >= 0x0100_0000);
}

#[test]
fn connections_are_tracked_for_ftp_behind_nat_and_for_source_nat_only() {
    let tracked = |lines: &str| {
        let config = parse_set_lines(&format!("{BASE}\n{lines}")).unwrap();
        let want = desired(&config, &config.primary, true, &AllGood);
        let sysctl = want.sysctls["net.ipv4.vs.conntrack"] == "1";
        assert_eq!(sysctl, tracks(&config));
        assert_eq!(want.ruleset.unwrap().notrack.is_empty(), sysctl);
        sysctl
    };
    assert!(!tracked(""));
    assert!(tracked(FTP));
    assert!(!tracked(&format!("{FTP}\nset pool web forward direct")));
    assert!(tracked("set service web port 21"));
    assert!(tracked("set service web source-nat hairpin"));
}

#[test]
fn hairpin_translates_clients_of_the_servers_network_and_all_translates_everybody() {
    let clients = |word: &str| {
        let rules = wanted(&format!("set service web source-nat {word}"), true).ruleset.unwrap();
        rules.source_nat.iter().map(|rule| (rule.address, rule.clients)).collect::<Vec<_>>()
    };
    assert_eq!(clients("hairpin"), [(ip("1.2.3.1"), Some("192.168.1.0/24".parse().unwrap()))]);
    assert_eq!(clients("all"), [(ip("1.2.3.1"), None)]);
    assert_eq!(clients("off"), []);
}

#[test]
fn each_server_has_its_own_method_tunnel_and_thresholds() {
    let want = wanted(
        "set pool web server rs1 forward tunnel\nset pool web server rs1 tunnel type gue port 6080 checksum \
         remote\nset pool web server rs2 forward direct upper 100 lower 50",
        true,
    );
    let specs: BTreeMap<IpAddr, DestSpec> =
        want.services[&web()].dests.iter().map(|(key, spec)| (key.address, *spec)).collect();
    let tunnel = TunnelSpec { kind: 1, port: 6080, flags: 2 };
    let first = DestSpec { forward: Forward::Tunnel, weight: 2000, tunnel, ..DestSpec::default() };
    assert_eq!(specs[&ip("192.168.1.3")], first);
    let second = specs[&ip("192.168.1.4")];
    assert_eq!((second.forward, second.upper, second.lower), (Forward::Direct, 100, 50));
    assert_eq!(specs[&ip("192.168.1.5")].forward, Forward::Nat);
}

#[test]
fn limits_of_memory_grow_with_the_box_and_have_bounds() {
    for (memory, reserve, tracked) in
        [(0, "2048", "16384"), (57, "2048", "16384"), (1000, "32000", "256000"), (64_000, "65536", "1048576")]
    {
        let config = parse_set_lines(BASE).unwrap();
        let sysctls = director_core::plan::desired::sysctls(&config, memory);
        let of = |name: &str| sysctls[name].as_str();
        assert_eq!(of("net.ipv4.vs.amemthresh"), reserve, "{memory} MiB");
        assert_eq!(of("net.netfilter.nf_conntrack_max"), tracked, "{memory} MiB");
    }
}

#[test]
fn the_sync_daemon_follows_the_role_and_only_a_standby_box_balances_nothing() {
    for (active, role, backup_only) in [(true, DaemonRole::Master, "0"), (false, DaemonRole::Backup, "1")] {
        let want = wanted("set sync-daemon interface private\nset sync-daemon id 9", active);
        let daemon = &want.daemons[&role];
        assert_eq!((want.daemons.len(), daemon.id, daemon.max_length), (1, 9, 1472));
        assert_eq!(want.sysctls["net.ipv4.vs.backup_only"], backup_only);
        assert_eq!(want.ruleset.unwrap().sync, Some(("eth1".parse().unwrap(), 8848)));
    }
    let without = wanted("", false);
    assert_eq!((without.daemons.len(), without.sysctls["net.ipv4.vs.backup_only"].as_str()), (0, "0"));
}

#[test]
fn a_masquerade_has_the_floating_address_only_where_that_is() {
    let source =
        |active| wanted("set masquerade private address vs1", active).ruleset.unwrap().masquerade[0].2;
    assert_eq!((source(true), source(false)), (Some(ip("1.2.3.1")), None));
}

#[test]
fn the_clusters_of_the_documents_are_accepted_and_lblc_is_warned_of() {
    let ldirectord = include_str!("../../../qemu/scenarios/ldirectord.set");
    let rhel = include_str!("../../../qemu/scenarios/rhel.set");
    for (text, warned) in [(ldirectord, true), (rhel, false)] {
        let findings = validate(&parse_set_lines(text).unwrap());
        assert!(findings.iter().all(|f| f.severity == Severity::Warning), "{findings:?}");
        let lblc = findings.iter().any(|f| f.path == "service web scheduler lblc");
        assert_eq!(lblc, warned, "{findings:?}");
    }
}

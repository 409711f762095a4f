use super::plan::Box;
use super::*;
use crate::cli::parse_set_lines;
use crate::model::Config;
use crate::plan::Observed;
use crate::plan::observed::Link;
use alloc::format;
use alloc::string::ToString;

const BASE: &str = include_str!("../../../../tests/golden/cli/five-nodes.set");
const NEAR: &str = "
set floating vs2 address 1.2.3.7/24 interface public
set real-server d1 address 1.2.3.11
set pool near forward direct
set pool near server d1 weight 1
set service near address vs2 protocol tcp port 80
set service near pool near
";
const D1: Mac = [2, 0, 0, 0, 0, 11];
const ALIEN: Mac = [2, 0, 0, 0, 0, 99];
const PEER: Mac = [2, 0, 0, 0, 1, 3];
const OURS: Mac = [2, 0, 0, 0, 1, 2];

fn config(more: &str) -> Config {
    parse_set_lines(&format!("{BASE}{NEAR}{more}")).unwrap()
}

/// What a network without mistakes answers.
fn healthy(look: &Look) -> Seen {
    match look {
        Look::Claims { address, .. } => match address.to_string().as_str() {
            "1.2.3.11" => Seen::Claims(Vec::from([D1])),
            "1.2.3.3" | "192.168.1.2" => Seen::Claims(Vec::from([PEER])),
            // Our own kernel may be heard too.
            "1.2.3.2" => Seen::Claims(Vec::from([OURS])),
            "192.168.1.3" => Seen::Claims(Vec::from([[2, 0, 0, 0, 0, 3]])),
            _ => Seen::Claims(Vec::new()),
        },
        Look::Handshake { .. } => Seen::Connected,
        Look::Size { most, .. } => Seen::Fits(Some(*most)),
    }
}

fn examine(
    config: &Config,
    active: bool,
    only: Option<&str>,
    answer: impl Fn(&Look) -> Option<Seen>,
) -> Report {
    let mut observed = Observed::default();
    for device in ["eth0", "eth1"] {
        let link = Link { up: true, mtu: 1500, mac: OURS, ..Link::default() };
        observed.links.insert(device.parse().unwrap(), link);
    }
    let of = Box { config, node: &config.primary, peer: config.backup.as_ref(), active, observed: &observed };
    let plan = plan(of, only.map(|name| name.parse().unwrap()).as_ref());
    let seen = plan.looks.iter().map(|look| answer(look).unwrap_or_else(|| healthy(look))).collect();
    judge(plan, seen)
}

fn kinds(report: &Report) -> Vec<(Kind, Option<String>)> {
    report.findings.iter().map(|f| (f.kind, f.server.as_ref().map(ToString::to_string))).collect()
}

fn asked(look: &Look, whom: &str, what: &str) -> bool {
    matches!(look, Look::Handshake { at, target, .. } if at.to_string() == whom && target.ip().to_string() == what)
}

#[test]
fn a_healthy_network_has_no_finding_and_no_note() {
    let config = config("");
    let report = examine(&config, true, None, |_| None);
    assert_eq!((report.findings, report.notes), (Vec::new(), Vec::new()));
    assert!(report.looks > 15, "{}", report.looks);
    let standby = examine(&config, false, None, |_| None);
    assert_eq!(standby.findings, []);
    assert_eq!(standby.notes.len(), 1, "{:?}", standby.notes);
}

#[test]
fn a_server_behind_nat_that_answers_another_way_is_told_its_gateway() {
    let outside = |look: &Look| {
        let from_outside = matches!(look, Look::Handshake { source, .. } if source.to_string() == "1.2.3.2");
        (asked(look, "192.168.1.3", "192.168.1.3") && from_outside).then_some(Seen::Silent)
    };
    let report = examine(&config(""), true, None, outside);
    assert_eq!(kinds(&report), [(Kind::Gateway, Some("rs1".into()))]);
    assert!(report.findings[0].fix.contains("ip route replace default via 192.168.1.254"), "{report:?}");
}

#[test]
fn a_server_of_direct_routing_without_the_address_differs_from_one_where_nothing_listens() {
    for (seen, kind, fix) in [
        (Seen::Silent, Kind::NoAddress, "ip address add 1.2.3.7/32 dev lo"),
        (Seen::Refused, Kind::NotListening, "listen on 1.2.3.7"),
    ] {
        let answer = |look: &Look| asked(look, "1.2.3.11", "1.2.3.7").then(|| seen.clone());
        let report = examine(&config(""), true, None, answer);
        assert_eq!(kinds(&report), [(kind, Some("d1".into()))]);
        assert!(report.findings[0].fix.contains(fix), "{report:?}");
    }
    // A server that is down says nothing about its addresses.
    let dead = |look: &Look| {
        matches!(look, Look::Handshake { at, .. } if at.to_string() == "1.2.3.11").then_some(Seen::Silent)
    };
    let report = examine(&config(""), true, Some("near"), dead);
    assert_eq!(report.findings, []);
    assert_eq!(report.notes.len(), 1);
}

#[test]
fn who_answers_arp_for_a_virtual_address_is_named_by_server_or_hardware_address() {
    for (mac, finding) in [(D1, (Kind::AnswersArp, Some("d1".into()))), (ALIEN, (Kind::Duplicate, None))] {
        let claims = |look: &Look| {
            matches!(look, Look::Claims { address, .. } if address.to_string() == "1.2.3.7")
                .then(|| Seen::Claims(Vec::from([mac])))
        };
        let report = examine(&config(""), true, Some("near"), claims);
        assert_eq!(kinds(&report), [finding]);
        assert_eq!(report.findings[0].mac, Some(mac));
    }
}

#[test]
fn the_peer_may_hold_floating_addresses_while_we_do_not() {
    let claims = |look: &Look| {
        matches!(look, Look::Claims { address, .. } if address.to_string() == "1.2.3.7")
            .then(|| Seen::Claims(Vec::from([PEER])))
    };
    assert_eq!(examine(&config(""), false, None, claims).findings, []);
    let both = examine(&config(""), true, None, claims);
    assert_eq!(kinds(&both), [(Kind::Duplicate, None)]);
    assert!(both.findings[0].text.contains("other box of the pair"));
}

#[test]
fn two_machines_with_the_address_of_a_server_are_both_named() {
    let claims = |look: &Look| {
        matches!(look, Look::Claims { address, .. } if address.to_string() == "1.2.3.11")
            .then(|| Seen::Claims(Vec::from([D1, ALIEN])))
    };
    let report = examine(&config(""), true, None, claims);
    assert_eq!(kinds(&report), [(Kind::Duplicate, Some("d1".into()))]);
    assert!(report.findings[0].text.contains("02:00:00:00:00:0b and 02:00:00:00:00:63"));
}

#[test]
fn a_path_that_is_too_small_and_a_server_of_another_network_are_found() {
    let small = |look: &Look| {
        matches!(look, Look::Size { target, .. } if target.to_string() == "10.9.9.9")
            .then_some(Seen::Fits(Some(1400)))
    };
    let far = "
set real-server t1 address 10.9.9.9
set pool far forward tunnel
set pool far server t1 weight 1
set service far address vs2 protocol tcp port 81
set service far pool far
set real-server n1 address 10.9.9.8
set pool web server n1 weight 1
";
    let report = examine(&config(far), true, None, small);
    assert_eq!(kinds(&report), [(Kind::Mtu, Some("t1".into())), (Kind::Subnet, Some("n1".into()))]);
    assert!(report.findings[0].text.contains("1400 bytes do, of which its tunnel takes 20"), "{report:?}");
}

#[test]
fn what_could_not_be_looked_at_is_said_once() {
    let report = examine(&config(""), true, None, |_| Some(Seen::Failed("no time was left".into())));
    assert_eq!(report.findings, []);
    assert!(report.notes.iter().any(|note| note.ends_with("looks were not possible: no time was left")));
    let unanswered = judge(examine_plan(), Vec::new());
    assert_eq!((unanswered.looks, unanswered.findings.len()), (0, 0));
}

fn examine_plan() -> Plan {
    let config = config("");
    let observed = Observed::default();
    let of = Box { config: &config, node: &config.primary, peer: None, active: true, observed: &observed };
    plan(of, None)
}

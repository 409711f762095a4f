// `expect_file!` names `std`.
extern crate std;

use super::*;
use crate::cli::testing::status::status;
use crate::director::status::Status;
use crate::model::config::Protocol;
use crate::overrides::Forced;
use crate::plan::Op;
use crate::plan::desired::Ruleset;
use crate::plan::spec::{
    AddressKey, AddressSpec, DestKey, DestSpec, RouteKey, RouteSpec, ServiceKey, ServiceSpec,
};
use expect_test::{expect, expect_file};

const VIEWS: [(&str, View, &[&str]); 10] = [
    ("show interfaces", View::Interfaces, &[]),
    ("show addresses", View::Addresses, &[]),
    ("show services", View::Services, &[]),
    ("show services web", View::Services, &["web"]),
    ("show servers", View::Servers, &[]),
    ("show servers web rs2", View::Servers, &["web", "rs2"]),
    ("show ipvs", View::Ipvs(crate::cli::show::ipvs::Columns::Plain), &[]),
    ("show version", View::Version, &[]),
    ("show alarms", View::Alarms, &[]),
    ("show time", View::Time, &[]),
];

fn strings(args: &[&str]) -> Vec<String> {
    args.iter().map(ToString::to_string).collect()
}

#[test]
fn every_view_fits_eighty_columns() {
    let mut text = String::new();
    for (title, view, args) in VIEWS {
        text.push_str(&format!("> {title}\n"));
        for line in lines(view, &status(), &strings(args), 80).unwrap() {
            assert!(line.len() < 80, "{line}");
            assert_eq!(line.trim_end(), line);
            text.push_str(&line);
            text.push('\n');
        }
        text.push('\n');
    }
    expect_file!["../../../../../tests/golden/cli/views.txt"].assert_eq(&text);
}

#[test]
fn every_view_is_valid_json_with_known_keys() {
    let mut text = String::new();
    for (title, view, args) in VIEWS {
        let json = json(view, &status(), &strings(args)).unwrap();
        serde_json::from_str::<serde_json::Value>(&json).unwrap();
        text.push_str(&format!("> {title} | json\n{json}\n\n"));
    }
    expect_file!["../../../../../tests/golden/cli/views-json.txt"].assert_eq(&text);
}

#[test]
fn views_of_nothing_say_so() {
    let nothing = Status {
        interfaces: Vec::new(),
        addresses: Vec::new(),
        services: Vec::new(),
        servers: Vec::new(),
        ipvs: Vec::new(),
        notes: Vec::new(),
        alarms: Vec::new(),
        ..status()
    };
    let mut text = String::new();
    for view in [View::Interfaces, View::Addresses, View::Services, View::Servers, View::Alarms] {
        text.push_str(&lines(view, &nothing, &[], 80).unwrap().join("\n"));
        text.push('\n');
        assert_eq!(json(view, &nothing, &[]).unwrap(), "[]");
    }
    expect![[r#"
        no network device was found
        no address is configured or present
        no service is configured
        no pool has servers
        no alarms
    "#]]
    .assert_eq(&text);
}

#[test]
fn a_wrong_name_is_answered_with_the_right_one() {
    for (view, args, message) in [
        (View::Services, &["wbe"][..], "no service is named \"wbe\": did you mean \"web\"?"),
        (
            View::Servers,
            &["web", "rs9"][..],
            "no server in this pool is named \"rs9\": did you mean \"rs1\"?",
        ),
        (View::Servers, &["mail"][..], "no pool with servers is named \"mail\": use web"),
    ] {
        assert_eq!(lines(view, &status(), &strings(args), 80), Err(message.to_string()));
        assert_eq!(json(view, &status(), &strings(args)), Err(message.to_string()));
    }
}

#[test]
fn operations_are_said_in_plain_words() {
    let key = |cidr: &str| AddressKey { device: "eth0".parse().unwrap(), cidr: cidr.parse().unwrap() };
    let service = ServiceKey::Address { protocol: Protocol::Tcp, address: [1, 2, 3, 1].into(), port: 80 };
    let spec = || ServiceSpec::new(crate::model::config::Scheduler::Wlc, Some(300));
    let dest = DestKey { address: [192, 168, 1, 3].into(), port: 80 };
    let settings = |weight| DestSpec { weight, ..DestSpec::default() };
    let route = RouteKey { to: "0.0.0.0/0".parse().unwrap(), metric: 0 };
    let device = || "eth0".parse().unwrap();
    let ops = [
        Op::SysctlSet { name: "net.ipv4.ip_forward".to_string(), value: "1".to_string() },
        Op::LinkUp { device: device() },
        Op::LinkMtu { device: device(), mtu: 1400 },
        Op::VlanAdd {
            device: "eth0.7".parse().unwrap(),
            spec: crate::plan::VlanSpec { parent: device(), id: 7 },
        },
        Op::VlanDelete { device: "eth0.7".parse().unwrap() },
        Op::AddressAdd { key: key("1.2.3.1/24"), spec: AddressSpec { label: "eth0:1".parse().ok() } },
        Op::AddressDelete { key: key("2001:db8::1/64") },
        Op::RouteSet { key: route.clone(), spec: RouteSpec { via: [1, 2, 3, 254].into() } },
        Op::RouteDelete { key: route },
        Op::RulesetSet { ruleset: Ruleset::default() },
        Op::ServiceAdd { key: service, spec: spec() },
        Op::ServiceEdit { key: service, spec: spec() },
        Op::ServiceDelete { key: service },
        Op::DestAdd { service, key: dest, spec: settings(2000) },
        Op::DestEdit { service, key: dest, spec: settings(5) },
        Op::DestEdit { service, key: dest, spec: settings(0) },
        Op::DestDelete { service, key: dest },
        Op::Announce { key: key("1.2.3.1/24") },
    ];
    let text: Vec<String> = ops.iter().map(ops::describe).collect();
    expect![[r#"
        set the kernel parameter net.ipv4.ip_forward to 1
        switch the device eth0 on
        set the largest packet of eth0 to 1400 bytes
        make the device eth0.7 for VLAN 7 of eth0
        remove the VLAN device eth0.7; its addresses go with it
        add the address 1.2.3.1/24 to eth0 with label eth0:1
        delete the address 2001:db8::1/64 from eth0
        route 0.0.0.0/0 via 1.2.3.254
        delete the route to 0.0.0.0/0
        replace the packet rules in one step (forwarding, masquerade, marks)
        add the virtual service tcp 1.2.3.1:80, scheduler wlc, persistence 300 s
        change the virtual service tcp 1.2.3.1:80 to scheduler wlc, persistence 300 s; connections stay
        delete the virtual service tcp 1.2.3.1:80 with its servers; its connections end
        add the server 192.168.1.3:80 to tcp 1.2.3.1:80, forward nat, weight 2000
        change the server 192.168.1.3:80 of tcp 1.2.3.1:80 to forward nat, weight 5; connections stay
        quiesce the server 192.168.1.3:80 of tcp 1.2.3.1:80: weight 0, its connections may end
        delete the server 192.168.1.3:80 from tcp 1.2.3.1:80; its connections end
        announce the address 1.2.3.1 on eth0 to its neighbours
    "#]]
    .assert_eq(&(text.join("\n") + "\n"));
}

#[test]
fn a_drained_server_is_not_among_those_that_are_up() {
    let mut status = status();
    for (server, forced) in status.servers.iter_mut().zip([Forced::Drain, Forced::Disable]) {
        (server.state, server.forced) = (crate::health::State::Up, forced);
    }
    let text = lines(View::Servers, &status, &[], 80).unwrap();
    let words = |line: &str| line.split_whitespace().nth(2).map(ToString::to_string);
    assert_eq!(text[0], "pool web: 0 of 3 servers up, 1 drained, 1 disabled, forward nat, check http");
    let rows = text.iter().filter(|line| line.starts_with("rs"));
    assert_eq!(
        rows.filter_map(|line| words(line)).collect::<Vec<_>>(),
        ["drained", "disabled", "reentering"]
    );
}

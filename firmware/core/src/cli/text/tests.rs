// `expect_file!` names `std`.
extern crate std;

use super::*;
use crate::cli::testing::{FIVE_NODES, tree};
use expect_test::{expect, expect_file};

#[test]
fn the_five_node_example_is_exported_in_canonical_order_without_defaults() {
    let config = parse_set_lines(FIVE_NODES).unwrap();
    expect_file!["../../../../../tests/golden/cli/five-nodes.set"].assert_eq(&export_set_lines(&config));
    let tree = bind::to_tree(&config);
    expect_file!["../../../../../tests/golden/cli/five-nodes.braces"]
        .assert_eq(&(braces(&tree, &[]).join("\n") + "\n"));
    let text = json(&tree, &[]);
    serde_json::from_str::<serde_json::Value>(&text).unwrap();
    expect_file!["../../../../../tests/golden/cli/five-nodes.json"].assert_eq(&(text + "\n"));
}

#[test]
fn every_wrong_line_is_reported_with_its_place_and_the_fix() {
    let text = "# a comment\n\nset sevice web\nset pool web fall 0\nset pool web fall\n  set pool web check htp\n\
                delete pool web\nset real-server rs1 address 1.2.3.4/24\nset pool web interval 10\n\
                set pool web server rs1 interval 2s\nset pool web server\nset\nset s\n\
                set service web port 80 port 70000\nset node primary interface public address 1.2.3.4\n\
                set route 10.1.0.0/8 via 1.2.3.4\nset pool we!b\nset cluster\r\nset floating vs1 addres 1.2.3.1/24\n\
                set pool web check none now\n";
    let errors: Vec<String> = parse_set_lines(text).unwrap_err().iter().map(ToString::to_string).collect();
    expect![[r#"
        line 3, column 5: "sevice" is not known here: did you mean "service"?
        line 4, column 19: fall "0": must be a whole number, 1 to 255
        line 5, column 18: fall needs a value: 1 to 255; default 3
        line 6, column 22: check "htp": not known here: did you mean "http"?
        line 7, column 1: a line starts with "set", not with "delete"
        line 8, column 29: address "1.2.3.4/24": an address without prefix length goes here
        line 9, column 23: interval "10": a time needs a unit: ms, s, m, h or d (for example 10s)
        line 10, column 25: "interval" belongs to "pool web": start a new line for it, or use weight, port, forward, upper, lower or tunnel
        line 11, column 20: server needs a value: name of a real-server
        line 12, column 4: more must follow: system, node, interface, cluster, sync-daemon, floating, route, forwarding, masquerade, sysctl, timeouts, load-monitor, ... (? lists all)
        line 13, column 5: "s" can be system, sync-daemon, sysctl or service: type more letters
        line 14, column 30: port "70000": must be a whole number, 1 to 65535
        line 15, column 43: address "1.2.3.4": needs a prefix length, for example 192.168.1.1/24
        line 16, column 11: route "10.1.0.0/8": has host bits set; the network is 10.0.0.0/8
        line 17, column 10: pool "we!b": '!' is not allowed here: use letters, digits, '.', '_' and '-', with a letter or digit first
        line 18, column 12: more must follow: heartbeat, group, detection, warn-time, start-hold, transport, multicast, path, serial, failback, failback-delay, witness, ... (? lists all)
        line 20, column 25: "now" is not known here: use forward, check, check-port, http, interval, timeout, rise, fall, dead-time, reentry, on-failure, tunnel, ... (? lists all)
    "#]].assert_eq(&(errors.join("\n") + "\n"));
}

#[test]
fn the_difference_of_two_trees_is_said_in_lines_that_can_be_typed() {
    let a = tree("set pool web server rs1 weight 2\nset service web port 80\nset node backup\nset pool old");
    let b = tree(
        "set pool web server rs1 weight 3\nset pool web server rs2\nset service web port 443\nset pool web fall 5\n\
         set floating vs1 address 1.2.3.1/24 interface public",
    );
    expect![[r#"
        - set node backup
        + set floating vs1 address 1.2.3.1/24 interface public
        - set pool old
        + set pool web fall 5
        - set pool web server rs1 weight 2
        + set pool web server rs1 weight 3
        + set pool web server rs2
        - set service web port 80
        + set service web port 443
    "#]]
    .assert_eq(&(difference(&a, &b).join("\n") + "\n"));
    assert_eq!(difference(&a, &a), Vec::<String>::new());
}

#[test]
fn ten_thousand_lines_are_read_in_one_go() {
    let mut text = String::new();
    for i in 0..10_000 {
        _ = writeln!(text, "set real-server rs{i} address 10.{}.{}.{}", i / 65_536, i / 256 % 256, i % 256);
    }
    let config = parse_set_lines(&text).unwrap();
    assert_eq!(config.real_servers.len(), 10_000);
    text.push_str("set real-server one-more address 1.1.1.1\n");
    let errors = parse_set_lines(&text).unwrap_err();
    assert_eq!(
        errors[0].to_string(),
        "line 10001, column 1: at most 10000 real-server entries fit; delete one first"
    );
}

#[test]
fn a_stored_value_out_of_its_range_is_named() {
    let mut config = Config::default();
    assert_eq!(refused_values(&config), Vec::<String>::new());
    config.cluster.pairing.group = 0;
    assert_eq!(refused_values(&config), ["group \"0\": must be a whole number, 1 to 255"]);
}

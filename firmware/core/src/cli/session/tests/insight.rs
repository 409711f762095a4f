//! `show checks` and `why server`.

use super::*;
use crate::director::insight::{Why, WhyPort};
use crate::health::load::{LoadStatus, Wish};
use crate::health::{CheckStatus, State, Transition};
use crate::model::Name;
use crate::model::{Millis, Mono};

fn check() -> CheckStatus {
    CheckStatus {
        target: "192.168.1.3:80".parse().unwrap(),
        question: "http /".into(),
        interval: Millis::from_secs(2),
        timeout: Millis::from_secs(1),
        users: 2,
        finished: Some(Mono::from_millis(3_599_000)),
        took_us: Some(1234),
        failures: 3,
        trouble: None,
        certificate_left_s: None,
        transcript: None,
    }
}

fn loads() -> Vec<LoadStatus> {
    let rwhod = LoadStatus {
        server: "rs1".parse().unwrap(),
        source: "rwhod".into(),
        reading: Some("load 2.00".into()),
        wish: Wish::Up,
        heard: Some(Mono::from_millis(3_500_000)),
        silent: false,
        percent: 75,
        target: 50,
        least: 10,
        greatest: 100,
        most: None,
    };
    let agent = LoadStatus {
        server: "rs2".parse().unwrap(),
        source: "agent".into(),
        reading: None,
        wish: Wish::Drain,
        percent: 0,
        target: 0,
        most: Some(30),
        ..rwhod.clone()
    };
    let silent = LoadStatus {
        server: "rs3".parse().unwrap(),
        silent: true,
        percent: 100,
        target: 100,
        ..rwhod.clone()
    };
    Vec::from([rwhod, agent, silent])
}

pub(super) fn checks() -> Reply {
    let good = CheckStatus { failures: 0, target: "192.168.1.4:80".parse().unwrap(), ..check() };
    let late = CheckStatus {
        target: "[2001:db8::5]:25".parse().unwrap(),
        question: "smtp".into(),
        finished: None,
        took_us: None,
        trouble: Some("has never finished".into()),
        ..good.clone()
    };
    Reply::Checks {
        at: Mono::from_millis(3_600_000),
        checks: Vec::from([check(), good, late]),
        loads: loads(),
    }
}

pub(super) fn why(service: Name, server: Name) -> Reply {
    let said = "> GET / HTTP/1.1\\r\\n\\r\\n\n< HTTP/1.1 503 Service Unavailable\\r\\n";
    let at = Mono::from_millis(3_588_000);
    let reason = String::from("status 503, wanted 200-299 (3 of 3 failures)");
    let change = Transition { at, from: State::Up, to: State::Down, reason: reason.clone() };
    let port = WhyPort {
        port: 80,
        state: Some(State::Down),
        since: at,
        reason,
        transitions: Vec::from([change]),
        checks: Vec::from([CheckStatus { transcript: Some(said.into()), ..check() }]),
        table: Vec::from(["tcp 1.2.3.1:80: weight 0, 7 connections and 2 closing".into()]),
        done: Vec::from([(at, "set the weight of 192.168.1.3:80 to 0".into())]),
    };
    Reply::Why(alloc::boxed::Box::new(Why {
        at: Mono::from_millis(3_600_000),
        service,
        pool: "web".parse().unwrap(),
        server,
        rule: "down after 3 failures in a row, up after a good answer".into(),
        decided: None,
        ports: Vec::from([port]),
    }))
}

#[test]
fn checks_and_the_reasons_of_one_server_are_shown() {
    let mut bench = Bench::configured();
    for line in [
        "show checks",
        "show checks | match never",
        "show checks | json | count",
        "why server web rs1",
        "why server rs1 | match rule",
        "why server web rs1 | json",
    ] {
        bench.keys(line);
        bench.keys("\r");
    }
    expect_file!["../../../../../../tests/golden/cli/insight.transcript"]
        .assert_eq(&(bench.terminal.text() + "\n"));
}

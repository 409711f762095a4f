//! `commit confirmed`, `confirm`, `rollback`, `show commits` as an operator sees them.

use super::*;
use crate::director::protocol::{Recall, Recalled};
use crate::model::Millis;
use crate::model::config::Protocol;
use crate::store::record::SlotState;
use crate::store::slots::Past;
use crate::store::usage::{Place, Usage, Writes};
use crate::store::{Commit, StoreError};

/// What the scripted director has in flash: two earlier commits of the five-node cluster.
pub(super) fn recall(what: Recall) -> Result<Recalled, StoreError> {
    let past = |generation, state, comment: &str| Past {
        generation: Generation(generation),
        state,
        at_unix_s: 1_790_000_000 + generation * 3600,
        comment: comment.parse().unwrap(),
        damage: None,
    };
    match what {
        Recall::List => Ok(Recalled::List(
            Vec::from([
                past(5, SlotState::Tentative, ""),
                Past { at_unix_s: 0, ..past(4, SlotState::Good, "rs3 is back") },
                past(3, SlotState::Good, "before the move to the new rack"),
                Past {
                    damage: Some("generation 2 is damaged in flash".to_string()),
                    ..past(2, SlotState::Good, "")
                },
                past(1, SlotState::Good, ""),
            ]),
            Some(1_790_000_000),
        )),
        Recall::Systems => Ok(super::upgrade::systems()),
        Recall::Lineage => Ok(Recalled::Lineage(Vec::new())),
        Recall::Usage => Ok(Recalled::Usage(Box::new(flash_of_three_places()))),
        Recall::Back(back @ 1..=2) => {
            let mut config = super::super::super::parse_set_lines(FIVE_NODES).unwrap();
            config.services.clear();
            let commit = Commit { config, at_unix_s: 1_790_000_000, comment: "x".parse().unwrap() };
            let generation = Generation(4 - u64::from(back));
            Ok(Recalled::Commit { generation, commit: Box::new(commit) })
        }
        Recall::Rescue => {
            let mut config = super::super::super::parse_set_lines(FIVE_NODES).unwrap();
            config.services.clear();
            let comment = "configuration 1".parse().unwrap();
            Ok(Recalled::Rescue(Box::new(Commit { config, at_unix_s: 1_790_000_000, comment })))
        }
        Recall::Back(back) => Err(StoreError::NoSuchRollback { back, stored: 2 }),
    }
}

fn flash_of_three_places() -> Usage {
    let place = |name: &str, at: u64, number: Option<u64>, state: &str| Place {
        name: name.to_string(),
        at,
        room: 1_044_480,
        used: number.map(|n| n * 100),
        number,
        state: state.to_string(),
        error: None,
    };
    let damaged = Place {
        error: Some("generation 7 is damaged in flash".to_string()),
        ..place("slot 1", 5 << 20, Some(7), "damaged")
    };
    let kind = |kind: &str, writes, places| Writes { kind: kind.to_string(), writes, places };
    Usage {
        boots: 41,
        writes: Vec::from([kind("identity", 44, 2), kind("configuration", 8, 16)]),
        places: Vec::from([
            place("slot 0", 4 << 20, Some(8), "good"),
            damaged,
            place("rescue B", 27 << 20, None, "empty"),
        ]),
    }
}

#[test]
fn the_use_of_the_flash_is_shown_with_what_is_wrong() {
    let mut bench = Bench::configured();
    bench.keys("show flash\rshow flash | json\rshow flash | match DAMAGED\r");
    expect_file!["../../../../../../tests/golden/cli/flash.transcript"]
        .assert_eq(&(bench.terminal.text() + "\n"));
}

fn on_trial() -> Reply {
    Reply::OnTrial {
        generation: Generation(5),
        operations: 1,
        findings: Vec::new(),
        window: Millis::from_secs(300),
        back: Generation(4),
    }
}

#[test]
fn commits_are_listed_gone_back_to_tried_and_confirmed() {
    let mut bench = Bench::configured();
    bench.generation = 4;
    bench.keys("show commits\rshow commits | json\rshow commits | match rack\r");
    bench.keys("show configuration commit 1 | match service\r");
    bench.keys(
        "configure\rrollback\rrollback 16\rrollback 3\rrollback 2\rcompare\rcompare 1\rcommit comment\r",
    );
    bench.keys("commit confirmed soon\rcommit confirmed 2s\r");
    bench.refusal = Some(on_trial());
    bench.keys("commit confirmed 5 without the service\r");
    bench.generation = 5;
    let mut out = Vec::new();
    bench.keys("show serv");
    bench.session.reply(
        Reply::Notice(
            "Commit 5 is on trial: configuration 4 runs again in 1m unless \"confirm\" is typed.".into(),
        ),
        &mut out,
    );
    bench.run(out);
    bench.keys("\x15commit\rset pool web fall 5\rcommit comment more patience\rrollback 0\rconfirm\rexit\rconfirm\rshow comm?");
    expect_file!["../../../../../../tests/golden/cli/commits.transcript"]
        .assert_eq(&(bench.terminal.text() + "\n"));
}

#[test]
fn the_last_server_is_drained_only_after_a_question() {
    let mut bench = Bench::configured();
    for line in [
        "server",
        "server rs1",
        "server drain rs1",
        "server rs1 weight 70000",
        "server rs1 drain for ever",
        "server rs1 drain",
        "n",
    ] {
        bench.keys(line);
        bench.keys("\r");
    }
    bench.keys("server rs1 in web drain for 10m\ry\r");
    bench.keys("server rs1 disable\rn\r");
    expect_file!["../../../../../../tests/golden/cli/servers.transcript"]
        .assert_eq(&(bench.terminal.text() + "\n"));
}

#[test]
fn a_commit_that_does_harm_says_so_and_asks_a_person_but_not_a_paste() {
    let mut bench = Bench::configured();
    let service =
        |port| ServiceKey::Address { protocol: Protocol::Tcp, address: "1.2.3.1".parse().unwrap(), port };
    let dest = DestKey { address: "192.168.1.3".parse().unwrap(), port: 80 };
    let names = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(pool, server)| (pool.parse().unwrap(), server.parse().unwrap())).collect()
    };
    bench.impact = Impact {
        lost: Vec::from([
            Lost { service: service(443), dest: None, active: 7, inactive: 3, persistent: 2 },
            Lost { service: service(80), dest: Some(dest), active: 1, inactive: 0, persistent: 0 },
        ]),
        connections: 11,
        clients: 2,
        leaving: names(&[("web", "rs1"), ("web", "rs2")]),
        leaving_count: 12,
        emptied: Vec::from(["web".parse().unwrap()]),
        emptied_count: 1,
        deleted_in_use: 1,
    };
    bench.keys("configure\r");
    bench.keys("delete pool web server rs1\r");
    bench.keys("commit check | match would\r");
    bench.keys("commit\r");
    bench.keys("?n\r");
    bench.keys("commit\r");
    bench.keys("exit\r");
    bench.keys("commit\rshow version\r");
    bench.keys("commit confirmed 5 try it\r");
    bench.keys("y\r");
    bench.keys("set pool web fall 5\r");
    bench.keys("commit force\r");
    bench.keys("commit ?");
    expect_file!["../../../../../../tests/golden/cli/harm.transcript"]
        .assert_eq(&(bench.terminal.text() + "\n"));
}

//! What somebody in the field needs: which box this is, whether an address answers, where one can go back to.

use super::*;
use crate::director::protocol::{ClusterAction, Maintenance};
use crate::director::status::TrialStatus;
use crate::model::Mono;
use crate::store::identity::Role;

fn tick(bench: &mut Bench, ms: u64) {
    let mut out = Vec::new();
    bench.session.tick(Mono::from_millis(ms), &mut out);
    bench.run(out);
}

fn golden(bench: &Bench, name: &str) {
    expect_file![alloc::format!("../../../../../../tests/golden/cli/{name}.transcript")]
        .assert_eq(&(bench.terminal.text() + "\n"));
}

#[test]
fn a_box_becomes_the_other_of_a_pair_after_a_question_and_only_then() {
    let mut bench = Bench::configured();
    bench.keys("help pair\rcluster ?\x15cluster identity\rcluster identity primary\r");
    bench.keys("configure\rset pool web fall 9\rrun cluster identity backup\rn\rdiscard\rexit\r");
    bench.held = Some(Vec::new());
    bench.keys("cluster identity backup\ry\r");
    let asked = bench.held.as_ref().and_then(|held| held.last().cloned());
    assert_eq!(asked, Some(Request::Maintain(Maintenance::Identity(Role::Backup))));
    let refused = Reply::Refused { reason: "the backup node is heard".into(), findings: Vec::new() };
    let mut out = Vec::new();
    bench.session.reply(refused, &mut out);
    bench.run(out);
    bench.held = None;
    bench.keys("cluster identity backup\ry\r");
    bench.lose();
    golden(&bench, "identity");
}

#[test]
fn a_blank_backup_says_where_its_configuration_comes_from() {
    let mut bench = Bench::unanswered();
    let mut status = status();
    (status.system.identity, status.system.generation) = (Role::Backup, Generation(0));
    let mut out = Vec::new();
    bench.session.reply(Reply::Status(status), &mut out);
    bench.run(out);
    assert!(bench.terminal.text().contains("This box is node backup of a pair and not configured"));
}

#[test]
fn a_ping_goes_on_once_a_second_until_all_were_sent_or_somebody_ends_it() {
    let mut bench = Bench::configured();
    tick(&mut bench, 1000);
    bench.keys("ping\rping ?\x15ping lvs2\rping 1.2.3.254 5\rping 1.2.3.254 count 0\r");
    bench.keys("ping 1.2.3.254 count 2\rshow version | count\r");
    tick(&mut bench, 1999);
    assert!(bench.session.waiting());
    assert_eq!(bench.session.deadline(), Some(Mono::from_millis(2000)));
    tick(&mut bench, 2000);
    bench.settle();
    assert!(!bench.session.waiting());
    bench.refusal = Some(Reply::Pinged(Err("no answer within 1s".into())));
    bench.keys("ping 2001:db8::1 count 1\r");
    bench.keys("ping 1.2.3.254\r");
    bench.keys("\x03");
    bench.held = Some(Vec::new());
    bench.keys("ping 1.2.3.254\r\x03");
    bench.held = None;
    tick(&mut bench, 60_000);
    bench.keys("ping 1.2.3.254\r");
    bench.lose();
    assert!(!bench.session.waiting());
    golden(&bench, "ping");
}

#[test]
fn addresses_are_announced_again_by_command() {
    let mut bench = Bench::configured();
    bench.held = Some(Vec::new());
    bench.keys("cluster announce\r");
    assert_eq!(bench.held.unwrap().last(), Some(&Request::Cluster(ClusterAction::Announce)));
}

#[test]
fn only_commits_that_exist_are_offered_to_go_back_to() {
    let mut bench = Bench::configured();
    bench.generation = 4;
    bench.keys("show configuration commit ?1\rconfigure\rrollback ?r?escue\rcompare ?\x15rollback 7?\x15");
    golden(&bench, "rollback");
}

#[test]
fn who_leaves_a_commit_on_trial_is_reminded_of_it() {
    let mut bench = Bench::configured();
    bench.keys("configure\r");
    let mut status = status();
    let deadline = Mono::from_millis(status.at.millis() + 112_000);
    status.system.trial = Some(TrialStatus { deadline, back: Generation(3) });
    bench.session.know(status);
    bench.keys("exit\r");
    let text = bench.terminal.text();
    let reminder = "On trial: configuration 3 runs again in 1m52s unless \"confirm\" is typed.";
    assert!(text.contains(reminder), "{text}");
}

#[test]
fn what_changes_outside_the_kernel_is_said_in_words() {
    let mut bench = Bench::configured();
    bench.nothing = true;
    bench.keys("configure\rset pool web fall 7\rset system time-server 1.2.3.254\rcommit check\r");
    bench.keys("set cluster secret 0123456789abcdef\rcommit check\r");
    bench.keys("run export\rrun setup\rrun exit\r");
    bench.keys("commit comment \"two words\"\r");
    golden(&bench, "outside");
}

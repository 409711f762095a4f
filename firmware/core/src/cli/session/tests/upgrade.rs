//! `upgrade` as an operator and as a program on the line see it.

use super::*;
use crate::cli::transfer::{Action, Lines, Push};
use crate::director::protocol::{Recalled, Reply, Request, SystemsNow};
use crate::director::status::SlotStatus;
use crate::director::upgrading::{Progress, UpgradeAsk};
use crate::upgrade::environment::{Environment, Slot};
use crate::upgrade::running::Running;
use crate::upgrade::systems::{Held, Systems};

/// The other slot was filled a moment ago.
pub(super) fn systems() -> Recalled {
    let slots = [Held::System("0.1.0".to_string()), Held::System("0.2.0".to_string())];
    let running = Running { slot: Slot::A, trial: false, rescue: false };
    let now = SystemsNow {
        running: Some(SlotStatus { running, proven: true }),
        waits: None,
        progress: Progress::Ready { version: "0.2.0".to_string() },
        cluster: Some(("first-tries".into(), "the backup tries version 0.2.0".into())),
    };
    Recalled::Systems(Box::new(Systems { slots, environment: Ok(Environment::settled(Slot::A)) }), now)
}

/// A director that takes every block and refuses to stop.
pub(super) fn serve(ask: &UpgradeAsk) -> Reply {
    let done = |text: &str| Reply::Done { text: text.to_string() };
    match ask {
        UpgradeAsk::From(url) => done(&alloc::format!("fetching {url} into slot b")),
        UpgradeAsk::Offer { .. } => Reply::Have(0),
        UpgradeAsk::Block { offset, bytes } => {
            Reply::Have(offset.saturating_add(u64::try_from(bytes.len()).unwrap()))
        }
        UpgradeAsk::End { .. } => done("it is in the other slot"),
        UpgradeAsk::Cancel => {
            Reply::Refused { reason: "the director is stopping".into(), findings: Vec::new() }
        }
        UpgradeAsk::Boot => done("the other system gets a trial; rebooting"),
        UpgradeAsk::Cluster => done("both boxes are upgraded, one after the other: show upgrade"),
        UpgradeAsk::Confirm => done("the boot loader is being told that this system stays"),
    }
}

#[test]
fn an_upgrade_is_fetched_looked_at_and_started() {
    let mut bench = Bench::configured();
    for line in [
        "upgrade from",
        "upgrade from ftp://192.168.1.3/x",
        "upgrade from http://files.example/x",
        "upgrade from http://192.168.1.3/d.upgrade",
        "show upgrade",
        "upgrade status | json",
        "upgrade cancel",
        "upgrade boot",
        "n",
        "upgrade boot",
        "y",
        "upgrade confirm",
    ] {
        bench.keys(line);
        bench.keys("\r");
    }
    expect_file!["../../../../../../tests/golden/cli/upgrade.transcript"]
        .assert_eq(&(bench.terminal.text() + "\n"));
}

#[test]
fn a_program_on_the_line_sends_an_upgrade_through_the_console() {
    let mut bench = Bench::configured();
    bench.keys("configure\rtransfer\r");
    let mut push = Push::upgrade(Vec::from([7; 5000])).unwrap();
    let (mut lines, mut action) = (Lines::default(), push.ask());
    while let Action::Send(bytes) = action {
        action = Action::Wait;
        for byte in typed(&mut bench, &bytes) {
            if let Some(message) = lines.feed(byte) {
                action = push.take(message);
            }
        }
    }
    assert_eq!(action, Action::Done);
    assert_eq!(push.progress(), (5000, 5000));
}

/// What the console writes when this is typed.
#[expect(clippy::wildcard_enum_match_arm, reason = "anything else is a failure")]
fn typed(bench: &mut Bench, bytes: &[u8]) -> Vec<u8> {
    let (mut out, mut written) = (Vec::new(), Vec::new());
    bench.session.input(bytes, &mut out);
    while !out.is_empty() {
        let mut next = Vec::new();
        for output in out {
            match output {
                Output::Write(bytes) => written.extend(bytes),
                Output::Request(request) => match *request {
                    Request::Upgrade(ask) => bench.session.reply(serve(&ask), &mut next),
                    other => panic!("an upload asks nothing else: {other:?}"),
                },
                other => panic!("an upload does nothing else: {other:?}"),
            }
        }
        out = next;
    }
    written
}

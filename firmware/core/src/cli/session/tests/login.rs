//! Who may type, and the ways out of trouble, as an operator sees them.

use super::*;
use crate::login::{Access, Hash, PASSWORD_MAX, Password};
use crate::model::{Millis, Mono};

const HASH: &str = "$argon2id$v=19$m=8192,t=3,p=1$c29tZXNhbHQ$RdescudvJCsgt3ub+b4dWRWJTmaaJObG";
const RIGHT: &str = "correct horse";

/// A console with a password, and a shell that hashes at once.
struct Gate {
    bench: Bench,
    now: u64,
}

impl Gate {
    fn with(wrong: u32, idle: Millis) -> Self {
        let mut bench = Bench::configured();
        bench.terminal = Terminal::wrapping(80);
        bench.session = Session::new(Some("lvs1"));
        let mut gate = Self { bench, now: 1 };
        gate.begin(wrong, idle);
        gate
    }

    fn new() -> Self {
        Self::with(0, Millis::from_secs(600))
    }

    fn begin(&mut self, wrong: u32, idle: Millis) {
        let access = Access { password: Some(HASH.parse().unwrap()), idle };
        let mut out = Vec::new();
        self.bench.session.admit(Some(&access), wrong);
        self.bench.session.tick(Mono::from_micros(self.now), &mut out);
        self.bench.session.start(&mut out);
        self.bench.run(out);
    }

    /// The next session at this line.
    fn again(&mut self) {
        let session = core::mem::replace(&mut self.bench.session, Session::new(None));
        self.bench.session = session.successor(Some("lvs1"));
        self.begin(0, Millis::from_secs(600));
    }

    fn types(&mut self, keys: &str) {
        for line in keys.split_inclusive('\r') {
            self.bench.keys(line);
            self.crypt();
        }
    }

    /// What the shell does with passwords.
    fn crypt(&mut self) {
        for output in core::mem::take(&mut self.bench.others) {
            let mut out = Vec::new();
            match output {
                Output::Verify { password, hash } => {
                    assert_eq!(hash.reveal(), HASH);
                    self.bench.session.verified(password == Password::from(RIGHT), &mut out);
                }
                Output::Hash(password) => {
                    assert_eq!(password, Password::from("battery staple"));
                    self.bench.session.hashed(Hash::parse(HASH), &mut out);
                }
                other @ (Output::Write(_)
                | Output::Request(_)
                | Output::ShowLog { .. }
                | Output::ShowConnections(_)
                | Output::DirectPower(_)
                | Output::RestartDirector
                | Output::ShowHardware
                | Output::Salt
                | Output::WrongPasswords(_)
                | Output::Logout) => self.bench.others.push(other),
            }
            self.bench.run(out);
        }
    }

    fn passes(&mut self, seconds: u64) {
        self.now += seconds * 1_000_000;
        let mut out = Vec::new();
        self.bench.session.tick(Mono::from_micros(self.now), &mut out);
        self.bench.run(out);
    }

    fn prompt(&self) -> String {
        self.bench.last_line().trim_end().to_string()
    }
}

#[test]
fn nothing_is_shown_and_nothing_is_done_before_the_password() {
    let mut gate = Gate::new();
    gate.bench.session.director_lost(&mut Vec::new());
    let mut out = Vec::new();
    gate.bench.session.director_back(&mut out);
    gate.bench.session.reply(Reply::Notice("secret news".into()), &mut out);
    assert_eq!(out, []);
    gate.types("\rshow version?\t\x03\x04poweroff\r");
    gate.passes(1);
    gate.types("correct horsf\x7fe\x1b[A\x1b[24;80R\r");
    gate.types("show version | match firmware\r");
    expect_file!["../../../../../../tests/golden/cli/login.transcript"]
        .assert_eq(&(gate.bench.terminal.text() + "\n"));
}

#[test]
fn each_wrong_password_makes_the_console_deaf_for_longer_and_what_is_typed_meanwhile_is_lost() {
    let mut gate = Gate::new();
    for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
        gate.types("let me in\r");
        gate.types(&format!("{RIGHT}\r"));
        gate.passes(seconds - 1);
        gate.types(&format!("{RIGHT}\r"));
        assert_ne!(gate.prompt(), "Password:");
        gate.passes(1);
        assert_eq!(gate.prompt(), "Password:");
    }
    gate.types(&format!("{RIGHT}\r"));
    assert!(gate.bench.terminal.text().contains("8 wrong passwords since the last login."));
    assert_eq!(gate.prompt(), "lvs1>");
    assert_eq!(gate.bench.others.last(), Some(&Output::WrongPasswords(0)));
}

#[test]
fn a_console_that_is_started_again_does_not_forget_wrong_passwords() {
    let mut gate = Gate::with(4, Millis::from_secs(600));
    gate.types(&format!("{RIGHT}\r"));
    gate.passes(7);
    gate.types(&format!("{RIGHT}\r"));
    assert_ne!(gate.prompt(), "lvs1>");
    gate.passes(1);
    gate.types(&format!("{RIGHT}\r"));
    assert_eq!(gate.prompt(), "lvs1>");
}

#[test]
fn uncommitted_changes_outlive_an_idle_session_and_a_broken_line() {
    let mut gate = Gate::new();
    gate.types(&format!("{RIGHT}\rconfigure\rset pool web fall 5\r"));
    gate.passes(541);
    gate.passes(60);
    assert_eq!(gate.bench.others.pop(), Some(Output::Logout));
    gate.again();
    gate.types(&format!("{RIGHT}\r\0"));
    assert_eq!(gate.bench.others.pop(), Some(Output::Logout));
    gate.again();
    gate.types(&format!("{RIGHT}\rconfigure\rcompare\rdiscard\rexit\rexit\r"));
    gate.again();
    gate.types(&format!("{RIGHT}\rconfigure\rcompare\r"));
    expect_file!["../../../../../../tests/golden/cli/idle.transcript"]
        .assert_eq(&(gate.bench.terminal.text() + "\n"));
}

#[test]
fn a_new_password_is_asked_for_twice_and_shown_nowhere() {
    let mut gate = Gate::new();
    gate.types(&format!("{RIGHT}\rconfigure\r"));
    gate.types("set system password\rshort\r");
    gate.types("set system password\rbattery staple\rbattery stable\r");
    gate.types("set system password\rbattery staple\x03");
    gate.types("set system password battery\r");
    gate.types("set system password\rbattery staple\rbattery staple\r");
    gate.types("edit system\rset password\rbattery staple\rbattery staple\rtop\r");
    gate.types(
        "compare\rshow system | set\rshow system | json\rset system password-hash $argon2id$v=19$m=1\r",
    );
    gate.types("set system idle-timeout 5s\rcommit\rset system idle-timeout 5m\rcommit\r");
    let text = gate.bench.terminal.text();
    assert!(!text.contains("staple") && !text.contains("c29tZX"), "{text}");
    assert_eq!(gate.bench.config.system.password.as_ref().map(|p| p.reveal().to_string()), Some(HASH.into()));
    expect_file!["../../../../../../tests/golden/cli/password.transcript"].assert_eq(&(text + "\n"));
    // The line that has a password in it cannot be called up again.
    gate.types("\x12battery");
    assert!(!gate.bench.last_line().contains("password battery"), "{}", gate.bench.last_line());
}

#[test]
fn a_password_of_the_longest_length_is_whole_and_a_longer_one_is_none() {
    let mut gate = Gate::new();
    gate.types(&format!("{RIGHT}\rconfigure\rset system password\r"));
    gate.types(&"x".repeat(PASSWORD_MAX + 1));
    gate.types("\r");
    assert!(gate.bench.terminal.text().contains("A password has 8 to 128 characters."));
    assert_eq!(gate.prompt(), "lvs1#");
}

#[test]
fn while_it_is_not_known_who_may_type_the_log_can_be_read_and_nothing_be_changed() {
    let mut bench = Bench::configured();
    bench.terminal = Terminal::wrapping(80);
    bench.session = Session::new(None);
    bench.session.admit(None, 0);
    let mut out = Vec::new();
    bench.session.start(&mut out);
    bench.run(out);
    bench.log = Vec::from(["director: flash does not answer".to_string()]);
    for line in ["?", "show log\r", "configure\r", "factory-reset\r", "show configuration\r", "reboot\ry\r"] {
        bench.keys(line);
    }
    assert_eq!(bench.others, [Output::DirectPower(Power::Reboot)]);
    expect_file!["../../../../../../tests/golden/cli/limited.transcript"]
        .assert_eq(&(bench.terminal.text() + "\n"));
}

#[test]
fn a_rescue_configuration_is_kept_shown_and_gone_back_to() {
    let mut bench = Bench::configured();
    bench.keys(
        "rescue save\rshow rescue | match pool\rshow rescue\rconfigure\rrollback rescue\rcompare\rexit\ry\r",
    );
    bench.keys("rescue delete\rrescue\rrollback rescue\r");
    expect_file!["../../../../../../tests/golden/cli/rescue.transcript"]
        .assert_eq(&(bench.terminal.text() + "\n"));
}

#[test]
fn a_factory_reset_says_what_is_lost_and_wants_its_name_again() {
    let mut bench = Bench::configured();
    bench.keys("factory-reset\ry\rfactory-reset\r\x03factory-reset\r?\x04");
    bench.refusal = Some(Reply::Refused { reason: "a commit is under way".into(), findings: Vec::new() });
    bench.keys("factory-reset\rfactory-reset\r");
    bench.keys("factory-reset\rfactory-reset\r");
    bench.lose();
    expect_file!["../../../../../../tests/golden/cli/factory-reset.transcript"]
        .assert_eq(&(bench.terminal.text() + "\n"));
}

//! Who may type: the password, what ends a session, and what is left without a director.

use anyhow::{Context as _, Result, ensure};
use director_qemu::lab::Lab;
use director_qemu::run_folder::RunFolder;
use director_qemu::scenario;
use director_qemu::serial::Serial;
use director_vm_tests::director::{LVS1, SOON, commit, number, system};
use director_vm_tests::login::{ASKS, PASSWORD, expect, logged_in, set_password};
use director_vm_tests::suite::{self, Case, Suite};
use serde_json::json;
use std::process::ExitCode;
use std::time::Duration;

/// `system idle-timeout` of the case; the shortest that may be set.
const IDLE: Duration = Duration::from_secs(10);
/// For what reads the flash at one request a second.
const PATIENCE: Duration = Duration::from_secs(90);

const CASES: &[Case] = &[
    ("a_password_is_asked_for_after_logout_and_each_wrong_one_costs_more_time", a_password_is_asked_for),
    ("a_break_ends_the_session_and_keeps_the_changes", a_break_ends_the_session),
    ("silence_ends_the_session_and_keeps_the_changes", silence_ends_the_session),
    ("before_the_flash_is_read_the_console_is_limited_and_then_asks", a_limited_console),
];

fn main() -> ExitCode {
    suite::main(Suite { start, baseline: |lab| logged_in(lab), repair, cases: CASES })
}

fn start(folder: RunFolder) -> Result<Lab> {
    let mut lab = Lab::prepare(scenario::named("five-node-test").context("scenario")?, folder)?;
    lab.boot()?;
    Ok(lab)
}

fn repair(lab: &mut Lab) -> Result<()> {
    lab.director(LVS1)?.console().send(b"\x03\x03\x03\r")?;
    lab.reset(LVS1).or_else(|error| {
        // With a password there is no prompt, but a question.
        if line(lab)?.present_line().ends_with(ASKS) { Ok(()) } else { Err(error) }
    })
}

fn line(lab: &Lab) -> Result<&Serial> {
    Ok(lab.director(LVS1)?.console())
}

fn a_password_is_asked_for(lab: &mut Lab) -> Result<()> {
    let console = line(lab)?;
    let began = console.mark();
    set_password(lab)?;
    let shown = lab.ask(LVS1, "show configuration | match password")?.join("\n");
    ensure!(shown.contains("********"), "{shown}");
    expect(lab, "exit", ASKS)?;
    for seconds in [1, 2] {
        let mark = expect(lab, "battery staple", &format!("The next one is taken in {seconds}s"))?;
        let refused = lab.hub().elapsed();
        // Typed while the console is deaf: thrown away, or it would be the right one.
        console.send(format!("{PASSWORD}\r").as_bytes())?;
        console.wait_for(&format!("{seconds}s.\r\n{ASKS}"), mark, lab.scaled(SOON))?;
        let waited = lab.hub().elapsed().saturating_sub(refused);
        ensure!(waited >= Duration::from_millis(seconds * 900), "asked again after {waited:?}");
    }
    let mark = expect(lab, PASSWORD, "2 wrong passwords since the last login")?;
    console.wait_prompt(mark, lab.scaled(SOON))?;
    ensure!(!console.since(began).contains(PASSWORD), "the password was shown");
    let log = lab.ask(LVS1, "show log 40")?.join("\n");
    ensure!(log.to_lowercase().contains("wrong password"), "nothing was logged: {log}");
    Ok(())
}

/// Half a change, for the next session to find.
fn begin_a_change(lab: &Lab) -> Result<()> {
    lab.tell(LVS1, "configure")?;
    lab.tell(LVS1, "set pool web server rs1 weight 123").map(|_| ())
}

fn finds_the_change(lab: &Lab) -> Result<()> {
    logged_in(lab)?;
    lab.tell(LVS1, "configure")?;
    let compared = lab.ask(LVS1, "compare")?.join("\n");
    ensure!(compared.contains("rs1 weight 123"), "the change was not kept: {compared}");
    lab.ask(LVS1, "discard")?;
    lab.ask(LVS1, "exit").map(|_| ())
}

fn a_break_ends_the_session(lab: &mut Lab) -> Result<()> {
    begin_a_change(lab)?;
    let console = line(lab)?;
    let mark = console.mark();
    lab.director(LVS1)?.qmp()?.execute("chardev-send-break", &json!({ "id": "ttyS0" }))?;
    console.wait_for("The line was interrupted: the session ended", mark, lab.scaled(SOON))?;
    console.wait_for(ASKS, mark, lab.scaled(SOON))?;
    finds_the_change(lab)
}

fn silence_ends_the_session(lab: &mut Lab) -> Result<()> {
    commit(lab, &[&format!("set system idle-timeout {}s", IDLE.as_secs())])?;
    // For new sessions.
    expect(lab, "exit", ASKS)?;
    logged_in(lab)?;
    begin_a_change(lab)?;
    let (mark, began) = (line(lab)?.mark(), lab.hub().elapsed());
    line(lab)?.wait_for("the session ended", mark, IDLE + lab.scaled(SOON))?;
    let took = lab.hub().elapsed().saturating_sub(began);
    ensure!(took + Duration::from_secs(1) > IDLE, "already after {took:?}");
    line(lab)?.wait_for(ASKS, mark, lab.scaled(SOON))?;
    finds_the_change(lab)?;
    lab.tell(LVS1, "terminal idle 0")?;
    commit(lab, &["delete system idle-timeout"]).map(|_| ())
}

/// The flash answers one request a second, so that the console is there long before the director knows anything.
fn a_limited_console(lab: &mut Lab) -> Result<()> {
    let throttle = |lab: &Lab, iops: u32| -> Result<()> {
        let limits = json!({
            "device": "flash", "bps": 0, "bps_rd": 0, "bps_wr": 0, "iops": iops, "iops_rd": 0, "iops_wr": 0
        });
        lab.director(LVS1)?.qmp()?.execute("block_set_io_throttle", &limits).map(|_| ())
    };
    let before = number(&system(lab)?, "boots")?;
    throttle(lab, 1)?;
    let mark = line(lab)?.mark();
    lab.director(LVS1)?.reset()?;
    line(lab)?.wait_for("has not read the configuration yet", mark, lab.scaled(PATIENCE))?;
    let prompt = line(lab)?.wait_prompt(mark, lab.scaled(SOON))?;
    let answer = lab.ask(LVS1, "configure")?.join("\n");
    ensure!(answer.contains("is not known here"), "{prompt}: {answer}");
    let log = lab.ask(LVS1, "show log 5")?;
    ensure!(!log.is_empty(), "no log");
    throttle(lab, 0)?;
    line(lab)?.wait_for(ASKS, mark, lab.scaled(PATIENCE))?;
    logged_in(lab)?;
    lab.wait_until_it_answers()?;
    ensure!(number(&system(lab)?, "boots")? == before + 1, "more than one boot");
    Ok(())
}

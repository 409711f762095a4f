//! What a commit may touch, how it is taken back, and what is left after a factory reset.

use anyhow::{Context as _, Result, ensure};
use director_qemu::lab::Lab;
use director_qemu::process::Process;
use director_qemu::run_folder::RunFolder;
use director_qemu::scenario;
use director_vm_tests::counters::{Frozen, freeze};
use director_vm_tests::director::{
    LVS1, SOON, Usable, commit, kernel_weight, number, rows, server, system, wait_usable,
};
use director_vm_tests::suite::{self, Case, Suite};
use std::fmt::Write as _;
use std::fs;
use std::process::ExitCode;
use std::time::Duration;

const VIRTUAL: &str = "http://1.2.3.1/";
/// `commit confirmed` of the issue that asked for it.
const TRIAL: Duration = Duration::from_secs(30);
/// With the two of the scenario as many as there may be.
const SERVICES: usize = 998;
/// As fast as the emulated line takes it; XOFF holds it.
const BAUD: u32 = 3_000_000;
/// How long the line may stand still, and how long the console may take for 1,000 services.
const PATIENCE: Duration = Duration::from_secs(60);
/// What must not be left on the disk, beside the hash of the password.
const HOST_NAME: &str = "nobody-may-find-me";
const HASH: &str = "$argon2id$v=19$m=8192,t=3,p=1$c29tZXNhbHQ$RdescudvJCsgt3ub+b4dWRWJTmaaJObG";

const CASES: &[Case] = &[
    ("a_commit_that_nobody_confirms_goes_back_and_touches_nothing_shared", nobody_confirms),
    ("the_rescue_configuration_comes_back_as_it_was_saved", the_rescue_configuration_comes_back),
    ("a_persistent_drain_outlives_a_reboot_and_another_does_not", a_persistent_drain_outlives_a_reboot),
    ("a_commit_that_changes_one_service_of_a_thousand_touches_only_that_one", one_of_a_thousand),
    ("a_factory_reset_leaves_nothing_of_the_configuration_on_the_disk", a_factory_reset_leaves_nothing),
];

fn main() -> ExitCode {
    suite::main(Suite { start, baseline: |_| Ok(()), repair, cases: CASES })
}

fn start(folder: RunFolder) -> Result<Lab> {
    let mut lab = Lab::prepare(scenario::named("five-node-test").context("scenario")?, folder)?;
    lab.boot()?;
    Ok(lab)
}

fn repair(lab: &mut Lab) -> Result<()> {
    lab.power_cycle(LVS1)?;
    lab.wait_until_it_answers()
}

/// A download that goes on for longer than the case.
fn long_download(lab: &Lab) -> Result<Process> {
    let data = lab.switch().watch(lab.segment("public")?, |frame| {
        frame.ipv4().and_then(|packet| packet.ports).is_some_and(|(from, _)| from == 80)
    });
    let url = format!("{VIRTUAL}slow");
    let download = lab.spawn("client", ["curl", "-sS", "--noproxy", "*", "-o", "/dev/null", &url])?;
    lab.hub().eventually("a download under way", lab.scaled(SOON), || match data.hits() {
        0..100 => Err(format!("{} frames", data.hits())),
        _ => Ok(()),
    })?;
    Ok(download)
}

fn nobody_confirms(lab: &mut Lab) -> Result<()> {
    let (config, before) = (lab.ask(LVS1, "show configuration | set")?, system(lab)?);
    let download = long_download(lab)?;
    let connection = active(lab)?;
    let frozen = freeze(lab)?;
    lab.tell(LVS1, "configure")?;
    for line in [
        "set pool web server rs2 weight 77",
        "set pool more forward nat",
        "set pool more check none",
        "set pool more server rs3 weight 1",
        "set service more address vs1 protocol tcp port 81",
        "set service more pool more",
    ] {
        lab.tell(LVS1, line)?;
    }
    let said = lab.tell(LVS1, &format!("commit confirmed {}s", TRIAL.as_secs()))?.join(" ");
    ensure!(said.contains("On trial"), "{said}");
    lab.ask(LVS1, "exit")?;
    ensure!(kernel_weight(lab, 80, "192.168.1.4")? == Some(77), "the trial does not run");
    ensure!(kernel_weight(lab, 81, "192.168.1.5")? == Some(1), "the trial does not run");
    let trial = system(lab)?;
    ensure!(number(&trial, "confirm_back")? == number(&before, "generation")?, "{trial}");

    // Silence; the console says when it is over.
    let left = Duration::from_millis(number(&trial, "confirm_left_ms")?);
    let console = lab.director(LVS1)?.console();
    let mark = console.mark();
    console.wait_for("was not confirmed", mark, left + lab.scaled(SOON))?;
    console.wait_prompt(mark, lab.scaled(SOON))?;
    let after = system(lab)?;
    ensure!(after["confirm_back"].is_null(), "{after}");
    ensure!(lab.ask(LVS1, "show configuration | set")? == config, "another configuration runs");
    for same in ["boots", "director_started_at_ms"] {
        ensure!(after[same] == before[same], "{before} {after}");
    }
    ensure!(download.status().is_none(), "the download ended: {:?}", download.stderr());
    ensure!(active(lab)? >= connection, "the connection of the download is no longer in the table");
    // The weight is back, the second service gone, and nothing was counted anew.
    Frozen::went_on(&frozen, &freeze(lab)?, &[])?;
    download.stop()?;
    lab.get_many("client", VIRTUAL, 4).map(|_| ())
}

/// Active connections of the service on port 80.
fn active(lab: &Lab) -> Result<u64> {
    let all = rows(lab, "ipvs")?;
    let service = all.iter().find(|row| row["port"] == 80).context("no service on port 80")?;
    let dests = service["servers"].as_array().context("no servers")?;
    dests.iter().map(|dest| number(dest, "active")).sum()
}

fn the_rescue_configuration_comes_back(lab: &mut Lab) -> Result<()> {
    let config = lab.ask(LVS1, "show configuration | set")?;
    lab.tell(LVS1, "rescue save")?;
    commit(lab, &["set pool web server rs1 weight 11", "delete pool web server rs3", "set pool web fall 5"])?;
    ensure!(lab.ask(LVS1, "show configuration | set")? != config, "nothing was changed");
    lab.power_cycle(LVS1)?;
    lab.wait_until_it_answers()?;
    lab.tell(LVS1, "configure")?;
    lab.tell(LVS1, "rollback rescue")?;
    lab.tell(LVS1, "commit")?;
    lab.ask(LVS1, "exit")?;
    ensure!(lab.ask(LVS1, "show configuration | set")? == config, "not what was saved");
    wait_usable(lab, "192.168.1.5", Usable::Yes, lab.scaled(SOON * 3))?;
    ensure!(kernel_weight(lab, 80, "192.168.1.3")? == Some(2000));
    lab.tell(LVS1, "rescue delete").map(|_| ())
}

fn a_persistent_drain_outlives_a_reboot(lab: &mut Lab) -> Result<()> {
    lab.tell(LVS1, "server rs1 in web drain persistent")?;
    lab.tell(LVS1, "server rs2 in web weight 3")?;
    ensure!(kernel_weight(lab, 80, "192.168.1.3")? == Some(0), "not drained");
    ensure!(kernel_weight(lab, 80, "192.168.1.4")? == Some(3), "no weight");
    let console = lab.director(LVS1)?.console();
    let mark = console.mark();
    console.send(b"reboot\r")?;
    console.wait_for("[y/n]", mark, lab.scaled(SOON))?;
    let mark = console.mark();
    console.send(b"y\r")?;
    console.wait_for("Type ?", mark, lab.scaled(PATIENCE))?;
    console.wait_prompt(mark, lab.scaled(SOON))?;
    lab.wait_until_it_answers()?;
    wait_usable(lab, "192.168.1.4", Usable::Yes, lab.scaled(SOON * 3))?;
    ensure!(kernel_weight(lab, 80, "192.168.1.3")? == Some(0), "the drain did not outlive the reboot");
    ensure!(
        kernel_weight(lab, 80, "192.168.1.4")? == Some(1000),
        "an action came back that was not persistent"
    );
    let row = server(lab, "web", "rs1")?;
    ensure!(row.to_string().contains("drain"), "show servers does not say so: {row}");
    lab.tell(LVS1, "server rs1 in web enable")?;
    wait_usable(lab, "192.168.1.3", Usable::Yes, lab.scaled(SOON)).map(|_| ())
}

/// Services on ports of one address, each with a pool of its own on servers that exist.
fn thousand() -> String {
    let mut text = String::from("configure\r");
    for n in 0..SERVICES {
        // Writing to a String cannot fail.
        write!(text, "set pool p{n} forward nat\rset pool p{n} check none\r").ok();
        write!(text, "set pool p{n} server rs1 weight 10\rset pool p{n} server rs2 weight 10\r").ok();
        write!(text, "set service w{n} address vs1 protocol tcp port {}\r", 1000 + n).ok();
        write!(text, "set service w{n} pool p{n}\r").ok();
    }
    text.push_str("commit\r");
    text
}

fn one_of_a_thousand(lab: &mut Lab) -> Result<()> {
    let console = lab.director(LVS1)?.console();
    let mark = console.mark();
    let paced = console.send_paced(thousand().as_bytes(), BAUD, lab.scaled(PATIENCE))?;
    ensure!(!paced.stuck, "the line was held and never let go: {paced:?}");
    console.wait_for("Committed as generation", mark, lab.scaled(PATIENCE))?;
    console.wait_prompt(mark, lab.scaled(SOON))?;
    lab.ask(LVS1, "exit")?;
    // Something to count: of the one that will be changed, of others, of the first and the last.
    for port in [80, 1000, 1001, 1500, 1997] {
        lab.get("client", &format!("http://1.2.3.1:{port}/")).ok();
    }
    let before = freeze(lab)?;
    ensure!(before.len() == SERVICES + 2, "{} services", before.len());
    commit(lab, &["set pool p500 server rs2 weight 33", "set service w500 scheduler rr"])?;
    let plan = number(&system(lab)?, "last_plan_operations")?;
    ensure!(plan == 2, "{plan} operations for a weight and a scheduler");
    lab.get("client", VIRTUAL)?;
    let after = freeze(lab)?;
    Frozen::went_on(&before, &after, &[1500])?;
    ensure!(kernel_weight(lab, 1500, "192.168.1.4")? == Some(33), "the change is not there");
    Ok(())
}

fn a_factory_reset_leaves_nothing(lab: &mut Lab) -> Result<()> {
    const SECRETS: [&str; 2] = [HOST_NAME, HASH];
    commit(
        lab,
        &[&format!("set node primary hostname {HOST_NAME}"), &format!("set system password-hash {HASH}")],
    )?;
    lab.tell(LVS1, "rescue save")?;
    let boots = number(&system(lab)?, "boots")?;
    let disk = lab.director(LVS1)?.disk().to_owned();
    ensure!(found(&disk, &SECRETS)? == SECRETS, "they are not stored as they are: this would prove nothing");
    let console = lab.director(LVS1)?.console();
    let mark = console.mark();
    console.send(b"factory-reset\r")?;
    console.wait_for("once more to do it:", mark, lab.scaled(SOON))?;
    let mark = console.mark();
    console.send(b"factory-reset\r")?;
    console.wait_for("Type setup", mark, lab.scaled(PATIENCE))?;
    console.wait_prompt(mark, lab.scaled(SOON))?;
    let after = system(lab)?;
    ensure!(number(&after, "generation")? == 0, "{after}");
    ensure!(number(&after, "boots")? == boots + 1, "the boot counter was to stay: {after}");
    ensure!(rows(lab, "ipvs")?.is_empty(), "services are there");
    let commits = lab.json(LVS1, "show commits")?;
    ensure!(commits.as_array().is_some_and(Vec::is_empty), "commits are there: {commits}");
    let left = found(&disk, &SECRETS)?;
    ensure!(left.is_empty(), "still on the disk: {left:?}");
    // Also not for a machine that only now reads the disk.
    lab.power_cycle(LVS1)?;
    ensure!(number(&system(lab)?, "generation")? == 0, "something came up");
    Ok(())
}

/// Which of these a disk image has somewhere.
fn found<'s>(disk: &std::path::Path, what: &[&'s str]) -> Result<Vec<&'s str>> {
    const PIECE: usize = 1 << 20;
    let bytes = fs::read(disk).context("disk")?;
    let mut found: Vec<&str> = Vec::new();
    for start in (0..bytes.len()).step_by(PIECE) {
        // Longer than a piece, for what lies across its end.
        let piece = bytes.get(start..(start + PIECE + PIECE / 2).min(bytes.len())).unwrap_or_default();
        let piece = String::from_utf8_lossy(piece);
        found.extend(what.iter().filter(|text| piece.contains(**text)));
    }
    Ok(what.iter().filter(|text| found.contains(*text)).copied().collect())
}

//! Two directors: one serves, and the other takes over.

use anyhow::{Context as _, Result, ensure};
use director_qemu::lab::Lab;
use director_qemu::process::Process;
use director_qemu::run_folder::RunFolder;
use director_qemu::scenario;
use director_vm_tests::director::{LVS1, SOON, number};
use director_vm_tests::suite::{self, Case, Suite};
use std::process::ExitCode;
use std::time::Duration;

const LVS2: &str = "lvs2";
/// The echo service of the virtual address.
const ECHO: &str = "1.2.3.1:7";
/// How long a client asks while something happens.
const ASKED_S: u32 = 12;
/// Longest time without an answer: dead time, its questions, and what two emulated boxes on a busy machine need.
const GAP_MAX: Duration = Duration::from_secs(4);

const CASES: &[Case] = &[
    ("two_boxes_agree_who_is_active", two_boxes_agree),
    ("datagrams_of_a_stranger_on_the_heartbeat_port_change_nothing", a_stranger_changes_nothing),
    ("standby_by_command_hands_over_and_takeover_brings_it_back", by_command),
    ("a_killed_box_is_replaced_and_takes_back_when_it_returns", a_killed_box),
];

fn main() -> ExitCode {
    suite::main(Suite { start, baseline, repair, cases: CASES })
}

fn start(folder: RunFolder) -> Result<Lab> {
    let mut lab = Lab::prepare(scenario::named("five-node-pair").context("scenario")?, folder)?;
    lab.boot()?;
    Ok(lab)
}

/// The primary serves, and both see their servers.
fn baseline(lab: &mut Lab) -> Result<()> {
    wait_role(lab, LVS1, "active")?;
    wait_role(lab, LVS2, "standby")
}

fn repair(lab: &mut Lab) -> Result<()> {
    lab.power_cycle(LVS1)?;
    lab.power_cycle(LVS2)?;
    lab.wait_until_it_answers()
}

/// Waits until a box has a role, and is as fit as it can be.
fn wait_role(lab: &Lab, director: &str, role: &str) -> Result<()> {
    let limit = lab.scaled(SOON * 4);
    lab.hub().eventually(&format!("{director} {role}"), limit, || {
        let row = lab.json(director, "show cluster").map_err(|error| format!("{error:#}"))?;
        let fit = row["fitness"] == 7 && row["peer"]["alive"] == true && row["peer"]["fitness"] == 7;
        if row["role"] == role && fit { Ok(()) } else { Err(row.to_string()) }
    })
}

/// As [`wait_role`] while something is wrong.
fn wait_takeover(lab: &Lab, director: &str) -> Result<()> {
    lab.hub().eventually(&format!("{director} takes over"), lab.scaled(SOON * 2), || {
        let row = lab.json(director, "show cluster").map_err(|error| format!("{error:#}"))?;
        if row["role"] == "active" { Ok(()) } else { Err(row.to_string()) }
    })
}

/// What the client met, written to the figures.
fn gap(lab: &Lab, client: Process, what: &str) -> Result<()> {
    let ended = client.wait(lab.scaled(Duration::from_secs(u64::from(ASKED_S) + 10)))?;
    let line = ended.stdout.lines().last().context("the client said nothing")?;
    lab.hub().line("test", "figure", &format!("{what}: {line}"));
    let ms: u64 = line.split_whitespace().nth(2).context("no number")?.parse()?;
    ensure!(Duration::from_millis(ms) <= lab.scaled(GAP_MAX), "{what}: {line}");
    Ok(())
}

fn two_boxes_agree(lab: &mut Lab) -> Result<()> {
    for director in [LVS1, LVS2] {
        let row = lab.json(director, "show cluster")?;
        ensure!(row["peer"]["same_configuration"] == true && row["key"] == 1, "{row}");
        let paths = row["paths"].as_array().context("no paths")?;
        ensure!(paths.len() == 2 && paths.iter().all(|p| p["proven_ms"].is_number()), "{row}");
        for line in lab.ask(director, "show cluster")? {
            lab.hub().line("test", director, &line);
        }
    }
    Ok(())
}

fn a_stranger_changes_nothing(lab: &mut Lab) -> Result<()> {
    let before = [LVS1, LVS2].map(|director| lab.json(director, "show cluster"));
    for port in ["1.2.3.2:1050", "1.2.3.3:1050"] {
        ensure!(lab.udp_round_trip("client", port, 120).is_err(), "{port} answered");
    }
    for (director, before) in [LVS1, LVS2].into_iter().zip(before) {
        let (before, after) = (before?, lab.json(director, "show cluster")?);
        ensure!(after["role"] == before["role"], "{before} {after}");
        ensure!(number(&after, "since_ms")? > number(&before, "since_ms")?, "{before} {after}");
    }
    Ok(())
}

fn by_command(lab: &mut Lab) -> Result<()> {
    let client = lab.client_that_asks("client", ECHO, ASKED_S)?;
    lab.tell(LVS1, "cluster standby")?;
    wait_role(lab, LVS2, "active")?;
    gap(lab, client, "outage with cluster standby")?;
    lab.tell(LVS1, "cluster takeover")?;
    wait_role(lab, LVS1, "active")
}

fn a_killed_box(lab: &mut Lab) -> Result<()> {
    let client = lab.client_that_asks("client", ECHO, ASKED_S)?;
    lab.power_off(LVS1)?;
    wait_takeover(lab, LVS2)?;
    gap(lab, client, "outage with kill -9 of the active box, 100 ms and 300 ms")?;
    let client = lab.client_that_asks("client", ECHO, 3 * ASKED_S)?;
    lab.power_cycle(LVS1)?;
    wait_role(lab, LVS1, "active")?;
    let ended = client.wait(lab.scaled(Duration::from_secs(60)))?;
    let line = ended.stdout.lines().last().context("the client said nothing")?;
    lab.hub().line("test", "figure", &format!("outage when the primary takes back: {line}"));
    lab.wait_until_it_answers()
}

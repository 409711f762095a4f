//! The pair as one: a configuration for both boxes, and connections that go on when the active one changes.

use anyhow::{Context as _, Result, ensure};
use director_qemu::lab::Lab;
use director_qemu::run_folder::RunFolder;
use director_vm_tests::carried::{Carried, LVS2, kill_return_and_standby, wait_active, wait_role};
use director_vm_tests::director::{LVS1, SOON};
use director_vm_tests::suite::{self, Case, Suite};
use std::process::ExitCode;
use std::sync::OnceLock;

/// Bytes of the file, and a second: a download takes 12 s.
const BYTES: usize = 24 << 20;
const RATE: usize = 2 << 20;

static CARRIED: OnceLock<Carried> = OnceLock::new();

const CASES: &[Case] = &[
    ("a_commit_on_either_box_runs_on_both", on_either_box),
    ("a_box_that_was_away_gets_what_was_committed_meanwhile", away),
    ("downloads_and_a_client_that_stays_survive_kill_return_and_standby", downloads),
];

fn main() -> ExitCode {
    suite::main(Suite { start, baseline, repair, cases: CASES })
}

fn start(folder: RunFolder) -> Result<Lab> {
    let (lab, carried) = Carried::start(folder, BYTES)?;
    CARRIED.set(carried).ok();
    Ok(lab)
}

fn baseline(lab: &mut Lab) -> Result<()> {
    wait_role(lab, LVS1, "active")?;
    wait_role(lab, LVS2, "standby")?;
    same(lab).map(drop)
}

fn repair(lab: &mut Lab) -> Result<()> {
    lab.power_cycle(LVS1)?;
    lab.power_cycle(LVS2)?;
    lab.wait_until_it_answers()
}

/// Waits until both run the same, and gives its generation.
fn same(lab: &Lab) -> Result<u64> {
    lab.hub().eventually("both boxes run the same", lab.scaled(SOON * 4), || {
        let mut seen = Vec::new();
        for director in [LVS1, LVS2] {
            let row = lab.json(director, "show cluster").map_err(|error| format!("{error:#}"))?;
            seen.push(row["configuration"].as_str().unwrap_or_default().to_owned());
        }
        let generation = seen[0].strip_prefix("the same on both, generation ").and_then(|n| n.parse().ok());
        generation.filter(|_| seen[0] == seen[1]).ok_or_else(|| format!("{seen:?}"))
    })
}

fn commit(lab: &Lab, director: &str, lines: &[&str], word: &str) -> Result<Vec<String>> {
    lab.tell(director, "configure")?;
    for line in lines {
        lab.tell(director, line)?;
    }
    let said = lab.ask(director, word)?;
    if said.join(" ").contains("Refused") {
        lab.ask(director, "discard")?;
    }
    lab.ask(director, "exit")?;
    Ok(said)
}

/// Waits until a box runs this line. Asked again, because its console may be telling of the other's commit just then.
fn runs(lab: &Lab, director: &str, line: &str) -> Result<()> {
    lab.hub().eventually(&format!("{director} runs `{line}`"), lab.scaled(SOON), || {
        let shown =
            lab.ask(director, "show configuration | set").map_err(|error| format!("{error:#}"))?.join("\n");
        if shown.contains(line) { Ok(()) } else { Err(shown) }
    })
}

fn on_either_box(lab: &mut Lab) -> Result<()> {
    let before = same(lab)?;
    for (director, other, persistence) in [(LVS1, LVS2, "6m"), (LVS2, LVS1, "7m")] {
        let line = format!("set service near persistence {persistence}");
        let said = commit(lab, director, &[&line], "commit")?.join(" ");
        ensure!(said.contains("Committed"), "{director}: {said}");
        runs(lab, other, &line)?;
    }
    ensure!(same(lab)? == before + 2, "one number for each commit");
    Ok(())
}

fn away(lab: &mut Lab) -> Result<()> {
    lab.power_off(LVS1)?;
    wait_active(lab, LVS2)?;
    let line = "set service near persistence 8m";
    let refused = lab.hub().eventually("a commit is refused", lab.scaled(SOON * 4), || {
        let said = commit(lab, LVS2, &[line], "commit").map_err(|error| format!("{error:#}"))?.join(" ");
        if said.contains("commit local") { Ok(said) } else { Err(said) }
    })?;
    lab.hub().line("test", "said", &refused);
    let said = commit(lab, LVS2, &[line], "commit local")?.join(" ");
    ensure!(said.contains("Committed"), "{said}");
    lab.power_cycle(LVS1)?;
    wait_role(lab, LVS1, "active")?;
    same(lab)?;
    runs(lab, LVS1, line)?;
    for text in lab.ask(LVS1, "show cluster")? {
        lab.hub().line("test", LVS1, &text);
    }
    Ok(())
}

fn downloads(lab: &mut Lab) -> Result<()> {
    let carried = CARRIED.get().context("started")?;
    let before = lab.get("client", "http://1.2.3.7/")?;
    kill_return_and_standby(lab, carried, RATE)?;
    for _ in 0..4 {
        let after = lab.get("client", "http://1.2.3.7/")?;
        ensure!(after == before, "the client was with {before} and is with {after}");
    }
    Ok(())
}

//! Power cuts in a commit storm: commits are typed ahead, and the power goes while the flash is being written.

use crate::director::{LVS1, SOON, number, server, system};
use anyhow::{Context as _, Result, bail, ensure};
use director_qemu::lab::Lab;
use director_sim::chaos::rng::Rng;
use serde_json::{Value, json};
use std::fmt::Write as _;

/// Commits of one storm. Typed ahead they are less than the console keeps (see its reader) and last longer than the
/// latest cut.
const COMMITS: u64 = 8;
/// Writes to the disk after which the power goes, at most. A commit does four (the slot made void, payload, header, mark), so
/// that every commit of the storm can be the one that is hit.
const WRITES_MAX: u64 = 4 * COMMITS;

/// What the cuts of a run met.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Met {
    /// Cuts done.
    pub cuts: u32,
    /// After which the newest commit that the console had acknowledged came up.
    pub old: u32,
    /// After which a later one came up, whose acknowledgement the cut had swallowed.
    pub new: u32,
}

/// Cuts the power `cuts` times, each in a storm of its own; a seed gives the same moments, counted in writes.
///
/// # Errors
/// When a boot comes up with anything but a committed configuration, or with an older one than was acknowledged.
pub fn cut_in_storms(lab: &mut Lab, cuts: u32, seed: u64) -> Result<Met> {
    let mut rng = Rng::new(seed);
    let mut met = Met::default();
    let mut last = 100;
    for cut in 1..=cuts {
        let writes = rng.between(1, WRITES_MAX);
        let storm = storm(lab, last, writes).with_context(|| format!("cut {cut}, seed {seed}"))?;
        met.cuts += 1;
        if storm.came_up == storm.acknowledged {
            met.old += 1;
        } else {
            met.new += 1;
        }
        lab.hub().line("test", "storm", &format!("cut {cut} after {writes} writes: {storm:?}"));
        last = storm.sent;
    }
    Ok(met)
}

/// Weights, which count the commits.
#[derive(Debug)]
struct Storm {
    acknowledged: u64,
    came_up: u64,
    sent: u64,
}

fn storm(lab: &mut Lab, last: u64, writes: u64) -> Result<Storm> {
    let sent = last + COMMITS;
    // Known to be in flash, so that there is an old configuration to come back to.
    crate::director::commit(lab, &weights(last).each_ref().map(String::as_str))?;
    let console = lab.director(LVS1)?.console();
    let mut text = String::from("configure\r");
    for weight in last + 1..=sent {
        let [one, two] = weights(weight);
        // Writing to a String cannot fail.
        write!(text, "{one}\r{two}\rcommit\r").ok();
    }
    let before = writes_done(lab)?;
    let mark = console.mark();
    console.send(text.as_bytes())?;
    // Each look is a question to QEMU, so that this waits for the disk and not for a clock.
    let deadline = lab.hub().elapsed() + lab.scaled(SOON * 4);
    while writes_done(lab)? < before + writes && acknowledged(&console.since(mark)) < COMMITS {
        if lab.hub().elapsed() > deadline {
            bail!("the storm stopped after {} writes", writes_done(lab)? - before);
        }
    }
    lab.power_cycle_with(LVS1, |_| Ok(()))?;
    // Read after the cut: what QEMU had sent by then was acknowledged.
    let console = lab.director(LVS1)?.console();
    let acknowledged = last + acknowledged(&console.since(mark));
    let came_up = configured(lab)?;
    ensure!(
        (acknowledged..=sent).contains(&came_up),
        "weight {came_up} came up; {acknowledged} was acknowledged, {sent} was sent"
    );
    settles(lab, came_up)?;
    Ok(Storm { acknowledged, came_up, sent })
}

/// Two edits of one commit: half of it must never come up.
fn weights(weight: u64) -> [String; 2] {
    ["rs1", "rs2"].map(|name| format!("set pool web server {name} weight {weight}"))
}

fn acknowledged(said: &str) -> u64 {
    u64::try_from(said.matches("Committed as generation").count()).unwrap_or(u64::MAX)
}

/// The weight that both servers have in the configuration.
fn configured(lab: &Lab) -> Result<u64> {
    let lines = lab.ask(LVS1, "show configuration | set")?;
    let weight = |name: &str| -> Result<u64> {
        let start = format!("set pool web server {name} weight ");
        let found = lines.iter().find_map(|line| line.trim().strip_prefix(&start));
        Ok(found.with_context(|| format!("no weight of {name} in {lines:?}"))?.parse()?)
    };
    let (one, two) = (weight("rs1")?, weight("rs2")?);
    ensure!(one == two, "half a commit came up: rs1 has weight {one}, rs2 {two}");
    Ok(one)
}

/// The kernel holds what the configuration says, and the configuration is a committed one.
fn settles(lab: &Lab, weight: u64) -> Result<()> {
    ensure!(number(&system(lab)?, "generation")? > 0, "the factory configuration came up");
    lab.wait_until_it_answers()?;
    lab.hub().eventually("the committed weight in use", lab.scaled(SOON), || {
        let row = server(lab, "web", "rs1").map_err(|error| format!("{error:#}"))?;
        let is = number(&row, "weight").map_err(|error| format!("{error:#}"))?;
        if is == weight { Ok(()) } else { Err(row.to_string()) }
    })
}

/// Writes that QEMU has done for the machine, over all its disks.
fn writes_done(lab: &Lab) -> Result<u64> {
    let disks = lab.director(LVS1)?.qmp()?.execute("query-blockstats", &json!({}))?;
    let count = |disk: &Value| disk.pointer("/stats/wr_operations").and_then(Value::as_u64);
    let disks = disks.as_array().context("query-blockstats gave no list")?;
    Ok(disks.iter().filter_map(count).sum())
}

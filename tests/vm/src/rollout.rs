//! `upgrade cluster` on a pair that was booted from its disks, while a client asks all the time.

use crate::director::{LVS1, SOON};
use crate::outage::{LVS2, ready};
use crate::upgrades;
use anyhow::{Context as _, Result, ensure};
use director_qemu::lab::Lab;
use director_qemu::run_folder::RunFolder;
use director_qemu::scenario::{self, BringUp};
use director_qemu::vm::{Firmware, Hardware};
use std::time::Duration;

/// The virtual web service.
const WEB: &str = "1.2.3.1:80";
/// How long the client asks: a copy, two boots with the boot loader's checksums, and what both need to prove themselves.
const ASKS_S: u32 = 150;
/// How long one request may take: TCP repeats its first segment after a second, and one that met the change of roles is
/// answered then.
const REQUEST_MS: u32 = 2900;
/// From `upgrade cluster` to the end.
const TAKES: Duration = Duration::from_secs(120);

/// What came of it.
#[derive(Clone, Debug)]
pub struct Found {
    /// Seconds from `upgrade cluster` to its end.
    pub seconds: u64,
    /// What the client says.
    pub client: String,
}

/// A pair that was started by its boot loaders, at rest.
///
/// # Errors
/// When it does not come up.
pub fn start(folder: RunFolder) -> Result<Lab> {
    let mut scenario = scenario::named("pair-connections").context("scenario")?;
    scenario.bring_up = BringUp::Preloaded;
    let mut lab = Lab::prepare(scenario, folder)?;
    lab.set_hardware(Hardware { firmware: Firmware::Bios, ..Hardware::FAST });
    lab.boot()?;
    proven(&lab)?;
    ready(&lab)?;
    Ok(lab)
}

/// Both systems have proven themselves.
fn proven(lab: &Lab) -> Result<()> {
    for director in [LVS1, LVS2] {
        lab.hub().eventually("a system that has proven itself", lab.scaled(SOON * 20), || {
            let found = lab.json(director, "show upgrade").map_err(|error| format!("{error:#}"))?;
            if found["proven"] == true { Ok(()) } else { Err(found.to_string()) }
        })?;
    }
    Ok(())
}

/// How the upgrade of both boxes stands, as one of them says.
fn stands(lab: &Lab, director: &str) -> Result<String, String> {
    let found = lab.json(director, "show upgrade").map_err(|error| format!("{error:#}"))?;
    let state = found["cluster"].as_str().unwrap_or_default().to_owned();
    if state == "failed" { Ok(found["cluster_words"].to_string()) } else { Ok(state) }
}

/// Upgrades both boxes; the bundle is fetched by the active one.
///
/// # Errors
/// When a request fails, or one of the boxes does not run the new system in the end.
pub fn both(lab: &mut Lab) -> Result<Found> {
    let url = upgrades::serve(lab, "both.upgrade", &upgrades::whole()?)?;
    let found = upgrades::fetch(lab, &url)?;
    ensure!(found["upgrade"] == "ready", "{found}");
    let client = lab.client_with_limit("client", WEB, ASKS_S, REQUEST_MS)?;
    let began = lab.hub().elapsed();
    lab.tell(LVS1, "upgrade cluster")?;
    // Each is asked only while it may answer: the console of a box that boots has other things to say.
    let state = lab.hub().eventually("the active box is next", lab.scaled(TAKES), || {
        let state = stands(lab, LVS1)?;
        // Nothing: it has rebooted, and was not told yet.
        let before = ["", "copying", "first", "first-tries"].contains(&&*state);
        if before { Err(state) } else { Ok(state) }
    })?;
    ensure!(state.starts_with("second") || state == "done", "{state}");
    let limit = lab.scaled(TAKES);
    let state = lab.hub().eventually("both run the new system", limit, || {
        let state = stands(lab, LVS2)?;
        if state.is_empty() || state.starts_with("second") { Err(state) } else { Ok(state) }
    })?;
    ensure!(state == "done", "{state}");
    let seconds = (lab.hub().elapsed() - began).as_secs();
    for director in [LVS2, LVS1] {
        let found = lab.json(director, "show upgrade")?;
        ensure!(found["running"] == "b" && found["good"] == "b" && found["cluster"] == "done", "{found}");
    }
    let ended = client.wait(lab.scaled(Duration::from_secs(u64::from(ASKS_S) + 30)))?;
    ensure!(ended.status.success(), "the client: {}", ended.stderr.trim());
    let client = ended.stdout.lines().last().context("the client said nothing")?.to_owned();
    ensure!(client.contains(" 0 failed"), "{client}");
    Ok(Found { seconds, client })
}

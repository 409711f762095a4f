//! The hardware watchdog resets a box whose kernel hangs.

use crate::director::LVS1;
use anyhow::{Context as _, Result};
use director_qemu::lab::Lab;
use director_qemu::run_folder::RunFolder;
use director_qemu::scenario;
use director_qemu::tools::Tools;
use director_qemu::vm::Hardware;
use serde_json::json;
use std::time::Duration;

/// Longest time-out of the watchdog, which has two stages, and room.
const RESET_MAX: Duration = Duration::from_secs(40);

/// Hangs the kernel and waits until the box serves again. The time until the reset.
///
/// # Errors
/// When the watchdog does not reset it, or it does not come back.
pub fn hang(folder: RunFolder) -> Result<Duration> {
    let mut lab = Lab::prepare(scenario::named("five-node").context("scenario")?, folder)?;
    lab.set_hardware(Hardware { watchdog: true, ..Hardware::FAST });
    lab.set_tools(Tools::default());
    lab.boot()?;
    // A panic that waits for ever hangs: nothing runs, and no interrupt leads anywhere.
    lab.shell(LVS1)?.ok("echo 0 >/proc/sys/kernel/panic && echo 1 >/proc/sys/kernel/unknown_nmi_panic")?;
    let resets = |lab: &Lab| Ok::<_, anyhow::Error>(lab.director(LVS1)?.qmp()?.events("WATCHDOG"));
    let before = resets(&lab)?;
    let mark = lab.director(LVS1)?.console().mark();
    let start = lab.hub().elapsed();
    lab.director(LVS1)?.qmp()?.execute("inject-nmi", &json!({}))?;
    lab.hub().eventually("the watchdog resets the box", lab.scaled(RESET_MAX), || {
        let found = resets(&lab).map_err(|error| format!("{error:#}"))?;
        if found > before { Ok(()) } else { Err("it did not".to_owned()) }
    })?;
    let took = lab.hub().elapsed() - start;
    lab.director(LVS1)?.console().wait_prompt(mark, lab.scaled(RESET_MAX))?;
    lab.wait_until_it_answers()?;
    Ok(took)
}

//! The model of the kernel that the simulations and the properties of plans stand on, against the product's kernel: the
//! platform's own tests in a helper machine, where nothing else changes the table.

use anyhow::{Context as _, Result, bail, ensure};
use director_qemu::lab::Lab;
use director_qemu::run_folder::RunFolder;
use director_qemu::scenario;
use director_qemu::tools::Tools;
use director_vm_tests::suite::{self, Case, Suite};
use std::env;
use std::path::Path;
use std::process::{Command, ExitCode};

/// The test executable of the package `director`, which `make vm` builds.
const TESTS: &str = "LAB_PLATFORM_TESTS";
const CASE: &str = "platform::conformance::linux_and_the_model_agree";

const CASES: &[Case] = &[("conformance_of_linux_and_the_model", agree)];

fn main() -> ExitCode {
    suite::main(Suite { start, baseline: |_| Ok(()), repair: |_| Ok(()), cases: CASES })
}

fn start(folder: RunFolder) -> Result<Lab> {
    let Some(tests) = env::var_os(TESTS) else {
        bail!("{TESTS} does not say where the tests of the platform are: `make vm` does")
    };
    let mut scenario = scenario::named("lan").context("scenario")?;
    scenario.hosts.clear();
    scenario.answers = None;
    let small = folder.path().join("platform-tests");
    // Without what a debugger reads it is a tenth.
    let stripped =
        Command::new("strip").arg("-o").arg(&small).arg(Path::new(&tests)).status().context("strip")?;
    ensure!(stripped.success(), "strip: {stripped}");
    let mut lab = Lab::prepare(scenario, folder)?;
    lab.add_machine("linux", &["lan"], &Tools::new([]).program("/lab/tests", &small))?;
    Ok(lab)
}

fn agree(lab: &mut Lab) -> Result<()> {
    let said = lab.shell("linux")?.ok(&format!("/lab/tests --exact {CASE} --ignored --nocapture"))?;
    ensure!(said.contains("1 passed") && said.contains("agree"), "{said}");
    let line = said.lines().find(|line| line.contains("agree")).unwrap_or_default();
    lab.hub().line("test", "figure", &format!("conformance: {}", line.trim()));
    Ok(())
}

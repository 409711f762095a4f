//! `make soak`: what `make test` does a few times, many times; writes `build/soak.json` with seeds, counts and times.

use anyhow::{Context as _, Result};
use director_bench::campaign::{self, Job, Options, Work};
use director_bench::figure::Round;
use director_qemu::lab::Lab;
use director_qemu::run_folder::RunFolder;
use director_qemu::scenario;
use director_vm_tests::storm;
use std::process::ExitCode;

/// Issue: at 50 random moments of a commit storm.
const CUTS: u64 = 50;

const JOBS: &[Job<Round>] = &[Job {
    name: "storm",
    about: "the power goes in a commit storm; every boot has a committed configuration",
    work: Work::Lab(commit_storm),
}];

fn main() -> ExitCode {
    campaign::main("soak", JOBS)
}

fn commit_storm(found: &mut Vec<Round>, options: &Options, folder: RunFolder) -> Result<()> {
    let count = options.count.unwrap_or(CUTS);
    let mut lab = Lab::prepare(scenario::named("five-node-test").context("scenario")?, folder)?;
    lab.boot()?;
    let start = lab.hub().elapsed();
    let met = storm::cut_in_storms(&mut lab, u32::try_from(count)?, options.seed);
    let seconds = (lab.hub().elapsed() - start).as_secs_f64();
    let (words, passed) = match &met {
        Ok(met) => (format!("{met:?}"), true),
        Err(error) => (format!("{error:#}"), false),
    };
    found.push(Round { name: "storm".into(), seed: options.seed, count, seconds, found: words, passed });
    met.map(|_| ())
}

//! `make soak`: what `make test` does a few times, many times; writes `build/soak.json` with seeds, counts and times.

use anyhow::{Context as _, Result, ensure};
use director_bench::campaign::{self, Job, Options, Work};
use director_bench::figure::Round;
use director_qemu::lab::Lab;
use director_qemu::run_folder::{RunFolder, build_folder};
use director_qemu::scenario::{self, BringUp};
use director_qemu::vm::{Firmware, Hardware};
use director_sim::chaos::script;
use director_sim::many::{Outcome, run_all};
use director_vm_tests::carried::{Carried, kill_return_and_standby};
use director_vm_tests::outage::{self, Hurt};
use director_vm_tests::{
    ailments, balancing, flood, loads, machines, matrix, rollout, storm, upgrades, watchdog,
};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

/// Issue: at 50 random moments of a commit storm.
const CUTS: u64 = 50;

/// Issue: each outage ten times.
const OUTAGES: u64 = 10;
/// Issue: each event, ten times.
const DOWNLOAD_ROUNDS: u64 = 10;
const DOWNLOAD_BYTES: usize = 200_000_000;
/// Bytes a second: a download lasts longer than a boot.
const DOWNLOAD_RATE: usize = 8_000_000;

/// Fifty times what `make test` does.
const CHAOS_SEEDS: u64 = 100_000;

const JOBS: &[Job<Round>] = &[
    Job {
        name: "storm",
        about: "the power goes in a commit storm; every boot has a committed configuration",
        work: Work::Lab(commit_storm),
    },
    Job {
        name: "upgrade",
        about: "the power goes in an upgrade, the boot loader's writes included; one of the two systems boots",
        work: Work::Lab(upgrade_cuts),
    },
    Job {
        name: "rollout",
        about: "upgrade cluster: both boxes run the new system, and no request of a client that asks every 10 ms fails",
        work: Work::Lab(rollouts),
    },
    Job {
        name: "flood",
        about: "half-open connections by the hundred thousand on a pair in 64 MiB: heartbeats go on, and it serves afterwards",
        work: Work::Lab(half_open),
    },
    Job {
        name: "hardware",
        about: "the disk image behind BIOS and UEFI, on every disk and with every network card that QEMU has; cards change places",
        work: Work::Lab(hardware),
    },
    Job {
        name: "matrix",
        about: "every forwarding method, family, scheduler and protocol with real servers",
        work: Work::Lab(whole_matrix),
    },
    Job {
        name: "reproducible",
        about: "the kernel is built twice from scratch, in folders with other names: the same bytes",
        work: Work::Native(reproducible),
    },
    Job {
        name: "seeds",
        about: "clusters that people's documents describe, each booted once",
        work: Work::Native(seeds),
    },
    Job {
        name: "downloads",
        about: "200 MB through NAT and direct routing, over kill -9, return and cluster standby of the active box",
        work: Work::Lab(downloads),
    },
    Job {
        name: "doctor",
        about: "every mistake that doctor knows, really made on a server of the lab",
        work: Work::Lab(doctor),
    },
    Job {
        name: "monitors",
        about: "weights follow rwhod, a header of nginx and an agent on the servers of the lab, as haproxy understands it",
        work: Work::Lab(loads),
    },
    Job {
        name: "servers",
        about: "every check type against the real server from Debian (image/setup.sh soak installs them)",
        work: Work::Native(servers),
    },
    Job {
        name: "chaos",
        about: "one director over models under random faults, commits and power cuts",
        work: Work::Native(chaos),
    },
    Job {
        name: "pair",
        about: "two directors over a model LAN: crashes, pauses, cuts, loss, forged and recorded frames",
        work: Work::Native(pair),
    },
    Job {
        name: "outage-100ms",
        about: "what a client sees when the active director is killed, cut off, frozen, rebooted, or returns; 100 ms and 300 ms",
        work: Work::Lab(|found, options, folder| outages(found, options, folder, (100, 300, OUTAGES))),
    },
    Job {
        name: "outage-500ms",
        about: "the same with a heartbeat every 500 ms and a dead time of 2 s",
        work: Work::Lab(|found, options, folder| outages(found, options, folder, (500, 2000, OUTAGES))),
    },
    Job {
        name: "outage-2s",
        about: "the same once, with the 2 s and 10 s of the oldest seed",
        work: Work::Lab(|found, options, folder| outages(found, options, folder, (2000, 10_000, 1))),
    },
    Job {
        name: "watchdog",
        about: "a kernel that hangs is reset by the hardware watchdog (i6300esb), and the box serves again",
        work: Work::Lab(hang),
    },
];

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

fn upgrade_cuts(found: &mut Vec<Round>, options: &Options, folder: RunFolder) -> Result<()> {
    let count = options.count.unwrap_or(CUTS);
    let mut scenario = scenario::named("five-node").context("scenario")?;
    scenario.bring_up = BringUp::Preloaded;
    let mut lab = Lab::prepare(scenario, folder)?;
    lab.set_hardware(Hardware { firmware: Firmware::Bios, ..Hardware::FAST });
    lab.boot()?;
    let start = lab.hub().elapsed();
    let met = upgrades::cut_in_upgrades(&mut lab, u32::try_from(count)?, options.seed);
    let seconds = (lab.hub().elapsed() - start).as_secs_f64();
    let (words, passed) = match &met {
        Ok(met) => (format!("{met:?}"), true),
        Err(error) => (format!("{error:#}"), false),
    };
    found.push(Round { name: "upgrade".into(), seed: options.seed, count, seconds, found: words, passed });
    met.map(|_| ())
}

fn hardware(found: &mut Vec<Round>, options: &Options, folder: RunFolder) -> Result<()> {
    let mut lab = machines::start(folder)?;
    let mut failed = Vec::new();
    let mut round = |name: &'static str, lab: &mut Lab, work: &dyn Fn(&mut Lab) -> Result<()>| {
        let start = lab.hub().elapsed();
        let met = work(lab);
        let seconds = (lab.hub().elapsed() - start).as_secs_f64();
        let words = met.as_ref().map_or_else(|error| format!("{error:#}"), |()| "serves".into());
        let passed = met.is_ok();
        if !passed {
            failed.push(name);
        }
        let name = format!("hardware.{name}");
        found.push(Round { name, seed: options.seed, count: 1, seconds, found: words, passed });
    };
    for machine in machines::ALL {
        round(machine.0, &mut lab, &|lab| machines::serves_in(lab, machine));
    }
    round("swapped-cards", &mut lab, &machines::swapped_cards);
    ensure!(failed.is_empty(), "failed: {}", failed.join(", "));
    Ok(())
}

fn half_open(found: &mut Vec<Round>, options: &Options, folder: RunFolder) -> Result<()> {
    let mut lab = Lab::prepare(scenario::named("five-node-pair").context("scenario")?, folder)?;
    lab.boot()?;
    let start = lab.hub().elapsed();
    let met = flood::syn_flood(&lab);
    let seconds = (lab.hub().elapsed() - start).as_secs_f64();
    let words = met.as_ref().map_or_else(|error| format!("{error:#}"), Clone::clone);
    let passed = met.is_ok();
    found.push(Round { name: "flood".into(), seed: options.seed, count: 1, seconds, found: words, passed });
    met.map(|_| ())
}

fn rollouts(found: &mut Vec<Round>, options: &Options, folder: RunFolder) -> Result<()> {
    let mut lab = rollout::start(folder)?;
    let start = lab.hub().elapsed();
    let met = rollout::both(&mut lab);
    let words = match &met {
        Ok(met) => format!("both boxes in {} s; {}", met.seconds, met.client),
        Err(error) => format!("{error:#}"),
    };
    let seconds = (lab.hub().elapsed() - start).as_secs_f64();
    found.push(Round {
        name: "rollout".into(),
        seed: options.seed,
        count: 1,
        seconds,
        found: words,
        passed: met.is_ok(),
    });
    met.map(|_| ())
}

/// Each case once, or so many times; a case that failed does not stop the others.
fn whole_matrix(found: &mut Vec<Round>, options: &Options, folder: RunFolder) -> Result<()> {
    let mut lab = matrix::start(folder)?;
    let rounds = options.count.unwrap_or(1);
    for (name, case) in matrix::ESSENTIAL.iter().chain(matrix::MORE) {
        let start = lab.hub().elapsed();
        let mut outcome = Ok(());
        for _ in 0..rounds {
            lab.hub().line("soak", "case", name);
            outcome = matrix::baseline(&mut lab).and_then(|()| case(&mut lab));
            if outcome.is_err() {
                matrix::repair(&mut lab)?;
                break;
            }
        }
        let words = outcome.as_ref().err().map_or_else(|| "ok".to_owned(), |error| format!("{error:#}"));
        found.push(Round {
            name: format!("matrix.{name}"),
            seed: options.seed,
            count: rounds,
            seconds: (lab.hub().elapsed() - start).as_secs_f64(),
            found: words,
            passed: outcome.is_ok(),
        });
    }
    let failed: Vec<&str> =
        found.iter().filter(|round| !round.passed).map(|round| round.name.as_str()).collect();
    ensure!(failed.is_empty(), "failed: {}", failed.join(", "));
    Ok(())
}

/// Each way to hurt the active director so often at one setting: interval and dead time in milliseconds, and how often.
/// `COUNT` repeats them so often instead.
fn outages(
    found: &mut Vec<Round>,
    options: &Options,
    folder: RunFolder,
    (interval, dead, count): (u32, u32, u64),
) -> Result<()> {
    let count = options.count.unwrap_or(count);
    let mut lab = Lab::prepare(scenario::named("five-node-pair").context("scenario")?, folder)?;
    lab.set_tools(outage::tools());
    lab.boot()?;
    outage::set_times(&lab, interval, dead)?;
    for hurt in Hurt::ALL {
        let start = lab.hub().elapsed();
        let mut all = Vec::new();
        for _ in 0..count {
            all.push(outage::measure(&mut lab, hurt, Duration::from_millis(u64::from(dead)))?);
        }
        all.sort_unstable_by_key(|o| o.ms);
        let times: Vec<u64> = all.iter().map(|o| o.ms).collect();
        let goal = all.first().map_or(0, |o| o.goal_ms);
        let passed = all.iter().all(|o| o.met());
        found.push(Round {
            name: format!("outage {interval} ms/{dead} ms, {hurt}"),
            seed: options.seed,
            count,
            seconds: (lab.hub().elapsed() - start).as_secs_f64(),
            found: format!("{times:?} ms, to reach {goal} ms"),
            passed,
        });
    }
    Ok(())
}

fn hang(found: &mut Vec<Round>, options: &Options, folder: RunFolder) -> Result<()> {
    let took = watchdog::hang(folder)?;
    found.push(Round {
        name: "watchdog".into(),
        seed: options.seed,
        count: 1,
        seconds: took.as_secs_f64(),
        found: format!("reset after {} ms, and it serves again", took.as_millis()),
        passed: true,
    });
    Ok(())
}

fn downloads(found: &mut Vec<Round>, options: &Options, folder: RunFolder) -> Result<()> {
    let count = options.count.unwrap_or(DOWNLOAD_ROUNDS);
    let (mut lab, carried) = Carried::start(folder, DOWNLOAD_BYTES)?;
    for round in 0..count {
        let start = lab.hub().elapsed();
        let met = kill_return_and_standby(&mut lab, &carried, DOWNLOAD_RATE);
        let seconds = (lab.hub().elapsed() - start).as_secs_f64();
        let words =
            met.as_ref().map_or_else(|error| format!("{error:#}"), |()| "all bytes as they were".into());
        let name = format!("downloads {round}");
        found.push(Round { name, seed: options.seed, count: 6, seconds, found: words, passed: met.is_ok() });
        met?;
    }
    Ok(())
}

fn doctor(found: &mut Vec<Round>, options: &Options, folder: RunFolder) -> Result<()> {
    let count = options.count.unwrap_or(1);
    let mut lab = Lab::prepare(scenario::named("balancing").context("scenario")?, folder)?;
    balancing::quiet(&lab)?;
    lab.boot()?;
    let mut wrong = Vec::new();
    for _ in 0..count {
        for ailment in ailments::ALL {
            let start = lab.hub().elapsed();
            let result = ailments::healthy(&lab).and_then(|()| ailments::suffer(&lab, ailment));
            let seconds = (lab.hub().elapsed() - start).as_secs_f64();
            let passed = result.is_ok();
            let words = match result {
                Ok(()) => format!("{}: found as {}", ailment.name, ailment.kind),
                Err(error) => format!("{}: {error:#}", ailment.name),
            };
            if !passed {
                wrong.push(ailment.name);
            }
            found.push(Round {
                name: "doctor".into(),
                seed: options.seed,
                count: 1,
                seconds,
                found: words,
                passed,
            });
        }
    }
    ensure!(wrong.is_empty(), "not found as they should be: {wrong:?}");
    ailments::healthy(&lab)
}

fn loads(found: &mut Vec<Round>, options: &Options, folder: RunFolder) -> Result<()> {
    let mut scenario = scenario::named("five-node").context("scenario")?;
    scenario.bring_up = BringUp::Preloaded;
    let mut lab = Lab::prepare(scenario, folder)?;
    lab.boot()?;
    let start = lab.hub().elapsed();
    let seen = loads::follow(&mut lab);
    let seconds = (lab.hub().elapsed() - start).as_secs_f64();
    let words = seen.as_ref().map_or_else(|error| format!("{error:#}"), |seen| seen.join("; "));
    found.push(Round {
        name: "monitors".into(),
        seed: options.seed,
        count: 1,
        seconds,
        found: words,
        passed: seen.is_ok(),
    });
    seen.map(drop)
}

/// Two kernels, each with a cache of its own, so that source and objects are new.
fn reproducible(found: &mut Vec<Round>, options: &Options) -> Result<()> {
    let build = build_folder();
    let root = build.join("reproducible");
    let mut kernels = Vec::new();
    for name in ["one", "another-name"] {
        let cache = root.join(name);
        if cache.exists() {
            std::fs::remove_dir_all(&cache).with_context(|| format!("remove {}", cache.display()))?;
        }
        let out = root.join(format!("{name}.bzImage"));
        let status = Command::new(build.join("target/debug/director-image"))
            .args(["kernel", "--out"])
            .arg(&out)
            .env("XDG_CACHE_HOME", &cache)
            .status()
            .context("director-image")?;
        ensure!(status.success(), "the kernel did not build");
        kernels.push(std::fs::read(&out).with_context(|| format!("read {}", out.display()))?);
        std::fs::remove_dir_all(&cache).with_context(|| format!("remove {}", cache.display()))?;
    }
    let used = std::fs::read(build.join("bzImage")).context("read the kernel of make image")?;
    let passed = kernels.iter().all(|kernel| *kernel == used);
    let words = if passed { "the same bytes, and those of make image" } else { "they differ" };
    let (name, count) = ("reproducible".into(), 2);
    found.push(Round { name, seed: options.seed, count, seconds: 0.0, found: words.into(), passed });
    ensure!(passed, "the kernels differ");
    Ok(())
}

/// The ignored tests of the firmware's crate that need those servers.
fn servers(found: &mut Vec<Round>, options: &Options) -> Result<()> {
    let arguments = ["--package", "director", "--locked", "--", "--ignored", "platform::probe::heavy_tests"];
    tests("servers", &arguments, found, options)
}

fn seeds(found: &mut Vec<Round>, options: &Options) -> Result<()> {
    tests("seeds", &["--package", "director-vm-tests", "--test", "seeds", "--locked"], found, options)
}

/// `cargo test` with these arguments; each test is a round.
fn tests(job: &str, arguments: &[&str], found: &mut Vec<Round>, options: &Options) -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output =
        Command::new(cargo).arg("test").args(arguments).stderr(Stdio::inherit()).output().context("cargo")?;
    let said = String::from_utf8_lossy(&output.stdout);
    let took = said.split("finished in ").nth(1).and_then(|rest| rest.split('s').next());
    let seconds = took.and_then(|took| took.parse().ok()).unwrap_or_default();
    for line in said.lines() {
        let Some((name, result)) = line.strip_prefix("test ").and_then(|rest| rest.split_once(" ... "))
        else {
            continue;
        };
        let name = name.trim();
        found.push(Round {
            name: job.into(),
            seed: options.seed,
            count: 1,
            seconds,
            found: name.rsplit("::").next().unwrap_or(name).replace('_', " "),
            passed: result.starts_with("ok"),
        });
    }
    ensure!(output.status.success(), "{said}");
    Ok(())
}

fn chaos(found: &mut Vec<Round>, options: &Options) -> Result<()> {
    let seeds: Vec<u64> = script::seeds(options.seed, options.count.unwrap_or(CHAOS_SEEDS)).collect();
    simulated(found, "chaos", options.seed, &run_all(&seeds, script::run))
}

fn pair(found: &mut Vec<Round>, options: &Options) -> Result<()> {
    let seeds: Vec<u64> = script::seeds(options.seed, options.count.unwrap_or(CHAOS_SEEDS)).collect();
    simulated(found, "pair", options.seed, &run_all(&seeds, director_sim::pair::script::run))
}

fn simulated<D>(found: &mut Vec<Round>, name: &str, seed: u64, outcome: &Outcome<D>) -> Result<()> {
    let passed = outcome.failed.is_empty();
    found.push(Round {
        name: name.into(),
        seed,
        count: u64::try_from(outcome.count())?,
        seconds: outcome.took.as_secs_f64(),
        found: outcome.to_string(),
        passed,
    });
    ensure!(passed, "{outcome}\n{}", outcome.timelines.join("\n"));
    Ok(())
}

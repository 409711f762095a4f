//! `director-provision` on a terminal as on a serial port: a line that is noisy, and a cable that is pulled.

use anyhow::{Context as _, Result, bail, ensure};
use director_qemu::lab::Lab;
use director_qemu::run_folder::RunFolder;
use director_qemu::scenario;
use director_qemu::serial::Serial;
use director_qemu::tty::{self, Faults};
use director_vm_tests::director::{LVS1, SOON, number};
use director_vm_tests::login::{ASKS, PASSWORD, expect, set_password};
use director_vm_tests::provision::{Provision, operational};
use director_vm_tests::suite::{self, Case, Suite};
use std::fmt::Write as _;
use std::fs;
use std::process::ExitCode;
use std::time::Duration;

/// For one transfer over a bad line.
const PATIENCE: Duration = Duration::from_secs(90);
/// Lines of the configuration that is pushed and pulled.
const LINES: usize = 1000;

const CASES: &[Case] = &[
    ("a_program_runs_a_command_once_and_follows_the_log", a_command_and_the_log),
    ("a_thousand_lines_are_pushed_and_pulled_over_a_noisy_line_that_is_cut", over_a_bad_line),
];

fn main() -> ExitCode {
    suite::main(Suite { start, baseline: |_| Ok(()), repair, cases: CASES })
}

fn start(folder: RunFolder) -> Result<Lab> {
    let mut lab = Lab::prepare(scenario::named("five-node-test").context("scenario")?, folder)?;
    lab.boot()?;
    set_password(&lab)?;
    Ok(lab)
}

fn repair(lab: &mut Lab) -> Result<()> {
    line(lab)?.send(b"\x03\x03\x03\r")?;
    operational(lab)
}

fn line(lab: &Lab) -> Result<&Serial> {
    Ok(lab.director(LVS1)?.console())
}

fn over_a_bad_line(lab: &mut Lab) -> Result<()> {
    let clean = Provision::new(lab, "tty", PASSWORD)?;
    let mut text = clean.run_to_end(lab, &["pull"], PATIENCE)?.stdout;
    ensure!(text.lines().count() > 20, "{text}");
    for n in 0..LINES {
        // Writing to a String cannot fail.
        writeln!(text, "set real-server z{n} address 10.9.{}.{}", n / 250, n % 250 + 1).ok();
    }
    let folder = lab.folder().path().to_owned();
    let (sent, came) = (folder.join("sent.set"), folder.join("came.set"));
    fs::write(&sent, &text)?;
    // With a password asked for, too.
    operational(lab)?;
    expect(lab, "exit", ASKS)?;
    let faults = Faults { one_in: 3000, seed: 7, cut_after: 20_000 };
    tty::publish(line(lab)?, &folder.join(LVS1).join("bad"), faults)?;
    let bad = Provision::new(lab, "bad", PASSWORD)?;
    let path = |path: &std::path::Path| path.to_string_lossy().into_owned();
    let began = lab.hub().elapsed();
    let pushed = bad.run_to_end(lab, &["push", &path(&sent), "--commit"], PATIENCE)?;
    ensure!(pushed.stdout.contains("Committed as generation"), "{} {}", pushed.stdout, pushed.stderr);
    ensure!(pushed.stderr.contains("waiting for the line"), "the line was not cut: {}", pushed.stderr);
    let took = lab.hub().elapsed().saturating_sub(began);
    lab.hub().line("test", "figure", &format!("{} bytes pushed over the bad line in {took:?}", text.len()));
    bad.run_to_end(lab, &["pull", &path(&came)], PATIENCE)?;
    let came = fs::read_to_string(&came)?;
    let exact = clean.run_to_end(lab, &["pull"], PATIENCE)?.stdout;
    ensure!(came == exact, "the noisy line changed the configuration");
    let lines = |text: &str| -> Vec<String> {
        let mut lines: Vec<_> = text.lines().filter(|l| !l.starts_with('#')).map(str::to_owned).collect();
        lines.sort_unstable();
        lines
    };
    if lines(&came) != lines(&text) {
        let odd = lines(&came).into_iter().find(|line| !text.contains(line.as_str()));
        bail!("{} lines came, {} were sent; for example {odd:?}", lines(&came).len(), lines(&text).len());
    }
    Ok(())
}

fn a_command_and_the_log(lab: &mut Lab) -> Result<()> {
    let faults = Faults { one_in: 3000, seed: 8, cut_after: 0 };
    tty::publish(line(lab)?, &lab.folder().path().join(LVS1).join("noisy"), faults)?;
    let noisy = Provision::new(lab, "noisy", PASSWORD)?;
    let shown = noisy.run_to_end(lab, &["run", "show", "ipvs"], PATIENCE)?.stdout;
    // Everything but the counters.
    let clean = Provision::new(lab, "tty", PASSWORD)?;
    let exact = clean.run_to_end(lab, &["run", "show", "ipvs"], PATIENCE)?.stdout;
    let words = |text: &str| -> Vec<String> {
        text.split_whitespace().filter(|word| word.parse::<u64>().is_err()).map(str::to_owned).collect()
    };
    ensure!(words(&shown) == words(&exact) && exact.contains("192.168.1.5:80"), "`{shown}` is not `{exact}`");
    let generation = |lab: &Lab| -> Result<u64> {
        let text = clean.run_to_end(lab, &["run", "show", "version", "|", "json"], PATIENCE)?.stdout;
        number(&serde_json::from_str(&text)?, "generation")
    };
    let before = generation(lab)?;
    noisy.run_to_end(lab, &["run", "set", "pool", "web", "server", "rs1", "weight", "7"], PATIENCE)?;
    noisy.run_to_end(lab, &["run", "commit"], PATIENCE)?;
    ensure!(generation(lab)? == before + 1, "not committed exactly once");
    let follow = noisy.start(lab, &["log", "5", "--follow"])?;
    lab.hub().until("the newest lines", lab.scaled(SOON * 4), || {
        if follow.stdout().lines().count() >= 5 { Ok(()) } else { Err(follow.stderr()) }
    })?;
    lab.web("rs2")?.stop()?;
    let down = lab.hub().until("the line of a server that left", PATIENCE, || {
        let text = follow.stdout();
        if text.contains("rs2") { Ok(text) } else { Err(text) }
    });
    lab.web("rs2")?.start()?;
    follow.stop()?;
    down?;
    operational(lab)
}

//! Runs jobs and collects what they found.
//!
//! A job runs in a process of its own, the same executable with `--one`, because a lab needs namespaces that die with
//! it, and because a job that ends badly must not take the figures of the others along.

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use director_qemu::isolate::isolated;
use director_qemu::run_folder::{RunFolder, build_folder};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Display;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// What one job does.
#[derive(Clone, Copy, Debug)]
pub enum Work<T> {
    /// In this process, no root, no lab.
    Native(fn(&mut Vec<T>, &Options) -> Result<()>),
    /// In namespaces of its own.
    Lab(fn(&mut Vec<T>, &Options, RunFolder) -> Result<()>),
}

/// A named job.
#[derive(Clone, Copy, Debug)]
pub struct Job<T> {
    /// What `ONLY=` says.
    pub name: &'static str,
    /// One line for the list.
    pub about: &'static str,
    /// What it does; it adds to the list as it goes, so that a failure keeps what was found before.
    pub work: Work<T>,
}

/// What is said on the command line.
#[derive(Clone, Debug, Parser)]
pub struct Options {
    /// Only jobs whose name contains this.
    #[arg(long, default_value = "")]
    only: String,
    /// The first seed of what is random.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// How often, instead of the count of the job.
    #[arg(long)]
    pub count: Option<u64>,
    /// Show the jobs.
    #[arg(long)]
    list: bool,
    /// Run this job here and write what it finds to `--out`.
    #[arg(long, hide = true)]
    one: Option<String>,
    /// Where to.
    #[arg(long, hide = true)]
    out: Option<PathBuf>,
}

/// The `main` of a campaign: `build/NAME.json` gets all figures, also when a job failed.
pub fn main<T>(name: &str, jobs: &[Job<T>]) -> ExitCode
where
    T: Serialize + DeserializeOwned + Display,
{
    if let Some(code) = director_qemu::helper::run_if_asked() {
        return code;
    }
    let options = Options::parse();
    let result = match &options.one {
        Some(one) => return run_one(jobs, one, &options),
        None if options.list => list(jobs),
        None => run_all(name, jobs, &options),
    };
    result.unwrap_or_else(|error| complain(name, &error))
}

fn complain(who: &str, error: &anyhow::Error) -> ExitCode {
    writeln!(io::stderr(), "{who}: {error:#}").ok();
    ExitCode::FAILURE
}

fn list<T>(jobs: &[Job<T>]) -> Result<ExitCode> {
    for job in jobs {
        writeln!(io::stdout(), "{:<16} {}", job.name, job.about)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn run_all<T>(name: &str, jobs: &[Job<T>], options: &Options) -> Result<ExitCode>
where
    T: Serialize + DeserializeOwned + Display,
{
    let chosen: Vec<&Job<T>> = jobs.iter().filter(|job| job.name.contains(&options.only)).collect();
    ensure!(!chosen.is_empty(), "no job is called {}; --list shows them", options.only);
    let folder = build_folder();
    fs::create_dir_all(&folder)?;
    let mut found: Vec<T> = Vec::new();
    let mut failed = Vec::new();
    for job in chosen {
        writeln!(io::stdout(), "== {}: {}", job.name, job.about)?;
        let part = folder.join(format!("{name}.{}.part", job.name));
        fs::remove_file(&part).ok();
        let status = start(job.name, options, &part)?;
        let figures: Vec<T> = fs::read(&part)
            .ok()
            .map(|text| serde_json::from_slice(&text))
            .transpose()
            .with_context(|| format!("{}: what it wrote cannot be read", job.name))?
            .unwrap_or_default();
        fs::remove_file(&part).ok();
        for figure in &figures {
            writeln!(io::stdout(), "{figure}")?;
        }
        if !status || figures.is_empty() {
            failed.push(job.name);
        }
        found.extend(figures);
    }
    let file = folder.join(format!("{name}.json"));
    fs::write(&file, serde_json::to_vec_pretty(&found)?)?;
    writeln!(io::stdout(), "{} figures in {}", found.len(), file.display())?;
    ensure!(failed.is_empty(), "failed: {}", failed.join(", "));
    Ok(ExitCode::SUCCESS)
}

fn start(job: &str, options: &Options, out: &Path) -> Result<bool> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--one", job, "--seed", &options.seed.to_string(), "--out"]).arg(out);
    if let Some(count) = options.count {
        command.args(["--count", &count.to_string()]);
    }
    Ok(command.status().with_context(|| format!("cannot start {job}"))?.success())
}

fn run_one<T: Serialize>(jobs: &[Job<T>], one: &str, options: &Options) -> ExitCode {
    let Some(job) = jobs.iter().find(|job| job.name == one) else { return ExitCode::FAILURE };
    let Some(out) = &options.out else { return ExitCode::FAILURE };
    let finish = |work: &mut dyn FnMut(&mut Vec<T>) -> Result<()>| {
        let mut found = Vec::new();
        let worked = work(&mut found);
        let written = serde_json::to_vec(&found)
            .map_err(Into::into)
            .and_then(|text| fs::write(out, text).with_context(|| format!("cannot write {}", out.display())));
        match worked.and(written) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => complain(one, &error),
        }
    };
    match job.work {
        Work::Native(work) => finish(&mut |found| work(found, options)),
        Work::Lab(work) => isolated(|folder| {
            let path = folder.path().to_owned();
            let mut folder = Some(folder);
            let code = finish(&mut |found| work(found, options, folder.take().context("once")?));
            writeln!(io::stdout(), "logs: {}", path.display()).ok();
            code
        }),
    }
}

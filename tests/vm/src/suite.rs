//! One boot, many cases.

use anyhow::{Context as _, Result};
use director_qemu::helper;
use director_qemu::isolate::isolated;
use director_qemu::lab::Lab;
use director_qemu::run_folder::RunFolder;
use director_qemu::scenario;
use libtest_mimic::{Arguments, Failed, Trial};
use std::env;
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::{Arc, Mutex, PoisonError};

/// A case: its name is a sentence.
pub type Case = (&'static str, fn(&mut Lab) -> Result<()>);

/// What a suite is made of.
#[derive(Clone, Copy, Debug)]
pub struct Suite {
    /// Makes the lab for the first case that runs.
    pub start: fn(RunFolder) -> Result<Lab>,
    /// Brings the lab to the state that every case starts from, and says so when it is not.
    pub baseline: fn(&mut Lab) -> Result<()>,
    /// Makes a lab usable again in which a case failed.
    pub repair: fn(&mut Lab) -> Result<()>,
    /// The cases in order.
    pub cases: &'static [Case],
}

/// Tells a process that it is there for one case.
const ALONE: &str = "DIRECTOR_VM_ALONE";

#[derive(Debug, Default)]
enum State {
    #[default]
    New,
    Running {
        lab: Box<Lab>,
        /// A case failed, and nobody has looked after the lab since.
        dirty: bool,
    },
    Broken(String),
}

/// The `main` of a suite. Takes the arguments of the standard test harness (a filter, `--list`, `--exact`, ...).
#[must_use]
pub fn main(suite: Suite) -> ExitCode {
    if let Some(code) = helper::run_if_asked() {
        return code;
    }
    let mut arguments = Arguments::from_args();
    // All cases use the same lab.
    arguments.test_threads = Some(1);
    if arguments.list {
        return libtest_mimic::run(&arguments, trials(suite, None)).exit_code();
    }
    isolated(move |folder| {
        let path = folder.path().to_owned();
        let conclusion = libtest_mimic::run(&arguments, trials(suite, Some(folder)));
        for figure in figures(&path) {
            writeln!(io::stdout(), "measured: {figure}").ok();
        }
        writeln!(io::stdout(), "logs: {}", path.display()).ok();
        conclusion.exit_code()
    })
}

/// A case with a scenario of its own, which is booted for it: name, scenario, case.
pub type Own = (&'static str, &'static str, fn(&mut Lab) -> Result<()>);

/// The `main` of a suite of such cases.
#[must_use]
pub fn each(cases: &'static [Own]) -> ExitCode {
    if let Some(code) = helper::run_if_asked() {
        return code;
    }
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    if env::var_os(ALONE).is_none() {
        let trial = |&(name, _, _): &Own| Trial::test(name, move || alone(name).map_err(Failed::from));
        return libtest_mimic::run(&arguments, cases.iter().map(trial).collect()).exit_code();
    }
    isolated(move |folder| {
        let trial = |&(name, scenario, case): &Own| {
            let folder = folder.clone();
            Trial::test(name, move || {
                own(&folder, scenario, case).map_err(|error| Failed::from(format!("{error:#}")))
            })
        };
        let conclusion = libtest_mimic::run(&arguments, cases.iter().map(trial).collect());
        writeln!(io::stdout(), "logs: {}", folder.path().display()).ok();
        conclusion.exit_code()
    })
}

/// Runs one case in a process of its own: the namespaces of a lab end with their process only.
fn alone(name: &str) -> Result<(), String> {
    let this = env::current_exe().map_err(|error| error.to_string())?;
    let output = Command::new(this).args(["--exact", name]).env(ALONE, "1").output();
    let output = output.map_err(|error| error.to_string())?;
    let said = [output.stdout, output.stderr].concat();
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&said).into_owned()) }
}

fn own(folder: &RunFolder, name: &str, case: fn(&mut Lab) -> Result<()>) -> Result<()> {
    let folder = RunFolder::open(folder.node(name)?);
    let mut lab = Lab::prepare(scenario::named(name).context("scenario")?, folder)?;
    lab.boot()?;
    case(&mut lab)
}

/// What the cases measured, from the timeline.
fn figures(folder: &Path) -> Vec<String> {
    let timeline = fs::read_to_string(folder.join("timeline.log")).unwrap_or_default();
    timeline.lines().filter_map(|line| Some(line.split_once(" test figure ")?.1.to_owned())).collect()
}

fn trials(suite: Suite, folder: Option<RunFolder>) -> Vec<Trial> {
    let state: Arc<Mutex<State>> = Arc::default();
    let trial = |&(name, case): &Case| {
        let (state, folder) = (Arc::clone(&state), folder.clone());
        Trial::test(name, move || {
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            let lab = ready(&suite, &mut state, folder)?;
            lab.hub().line("test", "case", name);
            let result = (suite.baseline)(lab).and_then(|()| case(lab));
            if let Err(error) = &result {
                lab.hub().line("test", "FAILED", &format!("{error:#}"));
                if let State::Running { dirty, .. } = &mut *state {
                    *dirty = true;
                }
            }
            result.map_err(|error| Failed::from(format!("{error:#}")))
        })
    };
    suite.cases.iter().map(trial).collect()
}

/// The lab, started for the first case and repaired after one that failed.
fn ready<'s>(suite: &Suite, state: &'s mut State, folder: Option<RunFolder>) -> Result<&'s mut Lab, Failed> {
    let text = |error: anyhow::Error| format!("{error:#}");
    if matches!(state, State::New) {
        let started =
            folder.ok_or_else(|| "no folder".to_owned()).and_then(|f| (suite.start)(f).map_err(text));
        *state = match started {
            Ok(lab) => State::Running { lab: Box::new(lab), dirty: false },
            Err(reason) => State::Broken(format!("the lab did not come up: {reason}")),
        };
    }
    if let State::Running { lab, dirty: dirty @ true } = state {
        match (suite.repair)(lab) {
            Ok(()) => *dirty = false,
            Err(error) => *state = State::Broken(format!("the lab did not recover: {error:#}")),
        }
    }
    match state {
        State::Running { lab, .. } => Ok(lab),
        State::Broken(reason) => Err(Failed::from(reason.as_str())),
        State::New => Err(Failed::from("the lab was not started")),
    }
}

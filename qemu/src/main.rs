//! `lab`: boots a named topology of directors, real servers and clients.

use clap::{Parser, Subcommand};
use director_qemu::isolate::isolated;
use director_qemu::run::{After, run};
use director_qemu::scenario::{self, BringUp, Scenario};
use std::io::{self, Write as _};
use std::process::ExitCode;

/// Directors in QEMU, real servers in network namespaces, and the switch between them.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Boot, send requests, show who answered, attach to the console (what `make run` does).
    Run(Choice),
    /// Boot and stay until Ctrl-C (what `make lab` does).
    Up(Choice),
    /// Show the scenarios.
    List,
}

#[derive(clap::Args)]
struct Choice {
    /// Name of the scenario.
    scenario: String,
    /// Type the configuration over the serial console instead of having it on the disk.
    #[arg(long)]
    typed: bool,
}

fn main() -> ExitCode {
    if let Some(code) = director_qemu::helper::run_if_asked() {
        return code;
    }
    let (choice, after) = match Arguments::parse().command {
        Command::List => return list(),
        Command::Run(choice) => (choice, After::Report),
        Command::Up(choice) => (choice, After::Stay),
    };
    let Some(mut scenario) = scenario::named(&choice.scenario) else {
        writeln!(io::stderr(), "lab: there is no scenario {}; use {}", choice.scenario, scenario::names())
            .ok();
        return ExitCode::FAILURE;
    };
    if choice.typed {
        scenario.bring_up = BringUp::Typed;
    }
    isolated(move |folder| finish(|| run(scenario, folder, after)))
}

fn finish(work: impl FnOnce() -> anyhow::Result<()>) -> ExitCode {
    match work() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            writeln!(io::stderr(), "lab: {error:#}").ok();
            ExitCode::FAILURE
        }
    }
}

fn list() -> ExitCode {
    for Scenario { name, about, .. } in scenario::ALL.map(|make| make()) {
        if writeln!(io::stdout(), "{name:<16} {about}").is_err() {
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

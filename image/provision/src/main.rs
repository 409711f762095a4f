//! Pushes and pulls a configuration, runs a command and follows the log, over a serial line or the lab's console socket.
//!
//! What is checked, and how, is [`director_core::cli::transfer`]; here are the line, the time limits and the words.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command for a terminal")]

mod dialogue;
mod line;
mod login;

use anyhow::{Context as _, Result, bail};
use clap::{Parser, Subcommand};
use line::Line;
use std::path::PathBuf;

/// Talks to a director over its serial console.
#[derive(Debug, Parser)]
#[command(name = "director-provision")]
struct Arguments {
    /// The serial port, for example /dev/ttyUSB0.
    #[arg(long, conflicts_with = "socket")]
    port: Option<String>,
    /// Speed of the serial port.
    #[arg(long, default_value_t = 115_200)]
    baud: u32,
    /// The lab's console instead: build/lab/current/NODE/console.
    #[arg(long)]
    socket: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a file the candidate, set lines or braces; nothing is committed without --commit.
    Push {
        /// The file.
        file: PathBuf,
        /// Commit it, and fail when the box refuses.
        #[arg(long)]
        commit: bool,
    },
    /// Fetch the running configuration.
    Pull {
        /// Where to; without it, to standard output.
        file: Option<PathBuf>,
    },
    /// Run one command of the console and print its answer.
    Run {
        /// Its words.
        #[arg(required = true, trailing_var_arg = true)]
        words: Vec<String>,
    },
    /// Send an upgrade into the slot that does not run; `upgrade boot` at the console starts it.
    Upgrade {
        /// The .upgrade file.
        file: PathBuf,
    },
    /// Print the newest log lines.
    Log {
        /// How many.
        #[arg(default_value_t = 40)]
        lines: u32,
        /// And then each new one, until C-c.
        #[arg(long, short)]
        follow: bool,
    },
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let mut line = match (&arguments.port, &arguments.socket) {
        (Some(port), _) => Line::serial(port, arguments.baud)?,
        (None, Some(path)) => Line::socket(path)?,
        (None, None) => bail!("where is the director? --port /dev/ttyUSB0, or --socket of the lab"),
    };
    match arguments.command {
        Command::Push { file, commit } => {
            let text =
                std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
            if let Err(wrong) = director_core::cli::parse_text(&text) {
                let mut all: Vec<String> = wrong.errors.iter().map(ToString::to_string).collect();
                all.extend((wrong.more > 0).then(|| format!("and {} more", wrong.more)));
                bail!("{} was not sent:\n{}", file.display(), all.join("\n"));
            }
            dialogue::push(&mut line, &text)?;
            if commit {
                let answer = dialogue::run(&mut line, "commit")?;
                println!("{answer}");
                if !answer.contains("Committed as generation") && !answer.contains("Nothing to commit") {
                    bail!("the box did not commit it: see above; the candidate is kept");
                }
            } else {
                eprintln!("It is the candidate. Look with compare and commit check; commit makes it run.");
            }
        }
        Command::Pull { file } => {
            let text = dialogue::pull(&mut line)?;
            match file {
                None => print!("{text}"),
                Some(file) => {
                    std::fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?
                }
            }
        }
        Command::Upgrade { file } => {
            let bundle = std::fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
            dialogue::upgrade(&mut line, &bundle)?;
            println!("It is in the other slot, whole. At the console: upgrade boot.");
        }
        Command::Run { words } => println!("{}", dialogue::run(&mut line, &words.join(" "))?),
        Command::Log { lines, follow: true } => {
            dialogue::follow(&mut line, lines, |text| println!("{text}"))?;
        }
        Command::Log { lines, follow: false } => {
            println!("{}", dialogue::run(&mut line, &format!("show log {lines}"))?)
        }
    }
    Ok(())
}

//! `director-provision` on a terminal that the lab publishes, as on a serial port.

use crate::director::{LVS1, SOON};
use crate::login::expect;
use anyhow::{Context as _, Result, bail};
use director_qemu::lab::Lab;
use director_qemu::process::{Ended, Process, Program};
use std::env;
use std::time::Duration;

/// The program and where its line is.
#[derive(Clone, Debug)]
pub struct Provision {
    program: String,
    port: String,
    password: String,
}

impl Provision {
    /// On the terminal of that name in the director's folder.
    ///
    /// # Errors
    /// When the program was not built.
    pub fn new(lab: &Lab, terminal: &str, password: &str) -> Result<Self> {
        let own = env::current_exe().context("own executable")?;
        // Tests lie in the folder below that of the programs.
        let program = own.ancestors().nth(2).context("build folder")?.join("director-provision");
        if !program.exists() {
            bail!("{} is missing: cargo build --package director-provision", program.display());
        }
        let text = |path: std::path::PathBuf| path.to_string_lossy().into_owned();
        let port = text(lab.folder().path().join(LVS1).join(terminal));
        Ok(Self { program: text(program), port, password: password.to_owned() })
    }

    /// Starts it.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(&self, lab: &Lab, arguments: &[&str]) -> Result<Process> {
        let secret = format!("DIRECTOR_PASSWORD={}", self.password);
        let argv = ["env", &secret, &self.program, "--port", &self.port];
        Program::new("laptop", argv.into_iter().chain(arguments.iter().copied())).quiet().spawn(lab.hub())
    }

    /// Runs it to its end.
    ///
    /// # Errors
    /// When it fails, or does not end in time.
    pub fn run_to_end(&self, lab: &Lab, arguments: &[&str], limit: Duration) -> Result<Ended> {
        let ended = self.start(lab, arguments)?.wait(lab.scaled(limit))?;
        if !ended.status.success() {
            bail!("{arguments:?}: {} {}", ended.stdout, ended.stderr);
        }
        Ok(ended)
    }
}

/// Out of the transfer mode, which a program may have left just now, and out of configure mode. What the program typed last may
/// still be on its way, so a line of our own comes back first.
///
/// # Errors
/// When the console does not answer.
pub fn operational(lab: &Lab) -> Result<()> {
    let mark = expect(lab, "\x03\x03\x03\r# left", "# left\r\n")?;
    let prompt = lab.director(LVS1)?.console().wait_prompt(mark, lab.scaled(SOON))?;
    if prompt.ends_with("# ") {
        lab.ask(LVS1, "exit")?;
    }
    Ok(())
}

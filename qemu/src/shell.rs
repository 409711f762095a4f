//! The shell inside a guest that carries tools ([`crate::tools`]): one line in, what it printed and its status out.

use crate::serial::{Mark, Serial};
use crate::tools::ENDS;
use anyhow::{Result, bail};
use std::time::Duration;

/// How long one line may take, before scaling.
const LINE_LIMIT: Duration = Duration::from_secs(60);
/// Bytes of one line: what the guest's line discipline holds while the shell is busy (`N_TTY_BUF_SIZE`, 4096).
const LINE_BYTES: usize = 4000;

/// A shell on ttyS3.
#[derive(Debug)]
pub struct Shell {
    serial: Serial,
}

/// How a line ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// Status of its last command.
    pub status: u8,
    /// What it printed, errors too.
    pub output: String,
}

impl Shell {
    pub(crate) fn new(serial: Serial) -> Self {
        Self { serial }
    }

    pub(crate) fn serial(&self) -> &Serial {
        &self.serial
    }

    /// Waits until a guest that was switched on after `mark` takes lines.
    pub(crate) fn wait_ready(&self, mark: Mark, limit: Duration) -> Result<()> {
        self.serial.wait_for("[[ready]]", mark, limit)
    }

    /// Runs one line.
    ///
    /// # Errors
    /// When it does not end in time, or the machine is off.
    pub fn run(&self, line: &str) -> Result<Answer> {
        if line.len() > LINE_BYTES || line.contains('\n') {
            bail!("one line of at most {LINE_BYTES} bytes at a time: {line:?}");
        }
        self.serial.exchange(&format!("{line}\n"), LINE_LIMIT, |said| {
            let (output, rest) = said.rsplit_once(ENDS.0)?;
            let (status, _) = rest.split_once(ENDS.1)?;
            Some(Answer { status: status.parse().ok()?, output: output.to_owned() })
        })
    }

    /// Runs one line that must end well, and gives what it printed.
    ///
    /// # Errors
    /// With what it printed when its status is not 0.
    pub fn ok(&self, line: &str) -> Result<String> {
        let answer = self.run(line)?;
        if answer.status != 0 {
            bail!("`{line}` ended with {}: {}", answer.status, answer.output.trim());
        }
        Ok(answer.output)
    }
}

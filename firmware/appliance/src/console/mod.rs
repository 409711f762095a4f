//! The console process: owns the serial line, moves bytes between it, the session and the director.
//!
//! ```text
//!  ttyS0 <──bytes──> pump <──> director_core::cli::Session (pure)
//!                     │ ^
//!             requests│ │replies        log: /dev/kmsg     power, restart: /run/init.sock
//!                     v │
//!              /run/director.sock
//! ```
//!
//! It is a process of its own, so that a wedged director still leaves the log, a restart and a reboot to the operator.

mod pump;

use crate::platform::kmsg;
use crate::platform::tty::Tty;
use director_core::director::Level;
use director_core::init::cmdline::Options;
use director_core::init::limits::EXIT_FINAL;
use std::process::ExitCode;

/// Runs until the line is lost; init starts another.
pub(crate) fn run() -> ExitCode {
    kmsg::speak_as("console");
    let options = Options::parse(&std::fs::read_to_string("/proc/cmdline").unwrap_or_default());
    let Some(line) = options.console else { return ExitCode::from(EXIT_FINAL) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let served = runtime.and_then(|runtime| {
        runtime.block_on(async {
            let tty = Tty::open(&line.to_string(), options.baud)?;
            pump::Pump::new(tty).run().await
        })
    });
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            kmsg::log(Level::Error, &format!("console {line}: {error}"));
            ExitCode::FAILURE
        }
    }
}

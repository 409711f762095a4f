//! The console process: owns the serial line, holds the session, talks to the director. When the director is wedged
//! or gone, the log, reboot and power off still work, because they need only the kernel and PID 1.

mod pump;
mod rescue;

use crate::director::boot::RUN;
use crate::init::child;
use crate::ipc::{self, Link};
use crate::platform::kmsg::Log;
use crate::platform::tty::Tty;
use director_core::director::event::Level;
use director_core::init::{Child, limits};
use pump::Pump;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::process::ExitCode;

/// Runs until the serial line fails or a signal ends it.
pub(crate) fn run() -> ExitCode {
    let log = Log::open(Child::Console.word());
    match start(&log) {
        Ok(never) => match never {},
        Err(Failure::Absent(error)) => {
            log.write(Level::Error, format_args!("no console: {error}"));
            ExitCode::from(limits::EXIT_FINAL)
        }
        Err(Failure::Broken(error)) => {
            log.write(Level::Error, format_args!("console: {error}"));
            ExitCode::FAILURE
        }
    }
}

enum Failure {
    /// This box has no such line: starting again does not help.
    Absent(String),
    /// Starting again may help.
    Broken(String),
}

fn start(log: &Log) -> Result<std::convert::Infallible, Failure> {
    let broken = |error: io::Error| Failure::Broken(error.to_string());
    let options = child::options().map_err(broken)?;
    let name = options.console.ok_or_else(|| Failure::Absent("no line is named".to_owned()))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(broken)?;
    runtime.block_on(async {
        let tty = Tty::open(&name, options.baud).map_err(|error| {
            let absent = error.kind() == ErrorKind::NotFound;
            let text = format!("{name}: {error}");
            if absent { Failure::Absent(text) } else { Failure::Broken(text) }
        })?;
        log.write(Level::Info, format_args!("serves {name} at {} bit/s", options.baud));
        let link = Link::open(Path::new(ipc::SOCKET)).await;
        let error = Pump::new(&tty, &tty, link, log, Path::new(RUN)).run().await;
        Err(Failure::Broken(format!("{name}: {error}")))
    })
}

//! The first steps of each child, and the smallest of them.

use super::phases;
use crate::platform::kmsg::{self, Log};
use crate::platform::priority;
use director_core::director::event::Level;
use director_core::init::cmdline::Options;
use director_core::init::{Child, limits};
use nix::sys::signal::SigSet;
use std::ffi::CString;
use std::io;
use std::path::Path;
use std::process::ExitCode;

/// Undoes what PID 1 passes on (its blocked signals), and sets what each child has: a name, and panics as one line in
/// the log.
pub(crate) fn enter(child: Child) {
    kmsg::log_panics(child.word());
    let log = Log::open(child.word());
    if let Err(error) = SigSet::all().thread_unblock() {
        log.write(Level::Error, format_args!("signals stay blocked: {error}"));
    }
    let named = CString::new(child.word()).map(|name| nix::sys::prctl::set_name(&name));
    if !matches!(named, Ok(Ok(()))) {
        log.write(Level::Info, format_args!("the process keeps its file's name"));
    }
}

/// Our words on the kernel command line.
pub(crate) fn options() -> io::Result<Options> {
    phases::read_options()
}

/// The relay of the kernel log, for the lab.
pub(crate) fn relay() -> ExitCode {
    let log = Log::open(Child::KmsgRelay.word());
    let terminal = match phases::read_options().map(|options| options.kmsg) {
        Ok(Some(terminal)) => terminal,
        Ok(None) | Err(_) => return ExitCode::from(limits::EXIT_FINAL),
    };
    // A slow line must not slow the boot that it shows.
    priority::lowest();
    let result = kmsg::relay(Path::new(&terminal.to_string()));
    let Err(error) = result else { return ExitCode::SUCCESS };
    log.write(Level::Warning, format_args!("{terminal}: {error}"));
    // Not there now is not there later: serial ports are found before PID 1 starts.
    ExitCode::from(limits::EXIT_FINAL)
}

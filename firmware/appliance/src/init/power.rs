//! The end of the machine. The director has released everything, or had its time.

use super::children::spawn;
use super::face::Face;
use crate::platform::clock;
use crate::platform::watchdog::Watchdog;
use director_core::director::event::Level;
use director_core::director::protocol::Power;
use director_core::init::limits;
use director_core::model::Millis;
use nix::errno::Errno;
use nix::poll::PollTimeout;
use nix::sys::reboot::{RebootMode, reboot};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use std::convert::Infallible;
use std::process::{ExitCode, Stdio};

/// How often is looked whether all are reaped. Chosen: short against what an operator notices.
const REAP_EVERY_MS: u8 = 5;

/// Kills everything, writes back, and ends the machine. The watchdog stays armed: it ends a machine that hangs in
/// its own end. Returns only when the kernel refuses.
pub(super) fn end(power: Power, mut watchdog: Option<&mut Watchdog>, face: &mut Face) -> ExitCode {
    let start = clock::now();
    feed(watchdog.as_deref_mut());
    // -1 is everything but PID 1 itself.
    let _nobody = kill(Pid::from_raw(-1), Signal::SIGKILL).is_err();
    let reaped = reap_all(limits::REAP_MAX);
    face.take_back();
    if !reaped {
        face.note(Level::Warning, format_args!("a process hangs in the kernel"));
    }
    feed(watchdog.as_deref_mut());
    // In a process of its own: a dead disk keeps sync(2) for ever.
    let synced = match spawn(super::SYNC_WORD, None, Stdio::null()) {
        Ok(_) => reap_all(limits::SYNC_MAX),
        Err(_) => false,
    };
    let ms = super::since(start).get();
    let (mode, word) = match power {
        Power::Reboot => (RebootMode::RB_AUTOBOOT, "rebooting"),
        Power::Off => (RebootMode::RB_POWER_OFF, "power off"),
    };
    let mark = if reaped && synced { "  ok  " } else { " warn " };
    // The cursor stands behind the prompt of the console that is gone.
    face.show(format_args!("\r\n[{mark}] {word:10} {ms:5} ms"));
    feed(watchdog);
    // A machine that cannot switch off reboots rather than stand still.
    refused(reboot(mode), face);
    refused(reboot(RebootMode::RB_AUTOBOOT), face);
    ExitCode::FAILURE
}

fn feed(watchdog: Option<&mut Watchdog>) {
    // It cannot be told better: the hardware decides from here on.
    let _hungry = watchdog.is_some_and(|w| w.feed().is_err());
}

fn refused(result: nix::Result<Infallible>, face: &mut Face) {
    let Err(error) = result;
    face.show(format_args!("[failed] reboot: {error}"));
}

/// Reaps until nothing is left, at most for `limit`.
fn reap_all(limit: Millis) -> bool {
    let until = clock::now().after(limit);
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Err(Errno::ECHILD) => return true,
            Ok(nix::sys::wait::WaitStatus::StillAlive) => {
                if clock::now() >= until {
                    return false;
                }
                let _ended = nix::poll::poll(&mut [], PollTimeout::from(REAP_EVERY_MS)).is_err();
            }
            Ok(_) | Err(_) => {}
        }
    }
}

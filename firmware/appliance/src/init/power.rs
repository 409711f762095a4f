//! How the machine ends, and how others ask for it.

use crate::platform::{clock, kmsg};
use director_core::director::Level;
use director_core::director::protocol::Power;
use director_core::init::Ask;
use director_core::init::limits::{REAP_MAX, SYNC_MAX};
use nix::errno::Errno;
use nix::poll::PollTimeout;
use nix::sys::reboot::{RebootMode, reboot};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, sync};
use std::io;
use std::os::unix::net::UnixDatagram;
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::Duration;

/// Where PID 1 takes requests. In memory; only root can open it.
pub(crate) const ASK_SOCKET: &str = "/run/init.sock";

/// Sends a request to PID 1.
pub(crate) fn ask(what: Ask) -> io::Result<()> {
    UnixDatagram::unbound()?.send_to(what.word().as_bytes(), ASK_SOCKET).map(drop)
}

/// Kills all other processes, writes back what disks still have to get, and ends the machine.
pub(super) fn end(power: Power) -> ExitCode {
    let words = match power {
        Power::Reboot => "rebooting",
        Power::Off => "power off",
    };
    kmsg::log(Level::Notice, words);
    // -1: everybody but PID 1 (kill(2)). Nobody left is no error.
    let _nobody = kill(Pid::from_raw(-1), Signal::SIGKILL).is_err();
    reap_all();
    write_back();
    let mode = match power {
        Power::Reboot => RebootMode::RB_AUTOBOOT,
        Power::Off => RebootMode::RB_POWER_OFF,
    };
    match reboot(mode) {
        Ok(never) => match never {},
        // Returning from PID 1 panics the kernel, which reboots after a second.
        Err(errno) => {
            kmsg::log(Level::Error, &format!("reboot: {}", errno.desc()));
            ExitCode::FAILURE
        }
    }
}

/// Reaps until nobody is left, at most [`REAP_MAX`].
fn reap_all() {
    let end = clock::now().after(REAP_MAX);
    while clock::now() < end {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            // Still dying: look again in a moment.
            Ok(WaitStatus::StillAlive) => {
                let moment = PollTimeout::try_from(5_u8).unwrap_or(PollTimeout::ZERO);
                let _timeout = nix::poll::poll(&mut [], moment).is_err();
            }
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => return,
        }
    }
}

/// Writes back, at most [`SYNC_MAX`]: a dead disk must not keep the box from rebooting. The thread is left behind.
fn write_back() {
    let (done, wait) = mpsc::sync_channel(1);
    let started = std::thread::Builder::new().spawn(move || {
        sync();
        // Nobody waits any more when this took too long.
        let _late = done.send(()).is_err();
    });
    if started.is_ok() {
        let limit = Duration::from_millis(u64::from(SYNC_MAX.get()));
        let _timeout = wait.recv_timeout(limit).is_err();
    }
}

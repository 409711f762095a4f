//! Starts, signals and reaps children. Each is the leader of a process group of its own.

use director_core::init::{Child, Exit};
use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

/// The program that is running, whatever its name.
const PROGRAM: &str = "/proc/self/exe";
/// Children reaped in one turn. More wait for the next: SIGCHLD's descriptor stays readable or the next tick comes.
const REAPED_MAX: usize = 256;

/// The processes of the [`Child`]ren.
#[derive(Debug)]
pub(super) struct Children {
    running: BTreeMap<Pid, Child>,
    /// The director's end of the report socket; each new director gets it as standard input.
    reports: UnixDatagram,
}

impl Children {
    /// None runs yet.
    pub(super) fn new(reports: UnixDatagram) -> Self {
        Self { running: BTreeMap::new(), reports }
    }

    /// Starts a child. Returns at once; a program that cannot be executed is an error.
    pub(super) fn start(&mut self, child: Child) -> io::Result<()> {
        let stdin = match child {
            Child::Director => Stdio::from(OwnedFd::from(self.reports.try_clone()?)),
            Child::Console | Child::KmsgRelay => Stdio::null(),
        };
        let mut command = Command::new(PROGRAM);
        command.arg(child.word()).process_group(0).stdin(stdin);
        // What a child prints (a panic message) goes where PID 1 prints: the console.
        unblock_signals(&mut command);
        let process = command.spawn()?;
        let id = i32::try_from(process.id()).map_err(io::Error::other)?;
        // The handle is dropped: children are reaped by number, adopted ones too.
        self.running.insert(Pid::from_raw(id), child);
        Ok(())
    }

    /// Sends a signal to a child's whole group. A child that just ended is no error.
    pub(super) fn send(&self, child: Child, signal: Signal) {
        for (pid, _) in self.running.iter().filter(|(_, c)| **c == child) {
            let _ended = killpg(*pid, signal).is_err();
        }
    }

    /// Reaps whoever ended, and says which of ours did. What a dead child left running in its group is killed.
    pub(super) fn reap(&mut self) -> Vec<(Child, Exit)> {
        let mut ended = Vec::new();
        for _ in 0..REAPED_MAX {
            let (pid, exit) = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) => (pid, Exit::Code(code)),
                Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, Exit::Signal(number(signal))),
                Err(Errno::EINTR) => continue,
                // Nobody ended, or there are no children.
                Ok(_) | Err(_) => break,
            };
            if let Some(child) = self.running.remove(&pid) {
                let _empty = killpg(pid, Signal::SIGKILL).is_err();
                ended.push((child, exit));
            }
        }
        ended
    }
}

#[expect(clippy::as_conversions, reason = "an enum with the numbers as values; nix offers no other way")]
const fn number(signal: Signal) -> i32 {
    signal as i32
}

/// PID 1 blocks all signals and takes them from a descriptor; a child must get them.
#[expect(unsafe_code, reason = "the signal mask of a child is set between fork and exec")]
fn unblock_signals(command: &mut Command) {
    let unblock = || nix::sys::signal::SigSet::all().thread_unblock().map_err(io::Error::from);
    // SAFETY: the closure runs after fork in the child and only calls sigprocmask, which is async-signal-safe.
    unsafe { command.pre_exec(unblock) };
}

//! The processes below PID 1: started, signalled, reaped.
//!
//! Each child leads a process group, so that whatever it started ends with it.

use director_core::init::liveness::REPORT_BYTES;
use director_core::init::{Child, Exit, Report, Signal};
use nix::errno::Errno;
use nix::sys::signal::{Signal as Posix, kill, killpg};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, socketpair};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::Pid;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

/// This program, wherever it was packed.
const PROGRAM: &str = "/proc/self/exe";
/// Orphans reaped in one turn; what is left is reaped in the next one.
const ORPHANS: usize = 64;

/// Which run, and what the director reports.
#[derive(Debug)]
pub(super) struct Children {
    running: heapless::Vec<(Child, Pid), 3>,
    reports: Option<OwnedFd>,
}

impl Children {
    pub(super) const fn new() -> Self {
        Self { running: heapless::Vec::new(), reports: None }
    }

    /// Starts a child: a process group of its own, an empty environment, what it prints goes to the log. The
    /// director's standard input is the socket for its reports.
    pub(super) fn start(&mut self, child: Child) -> io::Result<()> {
        let (input, reports) = match child {
            Child::Director => {
                let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
                let (near, far) = socketpair(AddressFamily::Unix, SockType::Datagram, None, flags)?;
                (Stdio::from(far), Some(near))
            }
            Child::Console | Child::KmsgRelay => (Stdio::null(), None),
        };
        let pid = spawn(child.word(), input)?;
        if child == Child::Director {
            self.reports = reports;
        }
        // Never full: the supervisor starts each child once.
        let _full = self.running.push((child, pid)).is_err();
        Ok(())
    }

    /// Sends a signal, SIGKILL to the whole group. One that does not run gets none.
    pub(super) fn send(&self, child: Child, signal: Signal) {
        let Some((_, pid)) = self.running.iter().find(|(c, _)| *c == child) else { return };
        let sent = match signal {
            Signal::Term => kill(*pid, Posix::SIGTERM),
            Signal::Abort => kill(*pid, Posix::SIGABRT),
            Signal::Kill => killpg(*pid, Posix::SIGKILL),
        };
        // It can only be gone, and is reaped next.
        let _gone = sent.is_err();
    }

    /// The descriptor that becomes readable with a report.
    pub(super) fn reports(&self) -> Option<BorrowedFd<'_>> {
        self.reports.as_ref().map(AsFd::as_fd)
    }

    /// The next report. A datagram that is none is skipped with what follows it in this turn.
    pub(super) fn report(&self) -> Option<Report> {
        let mut buffer = [0; REPORT_BYTES + 1];
        let socket = self.reports.as_ref()?.as_raw_fd();
        let read = recv(socket, &mut buffer, MsgFlags::MSG_DONTWAIT).ok()?;
        buffer.get(..read).and_then(Report::decode)
    }

    /// Reaps whatever ended, orphans too; gives the children among them.
    pub(super) fn reap(&mut self) -> heapless::Vec<(Child, Exit), 3> {
        let mut ended: heapless::Vec<(Child, Exit), 3> = heapless::Vec::new();
        self.running.retain(|(child, pid)| match exit_of(*pid) {
            None => true,
            Some(exit) => {
                let _full = ended.push((*child, exit)).is_err();
                false
            }
        });
        for (child, _) in &ended {
            if *child == Child::Director {
                self.reports = None;
            }
        }
        for _ in 0..ORPHANS {
            if !self.reap_orphan(&mut ended) {
                break;
            }
        }
        ended
    }

    /// Reaps one process that nobody else waits for; returns whether there was one.
    fn reap_orphan(&mut self, ended: &mut heapless::Vec<(Child, Exit), 3>) -> bool {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => false,
            Ok(status) => {
                // A child that ended since it was looked at.
                let found = self.running.iter().position(|(_, pid)| Some(*pid) == status.pid());
                if let Some(index) = found {
                    let (child, pid) = self.running.swap_remove(index);
                    let _gone = killpg(pid, Posix::SIGKILL).is_err();
                    let _full = ended.push((child, exit(status))).is_err();
                }
                true
            }
            // EINTR, or a signal number that nix does not know: it is reaped all the same.
            Err(_) => true,
        }
    }
}

/// Starts this program with a word, as the leader of a new process group.
pub(super) fn spawn(word: &str, input: Stdio) -> io::Result<Pid> {
    let log = |file: io::Result<File>| file.map_or_else(|_| Stdio::null(), Stdio::from);
    let kmsg = || log(OpenOptions::new().write(true).open("/dev/kmsg"));
    let started = Command::new(PROGRAM)
        .arg0("/init")
        .arg(word)
        .env_clear()
        .current_dir("/")
        .process_group(0)
        .stdin(input)
        .stdout(kmsg())
        .stderr(kmsg())
        .spawn()?;
    // Its end is seen by reaping; dropping the handle neither waits nor kills.
    i32::try_from(started.id()).map(Pid::from_raw).map_err(io::Error::other)
}

/// How a child ended; `None` while it runs. The rest of its group is killed while it is still a zombie, so the
/// group's number cannot be another's already.
fn exit_of(pid: Pid) -> Option<Exit> {
    let look = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    match waitid(Id::Pid(pid), look) {
        Ok(WaitStatus::StillAlive) | Err(Errno::EINTR) => return None,
        // Also EINVAL: a signal number that nix does not know ended it.
        Ok(_) | Err(_) => {}
    }
    let _empty = killpg(pid, Posix::SIGKILL).is_err();
    Some(waitpid(pid, Some(WaitPidFlag::WNOHANG)).map_or(Exit::Signal(0), exit))
}

fn exit(status: WaitStatus) -> Exit {
    match status {
        WaitStatus::Exited(_, code) => Exit::Code(code),
        WaitStatus::Signaled(_, signal, _) => Exit::Signal(number(signal)),
        // Stops are not asked for; nobody traces.
        WaitStatus::Stopped(..)
        | WaitStatus::PtraceEvent(..)
        | WaitStatus::PtraceSyscall(_)
        | WaitStatus::Continued(_)
        | WaitStatus::StillAlive => Exit::Signal(0),
    }
}

/// The number of a signal (its own conversion is a cast).
fn number(signal: Posix) -> i32 {
    (1..=64).find(|number| Posix::try_from(*number) == Ok(signal)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_has_its_number() {
        assert_eq!(number(Posix::SIGKILL), libc::SIGKILL);
        assert_eq!(number(Posix::SIGTERM), libc::SIGTERM);
        assert_eq!(exit(WaitStatus::Signaled(Pid::from_raw(2), Posix::SIGABRT, false)), Exit::Signal(6));
        assert_eq!(exit(WaitStatus::Exited(Pid::from_raw(2), 125)), Exit::Code(125));
    }
}

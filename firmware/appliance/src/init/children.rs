//! The processes below PID 1: started, signalled, reaped.
//!
//! Each child leads a process group, so that whatever it started ends with it.

use director_core::init::liveness::REPORT_BYTES;
use director_core::init::{Child, Exit, Report, Signal, fence};
use director_core::model::Millis;
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

/// What the director says to PID 1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Word {
    /// Its main loop turned.
    Report(Report),
    /// Its orders for the case that it stands still; the messages are [`Children::orders`].
    Orders(Option<Millis>),
    /// Nothing that is understood.
    Noise,
}

/// Which run, and what the director reports.
#[derive(Debug)]
pub(super) struct Children {
    running: heapless::Vec<(Child, Pid), 3>,
    reports: Option<OwnedFd>,
    /// Room for one datagram, made once: PID 1 does not allocate when it matters.
    datagram: Vec<u8>,
    /// Messages of the last orders.
    orders: Vec<u8>,
}

/// The word that tells a director that its addresses were removed.
pub(crate) const FENCED_WORD: &str = "fenced";

impl Children {
    pub(super) fn new() -> Self {
        // One byte more than the longest, so that a cut datagram is never taken for orders.
        let datagram = vec![0; fence::DATAGRAM_BYTES.saturating_add(1)];
        let orders = Vec::with_capacity(fence::DATAGRAM_BYTES);
        Self { running: heapless::Vec::new(), reports: None, datagram, orders }
    }

    /// The netlink messages that remove the director's floating addresses.
    pub(super) fn orders(&self) -> &[u8] {
        &self.orders
    }

    /// Starts a child: a process group of its own, an empty environment, what it prints goes to the log. The
    /// director's standard input is the socket for its reports; `fenced`: its addresses were removed.
    pub(super) fn start(&mut self, child: Child, fenced: bool) -> io::Result<()> {
        let (input, reports) = match child {
            Child::Director => {
                let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
                let (near, far) = socketpair(AddressFamily::Unix, SockType::Datagram, None, flags)?;
                (Stdio::from(far), Some(near))
            }
            Child::Console | Child::KmsgRelay => (Stdio::null(), None),
        };
        let more = (child == Child::Director && fenced).then_some(FENCED_WORD);
        let pid = spawn(child.word(), more, input)?;
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

    /// The next word of the director. Orders replace those before.
    pub(super) fn word(&mut self) -> Option<Word> {
        let socket = self.reports.as_ref()?.as_raw_fd();
        let read = recv(socket, &mut self.datagram, MsgFlags::MSG_DONTWAIT).ok()?;
        let datagram = self.datagram.get(..read).unwrap_or_default();
        if read == REPORT_BYTES
            && let Some(report) = Report::decode(datagram)
        {
            return Some(Word::Report(report));
        }
        let Some((after, messages)) = fence::decode(datagram) else { return Some(Word::Noise) };
        self.orders.clear();
        // Within its capacity: decode refuses more.
        self.orders.extend_from_slice(messages);
        Some(Word::Orders(after))
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

/// Starts this program with a word or two, as the leader of a new process group.
pub(super) fn spawn(word: &str, more: Option<&str>, input: Stdio) -> io::Result<Pid> {
    let log = |file: io::Result<File>| file.map_or_else(|_| Stdio::null(), Stdio::from);
    let kmsg = || log(OpenOptions::new().write(true).open("/dev/kmsg"));
    let started = Command::new(PROGRAM)
        .arg0("/init")
        .arg(word)
        .args(more)
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

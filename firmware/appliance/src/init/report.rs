//! The director's end of the liveness socket.

use director_core::init::{Report, fence, limits};
use director_core::model::{Millis, Mono};
use nix::sys::socket::{MsgFlags, SockType, getsockopt, send, sockopt};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// Tells PID 1 that the main loop turns.
#[derive(Debug)]
pub(crate) struct Reporter {
    socket: OwnedFd,
    sequence: u64,
    next: Mono,
    beat: Mono,
}

impl Reporter {
    /// The socket that PID 1 gives its director as standard input; `None` when somebody else started this process.
    pub(crate) fn inherited() -> Option<Self> {
        let socket = std::io::stdin().as_fd().try_clone_to_owned().ok()?;
        let kind = getsockopt(&socket, sockopt::SockType).ok()?;
        (kind == SockType::Datagram).then_some(Self::over(socket))
    }

    const fn over(socket: OwnedFd) -> Self {
        Self { socket, sequence: 0, next: Mono::ZERO, beat: Mono::ZERO }
    }

    /// A heartbeat leaves. The report of this turn says so without delay: init counts from it.
    pub(crate) fn beat(&mut self, at: Mono) {
        if at > self.beat {
            (self.beat, self.next) = (at, Mono::ZERO);
        }
    }

    /// Hands init the messages that remove what this process holds, for the case that it stands still.
    pub(crate) fn order(&mut self, after: Option<Millis>, messages: &[u8]) -> nix::Result<()> {
        let datagram = fence::encode(after, messages).ok_or(nix::errno::Errno::EMSGSIZE)?;
        self.send(&datagram)
    }

    fn send(&self, datagram: &[u8]) -> nix::Result<()> {
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        send(self.socket.as_raw_fd(), datagram, flags).map(drop)
    }

    /// The main loop completed a turn, and whether the boot loader was told that this system works. Call it after each turn, and turn at least every
    /// [`limits::REPORT_EVERY`]; a report leaves at most that often. Does not block: when PID 1 does not read, it
    /// has others to worry about.
    pub(crate) fn turned(&mut self, now: Mono, proven: bool) {
        if now < self.next {
            return;
        }
        self.next = now.after(limits::REPORT_EVERY);
        self.sequence = self.sequence.saturating_add(1);
        let report = Report { sequence: self.sequence, at: now, beat: self.beat, proven }.encode();
        let _unread = self.send(&report).is_err();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::socket::{AddressFamily, SockFlag, recv, socketpair};

    #[test]
    fn reports_leave_at_most_every_interval_and_their_sequence_rises() {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let (near, far) = socketpair(AddressFamily::Unix, SockType::Datagram, None, flags).unwrap();
        let mut reporter = Reporter::over(near);
        for ms in [1000, 1010, 1249, 1250, 1260, 2000] {
            reporter.turned(Mono::from_millis(ms), false);
        }
        // A heartbeat is told at once.
        reporter.beat(Mono::from_millis(2010));
        reporter.turned(Mono::from_millis(2010), false);
        let mut got = Vec::new();
        let mut buffer = [0; 32];
        while let Ok(read) = recv(far.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
            let report = Report::decode(&buffer[..read]).unwrap();
            got.push((report.sequence, report.at.millis(), report.beat.millis()));
        }
        assert_eq!(got, [(1, 1000, 0), (2, 1250, 0), (3, 2000, 0), (4, 2010, 2010)]);
        drop(far);
        reporter.turned(Mono::from_millis(3000), false);
    }
}

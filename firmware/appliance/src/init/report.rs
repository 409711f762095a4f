//! The director's end of the liveness socket.

use director_core::init::{Report, limits};
use director_core::model::Mono;
use nix::sys::socket::{MsgFlags, SockType, getsockopt, send, sockopt};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// Tells PID 1 that the main loop turns.
#[derive(Debug)]
pub(crate) struct Reporter {
    socket: OwnedFd,
    sequence: u64,
    next: Mono,
}

impl Reporter {
    /// The socket that PID 1 gives its director as standard input; `None` when somebody else started this process.
    pub(crate) fn inherited() -> Option<Self> {
        let socket = std::io::stdin().as_fd().try_clone_to_owned().ok()?;
        let kind = getsockopt(&socket, sockopt::SockType).ok()?;
        (kind == SockType::Datagram).then_some(Self { socket, sequence: 0, next: Mono::ZERO })
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
        let report = Report { sequence: self.sequence, at: now, proven }.encode();
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        let _unread = send(self.socket.as_raw_fd(), &report, flags).is_err();
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
        let mut reporter = Reporter { socket: near, sequence: 0, next: Mono::ZERO };
        for ms in [1000, 1010, 1049, 1050, 1060, 2000] {
            reporter.turned(Mono::from_millis(ms), false);
        }
        let mut got = Vec::new();
        let mut buffer = [0; 32];
        while let Ok(read) = recv(far.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
            let report = Report::decode(&buffer[..read]).unwrap();
            got.push((report.sequence, report.at.millis()));
        }
        assert_eq!(got, [(1, 1000), (2, 1050), (3, 2000)]);
        drop(far);
        reporter.turned(Mono::from_millis(3000), false);
    }
}

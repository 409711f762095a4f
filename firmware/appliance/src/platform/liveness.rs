//! The director's reports to init that its main loop turns: datagrams on standard input, which init made a socket.

use super::clock;
use director_core::init::limits::REPORT_EVERY;
use director_core::init::liveness::Report;
use director_core::model::Mono;
use nix::sys::socket::{MsgFlags, send};
use std::os::fd::AsRawFd as _;

/// Reports so far.
#[derive(Debug, Default)]
pub(crate) struct Liveness {
    sequence: u64,
    last: Option<Mono>,
}

impl Liveness {
    /// Says that a turn was completed, unless that was said a moment ago. Never blocks.
    pub(crate) fn turned(&mut self) {
        let now = clock::now();
        // Half of the interval, so that a loop that turns exactly that often reports each time.
        let early = |last: Mono| now.micros_since(last) < u64::from(REPORT_EVERY.get()).saturating_mul(500);
        if self.last.is_some_and(early) {
            return;
        }
        self.last = Some(now);
        self.sequence = self.sequence.saturating_add(1);
        let report = Report { sequence: self.sequence, at: now }.encode();
        // Full: init has reports to read. Refused: run by hand, without init.
        let _lost = send(std::io::stdin().as_raw_fd(), &report, MsgFlags::MSG_DONTWAIT).is_err();
    }
}

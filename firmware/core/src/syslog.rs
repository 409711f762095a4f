//! Log lines for a receiver in the network: RFC 5424 in datagrams (RFC 5426), never more than a bounded rate.

use crate::director::Level;
use crate::model::Mono;
use alloc::format;
use alloc::string::String;

/// Lines at once after a silence. Chosen: a commit with all its findings.
const BURST: u64 = 200;
/// Lines per second in the long run. Chosen: a receiver shared by many boxes stands it.
const PER_SECOND: u64 = 50;
/// Bytes of one datagram, at most: every receiver takes them (RFC 5426 section 3.2), and no network cuts them.
pub const DATAGRAM_BYTES: usize = 480;
/// `daemon` (RFC 5424 section 6.2.1).
const FACILITY: u8 = 3;
const SECOND_US: u64 = 1_000_000;

/// How many lines may go out, and what was held back.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    /// Microseconds' worth of lines that may be sent.
    credit_us: u64,
    seen: Mono,
    dropped: u32,
}

impl Rate {
    /// Full.
    #[must_use]
    pub fn new(now: Mono) -> Self {
        Self { credit_us: BURST.saturating_mul(SECOND_US / PER_SECOND), seen: now, dropped: 0 }
    }

    /// Whether a line may go out now, and how many before it did not.
    pub fn take(&mut self, now: Mono) -> Option<u32> {
        let cost = SECOND_US / PER_SECOND;
        let most = BURST.saturating_mul(cost);
        self.credit_us = self.credit_us.saturating_add(now.micros_since(self.seen)).min(most);
        self.seen = now;
        match self.credit_us.checked_sub(cost) {
            Some(left) => {
                self.credit_us = left;
                Some(core::mem::take(&mut self.dropped))
            }
            None => {
                self.dropped = self.dropped.saturating_add(1);
                None
            }
        }
    }
}

/// One datagram. It has no time: the receiver's clock is right, and ours may be wrong by decades after a start.
#[must_use]
pub fn line(level: Level, hostname: &str, dropped: u32, text: &str) -> String {
    let priority = FACILITY.saturating_mul(8).saturating_add(level.syslog());
    let held_back = if dropped > 0 { format!("({dropped} lines were held back) ") } else { String::new() };
    let mut line = format!("<{priority}>1 - {hostname} director - - - {held_back}{text}");
    let mut end = DATAGRAM_BYTES.min(line.len());
    while !line.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    line.truncate(end);
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_line_has_priority_name_and_text() {
        assert_eq!(
            line(Level::Warning, "lvs1", 0, "server rs1: up -> down"),
            "<28>1 - lvs1 director - - - server rs1: up -> down"
        );
        assert!(line(Level::Info, "lvs1", 7, "x").ends_with("- (7 lines were held back) x"));
    }

    proptest! {
        #[test]
        fn no_datagram_is_too_long(text in ".{0,600}") {
            prop_assert!(line(Level::Error, "lvs1", 0, &text).len() <= DATAGRAM_BYTES);
        }

        #[test]
        fn no_flood_passes_the_rate(gaps in proptest::collection::vec(0..30_000_u64, 1..2000)) {
            let mut now = Mono::ZERO;
            let mut rate = Rate::new(now);
            let (mut sent, mut told) = (0_u64, 0_u64);
            let all = u64::try_from(gaps.len()).unwrap();
            for gap in gaps {
                now = Mono::from_micros(now.micros() + gap);
                if let Some(dropped) = rate.take(now) {
                    sent += 1;
                    told += u64::from(dropped);
                }
            }
            prop_assert!(sent <= BURST + now.micros() * PER_SECOND / SECOND_US + 1);
            prop_assert_eq!(sent + told + u64::from(rate.dropped), all);
        }
    }
}

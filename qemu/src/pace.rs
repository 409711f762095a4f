//! Typing at the speed of a line. An emulated UART takes bytes as fast as it likes and never overruns, so a paste into it
//! would prove nothing: this sends bytes at the baud rate, and as a real sender does, goes on for a few bytes after
//! XOFF.

use crate::clock;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Stop, from the receiver.
const XOFF: u8 = 0x13;
/// Go on.
const XON: u8 = 0x11;
/// Bytes that still come after XOFF: what USB serial adapters have in their buffers.
const LATE_BYTES: usize = 64;
/// Bits of a byte on the line: start, eight, stop.
const BITS: u128 = 10;
/// How often bytes are sent.
const TURN: Duration = Duration::from_millis(5);

/// What the receiver wants.
#[derive(Debug, Default)]
pub(crate) struct Flow {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    held: bool,
    holds: usize,
}

/// What came of a paced paste.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Paced {
    /// How often the receiver stopped it.
    pub holds: usize,
    /// Whether the receiver never let it go on.
    pub stuck: bool,
}

impl Flow {
    /// Looks at bytes of the receiver.
    pub(crate) fn see(&self, bytes: &[u8]) {
        for byte in bytes.iter().filter(|byte| matches!(**byte, XOFF | XON)) {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            if *byte == XOFF && !state.held {
                state.holds += 1;
            }
            state.held = *byte == XOFF;
            self.changed.notify_all();
        }
    }

    /// Another machine was switched on.
    pub(crate) fn reset(&self) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = State::default();
    }

    /// Hands bytes to `send` at so many bits a second; gives up when it is held for longer than `patience`.
    pub(crate) fn pace<E>(
        &self,
        bytes: &[u8],
        baud: u32,
        patience: Duration,
        mut send: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<Paced, E> {
        let begun = self.state.lock().unwrap_or_else(PoisonError::into_inner).holds;
        let (mut rest, mut late, mut last) = (bytes, 0, clock::now());
        let mut credit = 0_u128;
        while !rest.is_empty() {
            let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let held = state.held;
            let wait = if held && late >= LATE_BYTES { patience } else { TURN };
            let (state, timeout) =
                self.changed.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner);
            let still = state.held;
            drop(state);
            if wait == patience && still {
                if timeout.timed_out() {
                    return Ok(Paced { holds: self.holds() - begun, stuck: true });
                }
                continue;
            }
            let now = clock::now();
            // A line that stood still does not catch up.
            let span = now.duration_since(last).min(TURN * 4);
            last = now;
            credit += span.as_micros() * u128::from(baud);
            let due = usize::try_from(credit / (BITS * 1_000_000)).unwrap_or(usize::MAX);
            late = if still { late } else { 0 };
            let most = if still { due.min(LATE_BYTES - late) } else { due };
            let (chunk, after) = rest.split_at(most.min(rest.len()));
            late += if still { chunk.len() } else { 0 };
            credit %= BITS * 1_000_000;
            credit += u128::try_from(due - most.min(due)).unwrap_or(0) * BITS * 1_000_000;
            if still {
                credit = 0;
            }
            if !chunk.is_empty() {
                send(chunk)?;
            }
            rest = after;
        }
        Ok(Paced { holds: self.holds() - begun, stuck: false })
    }

    /// How often the receiver stopped it, since it was switched on.
    pub(crate) fn holds(&self) -> usize {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).holds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_keep_to_the_baud_rate_and_all_arrive() {
        let flow = Flow::default();
        let mut got = Vec::new();
        let sent: Vec<u8> = (0..2000_u32).map(|n| u8::try_from(n % 200).unwrap()).collect();
        let start = clock::now();
        let paced = flow.pace(&sent, 115_200, TURN, |bytes| {
            got.extend_from_slice(bytes);
            Ok::<(), ()>(())
        });
        assert_eq!((paced, got), (Ok(Paced::default()), sent));
        assert!(clock::now().duration_since(start) >= Duration::from_millis(170));
    }

    #[test]
    fn after_xoff_only_a_few_bytes_come_and_a_receiver_that_never_goes_on_ends_it() {
        let flow = Flow::default();
        let mut got = 0;
        let mut after = 0;
        let paced = flow.pace(&[b'x'; 5000], 115_200, TURN * 4, |bytes| {
            if got >= 1000 {
                after += bytes.len();
            }
            got += bytes.len();
            if got >= 1000 {
                flow.see(&[XOFF]);
            }
            Ok::<(), ()>(())
        });
        assert_eq!(paced, Ok(Paced { holds: 1, stuck: true }));
        assert_eq!(after, LATE_BYTES);
    }

    #[test]
    fn xon_lets_it_go_on_to_the_end() {
        let flow = Flow::default();
        let mut got = 0;
        let paced = flow.pace(&[b'x'; 3000], 115_200, Duration::from_secs(5), |bytes| {
            let before = got;
            got += bytes.len();
            if before < 1000 && got >= 1000 {
                flow.see(&[XOFF]);
                flow.see(&[XON]);
            }
            Ok::<(), ()>(())
        });
        assert_eq!((paced, got), (Ok(Paced { holds: 1, stuck: false }), 3000));
    }
}

//! The end of a wedged director's grip on the floating addresses: PID 1 removes them itself, before the peer may take
//! them (design section 2.6).
//!
//! The director hands PID 1 *orders* while it holds floating addresses: how long after its last heartbeat they must be
//! gone, and the netlink messages that remove them, ready to be sent. Every report of the main loop says when the last
//! heartbeat left. When that is too long ago, PID 1 sends the messages: no fork, no allocation. The limit is a moment, not
//! a time spent running: after a stall of the whole box the peer may have the addresses, whatever the reason.

use super::limits;
use crate::model::{Millis, Mono};

/// First bytes of a datagram of orders; a report is shorter.
const MAGIC: [u8; 4] = *b"FNCE";
/// Bytes in front of the messages: the magic, and the limit in milliseconds, little endian; 0 withdraws the orders.
const HEAD_BYTES: usize = 8;
/// Longest datagram: [`limits::ORDERS_BYTES`] of messages.
pub const DATAGRAM_BYTES: usize = HEAD_BYTES + limits::ORDERS_BYTES;

/// A datagram of orders. `None` when the messages are too long.
#[must_use]
pub fn encode(after: Option<Millis>, messages: &[u8]) -> Option<alloc::vec::Vec<u8>> {
    if messages.len() > limits::ORDERS_BYTES {
        return None;
    }
    let after = after.map_or(0, Millis::get);
    let mut bytes = alloc::vec::Vec::with_capacity(HEAD_BYTES.saturating_add(messages.len()));
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&after.to_le_bytes());
    bytes.extend_from_slice(messages);
    Some(bytes)
}

/// The limit and the messages of a datagram; `None` when it is none.
#[must_use]
pub fn decode(datagram: &[u8]) -> Option<(Option<Millis>, &[u8])> {
    let (magic, rest) = datagram.split_first_chunk::<4>()?;
    let (after, messages) = rest.split_first_chunk::<4>()?;
    if *magic != MAGIC || messages.len() > limits::ORDERS_BYTES {
        return None;
    }
    let after = u32::from_le_bytes(*after);
    Some(((after > 0).then(|| Millis::new(after)), messages))
}

/// When the addresses are removed.
///
/// ```text
/// no orders --orders--> armed --heartbeat too old--> fired --newer heartbeat--> armed
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Fence {
    after: Option<Millis>,
    beat: Mono,
    fired: bool,
}

impl Fence {
    /// New orders, or none. What was done stays done until a newer heartbeat.
    pub fn order(&mut self, after: Option<Millis>, now: Mono) {
        if self.after.is_none() {
            // A director that hands over orders is alive.
            self.beat = self.beat.max(now);
            self.fired = false;
        }
        self.after = after;
    }

    /// The director's last heartbeat left then, as its report says.
    pub fn beat(&mut self, at: Mono, now: Mono) {
        let at = at.min(now);
        if at > self.beat {
            (self.beat, self.fired) = (at, false);
        }
    }

    /// Whether the addresses have to go now. Says so once.
    pub fn due(&mut self, now: Mono) -> bool {
        let due = self.deadline().is_some_and(|at| at <= now);
        self.fired |= due;
        due
    }

    /// When [`Self::due`] has something to say.
    #[must_use]
    pub fn deadline(&self) -> Option<Mono> {
        self.after.filter(|_| !self.fired).map(|after| self.beat.after(after))
    }

    /// Whether the addresses were removed and no heartbeat left since: the peer may have them.
    #[must_use]
    pub const fn fired(&self) -> bool {
        self.fired
    }

    /// The limit in force.
    #[must_use]
    pub const fn after(&self) -> Option<Millis> {
        self.after
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Mono {
        Mono::from_millis(ms)
    }

    #[test]
    fn orders_survive_their_encoding_and_anything_else_is_refused() {
        let bytes = encode(Some(Millis::new(190)), &[1, 2, 3]).unwrap();
        assert_eq!(decode(&bytes), Some((Some(Millis::new(190)), &[1, 2, 3][..])));
        assert_eq!(decode(&encode(None, &[]).unwrap()), Some((None, &[][..])));
        assert_eq!(decode(b"FNCE123"), None);
        assert_eq!(decode(&[0; 24]), None);
        assert_eq!(encode(None, &alloc::vec![0; limits::ORDERS_BYTES + 1]), None);
    }

    #[test]
    fn the_addresses_go_when_the_last_heartbeat_is_too_old_and_only_once() {
        let mut fence = Fence::default();
        assert_eq!(fence.deadline(), None);
        fence.order(Some(Millis::new(190)), at(1000));
        fence.beat(at(1050), at(1060));
        assert!(!fence.due(at(1239)));
        assert_eq!(fence.deadline(), Some(at(1240)));
        assert!(fence.due(at(1240)));
        assert!(!fence.due(at(5000)) && fence.fired());
        fence.beat(at(6000), at(6001));
        assert!(!fence.fired());
        assert_eq!(fence.deadline(), Some(at(6190)));
    }

    #[test]
    fn without_orders_nothing_is_removed_and_a_heartbeat_of_the_future_counts_as_one_of_now() {
        let mut fence = Fence::default();
        fence.beat(at(100), at(100));
        assert!(!fence.due(at(100_000)));
        fence.order(Some(Millis::new(100)), at(100_000));
        fence.beat(at(999_999), at(100_010));
        assert_eq!(fence.deadline(), Some(at(100_110)));
        fence.order(None, at(100_020));
        assert!(!fence.due(at(200_000)));
    }

    #[test]
    fn a_stall_of_the_whole_box_counts() {
        let mut fence = Fence::default();
        fence.order(Some(Millis::new(190)), at(0));
        assert!(fence.due(at(60_000)));
    }
}

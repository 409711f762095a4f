//! Which slot a new record goes to. Pure.

use super::{Content, SlotInfo};
use crate::store::Generation;
use crate::store::layout::{SLOTS, STRIDE};
use crate::store::record::SlotState;
use alloc::vec::Vec;
use core::cmp::Reverse;

/// Slots around the newest good record that are not written if it can be helped: the erase blocks of 2 MiB beside
/// its own reach that far.
const FAR: u8 = 3;

/// Good records that stay for `rollback N` whatever commits fail (design section 5). At most 10 of these, one under
/// way and four neighbours are passed over, so that of 16 slots one is always left.
const HISTORY: usize = 10;

/// Slots for `generation`, the best first.
///
/// Never one of the two newest good records (the newest is probably the running one, the other is there should it
/// turn out to be damaged), nor the newest tentative one, which may be under way. Then, in order: not beside those
/// two; not one of the last [`HISTORY`] good records; far from the newest; empty or abandoned before torn before
/// good before unreadable, so that failed commits do not push out history; the oldest generation first; along the
/// stride of [`crate::store::layout`]. As long as every commit succeeds, this gives slot 7 g mod 16.
pub(super) fn order(slots: &[SlotInfo], generation: Generation) -> Vec<u8> {
    let mut good: Vec<(Reverse<Generation>, u8)> =
        slots.iter().filter_map(|s| s.good().map(|h| (Reverse(h.generation), s.slot))).collect();
    good.sort_unstable();
    let newest = good.first().map(|(_, slot)| *slot);
    let second = good.get(1).map(|(_, slot)| *slot);
    let recent: Vec<u8> = good.iter().take(HISTORY).map(|(_, slot)| *slot).collect();
    let newest_good = good.first().map_or(Generation(0), |(g, _)| g.0);
    let under_way = slots
        .iter()
        .filter_map(|s| s.header().map(|h| (h.generation, s.slot)))
        .filter(|(g, _)| *g > newest_good && *g != generation)
        .max()
        .map(|(_, slot)| slot);
    let mut ranked: Vec<_> = slots
        .iter()
        .filter(|s| ![newest, second, under_way].contains(&Some(s.slot)))
        .map(|s| {
            let within = |of: Option<u8>, span| of.is_some_and(|o| o.abs_diff(s.slot) <= span);
            let beside = within(newest, 1) || within(second, 1);
            (
                beside,
                recent.contains(&s.slot),
                within(newest, FAR),
                class(&s.content),
                steps(s.slot, generation),
                s.slot,
            )
        })
        .collect();
    ranked.sort_unstable();
    ranked.into_iter().map(|(.., slot)| slot).collect()
}

/// How little is lost by overwriting a slot: kind, then age.
fn class(content: &Content) -> (u8, Generation) {
    match content {
        Content::Empty => (0, Generation(0)),
        Content::Record(h, _) if h.state == SlotState::Tentative => (0, Generation(0)),
        Content::Torn => (1, Generation(0)),
        Content::Record(h, _) => (2, h.generation),
        Content::Foreign(_) => (3, Generation(0)),
        Content::Unreadable(_) => (4, Generation(0)),
    }
}

/// How many generations after `generation` the stride comes to `slot`. The stride is its own inverse modulo 16.
fn steps(slot: u8, generation: Generation) -> u64 {
    let ring = u64::from(SLOTS);
    let turn = u64::from(slot) * u64::from(STRIDE);
    (turn + ring - generation.0 % ring) % ring
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::record::Header;
    use crate::store::slots::Payload;
    use proptest::prelude::*;

    fn empty() -> Vec<SlotInfo> {
        (0..SLOTS).map(|slot| SlotInfo { slot, content: Content::Empty }).collect()
    }

    fn put(slots: &mut [SlotInfo], slot: u8, generation: u64, state: SlotState) {
        let header =
            Header { schema: 1, length: 1, generation: Generation(generation), state, sha256: [0; 32] };
        slots[usize::from(slot)].content = Content::Record(header, Payload::Unread);
    }

    #[test]
    fn commits_that_succeed_follow_the_stride() {
        let mut slots = empty();
        for g in 1..100_u64 {
            let slot = order(&slots, Generation(g))[0];
            assert_eq!(u64::from(slot), g * 7 % 16, "generation {g}");
            put(&mut slots, slot, g, SlotState::Tentative);
            put(&mut slots, slot, g, SlotState::Good);
        }
    }

    #[test]
    fn failed_commits_use_the_same_two_slots_again() {
        let mut slots = empty();
        for g in 1..=16 {
            let slot = order(&slots, Generation(g))[0];
            put(&mut slots, slot, g, SlotState::Good);
        }
        for g in 17..100 {
            let slot = order(&slots, Generation(g))[0];
            put(&mut slots, slot, g, SlotState::Tentative);
        }
        let kept: Vec<u64> = slots.iter().filter_map(|s| s.good().map(|h| h.generation.0)).collect();
        assert_eq!(kept.len(), 14);
        assert_eq!(kept.iter().min(), Some(&3));
    }

    proptest! {
        #[test]
        fn the_last_ten_stay_and_nothing_beside_the_running_one_is_written(fate in prop::collection::vec(0_u8..4, 1..200)) {
            let mut slots = empty();
            let mut committed = Vec::new();
            for (g, fate) in (1_u64..).zip(fate) {
                let slot = order(&slots, Generation(g))[0];
                if let Some((_, running)) = committed.last() {
                    prop_assert!(slot.abs_diff(*running) > 1, "generation {g} in slot {slot} beside {running}");
                }
                match fate {
                    0 => put(&mut slots, slot, g, SlotState::Tentative),
                    1 => slots[usize::from(slot)].content = Content::Torn,
                    _ => {
                        put(&mut slots, slot, g, SlotState::Good);
                        committed.push((g, slot));
                    }
                }
                for (last, _) in committed.iter().rev().take(HISTORY) {
                    let kept = slots.iter().any(|s| s.good().is_some_and(|h| h.generation.0 == *last));
                    prop_assert!(kept, "generation {last} was lost at generation {g}");
                }
            }
        }
    }
}

//! Which slot a new record goes to. Pure.

use super::{Content, SlotInfo};
use crate::store::Generation;
use crate::store::layout::{SLOTS, STRIDE};
use crate::store::record::SlotState;
use alloc::vec::Vec;
use core::cmp::Reverse;

/// Good records that are not overwritten and, if at all possible, have no neighbour written: the newest, which is
/// probably the running one, and the one before, should the newest turn out to be damaged.
const PROTECTED: usize = 2;

/// Slots for `generation`, the best first.
///
/// Never one of the [`PROTECTED`] newest good records, nor the newest tentative one: it may be under way. Then, in
/// order: away from the protected ones; empty or abandoned before torn before good before unreadable, so that
/// failed commits do not push out history; the oldest generation first; along the stride of
/// [`crate::store::layout`]. On a healthy device this gives slot 7 g mod 16.
pub(super) fn order(slots: &[SlotInfo], generation: Generation) -> Vec<u8> {
    let mut good: Vec<(Reverse<Generation>, u8)> =
        slots.iter().filter_map(|s| s.good().map(|h| (Reverse(h.generation), s.slot))).collect();
    good.sort_unstable();
    let protected: Vec<u8> = good.iter().take(PROTECTED).map(|(_, slot)| *slot).collect();
    let newest_good = good.first().map_or(Generation(0), |(g, _)| g.0);
    let under_way = slots
        .iter()
        .filter_map(|s| s.header().map(|h| (h.generation, s.slot)))
        .filter(|(g, _)| *g > newest_good && *g != generation)
        .max();
    let mut ranked: Vec<_> = slots
        .iter()
        .filter(|s| !protected.contains(&s.slot) && under_way.is_none_or(|(_, slot)| slot != s.slot))
        .map(|s| {
            let beside = protected.iter().any(|p| p.abs_diff(s.slot) <= 1);
            (beside, class(&s.content), steps(s.slot, generation), s.slot)
        })
        .collect();
    ranked.sort_unstable();
    ranked.into_iter().map(|(_, _, _, slot)| slot).collect()
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

//! Where things lie in the data partition. Layout version 1.
//!
//! ```text
//!   MiB
//!     0  superblock (4 KiB); from 512 KiB on the order to reset (512 bytes, [`super::reset`])
//!     1  identity record, copy A (512 bytes), then unused
//!     2  rescue configuration, copy A: header sector, then payload from the next 4 KiB on
//!     3  unused
//!     4  configuration slot 0   each: header sector, then payload from the next 4 KiB on
//!     5  configuration slot 1
//!    ..
//!    19  configuration slot 15
//!    20  upgrade state A        reserved for image upgrades
//!    21  upgrade state B
//!    22  event ring (4 MiB)     reserved for the flight recorder
//!    26  persistent server actions, copy A, then unused
//!    27  rescue configuration, copy B
//!    28  identity record, copy B (512 bytes), then unused
//!    30  persistent server actions, copy B, then unused
//!    32  smallest end of the partition; the last 4 KiB, wherever they are, hold the superblock's copy
//! ```
//!
//! # Why one ring of slots
//!
//! The sixteen slots are the flip (the old configuration stays untouched until the new one is complete) and the
//! history (`rollback N`) at once. A separate pair for the flip would be written at every commit, so that the
//! cells the box boots from would wear sixteen times as fast as the history, and each commit would be written
//! twice.
//!
//! # Why the stride
//!
//! A power cut while one erase block is written can take a neighbouring one with it. Generation g lies in slot
//! 7 g mod 16, so next to it lie generations g-7 and g-9, and within three slots on either side none of the last
//! one: the running configuration, g-1, is seven slots away. [`super::slots`] departs from this only to spare
//! what a failed commit or a damaged slot would otherwise push out, and even then never writes right beside the
//! running one. So erase blocks up to 1 MiB are covered always, and up to 2 MiB while commits succeed. For the same
//! reason the two copies of the identity and of the superblock are far apart.

/// Version of the table above, in the superblock.
pub const VERSION: u16 = 1;
/// Bytes of a sector: what a disk writes as a whole or tears.
pub const SECTOR: usize = 512;
/// The same, as an offset.
pub const SECTOR_BYTES: u64 = 512;
/// Bytes of a page-cache and file-system block; things written at different times do not share one.
pub const BLOCK: usize = 4096;
/// The same, as an offset.
pub const BLOCK_BYTES: u64 = 4096;
/// One MiB.
pub const MIB: u64 = 1 << 20;
/// Smallest partition. Chosen: all regions, and room for one more.
pub const PARTITION_MIN: u64 = 32 * MIB;
/// First copy of the superblock. The second is in the last [`BLOCK_BYTES`] of the partition.
pub const SUPERBLOCK_AT: u64 = 0;
/// The identity record's copies.
pub const IDENTITY_AT: [u64; 2] = [MIB, 28 * MIB];
/// Configuration slots. Chosen: ten for `rollback`, and room for failed commits and damaged slots.
pub const SLOTS: u8 = 16;
/// Where slot 0 is.
pub const SLOTS_AT: u64 = 4 * MIB;
/// Bytes from one slot to the next.
pub const SLOT_BYTES: u64 = MIB;
/// Bytes of the longest payload: a slot without the block of its header.
pub const PAYLOAD_MAX: u32 = 0x0010_0000 - 4096;
/// Slots from one generation to the next.
pub const STRIDE: u8 = 7;
/// The order to reset, in a block that nothing else is written to while the box runs.
pub const RESET_AT: u64 = MIB / 2;
/// The rescue configuration's copies, 1 MiB each, far apart as those of the identity are.
pub const RESCUE_AT: [u64; 2] = [2 * MIB, 27 * MIB];
/// What a reset to factory state overwrites: everything but the superblock, the identity and the upgrade state.
pub const RESET_REGIONS: [(u64, u64); 3] = [(2 * MIB, 18 * MIB), (22 * MIB, 6 * MIB), (29 * MIB, 2 * MIB)];
/// The copies of the list of persistent server actions.
pub const KEPT_AT: [u64; 2] = [26 * MIB, 30 * MIB];
/// Reserved: the two copies of the upgrade state, 1 MiB each.
pub const UPGRADE_AT: [u64; 2] = [20 * MIB, 21 * MIB];
/// Reserved: the event ring.
pub const EVENTS_AT: u64 = 22 * MIB;
/// Bytes of the event ring.
pub const EVENTS_BYTES: u64 = 4 * MIB;

/// Where a slot's header is.
pub(super) fn header_at(slot: u8) -> u64 {
    SLOTS_AT + u64::from(slot) * SLOT_BYTES
}

/// Where a slot's payload begins.
pub(super) fn payload_at(slot: u8) -> u64 {
    header_at(slot) + BLOCK_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_do_not_overlap_and_lie_inside_the_smallest_partition() {
        let mut regions =
            alloc::vec![(SUPERBLOCK_AT, BLOCK_BYTES), (PARTITION_MIN - BLOCK_BYTES, BLOCK_BYTES)];
        regions.push((RESET_AT, BLOCK_BYTES));
        regions.extend(RESCUE_AT.map(|at| (at, MIB)));
        regions.extend(IDENTITY_AT.map(|at| (at, MIB)));
        regions.extend(KEPT_AT.map(|at| (at, MIB)));
        regions.extend((0..SLOTS).map(|s| (header_at(s), SLOT_BYTES)));
        regions.extend(UPGRADE_AT.map(|at| (at, MIB)));
        regions.push((EVENTS_AT, EVENTS_BYTES));
        regions.sort_unstable();
        for pair in regions.windows(2) {
            assert!(pair[0].0 + pair[0].1 <= pair[1].0, "{pair:?}");
        }
        let (at, bytes) = regions[regions.len() - 1];
        assert_eq!(at + bytes, PARTITION_MIN);
    }

    #[test]
    fn a_reset_spares_superblock_identity_and_upgrade_state_and_nothing_else() {
        let kept = [(0, MIB), (MIB, MIB), (20 * MIB, 2 * MIB), (28 * MIB, MIB), (31 * MIB, MIB)];
        let mut all = [&RESET_REGIONS[..], &kept[..]].concat();
        all.sort_unstable();
        let end = all.into_iter().fold(0, |end, (at, bytes)| {
            assert_eq!(end, at);
            at + bytes
        });
        assert_eq!(end, PARTITION_MIN);
    }

    #[test]
    fn a_payload_of_the_largest_size_ends_with_its_slot() {
        assert_eq!(payload_at(3) + u64::from(PAYLOAD_MAX), header_at(4));
    }
}

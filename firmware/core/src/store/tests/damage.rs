//! Damaged media: flipped bits, truncation, sectors that cannot be read or written.

use super::model::{ModelFlash, noise};
use super::{commit, history, store};
use crate::store::record::SlotState::{Good, Tentative};
use crate::store::slots::{Content, load, mark, read, save};
use crate::store::{Generation, StoreError, blob, layout};
use alloc::string::ToString;
use alloc::vec::Vec;

/// The slot that holds a generation.
fn slot_of(dev: &mut ModelFlash, generation: u64) -> u8 {
    let found = load(dev);
    let holds = |c: &Content| matches!(c, Content::Record(h, _) if h.generation == Generation(generation));
    found.slots.iter().find(|s| holds(&s.content)).unwrap().slot
}

#[test]
fn an_empty_device_has_no_configuration_and_that_is_no_fault() {
    let found = load(&mut ModelFlash::empty());
    assert_eq!(found.best, None);
    assert_eq!(found.newest, Generation(0));
    assert!(found.warnings.is_empty(), "{:?}", found.warnings);
}

#[test]
fn the_newest_good_generation_counts_and_history_can_be_read() {
    let mut dev = history(20);
    let found = load(&mut dev);
    assert_eq!(found.best, Some((Generation(20), commit(20))));
    assert_eq!(found.newest, Generation(20));
    assert!(found.warnings.is_empty(), "{:?}", found.warnings);
    for g in 5..=20 {
        assert_eq!(read(&mut dev, Generation(g)), Ok(commit(g)));
    }
    assert_eq!(read(&mut dev, Generation(4)), Err(StoreError::NoSuchGeneration(Generation(4))));
}

#[test]
fn a_tentative_generation_is_never_booted_but_its_number_is_not_used_again() {
    let mut dev = history(3);
    save(&mut dev, Generation(4), Tentative, &blob::encode(&commit(4))).unwrap();
    let found = load(&mut dev);
    assert_eq!(found.best, Some((Generation(3), commit(3))));
    assert_eq!(found.newest, Generation(4));
    assert_eq!(
        found.warnings,
        ["flash slot 12 holds generation 4, a commit that was never confirmed; it is ignored"]
    );
    assert_eq!(read(&mut dev, Generation(4)), Ok(commit(4)));
}

#[test]
fn every_flipped_bit_in_the_newest_slot_gives_the_same_or_the_older_configuration() {
    let mut dev = history(3);
    let slot = slot_of(&mut dev, 3);
    let start = dev.medium;
    let payload = blob::encode(&commit(3)).len() as u64;
    let header = layout::header_at(slot)..layout::header_at(slot) + 512;
    let payload = layout::payload_at(slot)..layout::payload_at(slot) + payload;
    for at in header.chain(payload) {
        for bit in 0..8 {
            let mut medium = start.clone();
            medium.flip(at, 1 << bit);
            let found = load(&mut ModelFlash::on(medium));
            assert_eq!(found.best, Some((Generation(2), commit(2))), "bit {bit} of byte {at}");
            assert_eq!(found.warnings.len(), 1);
        }
    }
}

#[test]
fn a_slot_truncated_at_any_byte_gives_the_older_configuration() {
    let mut dev = history(3);
    let slot = slot_of(&mut dev, 3);
    let start = dev.medium;
    let encoded = blob::encode(&commit(3));
    let header = layout::header_at(slot)..layout::header_at(slot) + 512;
    // The last byte of the payload is zero bits of the time, so what is cut must not be zeros already.
    let last = encoded.iter().rposition(|b| *b != 0).unwrap() as u64;
    let payload = layout::payload_at(slot)..=layout::payload_at(slot) + last;
    for from in header.chain(payload) {
        let mut medium = start.clone();
        medium.truncate(from, layout::header_at(slot + 1));
        let found = load(&mut ModelFlash::on(medium));
        assert_eq!(found.best, Some((Generation(2), commit(2))), "from byte {from}");
    }
}

#[test]
fn a_device_that_ends_anywhere_is_reported_and_does_not_panic() {
    for size in [0, 1, 511, 512, 5 << 20, (5 << 20) + 100, 11 << 20, (19 << 20) + 500] {
        let mut dev = history(20);
        dev.size = size;
        let found = load(&mut dev);
        assert!(!found.warnings.is_empty());
        assert!(found.best.is_none_or(|(g, c)| c == commit(g.0)));
    }
}

#[test]
fn slots_full_of_garbage_give_a_sentence_that_counts_what_was_found() {
    let mut dev = history(3);
    for slot in 0..layout::SLOTS {
        dev.medium.set(layout::header_at(slot) / 512, noise(u64::from(slot)));
    }
    dev.unreadable.insert(layout::header_at(9) / 512);
    let found = load(&mut dev);
    assert_eq!(found.best, None);
    assert_eq!(found.warnings.len(), 17);
    assert_eq!(
        found.warnings[0],
        "no usable configuration in flash: of 16 slots 0 are empty, 15 torn, 1 unreadable, 0 hold damaged or \
         unknown records and 0 commits that were never confirmed; the factory configuration runs"
    );
    assert_eq!(
        found.warnings[10],
        "flash slot 9 could not be read (the flash refused to read: Input/output error)"
    );
}

#[test]
fn an_unreadable_sector_costs_only_its_slot() {
    for in_payload in [false, true] {
        let mut dev = history(20);
        let slot = slot_of(&mut dev, 20);
        let at = if in_payload { layout::payload_at(slot) } else { layout::header_at(slot) };
        dev.unreadable.insert(at / 512);
        let found = load(&mut dev);
        assert_eq!(found.best, Some((Generation(19), commit(19))));
        assert_eq!(found.newest, Generation(20), "the number is spent although it cannot be read");
        assert_eq!(found.warnings.len(), 1);
        store(&mut dev, 21, &commit(21));
        assert_eq!(load(&mut dev).best, Some((Generation(21), commit(21))));
        // The sector can be read again: nothing changes.
        dev.unreadable.clear();
        assert_eq!(load(&mut dev).best, Some((Generation(21), commit(21))));
    }
}

#[test]
fn a_slot_that_cannot_be_written_or_forgets_is_given_up_for_another() {
    for forgets in [false, true] {
        for in_payload in [false, true] {
            let mut dev = history(4);
            // Generation 5 would go to slot 3.
            let at = if in_payload { layout::payload_at(3) } else { layout::header_at(3) };
            if forgets { &mut dev.forgetful } else { &mut dev.unwritable }.insert(at / 512);
            store(&mut dev, 5, &commit(5));
            assert_eq!(load(&mut dev).best, Some((Generation(5), commit(5))));
            assert_ne!(slot_of(&mut dev, 5), 3);
        }
    }
}

#[test]
fn a_device_that_takes_nothing_any_more_keeps_what_it_has() {
    let mut dev = history(20);
    dev.sync_fails = true;
    let saved = save(&mut dev, Generation(21), Good, &blob::encode(&commit(21)));
    assert_eq!(saved.unwrap_err().to_string(), "the flash refused to sync: Input/output error");
    assert_eq!(load(&mut dev).best, Some((Generation(20), commit(20))));
    dev.sync_fails = false;
    dev.unwritable.extend(0..layout::PARTITION_MIN / 512);
    let saved = save(&mut dev, Generation(21), Good, &blob::encode(&commit(21)));
    assert_eq!(saved.unwrap_err().to_string(), "the flash refused to write: Input/output error");
    assert!(mark(&mut dev, Generation(20), Tentative).is_err());
    assert_eq!(load(&mut dev).best, Some((Generation(20), commit(20))));
}

#[test]
fn a_record_that_would_not_count_or_not_fit_is_refused() {
    let mut dev = history(3);
    let payload = blob::encode(&commit(9));
    let old = |wanted| StoreError::OldGeneration { wanted: Generation(wanted), newest: Generation(3) };
    assert_eq!(save(&mut dev, Generation(3), Tentative, &payload), Err(old(3)));
    assert_eq!(save(&mut dev, Generation(0), Good, &payload), Err(old(0)));
    let too_large = alloc::vec![1; layout::PAYLOAD_MAX as usize + 1];
    assert!(matches!(save(&mut dev, Generation(4), Good, &too_large), Err(StoreError::TooLarge { .. })));
    assert_eq!(save(&mut dev, Generation(4), Good, &[]), Err(StoreError::Empty));
    assert_eq!(load(&mut dev).best, Some((Generation(3), commit(3))));
}

#[test]
fn the_largest_payload_is_stored_and_damages_no_neighbour() {
    let mut dev = history(20);
    let largest: Vec<u8> = (0..layout::PAYLOAD_MAX).map(|i| (i % 251) as u8).collect();
    save(&mut dev, Generation(21), Good, &largest).unwrap();
    assert_eq!(
        read(&mut dev, Generation(21)),
        Err(StoreError::Undecodable { generation: Generation(21), schema: blob::SCHEMA })
    );
    let found = load(&mut dev);
    assert_eq!(found.best, Some((Generation(20), commit(20))));
    assert_eq!(found.warnings.len(), 1, "{:?}", found.warnings);
    for g in 6..=20 {
        assert_eq!(read(&mut dev, Generation(g)), Ok(commit(g)));
    }
}

#[test]
fn a_second_try_of_a_generation_replaces_the_first() {
    let mut dev = history(3);
    save(&mut dev, Generation(4), Tentative, &blob::encode(&commit(40))).unwrap();
    save(&mut dev, Generation(4), Tentative, &blob::encode(&commit(41))).unwrap();
    mark(&mut dev, Generation(4), Good).unwrap();
    assert_eq!(load(&mut dev).best, Some((Generation(4), commit(41))));
    assert_eq!(read(&mut dev, Generation(4)), Ok(commit(41)));
}

#[test]
fn a_damaged_record_is_not_marked_good() {
    let mut dev = history(3);
    save(&mut dev, Generation(4), Tentative, &blob::encode(&commit(4))).unwrap();
    let slot = slot_of(&mut dev, 4);
    dev.medium.flip(layout::payload_at(slot), 1);
    assert_eq!(mark(&mut dev, Generation(4), Good), Err(StoreError::Damaged(Generation(4))));
    assert_eq!(mark(&mut dev, Generation(5), Good), Err(StoreError::NoSuchGeneration(Generation(5))));
}

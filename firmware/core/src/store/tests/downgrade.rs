//! A box that goes back to an older firmware: what a newer one wrote in a schema of its own.

use super::model::ModelFlash;
use super::{commit, history, store};
use crate::store::record::{Header, SlotState};
use crate::store::slots::{self, Content, load, read};
use crate::store::{Generation, blob, layout, record};
use alloc::vec::Vec;

/// The payload of a configuration in a schema that this firmware does not know.
const UNKNOWN: &[u8] = include_bytes!("../../../../../tests/golden/flash/v99-unknown.bin");
const SCHEMA: u16 = 99;

/// A commit of the newer firmware.
fn store_newer(dev: &mut ModelFlash, generation: u64) {
    let generation = Generation(generation);
    slots::save(dev, generation, SlotState::Good, UNKNOWN).unwrap();
    let (slot, header) = headers(dev).into_iter().find(|(_, h)| h.generation == generation).unwrap();
    record::write_header(dev, layout::header_at(slot), &Header { schema: SCHEMA, ..header }).unwrap();
}

fn headers(dev: &mut ModelFlash) -> Vec<(u8, Header)> {
    let header = |content: &Content| match content {
        Content::Record(header, _) => Some(header.clone()),
        Content::Empty | Content::Torn | Content::Foreign(_) | Content::Unreadable(_) => None,
    };
    load(dev).slots.iter().filter_map(|s| Some((s.slot, header(&s.content)?))).collect()
}

fn newer(dev: &mut ModelFlash) -> Vec<u64> {
    let mut all: Vec<u64> =
        headers(dev).iter().filter(|(_, h)| h.schema == SCHEMA).map(|(_, h)| h.generation.0).collect();
    all.sort_unstable();
    all
}

#[test]
fn the_newest_configuration_that_the_old_firmware_reads_runs_and_the_newer_ones_stay() {
    let mut dev = history(3);
    store_newer(&mut dev, 4);
    store_newer(&mut dev, 5);
    let found = load(&mut dev);
    assert_eq!(found.best, Some((Generation(3), commit(3))));
    assert_eq!(found.newest, Generation(5), "the numbers of the newer firmware are not used again");
    assert_eq!(found.warnings.iter().filter(|w| w.contains("schema 99")).count(), 2, "{:?}", found.warnings);
    assert!(read(&mut dev, Generation(5)).is_err());
    // What is committed here counts from then on, and takes the place of the oldest, not of the newer ones.
    for generation in 6..=14 {
        store(&mut dev, generation, &commit(generation));
        assert_eq!(load(&mut dev).best, Some((Generation(generation), commit(generation))));
        assert_eq!(newer(&mut dev), [4, 5]);
    }
}

#[test]
fn a_flash_with_nothing_but_newer_configurations_says_so() {
    let mut dev = ModelFlash::empty();
    store_newer(&mut dev, 1);
    let found = load(&mut dev);
    assert_eq!(found.best, None);
    assert!(found.warnings.iter().any(|w| w.contains("schema 99")), "{:?}", found.warnings);
    store(&mut dev, 2, &commit(2));
    assert_eq!(load(&mut dev).best, Some((Generation(2), commit(2))));
    assert_eq!(blob::decode(SCHEMA, UNKNOWN), Err(blob::DecodeError::Schema(SCHEMA)));
}

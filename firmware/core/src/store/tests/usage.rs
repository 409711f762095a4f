//! What is said of the flash's use.

use super::{commit, history};
use crate::overrides::{Forced, Kept};
use crate::store::identity::{self, Identity};
use crate::store::usage::{Usage, usage};
use crate::store::{blob, kept, layout, rescue};
use alloc::vec::Vec;

fn writes(usage: &Usage, kind: &str) -> u64 {
    usage.writes.iter().find(|w| w.kind == kind).unwrap().writes
}

#[test]
fn every_write_since_first_use_is_counted_by_kind_and_every_record_has_its_place() {
    let mut dev = history(20);
    for boots in 1..=5 {
        identity::save(&mut dev, &Identity { boots, ..Identity::default() }).unwrap();
    }
    rescue::save(&mut dev, &blob::encode(&commit(50))).unwrap();
    let drain = Kept { server: "rs1".parse().unwrap(), pool: None, forced: Forced::Drain, left: None };
    kept::save(&mut dev, &[drain]).unwrap();
    let usage = usage(&mut dev);
    assert_eq!(usage.boots, 5);
    let counts = ["configuration", "identity", "rescue", "server actions"].map(|kind| writes(&usage, kind));
    assert_eq!(counts, [20, 5, 1, 1]);
    assert_eq!(usage.places.len(), usize::from(layout::SLOTS) + 6);
    assert!(usage.places.is_sorted_by_key(|p| p.at));
    assert!(usage.places.iter().all(|p| p.error.is_none() && p.used.is_none_or(|used| used <= p.room)));
    let good = usage.places.iter().filter(|p| p.state == "good").count();
    assert_eq!(good, usize::from(layout::SLOTS) + 4);
}

#[test]
fn what_is_damaged_is_said_of_its_place_and_of_no_other() {
    let mut dev = history(3);
    let slot = usage(&mut dev).places.into_iter().find(|p| p.number == Some(2)).unwrap();
    // One bit of a payload that is not the running one.
    dev.medium.flip(slot.at + layout::BLOCK_BYTES, 1);
    let usage = usage(&mut dev);
    let bad: Vec<_> = usage.places.iter().filter(|p| p.error.is_some()).collect();
    assert_eq!(bad.len(), 1);
    assert_eq!((bad[0].name.as_str(), bad[0].state.as_str()), (slot.name.as_str(), "damaged"));
}

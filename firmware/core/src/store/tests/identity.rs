//! Identity record and superblock.

use super::model::{ModelFlash, noise};
use crate::store::identity::{Identity, Role, load, save};
use crate::store::layout::{self, MIB};
use crate::store::superblock::{self, Found, SuperblockError};
use alloc::format;

fn backup(boots: u32) -> Identity {
    Identity { role: Role::Backup, boots, device_key: core::array::from_fn(|i| i as u8) }
}

#[test]
fn a_box_without_a_record_is_the_primary_and_says_so() {
    let found = load(&mut ModelFlash::empty());
    assert_eq!(found.identity, Identity::default());
    assert!(!found.found);
    assert_eq!(found.warnings, ["the flash does not say which node this is; taking it for the primary"]);
}

#[test]
fn the_newest_intact_copy_counts() {
    let mut dev = ModelFlash::empty();
    for boots in 1..10 {
        save(&mut dev, &backup(boots)).unwrap();
        assert_eq!(load(&mut dev).identity, backup(boots));
        assert!(load(&mut dev).warnings.is_empty());
    }
    // The ninth write went to copy A.
    dev.medium.set(layout::IDENTITY_AT[0] / 512, noise(1));
    let found = load(&mut dev);
    assert_eq!((found.identity, found.found), (backup(8), true));
    assert_eq!(found.warnings, ["copy A of the identity record is damaged"]);
    save(&mut dev, &backup(10)).unwrap();
    assert_eq!(load(&mut dev).identity, backup(10));
    assert!(load(&mut dev).warnings.is_empty());
}

#[test]
fn no_flipped_bit_makes_another_identity() {
    let mut dev = ModelFlash::empty();
    save(&mut dev, &backup(1)).unwrap();
    save(&mut dev, &backup(2)).unwrap();
    for byte in 0..512 {
        for bit in 0..8 {
            let mut dev = ModelFlash::on(dev.medium.clone());
            dev.medium.flip(layout::IDENTITY_AT[1] + byte, 1 << bit);
            assert_eq!(load(&mut dev).identity, backup(1));
        }
    }
}

#[test]
fn an_unreadable_copy_is_reported_and_the_other_used() {
    let mut dev = ModelFlash::empty();
    save(&mut dev, &backup(1)).unwrap();
    save(&mut dev, &backup(2)).unwrap();
    dev.unreadable.insert(layout::IDENTITY_AT[1] / 512);
    let found = load(&mut dev);
    assert_eq!(found.identity, backup(1));
    assert_eq!(
        found.warnings,
        ["copy B of the identity record: the flash refused to read: Input/output error"]
    );
}

#[test]
fn the_device_key_is_not_printed() {
    assert_eq!(format!("{:?}", backup(3)), "Identity { role: Backup, boots: 3, device_key: hidden }");
}

#[test]
fn a_partition_is_recognised_by_either_copy_and_repaired() {
    let mut dev = ModelFlash::empty();
    assert_eq!(superblock::check(&mut dev), Err(SuperblockError::Foreign));
    superblock::write(&mut dev).unwrap();
    assert_eq!(superblock::check(&mut dev), Ok(Found { first: true, last: true }));
    let intact = dev.medium.clone();
    dev.medium.set(3, noise(3));
    assert_eq!(superblock::check(&mut dev), Ok(Found { first: false, last: true }));
    superblock::write(&mut dev).unwrap();
    assert_eq!(dev.medium, intact);
    dev.unreadable.insert((layout::PARTITION_MIN - 512) / 512);
    assert_eq!(superblock::check(&mut dev), Ok(Found { first: true, last: false }));
}

#[test]
fn a_disk_that_ends_with_our_partition_is_not_taken_for_it() {
    let mut dev = ModelFlash::empty();
    superblock::write(&mut dev).unwrap();
    // The whole disk begins 1 MiB earlier: its first block is a partition table, its last block is ours.
    let last = (layout::PARTITION_MIN - layout::BLOCK_BYTES) / 512;
    let mut disk = ModelFlash::empty();
    disk.size = layout::PARTITION_MIN + MIB;
    for sector in 0..8 {
        disk.medium.set(last + MIB / 512 + sector, dev.medium.sector(last + sector));
    }
    assert_eq!(superblock::check(&mut disk), Err(SuperblockError::Foreign));
}

#[test]
fn a_partition_too_small_for_the_layout_is_refused() {
    let mut dev = ModelFlash::empty();
    superblock::write(&mut dev).unwrap();
    dev.size = layout::PARTITION_MIN - 512;
    assert!(matches!(superblock::check(&mut dev), Err(SuperblockError::Store(_))));
    assert!(superblock::write(&mut dev).is_err());
    dev.size = 0;
    assert_eq!(superblock::check(&mut dev), Err(SuperblockError::Foreign));
}

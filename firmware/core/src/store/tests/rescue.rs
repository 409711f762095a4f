//! The rescue configuration and the way back to factory state, on a device that fails.

use super::model::{Medium, ModelFlash};
use super::{commit, history, store};
use crate::store::layout::{self, MIB};
use crate::store::{Commit, StoreError, blob, identity, rescue, reset, slots};

const ERASE_BLOCKS: [u64; 4] = [4096, 128 << 10, MIB, 2 * MIB];

fn kept(medium: &Medium) -> Result<Commit, StoreError> {
    rescue::load(&mut ModelFlash::on(medium.clone()))
}

#[test]
fn what_is_kept_for_rescue_is_found_until_it_is_deleted() {
    let mut dev = history(3);
    assert_eq!(rescue::load(&mut dev), Err(StoreError::NoRescue));
    for n in 50..55 {
        rescue::save(&mut dev, &blob::encode(&commit(n))).unwrap();
        assert_eq!(rescue::load(&mut dev), Ok(commit(n)));
    }
    assert_eq!(slots::load(&mut dev).best.unwrap().1, commit(3));
    rescue::delete(&mut dev).unwrap();
    assert_eq!(rescue::load(&mut dev), Err(StoreError::NoRescue));
    assert_eq!(dev.medium, history(3).medium);
}

#[test]
fn a_cut_while_the_rescue_configuration_is_replaced_leaves_the_old_or_the_new_one() {
    let mut dev = history(2);
    let running = slots::load(&mut dev).best;
    rescue::save(&mut dev, &blob::encode(&commit(50))).unwrap();
    for n in 51..53 {
        let old = kept(&dev.medium);
        let mut next = ModelFlash::on(dev.medium.clone());
        rescue::save(&mut next, &blob::encode(&commit(n))).unwrap();
        for (medium, complete) in next.cuts(next.steps(), &[4096, MIB]) {
            let found = kept(&medium);
            assert!(found == Ok(commit(n)) || (found == old && !complete), "{complete} {found:?}");
            assert_eq!(slots::load(&mut ModelFlash::on(medium.clone())).best, running);
            let mut again = ModelFlash::on(medium);
            rescue::save(&mut again, &blob::encode(&commit(99))).unwrap();
            for (medium, complete) in again.cuts(again.steps(), &[MIB]) {
                let last = kept(&medium);
                assert!(last == Ok(commit(99)) || (last == found && !complete));
            }
        }
        dev = ModelFlash::on(next.medium);
    }
}

#[test]
fn a_cut_while_it_is_deleted_leaves_it_or_nothing() {
    let mut dev = history(1);
    for n in [50, 51] {
        rescue::save(&mut dev, &blob::encode(&commit(n))).unwrap();
    }
    let mut dev = ModelFlash::on(dev.medium);
    rescue::delete(&mut dev).unwrap();
    for (medium, complete) in dev.cuts(dev.steps(), &ERASE_BLOCKS) {
        match kept(&medium) {
            Ok(found) => assert!(found == commit(51) && !complete),
            Err(error) => assert!(error == StoreError::NoRescue || !complete, "{error}"),
        }
    }
}

/// What a start makes of a medium: the configuration it runs.
fn boot(medium: Medium) -> (ModelFlash, Option<Commit>) {
    let mut dev = ModelFlash::on(medium);
    if reset::pending(&mut dev) {
        reset::finish(&mut dev).unwrap();
        assert!(!reset::pending(&mut dev));
    }
    let best = slots::load(&mut dev).best.map(|(_, commit)| commit);
    (dev, best)
}

#[test]
fn a_reset_that_is_cut_leaves_the_old_configuration_or_nothing_of_it() {
    let mut dev = history(1);
    let identity = identity::Identity { role: identity::Role::Backup, boots: 7, device_key: [9; 32] };
    for _ in 0..2 {
        identity::save(&mut dev, &identity).unwrap();
        rescue::save(&mut dev, &blob::encode(&commit(50))).unwrap();
    }
    let mut dev = ModelFlash::on(dev.medium);
    reset::order(&mut dev).unwrap();
    reset::finish(&mut dev).unwrap();
    let mut old = 0;
    for (medium, complete) in dev.cuts(dev.steps(), &[MIB]) {
        let ordered = reset::pending(&mut ModelFlash::on(medium.clone()));
        let (mut dev, best) = boot(medium);
        assert_eq!(identity::load(&mut dev).identity, identity);
        match best {
            Some(found) => {
                assert!(found == commit(1) && !complete && !ordered);
                assert_eq!(rescue::load(&mut dev), Ok(commit(50)));
                old += 1;
            }
            None => assert_eq!(rescue::load(&mut dev), Err(StoreError::NoRescue)),
        }
    }
    assert!(old > 0);
}

#[test]
fn after_a_reset_no_byte_of_a_configuration_is_left_and_the_box_starts_over() {
    let mut dev = history(17);
    rescue::save(&mut dev, &blob::encode(&commit(50))).unwrap();
    reset::order(&mut dev).unwrap();
    reset::finish(&mut dev).unwrap();
    for (at, bytes) in layout::RESET_REGIONS {
        for sector in at / 512..(at + bytes) / 512 {
            assert_eq!(dev.medium.sector(sector), [0; 512], "sector {sector}");
        }
    }
    let found = slots::load(&mut dev);
    assert_eq!((found.best, found.newest.0), (None, 0));
    store(&mut dev, 1, &commit(1));
    assert_eq!(boot(dev.medium).1, Some(commit(1)));
}

#[test]
fn a_device_that_refuses_the_order_stays_as_it_was() {
    let mut dev = history(2);
    assert!(!reset::pending(&mut dev));
    dev.medium.set(layout::RESET_AT / 512, super::model::noise(1));
    assert!(!reset::pending(&mut dev));
    assert_eq!(boot(dev.medium).1, Some(commit(2)));
}

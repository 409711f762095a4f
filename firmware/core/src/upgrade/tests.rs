//! Power cuts while the boot loader's environment is written. See [`crate::store::tests::model`] for what a cut does.

use super::environment::{BYTES, Environment, Slot, load, prove, save};
use super::layout::{BOOT_BYTES, BOOT_NAME, ENVIRONMENT_AT};
use super::running::Running;
use crate::store::layout::MIB;
use crate::store::tests::model::{Medium, ModelFlash, noise};
use alloc::vec::Vec;

const ERASE_BLOCKS: [u64; 4] = [4096, 128 << 10, MIB, 2 * MIB];
const TRIAL: Running = Running { slot: Slot::B, trial: true, rescue: false };

/// A boot partition that says this in both environments.
fn boot(environment: Environment) -> ModelFlash {
    let mut dev = ModelFlash::empty();
    dev.size = BOOT_BYTES;
    let mut first = [0; 512];
    first[3..11].copy_from_slice(BOOT_NAME);
    dev.medium.set(0, first);
    save(&mut dev, &environment).unwrap();
    on(dev.medium)
}

fn on(medium: Medium) -> ModelFlash {
    let mut dev = ModelFlash::on(medium);
    dev.size = BOOT_BYTES;
    dev
}

fn left(dev: &ModelFlash) -> Vec<(Environment, bool, Medium)> {
    let cuts = dev.cuts(dev.steps(), &ERASE_BLOCKS);
    cuts.into_iter().map(|(medium, done)| (load(&mut on(medium.clone())).unwrap(), done, medium)).collect()
}

#[test]
fn a_cut_while_a_trial_is_planned_leaves_the_good_slot_and_a_trial_of_the_new_one_at_most() {
    let old = Environment { boots: 2, ..Environment::settled(Slot::A) };
    let mut dev = boot(old);
    let new = old.on_trial(Slot::B);
    save(&mut dev, &new).unwrap();
    for (found, done, _) in left(&dev) {
        assert_eq!(found.good, Slot::A);
        assert!([None, Some(Slot::B)].contains(&found.trial), "{found:?}");
        assert!(found == new || !done, "{found:?}");
    }
}

#[test]
fn a_cut_while_a_trial_is_won_leaves_one_of_two_slots_that_both_work_and_a_second_try_mends_it() {
    let planned = Environment { tries: 1, ..Environment::settled(Slot::A).on_trial(Slot::B) };
    let mut dev = boot(planned);
    prove(&mut dev, TRIAL).unwrap();
    for (found, done, medium) in left(&dev) {
        assert!(found == Environment::settled(Slot::B) || !done, "{found:?}");
        let mut dev = on(medium);
        // A lost erase block may have held the name: then nothing is written any more, and that is said.
        if prove(&mut dev, TRIAL).is_ok() {
            assert_eq!(load(&mut dev).unwrap(), Environment::settled(Slot::B));
        }
    }
}

#[test]
fn one_lost_copy_costs_no_more_than_the_trial() {
    for at in ENVIRONMENT_AT {
        let mut dev = boot(Environment::settled(Slot::B));
        dev.medium.set(at / 512, noise(at));
        assert_eq!(load(&mut dev).unwrap(), Environment::settled(Slot::B));
    }
}

#[test]
fn a_system_that_has_proven_itself_before_writes_nothing() {
    let mut dev = boot(Environment::settled(Slot::B));
    prove(&mut dev, Running { trial: false, ..TRIAL }).unwrap();
    assert_eq!(dev.steps(), 0);
}

#[test]
fn a_partition_that_is_not_ours_is_not_written() {
    let mut foreign = ModelFlash::empty();
    foreign.size = BOOT_BYTES;
    assert!(prove(&mut foreign, TRIAL).is_err());
    let mut larger = boot(Environment::settled(Slot::A));
    larger.size = 2 * BOOT_BYTES;
    assert!(prove(&mut larger, TRIAL).is_err());
    assert_eq!((foreign.steps(), larger.steps()), (0, 0));
    assert_eq!(BYTES % 512, 0, "a block is whole sectors");
}

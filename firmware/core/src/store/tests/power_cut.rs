//! Power cuts at every byte. See [`super::model`] for what a cut does.

use super::model::{Medium, ModelFlash};
use super::{commit, history, store};
use crate::model::validate::fixture;
use crate::store::layout::MIB;
use crate::store::record::SlotState;
use crate::store::slots::{load, mark, save};
use crate::store::{Commit, Generation, blob, identity};
use alloc::format;
use alloc::vec::Vec;

const SMALL_ERASE_BLOCKS: [u64; 3] = [4096, 128 << 10, MIB];
const ERASE_BLOCKS: [u64; 4] = [4096, 128 << 10, MIB, 2 * MIB];

fn running(medium: &Medium) -> (Option<(Generation, Commit)>, Generation) {
    let found = load(&mut ModelFlash::on(medium.clone()));
    (found.best, found.newest)
}

/// Commits `new` as generation `g` and cuts at every byte. Returns what is left on the medium, after checking that it is `old` or
/// `new`, and `new` once the commit was complete.
fn cut_commit(
    start: &Medium,
    g: u64,
    new: &Commit,
    old: &Option<(Generation, Commit)>,
    blocks: &[u64],
) -> Vec<Medium> {
    let mut dev = ModelFlash::on(start.clone());
    store(&mut dev, g, new);
    let new = Some((Generation(g), new.clone()));
    let mut left = Vec::new();
    for (medium, complete) in dev.cuts(dev.steps(), blocks) {
        let (best, newest) = running(&medium);
        assert!(best == new || (best == *old && !complete), "complete: {complete}, found {best:?}");
        assert!(best.is_none_or(|(g, _)| g <= newest));
        left.push(medium);
    }
    left
}

#[test]
fn a_cut_commit_leaves_the_old_or_the_new_configuration_and_so_does_a_cut_in_the_next_one() {
    for before in [0, 1, 20] {
        let start = history(before).medium;
        let old = running(&start).0;
        for medium in cut_commit(&start, before + 1, &commit(100), &old, &ERASE_BLOCKS) {
            let (old, newest) = running(&medium);
            cut_commit(&medium, newest.0 + 1, &commit(200), &old, &SMALL_ERASE_BLOCKS);
        }
    }
}

#[test]
fn a_cut_while_a_tentative_commit_is_written_leaves_the_old_configuration() {
    let start = history(17);
    let old = running(&start.medium).0;
    let mut dev = start;
    save(&mut dev, Generation(18), SlotState::Tentative, &blob::encode(&commit(100))).unwrap();
    for (medium, _) in dev.cuts(usize::MAX, &ERASE_BLOCKS) {
        assert_eq!(running(&medium).0, old);
    }
}

#[test]
fn a_cut_while_a_commit_is_taken_back_leaves_one_of_the_two() {
    let start = history(17).medium;
    let old = running(&start).0;
    let mut dev = ModelFlash::on(start);
    store(&mut dev, 18, &commit(100));
    let new = running(&dev.medium).0;
    let mut dev = ModelFlash::on(dev.medium);
    mark(&mut dev, Generation(18), SlotState::Tentative).unwrap();
    for (medium, complete) in dev.cuts(dev.steps(), &ERASE_BLOCKS) {
        let best = running(&medium).0;
        assert!(best == old || (best == new && !complete));
    }
}

#[test]
fn commits_of_sixteen_sectors_survive_two_cuts() {
    // Few long values decode faster than many short ones.
    let big = |at_unix_s: u64| {
        let mut commit = commit(at_unix_s);
        for i in 0..23 {
            let mut pool = commit.config.pools[&fixture::name("web")].clone();
            pool.http.as_mut().unwrap().path = ["/"; 254].concat().parse().unwrap();
            commit.config.pools.insert(fixture::name(&format!("web{i}")), pool);
        }
        commit
    };
    let bytes = blob::encode(&big(0)).len();
    assert!((15 * 512 + 1..=16 * 512).contains(&bytes), "{bytes}");
    let start = history(17).medium;
    let old = running(&start).0;
    for medium in cut_commit(&start, 18, &big(1), &old, &[MIB]) {
        let (old, newest) = running(&medium);
        cut_commit(&medium, newest.0 + 1, &big(2), &old, &[MIB]);
    }
}

#[test]
fn a_commit_of_a_thousand_services_survives_a_cut() {
    let start = history(17).medium;
    let old = running(&start).0;
    let new = Commit { config: fixture::large(1000, 10), ..commit(1) };
    cut_commit(&start, 18, &new, &old, &[MIB]);
}

#[test]
fn a_cut_while_the_identity_is_written_leaves_the_old_or_the_new_one() {
    let of = |boots| identity::Identity { role: identity::Role::Backup, boots, device_key: [7; 32] };
    let mut dev = ModelFlash::empty();
    for boots in 1..=3 {
        identity::save(&mut dev, &of(boots)).unwrap();
    }
    let mut dev = ModelFlash::on(dev.medium);
    identity::save(&mut dev, &of(4)).unwrap();
    for (medium, complete) in dev.cuts(dev.steps(), &[4096, MIB, 2 * MIB, 4 * MIB, 8 * MIB]) {
        let mut dev = ModelFlash::on(medium);
        let found = identity::load(&mut dev).identity;
        assert!(found == of(4) || (found == of(3) && !complete), "{found:?}");
        let mut dev = ModelFlash::on(dev.medium);
        identity::save(&mut dev, &of(5)).unwrap();
        for (medium, complete) in dev.cuts(dev.steps(), &[4096, MIB]) {
            let again = identity::load(&mut ModelFlash::on(medium)).identity;
            assert!(again == of(5) || (again == found && !complete), "{again:?}");
        }
    }
}

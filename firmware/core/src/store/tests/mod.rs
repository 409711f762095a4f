//! The store on a device that fails in every way we know.

mod damage;
mod downgrade;
mod golden;
mod history;
mod identity;
mod kept;
pub(crate) mod model;
mod power_cut;
mod rescue;
mod usage;

use super::{Comment, Commit, Generation, blob, record::SlotState, slots};
use crate::model::cluster::Detection;
use crate::model::validate::fixture;
use model::ModelFlash;

/// A commit that is recognised by its time.
fn commit(number: u64) -> Commit {
    let mut config = fixture::five_node();
    // The default when the golden files were made.
    config.cluster.pairing.detection = Detection::DeadTime;
    Commit { at_unix_s: number, comment: Comment::default(), config }
}

/// A commit as the director does it.
fn store(dev: &mut ModelFlash, generation: u64, commit: &Commit) {
    let generation = Generation(generation);
    slots::save(dev, generation, SlotState::Tentative, &blob::encode(commit)).unwrap();
    slots::mark(dev, generation, SlotState::Good).unwrap();
}

/// A device with the commits 1 to `last`, each at the time of its number.
fn history(last: u64) -> ModelFlash {
    let mut dev = ModelFlash::empty();
    for g in 1..=last {
        store(&mut dev, g, &commit(g));
    }
    ModelFlash::on(dev.medium)
}

//! The commits that are still in flash, for `show commits` and `rollback N`.

use super::{read_payload, survey};
use crate::store::device::Device;
use crate::store::record::SlotState;
use crate::store::{Comment, Commit, Generation, StoreError, blob};
use crate::wire::heartbeat::Running;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cmp::Reverse;
use serde::{Deserialize, Serialize};

/// A stored commit, without its configuration.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Past {
    /// Its number.
    pub generation: Generation,
    /// Good, or tentative: on trial, or one that was taken back.
    pub state: SlotState,
    /// Wall-clock seconds since 1970; 0 when the clock was not set.
    pub at_unix_s: u64,
    /// What the operator said.
    pub comment: Comment,
    /// Why it cannot be used, in words.
    pub damage: Option<String>,
}

/// All stored commits, the newest first. Reads every payload, so that what is listed can be gone back to.
pub fn history<D: Device>(dev: &mut D) -> Vec<Past> {
    let mut all: Vec<Past> = Vec::new();
    for info in survey(dev) {
        let Some(header) = info.header() else { continue };
        let commit = read_payload(dev, info.slot, header)
            .map_err(|e| e.to_string())
            .and_then(|payload| blob::decode(header.schema, &payload).map_err(|e| e.to_string()));
        let (commit, damage) = match commit {
            Ok(commit) => (commit, None),
            Err(why) => (Commit::default(), Some(why)),
        };
        let Commit { at_unix_s, comment, config: _ } = commit;
        all.push(Past { generation: header.generation, state: header.state, at_unix_s, comment, damage });
    }
    // Of two records of one generation the good and undamaged one counts.
    all.sort_by_key(|p| (Reverse(p.generation), p.state == SlotState::Tentative, p.damage.is_some()));
    all.dedup_by_key(|p| p.generation);
    all
}

/// What the good commits are, as heartbeats say it. Those that cannot be read are left out.
pub fn lineage<D: Device>(dev: &mut D) -> Vec<Running> {
    let mut all = Vec::new();
    for info in survey(dev) {
        let Some(header) = info.good() else { continue };
        let payload = read_payload(dev, info.slot, header).ok();
        let commit = payload.and_then(|payload| blob::decode(header.schema, &payload).ok());
        all.extend(commit.map(|c| Running { generation: header.generation.0, hash: blob::hash(&c.config) }));
    }
    all
}

/// The configuration of `back` good commits before `running`, which itself may be on trial. 0 is not stored: it runs.
pub fn recall<D: Device>(
    dev: &mut D,
    running: Generation,
    back: u8,
) -> Result<(Generation, Commit), StoreError> {
    let mut good: Vec<Generation> = survey(dev)
        .iter()
        .filter_map(|s| s.good().map(|h| h.generation))
        .filter(|generation| *generation < running)
        .collect();
    good.sort_unstable_by_key(|g| Reverse(*g));
    good.dedup();
    let stored = u8::try_from(good.len()).unwrap_or(u8::MAX);
    let none = StoreError::NoSuchRollback { back, stored };
    let Some(generation) = back.checked_sub(1).and_then(|at| good.get(usize::from(at))) else {
        return Err(none);
    };
    super::read(dev, *generation).map(|commit| (*generation, commit))
}

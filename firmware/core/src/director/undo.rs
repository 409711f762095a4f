//! Taking a record back that the flash may hold as good although its commit was refused.
//!
//! A flash that fails while a record is marked good may have done so all the same, and the box would boot from it. So
//! the record is marked tentative again, as often as it takes; meanwhile an alarm says so, and the checkpoint names it for a
//! director that is started meanwhile. A later good commit outranks it, which settles it too.

use super::Director;
use super::event::{Effect, Level};
use crate::model::{Millis, Mono};
use crate::store::record::SlotState;
use crate::store::{Generation, StoreError};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// Pause before a failed undo is tried again. Chosen: it costs a wear cycle at most, and power is rarely cut within it.
const RETRY: Millis = Millis::from_secs(10);
/// Marks that the flash has not answered, at most. Chosen: a commit, a confirmation and an undo; the flash takes no more jobs.
const MARKS_MAX: usize = 8;

/// Records to be taken back, at most: of a commit and of the trial before it, and of those that failed since. The oldest is
/// given up, which the alarm of a newer one makes up for.
const UNDO_MAX: usize = 8;

/// Marks under way, in the order in which they are answered, and what is to be taken back.
#[derive(Debug, Default)]
pub(super) struct Marks {
    asked: VecDeque<(Generation, SlotState)>,
    undo: BTreeMap<Generation, Undo>,
}

#[derive(Debug, Default)]
struct Undo {
    /// When it is tried again; `None` while the flash is at it.
    again: Option<Mono>,
    failed: bool,
}

impl Marks {
    pub(super) fn undoing(&self) -> Vec<Generation> {
        self.undo.keys().copied().collect()
    }

    /// Whether the flash has answered everything.
    pub(super) fn idle(&self) -> bool {
        self.asked.is_empty()
    }

    pub(super) fn next_deadline(&self) -> Option<Mono> {
        self.undo.values().filter_map(|undo| undo.again).min()
    }

    pub(super) fn alarm(&self) -> Option<String> {
        let (generation, _) = self.undo.iter().rev().find(|(_, undo)| undo.failed)?;
        Some(format!(
            "commit {generation} was refused, but the flash may hold it as good: after a power cut it may run; \
             a new commit settles it"
        ))
    }
}

impl Director {
    /// Sets the state of a record in flash.
    pub(super) fn mark(&mut self, generation: Generation, state: SlotState, out: &mut Vec<Effect>) {
        if self.marks.asked.len() >= MARKS_MAX {
            self.marks.asked.pop_front();
        }
        self.marks.asked.push_back((generation, state));
        out.push(Effect::Mark { generation, state });
    }

    /// Makes sure that a record does not stay good in flash.
    pub(super) fn undo(&mut self, generation: Generation, out: &mut Vec<Effect>) {
        if self.marks.undo.len() >= UNDO_MAX {
            self.marks.undo.pop_first();
        }
        self.marks.undo.insert(generation, Undo::default());
        self.mark(generation, SlotState::Tentative, out);
        self.checkpoint(out);
    }

    /// What an earlier process did not get done.
    pub(super) fn resume_undo(&mut self, out: &mut Vec<Effect>) {
        let saved = self.start.checkpoint.as_ref().filter(|_| self.start.flash).map(|c| c.undo.clone());
        for generation in saved.unwrap_or_default().into_iter().take(UNDO_MAX) {
            self.undo(generation, out);
        }
    }

    /// The flash answered. Says whether that was the answer to an undo, or to a mark that one follows.
    pub(super) fn marked(
        &mut self,
        generation: Generation,
        result: &Result<(), StoreError>,
        now: Mono,
        out: &mut Vec<Effect>,
    ) -> bool {
        let Some(at) = self.marks.asked.iter().position(|(g, _)| *g == generation) else { return false };
        let state = self.marks.asked.remove(at).map(|(_, state)| state);
        let Some(undo) = self.marks.undo.get_mut(&generation) else { return false };
        if state != Some(SlotState::Tentative) {
            return true;
        }
        match result {
            Ok(()) | Err(StoreError::NoSuchGeneration(_) | StoreError::Damaged(_)) => {
                self.marks.undo.remove(&generation);
                self.checkpoint(out);
            }
            Err(error) => {
                undo.again = Some(now.after(RETRY));
                if !core::mem::replace(&mut undo.failed, true) {
                    let text = format!(
                        "the record of the refused commit {generation} cannot be taken back: {error}; trying again"
                    );
                    self.log(Level::Error, text, out);
                }
            }
        }
        true
    }

    /// Tries again what is due.
    pub(super) fn undo_again(&mut self, now: Mono, out: &mut Vec<Effect>) {
        let due = |undo: &Undo| undo.again.is_some_and(|at| at <= now);
        let due: Vec<Generation> =
            self.marks.undo.iter().filter(|(_, undo)| due(undo)).map(|(g, _)| *g).collect();
        for generation in due {
            if let Some(undo) = self.marks.undo.get_mut(&generation) {
                undo.again = None;
            }
            self.mark(generation, SlotState::Tentative, out);
        }
    }

    /// A record is good for sure: what is older does not count.
    pub(super) fn outranked(&mut self, generation: Generation, out: &mut Vec<Effect>) {
        let before = self.marks.undo.len();
        self.marks.undo.retain(|undone, _| *undone > generation);
        if self.marks.undo.len() != before {
            self.checkpoint(out);
        }
    }
}

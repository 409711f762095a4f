//! Dump, plan, apply, and again when something changed: the machine that keeps the kernel as desired.
//!
//! ```text
//!            need / drift deadline              observed, plan empty
//!   Idle ───────────────────────────> Observing ─────────────────────> Idle (settled)
//!    ^                                    │ plan
//!    │ all done: picture assumed, plan    v
//!    └──────── again ────────────────  Applying ── an operation failed ──> Backoff ── deadline ──> Observing
//! ```
//!
//! After its own operations it believes its picture (see [`Observed::assume`]); the netlink notification that they cause
//! leads to a dump soon after, and a dump is made at least every [`DRIFT_INTERVAL`] whatever happens.

use crate::model::{Millis, Mono};
use crate::plan::{Observed, Op, OpError};
use alloc::vec::Vec;

/// Longest time between two dumps, so that drift is found within 10 s.
pub const DRIFT_INTERVAL: Millis = Millis::from_secs(8);
/// Shortest time between two dumps that nobody asked for, so that a storm of notifications cannot keep us busy.
const DUMP_SPACING: Millis = Millis::new(20);
/// Pause after a first failure; doubled for each further one.
const BACKOFF_MIN_MS: u32 = 250;
/// Longest pause after failures.
const BACKOFF_MAX_MS: u32 = 8000;
/// A kernel that does not answer for this long is asked again. Chosen: a dump of 1,000 services takes below 1 s under emulation.
const ANSWER_TIMEOUT: Millis = Millis::from_secs(30);

/// What the machine waits for.
#[derive(Clone, PartialEq, Debug)]
enum Phase {
    Idle,
    Observing { until: Mono },
    Applying { batch: u64, ops: Vec<Op>, until: Mono },
    Backoff { until: Mono },
}

/// The machine.
#[derive(Clone, PartialEq, Debug)]
pub struct Reconcile {
    phase: Phase,
    /// The picture of the kernel; `None` before the first dump.
    observed: Option<Observed>,
    /// When the picture was dumped.
    observed_at: Mono,
    /// Desired state or kernel changed since the last plan.
    dirty: bool,
    /// The desired state may have changed since the kernel was last as desired.
    asked: bool,
    /// The desired state may have changed since the last plan.
    changed: bool,
    /// The picture may be wrong: dump before planning.
    stale: bool,
    /// The kernel changed while it was dumped.
    missed: bool,
    /// The role changed: the next plan waits for no dump.
    urgent: bool,
    failures: u32,
    batch: u64,
    /// When the last batch was handed out, and how long the last one that ended took.
    handed_out: Mono,
    took: Millis,
}

/// What to do next.
#[derive(Clone, PartialEq, Debug)]
pub enum Step {
    /// Nothing.
    Wait,
    /// Dump.
    Observe,
    /// Compute the plan and call [`Reconcile::planned`].
    Plan,
}

/// How a batch ended.
#[derive(Clone, PartialEq, Debug)]
pub struct Applied {
    /// Operations with their results.
    pub results: Vec<(Op, Result<(), OpError>)>,
}

impl Reconcile {
    /// Starts with a dump.
    pub fn start(now: Mono) -> Self {
        let phase = Phase::Idle;
        Self {
            phase,
            observed: None,
            observed_at: now,
            dirty: true,
            asked: true,
            changed: true,
            stale: true,
            missed: false,
            urgent: false,
            failures: 0,
            batch: 0,
            handed_out: now,
            took: Millis::new(0),
        }
    }

    /// The desired state may have changed.
    pub fn desired_changed(&mut self) {
        self.dirty = true;
        self.asked = true;
        self.changed = true;
    }

    /// Whether what the last plan wanted may not be what is wanted now.
    pub const fn changed(&self) -> bool {
        self.changed
    }

    /// The role changed. Clients wait for the addresses, so the plan is made of the picture that is there; a dump that is
    /// under way shows what was before, and another one follows.
    pub fn role_changed(&mut self) {
        self.desired_changed();
        self.retry_now();
        self.urgent = self.observed.is_some();
    }

    /// Whether a plan that is not empty now undoes what something else did: the kernel was as desired, and what is desired
    /// did not change since.
    pub const fn drifted(&self) -> bool {
        !self.asked && self.failures == 0
    }

    /// From handing out the last batch that ended to its end.
    pub const fn took(&self) -> Millis {
        self.took
    }

    /// The kernel may have changed. While a dump is under way it may show it or not: it is used, then another one is made.
    pub fn kernel_changed(&mut self) {
        if matches!(self.phase, Phase::Observing { .. }) {
            self.missed = true;
            return;
        }
        self.stale = true;
        self.dirty = true;
    }

    /// The number of the last batch.
    pub const fn last_batch(&self) -> u64 {
        self.batch
    }

    /// Whether it waits after a failure.
    pub const fn pausing(&self) -> bool {
        matches!(self.phase, Phase::Backoff { .. })
    }

    /// The picture of the kernel.
    pub fn observed(&self) -> Option<&Observed> {
        self.observed.as_ref()
    }

    /// When the kernel was last dumped.
    pub fn observed_at(&self) -> Option<Mono> {
        self.observed.as_ref().map(|_| self.observed_at)
    }

    /// Whether the kernel is as desired, as far as known.
    pub fn settled(&self) -> bool {
        self.phase == Phase::Idle && !self.dirty
    }

    /// What to do next. `want_dump`: somebody wants fresh counters.
    pub fn step(&mut self, want_dump: bool, now: Mono) -> Step {
        if self.urgent && !matches!(self.phase, Phase::Applying { .. }) {
            self.stale |= matches!(self.phase, Phase::Observing { .. });
            self.phase = Phase::Idle;
            return Step::Plan;
        }
        match &self.phase {
            Phase::Observing { until } | Phase::Applying { until, .. } if *until <= now => {
                self.stale = true;
                self.dirty = true;
            }
            Phase::Backoff { until } if *until <= now => {}
            Phase::Observing { .. } | Phase::Applying { .. } | Phase::Backoff { .. } => return Step::Wait,
            Phase::Idle => {}
        }
        self.phase = Phase::Idle;
        if now >= self.observed_at.after(DRIFT_INTERVAL) {
            self.stale = true;
            self.dirty = true;
        }
        let spaced = self.observed.is_none() || now >= self.observed_at.after(DUMP_SPACING);
        if want_dump || (self.stale && spaced) {
            self.phase = Phase::Observing { until: now.after(ANSWER_TIMEOUT) };
            return Step::Observe;
        }
        if self.dirty && !self.stale { Step::Plan } else { Step::Wait }
    }

    /// The answer to a dump. False when nobody waits for it.
    pub fn dumped(&mut self, result: Result<Observed, OpError>, now: Mono) -> bool {
        if !matches!(self.phase, Phase::Observing { .. }) {
            return false;
        }
        match result {
            Ok(observed) => {
                self.observed = Some(observed);
                self.observed_at = now;
                self.stale = false;
                self.phase = Phase::Idle;
                // A dump is compared even when nobody changed anything: that is how drift is found.
                self.dirty = true;
            }
            Err(_) => self.back_off(now),
        }
        true
    }

    /// The plan is this. Returns the number of its batch, or `None` when there is nothing to do.
    pub fn planned(&mut self, ops: Vec<Op>, now: Mono) -> Option<u64> {
        self.changed = false;
        let missed = core::mem::take(&mut self.missed);
        self.urgent = false;
        self.stale |= missed;
        self.dirty = missed;
        if ops.is_empty() {
            self.failures = 0;
            self.asked = false;
            return None;
        }
        self.handed_out = now;
        self.batch = self.batch.saturating_add(1);
        self.phase = Phase::Applying { batch: self.batch, ops, until: now.after(ANSWER_TIMEOUT) };
        Some(self.batch)
    }

    /// A number for a batch that changes nothing in the picture (repeated announcements).
    pub fn side_batch(&mut self) -> u64 {
        self.batch = self.batch.saturating_add(1);
        self.batch
    }

    /// A batch ended. `None` when it is not the one under way.
    pub fn applied(&mut self, batch: u64, results: Vec<Result<(), OpError>>, now: Mono) -> Option<Applied> {
        let Phase::Applying { batch: current, ops, .. } = &mut self.phase else { return None };
        if *current != batch {
            return None;
        }
        let ops = core::mem::take(ops);
        let took = now.micros_since(self.handed_out) / 1000;
        self.took = Millis::new(u32::try_from(took).unwrap_or(u32::MAX));
        // Fewer results than operations: the rest was not tried.
        let complete = results.len() == ops.len();
        let results: Vec<_> = ops.into_iter().zip(results).collect();
        let failed = !complete || results.iter().any(|(_, result)| result.is_err());
        if let Some(observed) = &mut self.observed {
            for (op, _) in results.iter().filter(|(_, result)| result.is_ok()) {
                observed.assume(op);
            }
        }
        if failed {
            self.back_off(now);
        } else {
            self.failures = 0;
            self.phase = Phase::Idle;
            // One more comparison, with the assumed picture: only an empty plan is settled.
            self.dirty = true;
        }
        Some(Applied { results })
    }

    fn back_off(&mut self, now: Mono) {
        let pause = BACKOFF_MIN_MS.checked_shl(self.failures).unwrap_or(BACKOFF_MAX_MS).min(BACKOFF_MAX_MS);
        self.failures = self.failures.saturating_add(1).min(16);
        self.phase = Phase::Backoff { until: now.after(Millis::new(pause)) };
        self.stale = true;
        self.dirty = true;
    }

    /// Ends a pause after failures: the desired state changed, so the reason may be gone.
    pub fn retry_now(&mut self) {
        if matches!(self.phase, Phase::Backoff { .. }) {
            self.phase = Phase::Idle;
        }
    }

    /// When [`Self::step`] has something to do by itself.
    pub fn next_deadline(&self) -> Mono {
        match &self.phase {
            Phase::Observing { until } | Phase::Applying { until, .. } | Phase::Backoff { until } => *until,
            Phase::Idle if self.stale => self.observed_at.after(DUMP_SPACING),
            Phase::Idle => self.observed_at.after(DRIFT_INTERVAL),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_role_is_planned_before_the_dump_that_is_under_way_ends() {
        let now = Mono::from_millis(1000);
        let mut machine = Reconcile::start(now);
        machine.role_changed();
        assert_eq!(machine.step(false, now), Step::Observe, "nothing is known yet");
        assert!(machine.dumped(Ok(Observed::default()), now));
        assert_eq!(machine.step(false, now), Step::Plan);
        assert_eq!(machine.planned(Vec::new(), now), None);

        machine.kernel_changed();
        let later = now.after(DUMP_SPACING);
        assert_eq!(machine.step(false, later), Step::Observe);
        machine.role_changed();
        assert_eq!(machine.step(false, later), Step::Plan);
        let batch =
            machine.planned(alloc::vec![Op::LinkUp { device: "eth0".parse().unwrap() }], later).unwrap();
        assert!(!machine.dumped(Ok(Observed::default()), later), "it shows what was before");
        assert!(machine.applied(batch, alloc::vec![Ok(())], later).is_some());
        assert_eq!(machine.step(false, later), Step::Observe, "another one follows");
    }
}

//! Telling the boot loader that this system works.
//!
//! A system on trial has proven itself when this box could take over: kernel and desired state agree, and every check has
//! ended once. Until then each boot uses up one of its tries, and after the last the old system runs again. A system that
//! is not on trial has its boots counted, so that one that crashes early ends in rescue; for it, running for a while is
//! proof enough, because a configuration that never comes to rest is no reason to leave it.

use super::Director;
use super::event::{Effect, Level};
use super::status::SlotStatus;
use crate::health::State;
use crate::model::{Millis, Mono};
use crate::store::StoreError;
use crate::upgrade::running::Running;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// How long a system that is not on trial must run to count as one that does not crash. Chosen: crashes at boot come within
/// seconds, and an operator who cycles the power does it faster.
const STAYED: Millis = Millis::from_secs(60);
/// Pause before the boot loader is told again.
const RETRY: Millis = Millis::from_secs(60);

#[derive(Debug)]
pub(super) struct System {
    running: Option<Running>,
    proof: Proof,
}

#[derive(Debug)]
enum Proof {
    /// Not yet; a system that is not on trial needs no more than to run until then.
    Missing { until: Mono },
    /// The boot loader is being told.
    Writing,
    /// It was told.
    Told,
    /// It could not be told, and is told again then.
    Failed { again: Mono, why: String },
}

impl System {
    pub(super) fn new(running: Option<Running>, now: Mono) -> Self {
        Self { running, proof: Proof::Missing { until: now.after(STAYED) } }
    }

    pub(super) fn next_deadline(&self) -> Option<Mono> {
        match (&self.proof, self.running?.trial) {
            (Proof::Missing { until }, false) => Some(*until),
            (Proof::Failed { again, .. }, _) => Some(*again),
            (Proof::Missing { .. } | Proof::Writing | Proof::Told, _) => None,
        }
    }

    pub(super) fn status(&self) -> Option<SlotStatus> {
        Some(SlotStatus { running: self.running?, proven: matches!(self.proof, Proof::Told) })
    }

    pub(super) fn alarm(&self) -> Option<String> {
        let Proof::Failed { why, .. } = &self.proof else { return None };
        Some(format!(
            "the boot loader cannot be told that this system works, the next boots may leave it: {why}"
        ))
    }

    fn tell(&mut self, out: &mut Vec<Effect>) {
        if let Some(running) = self.running {
            self.proof = Proof::Writing;
            out.push(Effect::Prove(running));
        }
    }
}

impl Director {
    /// Kernel and desired state agree.
    pub(super) fn prove_settled(&mut self, out: &mut Vec<Effect>) {
        let missing = matches!(self.system.proof, Proof::Missing { .. });
        if missing && !self.stopping && self.health.iter().all(|(.., v)| v.state != State::Unknown) {
            self.system.tell(out);
        }
    }

    /// The time has come to tell the boot loader, although not all is at rest, or to tell it again.
    pub(super) fn prove_late(&mut self, now: Mono, out: &mut Vec<Effect>) {
        if self.system.next_deadline().is_some_and(|due| due <= now) {
            self.system.tell(out);
        }
    }

    pub(super) fn on_proven(&mut self, result: Result<(), StoreError>, now: Mono, out: &mut Vec<Effect>) {
        match result {
            Ok(()) => {
                self.system.proof = Proof::Told;
                if let Some(Running { slot, trial: true, .. }) = self.system.running {
                    let text = format!("the system in slot {} has proven itself and stays", slot.letter());
                    self.log(Level::Notice, text, out);
                }
            }
            Err(error) => {
                let why = error.to_string();
                self.system.proof = Proof::Failed { again: now.after(RETRY), why };
                if let Some(alarm) = self.system.alarm() {
                    self.log(Level::Error, alarm, out);
                }
            }
        }
    }
}

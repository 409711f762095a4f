//! Telling the boot loader that this system works.
//!
//! A system on trial has proven itself when this box could take over: kernel and desired state agree, every check has ended
//! once, and every heartbeat network of a pair has carried the peer's word. Until then each boot uses up one of its tries, and
//! after the last, or after [`TRIAL`], the old system runs again. A system that is not on trial has its boots counted, so that one that crashes early ends in rescue; for it, running for a while is
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
/// How long a system on trial may take. Chosen: a peer that is upgraded beside it has time to boot, and nobody waits at
/// the console for longer.
const TRIAL: Millis = Millis::from_secs(600);
/// Pause before the boot loader is told again.
const RETRY: Millis = Millis::from_secs(60);

#[derive(Debug)]
pub(super) struct System {
    running: Option<Running>,
    proof: Proof,
}

#[derive(Debug)]
enum Proof {
    /// Not yet; a system that is not on trial needs no more than to run until then, and one on trial is given up then.
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
        let trial = running.is_some_and(|running| running.trial);
        Self { running, proof: Proof::Missing { until: now.after(if trial { TRIAL } else { STAYED }) } }
    }

    /// What runs, when it has proven itself: only then the other slot is not needed any more.
    pub(super) fn settled(&self) -> Result<Running, String> {
        let running =
            self.running.ok_or("this box was not started by the boot loader: it has no system slots")?;
        match self.proof {
            Proof::Told => Ok(running),
            Proof::Missing { .. } | Proof::Writing | Proof::Failed { .. } => {
                Err("the system that runs has not proven itself yet: show upgrade says what it waits for"
                    .to_string())
            }
        }
    }

    /// It is on trial, and has not proven itself.
    pub(super) fn on_probation(&self) -> bool {
        self.on_trial() && !matches!(self.proof, Proof::Told)
    }

    fn on_trial(&self) -> bool {
        self.running.is_some_and(|running| running.trial)
    }

    pub(super) fn next_deadline(&self) -> Option<Mono> {
        self.running?;
        match &self.proof {
            Proof::Missing { until } => Some(*until),
            Proof::Failed { again, .. } => Some(*again),
            Proof::Writing | Proof::Told => None,
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
    /// Whether the boot loader was told that this system works.
    #[must_use]
    pub fn proven(&self) -> bool {
        matches!(self.system.proof, Proof::Told)
    }

    /// Kernel and desired state agree.
    pub(super) fn prove_settled(&mut self, now: Mono, out: &mut Vec<Effect>) {
        let missing = matches!(self.system.proof, Proof::Missing { .. });
        if missing && !self.stopping && self.unproven(now).is_none() {
            self.system.tell(out);
        }
    }

    /// What is still missing, beside a kernel that agrees.
    fn unproven(&self, now: Mono) -> Option<String> {
        let unknown = self.health.iter().filter(|(.., v)| v.state == State::Unknown).count();
        if unknown > 0 {
            return Some(format!("{unknown} servers have not been checked once"));
        }
        let silent = if self.system.on_trial() { self.cluster.silent_paths(now) } else { Vec::new() };
        (!silent.is_empty()).then(|| format!("no heartbeat of the peer over {}", silent.join(", ")))
    }

    /// What the system that runs waits for, for `show upgrade`.
    pub(super) fn system_waits(&self, now: Mono) -> Option<String> {
        match (&self.system.proof, self.system.running) {
            (Proof::Missing { .. }, Some(_)) => Some(
                self.unproven(now)
                    .unwrap_or_else(|| "the kernel does not hold yet what is configured".to_string()),
            ),
            (Proof::Missing { .. } | Proof::Writing | Proof::Told | Proof::Failed { .. }, _) => None,
        }
    }

    /// `upgrade confirm`.
    pub(super) fn confirm_system(&mut self, out: &mut Vec<Effect>) -> Result<(), String> {
        match (&self.system.proof, self.system.running) {
            (_, None) => Err("this box was not started by the boot loader".to_string()),
            (Proof::Told, _) => Err("the system that runs has proven itself already".to_string()),
            (Proof::Writing, _) => Err("the boot loader is being told already".to_string()),
            (Proof::Missing { .. } | Proof::Failed { .. }, Some(_)) => {
                self.log(Level::Notice, "the system that runs was confirmed on the console", out);
                self.system.tell(out);
                Ok(())
            }
        }
    }

    /// The time has come to tell the boot loader, although not all is at rest, or to tell it again, or to give a trial up.
    pub(super) fn prove_late(&mut self, now: Mono, out: &mut Vec<Effect>) {
        if self.system.next_deadline().is_none_or(|due| due > now) {
            return;
        }
        if let (Proof::Missing { until }, true) =
            (&mut self.system.proof, self.system.running.is_some_and(|r| r.trial))
        {
            *until = now.after(TRIAL);
            let why = self.system_waits(now).unwrap_or_default();
            self.log(Level::Error, format!("the system on trial has not proven itself: {why}"), out);
            return self.give_system_up(out);
        }
        self.system.tell(out);
    }

    pub(super) fn on_proven(&mut self, result: Result<(), StoreError>, now: Mono, out: &mut Vec<Effect>) {
        match result {
            Ok(()) => {
                self.system.proof = Proof::Told;
                if let Some(Running { slot, trial: true, .. }) = self.system.running {
                    let text = format!("the system in slot {} has proven itself and stays", slot.letter());
                    self.log(Level::Notice, text, out);
                    self.update_cluster(now, out);
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

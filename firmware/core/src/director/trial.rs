//! `commit confirmed`: a configuration that runs until somebody confirms it, or until its time is over.
//!
//! ```text
//!   none --commit confirmed applied--> on trial --confirm, or a second commit--> none, the record is marked good
//!                                         │ deadline, director crashed, power cut
//!                                         v
//!                                      none, what ran before runs again (a plan, no reboot)
//! ```
//!
//! The record stays tentative in flash meanwhile, so nothing but a confirmation can make the box boot from it. The
//! checkpoint in `/run` names the trial: a director that was restarted on request goes on with it until the same
//! deadline; one that comes after a crash does not trust it, runs what is good in flash, and says so.

use super::event::{Effect, Level};
use super::protocol::{Reply, SessionId};
use super::requests::answer;
use super::sync::PEER;
use super::{Director, commit::Stage};
use crate::cli::show::words::span;
use crate::model::{Config, Millis, Mono};
use crate::store::record::SlotState;
use crate::store::{Generation, StoreError};
use crate::sync::Message;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Time to confirm when none is given, as in Junos.
pub const CONFIRM_DEFAULT: Millis = Millis::from_secs(600);
/// Shortest time to confirm. Chosen: nobody types faster.
pub const CONFIRM_MIN: Millis = Millis::from_secs(5);
/// Longest time to confirm. Chosen: over a night, not over a weekend.
pub const CONFIRM_MAX: Millis = Millis::from_secs(86_400);
/// How long after the deadline a write to the flash that would end the trial is waited for.
const FLASH_GRACE: Millis = Millis::from_secs(10);
/// Seconds before the deadline at which every console is told again.
const REMIND_S: [u32; 5] = [3600, 300, 60, 30, 10];

/// A configuration on trial.
#[derive(Clone, PartialEq, Debug)]
pub struct Trial {
    /// Its number; it runs.
    pub generation: Generation,
    /// What runs again when nobody confirms.
    pub back: Box<Config>,
    /// Its number.
    pub back_generation: Generation,
    /// Where it came from, in words.
    pub back_source: String,
    /// When that happens.
    pub deadline: Mono,
    /// Who confirmed; the flash has not answered yet.
    pub confirming: Option<SessionId>,
    /// The flash refused to mark the record and may have done so all the same.
    pub doubtful: bool,
    /// When every console is told next.
    pub remind: Option<Mono>,
    /// Whether the peer has a part in it.
    pub with: With,
}

/// Whose trial it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum With {
    /// This box alone.
    Nobody,
    /// The peer runs it, too, and keeps it when it is told to.
    Peer,
    /// The peer wants it; it decides.
    ForPeer,
}

/// What of a trial lies in `/run`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SavedTrial {
    /// Which commit is on trial.
    pub generation: Generation,
    /// Until when. The clock goes on over a restart of the director, and `/run` is gone after a reboot.
    pub deadline: Mono,
}

/// The next moment to remind of `deadline`.
fn remind(deadline: Mono, now: Mono) -> Option<Mono> {
    let before = |s: &u32| {
        Mono::from_micros(deadline.micros().saturating_sub(u64::from(*s).saturating_mul(1_000_000)))
    };
    REMIND_S.iter().map(before).filter(|at| *at > now).min()
}

impl Director {
    /// A trial that an earlier process left behind.
    pub(super) fn resume_trial(&mut self, now: Mono, out: &mut Vec<Effect>) {
        let Some(saved) = self.start.checkpoint.as_ref().and_then(|c| c.trial) else { return };
        // Not newer than what is good in flash: it was confirmed, and only the answer was lost.
        if saved.generation <= self.generation {
            return;
        }
        let SavedTrial { generation, deadline } = saved;
        match self.start.trial.take().filter(|(g, _)| *g == generation) {
            Some((_, config)) => {
                let back = core::mem::replace(&mut self.config, config);
                let back_source = self.source.clone();
                let back_generation = core::mem::replace(&mut self.generation, generation);
                self.source = format!("configuration {generation}, on trial");
                self.trial = Some(Trial {
                    generation,
                    back,
                    back_generation,
                    back_source,
                    deadline,
                    confirming: None,
                    doubtful: false,
                    remind: remind(deadline, now),
                    with: With::Nobody,
                });
                let text = format!(
                    "commit {generation} is still on trial after the restart: {}",
                    self.trial_words(now)
                );
                self.log(Level::Notice, text, out);
            }
            None => {
                let text = format!(
                    "commit {generation} was on trial when the director crashed: configuration {} runs again",
                    self.generation
                );
                self.log(Level::Error, text.clone(), out);
                self.fell_back = Some(text);
            }
        }
    }

    /// The configuration of a transaction runs, and nobody has confirmed it yet.
    pub(super) fn begin_trial(&mut self, window: Millis, now: Mono, out: &mut Vec<Effect>) {
        let Some(t) = self.transaction.take() else { return };
        let (back, back_generation, back_source) = match self.trial.take() {
            // A trial of a trial still goes back to what was good.
            Some(trial) => (trial.back, trial.back_generation, trial.back_source),
            None => (t.other, self.generation, self.source.clone()),
        };
        self.generation = t.generation;
        self.source = format!("configuration {}, on trial", t.generation);
        let deadline = now.after(window);
        let with = match t.session {
            PEER => With::ForPeer,
            _ if t.shared => With::Peer,
            _ => With::Nobody,
        };
        self.trial = Some(Trial {
            generation: t.generation,
            back,
            back_generation,
            back_source,
            deadline,
            confirming: None,
            doubtful: false,
            remind: remind(deadline, now).filter(|_| with != With::ForPeer),
            with,
        });
        self.fell_back = None;
        self.checkpoint(out);
        let text = format!(
            "commit {}: {} kernel operations, on trial: {}",
            t.generation,
            t.operations,
            self.trial_words(now)
        );
        self.log(Level::Notice, text, out);
        let reply = Reply::OnTrial {
            generation: t.generation,
            operations: t.operations,
            findings: t.findings,
            window,
            back: back_generation,
        };
        answer(t.session, reply, out);
        if with == With::ForPeer {
            let text = format!("The other box commits {}; it runs here on trial.", t.generation);
            return self.tell_all(None, text, out);
        }
        self.tell_all(Some(t.session), self.trial_notice(now), out);
    }

    /// `confirm`, or a commit that changes nothing.
    pub(super) fn confirm(&mut self, session: SessionId, now: Mono, out: &mut Vec<Effect>) {
        let busy = self.transaction.is_some();
        let stopping = self.stopping;
        let flash = self.start.flash;
        let refuse = |reason: &str, out: &mut Vec<Effect>| {
            answer(session, Reply::Refused { reason: reason.to_string(), findings: Vec::new() }, out);
        };
        match &mut self.trial {
            None => refuse("no commit waits for a confirmation", out),
            Some(_) if stopping => refuse("the director is stopping", out),
            Some(_) if busy => refuse("another commit is under way; its end confirms this one too", out),
            Some(Trial { with: With::ForPeer, .. }) => {
                refuse("the other box has it on trial: confirm it there", out);
            }
            Some(Trial { confirming: Some(_), .. }) => refuse("it is being confirmed just now", out),
            Some(trial) => {
                trial.confirming = Some(session);
                let generation = trial.generation;
                if flash {
                    self.mark(generation, SlotState::Good, out);
                } else {
                    self.confirmation_saved(Ok(()), now, out);
                }
            }
        }
    }

    /// A commit that changes nothing, with a time: the trial lasts until then.
    pub(super) fn extend_trial(&mut self, window: Millis, now: Mono) {
        if let Some(trial) = &mut self.trial {
            trial.deadline = now.after(window);
            trial.remind = remind(trial.deadline, now);
        }
    }

    /// The flash answered to a confirmation.
    pub(super) fn confirmation_saved(
        &mut self,
        result: Result<(), StoreError>,
        now: Mono,
        out: &mut Vec<Effect>,
    ) {
        let Some(trial) = &mut self.trial else { return };
        let Some(session) = trial.confirming.take() else { return };
        let generation = trial.generation;
        match result {
            Ok(()) => {
                let with = trial.with;
                self.trial = None;
                if self.start.flash {
                    self.notes.clear();
                }
                self.source = source(generation, with);
                self.outranked(generation, out);
                self.checkpoint(out);
                self.log(Level::Notice, format!("commit {generation} confirmed"), out);
                let reply = Reply::Confirmed { generation };
                self.acknowledge((session, generation, with == With::Peer), reply, now, out);
                self.tell_all(Some(session), format!("Commit {generation} was confirmed."), out);
            }
            Err(error) => {
                trial.doubtful = true;
                let reason = format!("not confirmed, the flash failed: {error}; {}", self.trial_words(now));
                self.log(Level::Error, format!("commit {generation} {reason}"), out);
                answer(session, Reply::Refused { reason, findings: Vec::new() }, out);
                // It may have taken longer than was left.
                self.trial_deadline(now, out);
            }
        }
    }

    /// A later commit is good, and with it the one on trial.
    pub(super) fn trial_outlived(&mut self, out: &mut Vec<Effect>) {
        if let Some(trial) = self.trial.take() {
            if self.start.flash {
                // For the history only: the later one is good already and counts.
                self.mark(trial.generation, SlotState::Good, out);
            }
            self.checkpoint(out);
        }
    }

    /// Reminds, and ends a trial whose time is over.
    pub(super) fn trial_deadline(&mut self, now: Mono, out: &mut Vec<Effect>) {
        if let Some(trial) = &mut self.trial
            && trial.remind.is_some_and(|at| at <= now)
        {
            trial.remind = remind(trial.deadline, now);
            if trial.deadline > now && trial.confirming.is_none() {
                self.tell_all(None, self.trial_notice(now), out);
            }
        }
        if self.trial_due().is_none_or(|due| due > now) {
            return;
        }
        if self.transaction.is_some() {
            self.take_back("the time to confirm the commit before it is over", now, out);
        }
        self.go_back(now, out);
    }

    /// When the trial ends. A write that is under way decides, if it ends within [`FLASH_GRACE`].
    fn trial_due(&self) -> Option<Mono> {
        let trial = self.trial.as_ref()?;
        let marking = self.transaction.as_ref().is_some_and(|t| t.stage == Stage::Marking);
        let writes = marking || trial.confirming.is_some();
        Some(if writes { trial.deadline.after(FLASH_GRACE) } else { trial.deadline })
    }

    /// When [`Self::trial_deadline`] has something to do.
    pub(super) fn trial_next(&self) -> Option<Mono> {
        let remind = self.trial.as_ref().and_then(|t| t.remind);
        [self.trial_due(), remind].into_iter().flatten().min()
    }

    pub(super) fn go_back(&mut self, now: Mono, out: &mut Vec<Effect>) {
        let Some(trial) = self.trial.take() else { return };
        let Trial { generation, back, back_generation, back_source, confirming, doubtful, with, .. } = trial;
        if with == With::Peer {
            self.tell_peer(Message::Drop(generation), out);
        }
        if self.start.flash && (doubtful || confirming.is_some()) {
            // Behind the write that failed or hangs: whatever that did, this undoes it.
            self.undo(generation, out);
        }
        self.config = back;
        self.generation = back_generation;
        self.source = back_source;
        let why = if with == With::ForPeer { "by the other box" } else { "in time" };
        let text = format!(
            "commit {generation} was not confirmed {why}: configuration {back_generation} runs again"
        );
        if let Some(session) = confirming {
            answer(session, Reply::Refused { reason: text.clone(), findings: Vec::new() }, out);
        }
        self.log(Level::Warning, text.clone(), out);
        self.tell_all(None, format!("{}.", capital(&text)), out);
        self.fell_back = Some(text);
        self.checkpoint(out);
        self.configured(now, out);
    }

    /// `configuration 4 runs again in 4m10s unless "confirm" is typed`.
    pub(super) fn trial_words(&self, now: Mono) -> String {
        self.trial.as_ref().map_or_else(String::new, |trial| {
            if trial.deadline <= now {
                return format!("configuration {} runs again now", trial.back_generation);
            }
            let left = span(trial.deadline.micros_since(now));
            format!(
                "configuration {} runs again in {left} unless \"confirm\" is typed",
                trial.back_generation
            )
        })
    }

    fn trial_notice(&self, now: Mono) -> String {
        format!("Commit {} is on trial: {}.", self.generation, self.trial_words(now))
    }

    /// Shows a sentence on every console but one.
    fn tell_all(&self, but: Option<SessionId>, text: String, out: &mut Vec<Effect>) {
        out.push(Effect::Notify { but, text });
    }
}

/// Where a configuration came from.
pub(super) fn source(generation: Generation, with: With) -> String {
    let place = if with == With::ForPeer { "the other box" } else { "this console" };
    format!("configuration {generation}, committed on {place}")
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|c| c.to_ascii_uppercase()).into_iter().chain(chars).collect()
}

//! The verdict machine of one real server in one pool.
//!
//! ```text
//!                rise good in a row
//!   +---------+ -------------------------------------> +----+
//!   | Unknown |                                        | Up | <----------------------+
//!   +---------+ --+                                +-- +----+                        |
//!                 | given up                       | given up                        |
//!                 v                                v                                 |
//!              +------+ <--------------------------+      reentry over since the     |
//!              | Down |      any failure                  first good answer, and     |
//!              +------+ <----------------- +------------+ rise good in a row         |
//!                 |       first good       | Reentering | ---------------------------+
//!                 +----------------------> +------------+
//! ```
//!
//! *Given up* means, without a dead time: `fall` failures in a row. With a dead time: that long without a good
//! answer, whatever `fall` says, and at least one run since then failed or passed its own hard end unanswered.
//! The second half matters when the dead time is shorter than interval + timeout: silence while nothing was asked,
//! or while the server still has time to answer, is no evidence.
//!
//! Silence counts only while somebody asked. A gap (the process was restarted or did not run) is told by
//! [`Machine::skip`], [`Machine::stall`] or [`Machine::resume`]; it moves the start of the silence and voids what was seen before, so
//! that neither a failure nor a good answer from before the gap decides after it.

use super::State;
use super::words;
use crate::model::{Millis, Mono};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Time in which the changes of a server are counted for its flap limit.
pub const FLAP_WINDOW: Millis = Millis::from_secs(600);
/// Stalls of the process that may delay the removal of one server. Chosen: more than happen by accident, and a director
/// that is late all the time still removes dead servers.
pub const STALLS_FORGIVEN: u8 = 8;

/// Thresholds of a pool.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rule {
    /// Good answers in a row before a server is used; 0 counts as 1.
    pub rise: u8,
    /// Failures in a row before it is given up, when there is no dead time; 0 counts as 1.
    pub fall: u8,
    /// Time without a good answer after which it is given up.
    pub dead_time: Option<Millis>,
    /// How long a server that came back must stay good before it is used again.
    pub reentry: Millis,
    /// Changes between up and down within [`FLAP_WINDOW`] from which on it is not let in. It still leaves, so that one
    /// more is possible.
    pub flap_limit: Option<u8>,
}

impl Rule {
    fn rise(&self) -> u32 {
        u32::from(self.rise.max(1))
    }

    fn fall(&self) -> u32 {
        u32::from(self.fall.max(1))
    }
}

/// A transition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    /// State before.
    pub from: State,
    /// State now.
    pub to: State,
    /// Why, in words.
    pub reason: String,
}

/// The machine. It takes the rule with each call, so that a changed rule needs no conversion: what was seen is
/// kept, and judged anew.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Machine {
    state: State,
    since: Mono,
    /// Good answers in a row, 0 after a failure.
    good_run: u32,
    /// Failures in a row, 0 after a good answer.
    bad_run: u32,
    /// Where the silence starts that the dead time measures.
    quiet_from: Mono,
    /// Stalls since the last good answer.
    stalls: u8,
    /// A run failed since the last good answer and the last gap.
    failed: bool,
    /// A run was good since the last gap.
    fresh: bool,
    /// When the first good answer after Down came.
    reentered: Mono,
    /// When it left and came back within [`FLAP_WINDOW`], oldest first; kept only under a flap limit, which bounds it.
    flaps: Vec<Mono>,
    /// Why `state` was entered.
    reason: String,
    /// Words of the last failure since the last good answer.
    last_error: String,
}

impl Machine {
    /// A server nobody has asked yet; its first check starts at `first_start`.
    #[must_use]
    pub fn new(now: Mono, first_start: Mono) -> Self {
        Self {
            state: State::Unknown,
            since: now,
            good_run: 0,
            bad_run: 0,
            quiet_from: first_start,
            stalls: 0,
            failed: false,
            fresh: false,
            reentered: Mono::ZERO,
            flaps: Vec::new(),
            reason: String::from("not checked yet"),
            last_error: String::new(),
        }
    }

    /// The state.
    #[must_use]
    pub const fn state(&self) -> State {
        self.state
    }

    /// When the state was entered.
    #[must_use]
    pub const fn since(&self) -> Mono {
        self.since
    }

    /// Why it is in this state, and what stands against it.
    #[must_use]
    pub fn reason(&self, rule: &Rule) -> String {
        let in_doubt = matches!(self.state, State::Up | State::Unknown) && self.bad_run > 0;
        match rule.dead_time {
            _ if !in_doubt => self.reason.clone(),
            None => format!("{} ({} of {} failures)", self.last_error, self.bad_run, rule.fall()),
            Some(dead) => {
                format!("{} (given up after {dead} without a good answer)", self.last_error)
            }
        }
    }

    /// A run ended: good, or with these words.
    pub fn outcome(&mut self, rule: &Rule, result: Result<(), &str>, now: Mono) -> Option<Change> {
        match result {
            Ok(()) => self.good(rule, now),
            Err(words) => self.bad(rule, words, now),
        }
    }

    fn good(&mut self, rule: &Rule, now: Mono) -> Option<Change> {
        self.good_run = self.good_run.saturating_add(1);
        self.bad_run = 0;
        self.quiet_from = now;
        self.stalls = 0;
        self.failed = false;
        self.fresh = true;
        self.last_error.clear();
        if self.state != State::Down {
            return self.settle(rule, now, None);
        }
        self.reentered = now;
        let damped = self.damped_until(rule).filter(|until| *until > now);
        if rule.reentry == Millis::new(0) && self.good_run >= rule.rise() && damped.is_none() {
            self.flap(rule, now);
            return self.enter(State::Up, String::from("answers again"), now);
        }
        let until = self.reentry_end(rule);
        let reason = if damped.is_some() {
            format!("answers again, kept out: {} changes in {FLAP_WINDOW}", self.flaps.len())
        } else if rule.reentry == Millis::new(0) {
            format!("answers again, used after {} good answers in a row", rule.rise())
        } else {
            format!("answers again, used when good for {}", rule.reentry)
        };
        self.enter(State::Reentering { until }, reason, now)
    }

    fn bad(&mut self, rule: &Rule, words: &str, now: Mono) -> Option<Change> {
        self.bad_run = self.bad_run.saturating_add(1);
        self.good_run = 0;
        self.failed = true;
        self.last_error = words::clip(words);
        match self.state {
            State::Reentering { .. } => {
                let reason = format!("{} while coming back", self.last_error);
                self.enter(State::Down, reason, now)
            }
            State::Unknown | State::Up | State::Down => self.settle(rule, now, None),
        }
    }

    /// Applies what time, or a changed rule, has decided. `unanswered` is the hard end of the run under way.
    pub fn settle(&mut self, rule: &Rule, now: Mono, unanswered: Option<Mono>) -> Option<Change> {
        match self.state {
            State::Unknown if self.good_run >= rule.rise() => {
                let reason = match rule.rise() {
                    1 => String::from("first good answer"),
                    n => format!("{n} good answers in a row"),
                };
                self.enter(State::Up, reason, now)
            }
            State::Unknown | State::Up => {
                let reason = self.given_up(rule, now, unanswered)?;
                if self.state == State::Up {
                    self.flap(rule, now);
                }
                self.enter(State::Down, reason, now)
            }
            State::Down => None,
            State::Reentering { .. } => {
                let until = self.reentry_end(rule);
                if now >= until && self.good_run >= rule.rise() && self.fresh {
                    self.flap(rule, now);
                    let reason = if rule.reentry == Millis::new(0) {
                        format!("{} good answers in a row", rule.rise())
                    } else {
                        format!("good for {}", rule.reentry)
                    };
                    return self.enter(State::Up, reason, now);
                }
                // Not a transition: the same wait, to another end.
                self.state = State::Reentering { until };
                None
            }
        }
    }

    /// When a server that came back may be used: after its reentry, and when its flap limit allows another change.
    fn reentry_end(&self, rule: &Rule) -> Mono {
        let end = self.reentered.after(rule.reentry);
        self.damped_until(rule).map_or(end, |damped| end.max(damped))
    }

    /// When fewer changes than the limit lie within the window.
    fn damped_until(&self, rule: &Rule) -> Option<Mono> {
        let limit = usize::from(rule.flap_limit?);
        let at = self.flaps.len().checked_sub(limit)?;
        Some(self.flaps.get(at)?.after(FLAP_WINDOW))
    }

    /// It leaves or comes back.
    fn flap(&mut self, rule: &Rule, now: Mono) {
        let Some(limit) = rule.flap_limit else {
            self.flaps = Vec::new();
            return;
        };
        self.flaps.retain(|at| at.after(FLAP_WINDOW) > now);
        // Those beyond the limit decide nothing: with `limit` newer ones the server is kept out until they are old.
        let surplus = self.flaps.len().saturating_sub(usize::from(limit));
        self.flaps.drain(..surplus);
        self.flaps.push(now);
    }

    fn given_up(&self, rule: &Rule, now: Mono, unanswered: Option<Mono>) -> Option<String> {
        let Some(dead) = rule.dead_time else {
            let fall = rule.fall();
            return (self.bad_run >= fall)
                .then(|| format!("{} ({fall} of {fall} failures)", self.last_error));
        };
        let overdue = unanswered.is_some_and(|end| end <= now);
        if now < self.quiet_from.after(dead) || !(self.failed || overdue) {
            return None;
        }
        Some(if self.failed {
            format!("no good answer for {dead}: {}", self.last_error)
        } else {
            format!("no answer for {dead}")
        })
    }

    fn enter(&mut self, to: State, reason: String, now: Mono) -> Option<Change> {
        let from = self.state;
        self.state = to;
        self.since = now;
        self.reason.clone_from(&reason);
        Some(Change { from, to, reason })
    }

    /// When [`Self::settle`] has something to decide if nothing else happens. `unanswered` as there.
    #[must_use]
    pub fn next_deadline(&self, rule: &Rule, unanswered: Option<Mono>) -> Option<Mono> {
        match self.state {
            State::Unknown | State::Up => {
                let dead = self.quiet_from.after(rule.dead_time?);
                if self.failed { Some(dead) } else { unanswered.map(|end| end.max(dead)) }
            }
            State::Down => None,
            State::Reentering { .. } => {
                let ready = self.good_run >= rule.rise() && self.fresh;
                ready.then(|| self.reentry_end(rule))
            }
        }
    }

    /// Nobody asked for `gap_us` before `now`: that silence does not count, and it takes a new answer to decide.
    pub fn skip(&mut self, gap_us: u64, now: Mono) {
        self.fresh = false;
        self.failed = false;
        self.quiet_from = Mono::from_micros(self.quiet_from.micros().saturating_add(gap_us)).min(now);
    }

    /// The process stood still for `gap_us` before `now`. Like [`Self::skip`], but only [`STALLS_FORGIVEN`] times since
    /// a good answer.
    pub fn stall(&mut self, gap_us: u64, now: Mono) {
        if self.stalls < STALLS_FORGIVEN {
            self.stalls += 1;
            self.skip(gap_us, now);
        }
    }

    /// Goes on in a new process at `now` from what was saved at `saved`. The silence that was counted until then
    /// counts on from `now`; a pending reentry keeps its end.
    pub fn resume(&mut self, saved: Mono, now: Mono) {
        let silent_us = saved.micros_since(self.quiet_from);
        self.quiet_from = Mono::from_micros(now.micros().saturating_sub(silent_us));
        self.failed = false;
        self.fresh = false;
    }

    /// The question changed; its first check starts at `first_start`. A server that works keeps its place until the
    /// new check gives it up: editing a check must not empty a pool. What else was known is void.
    pub fn ask_anew(&mut self, now: Mono, first_start: Mono) -> Option<Change> {
        let before = core::mem::replace(self, Self::new(now, first_start));
        match before.state {
            State::Up => {
                self.state = State::Up;
                self.since = before.since;
                self.reason = String::from("was up when the check was changed");
                None
            }
            State::Unknown => {
                self.since = before.since;
                None
            }
            from @ (State::Down | State::Reentering { .. }) => {
                self.reason = String::from("the check was changed");
                Some(Change { from, to: self.state, reason: self.reason.clone() })
            }
        }
    }

    /// There is no check: usable.
    pub fn trust(&mut self, now: Mono) -> Option<Change> {
        let before = core::mem::replace(self, Self::new(now, now));
        self.reason = String::from("no check configured");
        self.state = State::Up;
        if before.state == State::Up {
            self.since = before.since;
            return None;
        }
        Some(Change { from: before.state, to: State::Up, reason: self.reason.clone() })
    }
}

#[cfg(test)]
mod tests;

//! What a session does because time passes. Time enters by [`Session::tick`]; the shell calls it before it hands in
//! anything else, and no later than [`Session::deadline`].

use super::{Job, Output, Pending, Session, print};
use crate::director::protocol::Request;
use crate::director::status::Status;
use crate::model::system::IDLE_DEFAULT;
use crate::model::{Millis, Mono};
use crate::store::Generation;
use crate::store::identity::Role;
use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;

/// How long the first prompt waits for the director. Chosen: it answers within milliseconds or not at all.
const GREETING: Millis = Millis::from_secs(2);
/// How long before that it says so.
const WARNING: Millis = Millis::from_secs(60);

/// What a session knows of time.
#[derive(Debug)]
pub(super) struct Clock {
    now: Mono,
    begun: Option<Mono>,
    last_input: Mono,
    /// Zero: the session does not end by itself.
    pub(super) idle: Millis,
    /// Somebody entered a line in this session. One that nobody used has nothing to lose and does not end.
    used: bool,
    warned: bool,
}

impl Default for Clock {
    fn default() -> Self {
        Self {
            now: Mono::ZERO,
            begun: None,
            last_input: Mono::ZERO,
            idle: IDLE_DEFAULT,
            used: false,
            warned: false,
        }
    }
}

impl Clock {
    pub(super) fn now(&self) -> Mono {
        self.now
    }

    /// Input came.
    pub(super) fn heard(&mut self, some: bool) {
        if some {
            self.last_input = self.now;
            self.warned = false;
        }
    }

    /// A line was entered.
    pub(super) fn use_now(&mut self) {
        self.used = true;
    }

    fn ends(&self) -> Option<Mono> {
        (self.used && self.idle.get() > 0).then(|| self.last_input.after(self.idle))
    }

    fn warns(&self) -> Option<Mono> {
        let span = Millis::new(self.idle.get().saturating_sub(WARNING.get()));
        (self.used && !self.warned && span.get() > 0).then(|| self.last_input.after(span))
    }
}

/// Notes shown at once to whoever comes to the console; `show alarms` has all.
const NOTES_MAX: usize = 8;

/// How the second box gets its configuration.
pub(crate) const FROM_PRIMARY: &str = "It needs the configuration of the first box: type \"export passphrase\" there, and here \
                                       configure, \"load override\" and, after the pasted text, commit.";

impl Session {
    /// Tells what time it is.
    pub fn tick(&mut self, now: Mono, out: &mut Vec<Output>) {
        self.clock.now = now;
        if self.over {
            return;
        }
        self.lock_tick(now, out);
        self.ping_tick(now, out);
        let begun = *self.clock.begun.get_or_insert(now);
        if now >= begun.after(GREETING) {
            self.greeting_late(out);
        }
        if self.clock.ends().is_some_and(|end| now >= end) {
            self.hide_more(out);
            self.leave_row(out);
            self.leave_candidate();
            self.say(out, &format!("No input for too long: the session ended.{}", self.keeps()));
            self.over = true;
            out.push(Output::Logout);
        } else if self.clock.warns().is_some_and(|at| now >= at) {
            self.clock.warned = true;
            if self.candidate.is_some() {
                self.notice(out, "No input: in one minute this session ends. Any key keeps it.");
            }
        }
    }

    /// When [`Self::tick`] has something to do, if it has.
    pub fn deadline(&self) -> Option<Mono> {
        let greeting = self.greeting().map(|_| self.clock.begun.unwrap_or(self.clock.now).after(GREETING));
        [greeting, self.lock_deadline(), self.ping_deadline(), self.clock.warns(), self.clock.ends()]
            .into_iter()
            .flatten()
            .min()
    }

    fn greeting(&self) -> Option<usize> {
        self.pending.iter().position(|p| !p.abandoned && matches!(p.job, Job::Greet))
    }

    /// Asks for the names that the first prompt needs.
    pub(super) fn greet(&mut self, out: &mut Vec<Output>) {
        if self.lost {
            return self.prompt(out);
        }
        // From now on, not from the password's prompt on.
        self.clock.begun = self.clock.begun.map(|_| self.clock.now);
        self.pending.push_back(Pending { job: Job::Greet, abandoned: false });
        out.push(Output::Request(Box::new(Request::Status)));
    }

    /// The director is slow: the prompt comes without it.
    fn greeting_late(&mut self, out: &mut Vec<Output>) {
        let Some(at) = self.greeting() else { return };
        if let Some(pending) = self.pending.get_mut(at) {
            pending.abandoned = true;
        }
        print::line(out, "The director does not answer yet; \"show log\" and \"reboot\" work without it.");
        self.prompt(out);
        self.resume(out);
    }

    /// The first status of a session. Who comes to a box that lost its configuration must not have to ask for it; a box that
    /// was never configured offers to be.
    pub(super) fn greeted(&mut self, status: Status, out: &mut Vec<Output>) {
        let factory = status.system.generation == Generation(0);
        let backup = status.system.identity == Role::Backup;
        for note in status.notes.iter().take(NOTES_MAX) {
            self.say(out, &format!("! {note}"));
        }
        self.know(status);
        if factory && backup {
            let text = format!("This box is node backup of a pair and not configured. {FROM_PRIMARY}");
            self.say(out, &text);
        } else if factory {
            self.say(out, "This box is not configured. Type setup to be asked a dozen questions.");
        }
        self.remind_of_trial(out);
    }
}

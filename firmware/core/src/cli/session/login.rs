//! What is typed without being shown: the password that opens a session, and the new one of `set system password`.
//!
//! ```text
//!   asking --Enter--> checking --right--> the session begins
//!     ^                  | wrong
//!     +-- time is over --+ deaf for 1, 2, 4 .. 60 s
//! ```
//! While the password is checked and while the console is deaf, what is typed is thrown away. The hash is computed by
//! the shell.

use super::super::complete::Candidate as Possible;
use super::super::editor::keys::{Key, Keys};
use super::super::grammar::{Action, CONFIGURE, Parsed, parse};
use super::super::show::words::{plural, span};
use super::super::tree::Step;
use super::super::words::tokens;
use super::{Output, Session};
use crate::login::{Access, Hash, PASSWORD_MAX, PASSWORD_MIN, Password, delay};
use crate::model::Mono;
use crate::model::text::Secret;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// Stands for the hash that is not there yet, so that the grammar finds the place.
const ANY_HASH: &str = "$argon2id$v=19$m=8192,t=3,p=1$c29tZXNhbHQ$RdescudvJCsgt3ub+b4dWRWJTmaaJObG";

/// A closed session.
#[derive(Debug)]
pub(super) struct Lock {
    hash: Secret,
    /// Passwords that were wrong, in a row.
    wrong: u32,
    /// Deaf until then.
    until: Option<Mono>,
    checking: bool,
}

/// A line that is not shown.
#[derive(Debug)]
pub(super) struct Entry {
    purpose: Purpose,
    keys: Keys,
    typed: Vec<u8>,
    too_long: bool,
}

#[derive(Debug)]
enum Purpose {
    Login,
    New,
    Again(Password),
}

impl Entry {
    fn new(purpose: Purpose) -> Box<Self> {
        Box::new(Self { purpose, keys: Keys::default(), typed: Vec::new(), too_long: false })
    }

    pub(super) fn prompt(&self) -> &'static str {
        match self.purpose {
            Purpose::Login => "Password: ",
            Purpose::New => "New password: ",
            Purpose::Again(_) => "The same again: ",
        }
    }

    /// Forgets what was typed.
    fn clear(&mut self) {
        self.typed.fill(0);
        self.typed.clear();
        self.too_long = false;
    }
}

/// A hash that the shell computes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Hashing {
    #[default]
    No,
    Awaited,
    /// C-c was typed meanwhile.
    Abandoned,
}

impl Session {
    /// Tells who may type, before [`Self::start`]; `wrong` passwords were typed before this session. Without `access` nobody
    /// knows yet, and only what is needed to find out why can be done.
    pub fn admit(&mut self, access: Option<&Access>, wrong: u32) {
        let Some(access) = access else {
            self.limited = true;
            return;
        };
        self.clock.idle = access.idle;
        if let Some(hash) = &access.password {
            self.guarded = true;
            self.lock = Some(Lock { hash: hash.clone(), wrong, until: None, checking: false });
            self.entry = Some(Entry::new(Purpose::Login));
        }
    }

    /// Whether the director had not said who may type when this session began: once it has, another should begin.
    pub fn limited(&self) -> bool {
        self.limited
    }

    /// The director is not started any more, and something else answers: see the rescue console of the appliance. After
    /// [`Self::admit`]; who may type is not asked when nobody knows.
    pub fn forsake(&mut self) {
        self.limited = false;
        self.rescue = true;
    }

    pub(super) fn locked(&self) -> bool {
        self.lock.is_some()
    }

    /// What is typed now is thrown away.
    pub(super) fn deaf(&self) -> bool {
        self.lock.as_ref().is_some_and(|lock| lock.checking || lock.until.is_some())
    }

    /// The first words of a closed session.
    pub(super) fn ask_password(&mut self, out: &mut Vec<Output>) {
        let now = self.clock.now();
        if let Some(lock) = &mut self.lock
            && lock.wrong > 0
        {
            lock.until = Some(now.after(delay(lock.wrong)));
            let text = format!("{} before this one; wait.", plural_wrong(lock.wrong));
            return self.say(out, &text);
        }
        self.prompt(out);
    }

    /// When the console hears again.
    pub(super) fn lock_deadline(&self) -> Option<Mono> {
        self.lock.as_ref().and_then(|lock| lock.until)
    }

    pub(super) fn lock_tick(&mut self, now: Mono, out: &mut Vec<Output>) {
        if let Some(lock) = &mut self.lock
            && lock.until.is_some_and(|until| until <= now)
        {
            lock.until = None;
            self.prompt(out);
        }
    }

    /// The shell's answer to [`Output::Verify`].
    pub fn verified(&mut self, right: bool, out: &mut Vec<Output>) {
        let now = self.clock.now();
        let Some(lock) = &mut self.lock else { return };
        if !core::mem::take(&mut lock.checking) {
            return;
        }
        if !right {
            lock.wrong = lock.wrong.saturating_add(1);
            let wait = delay(lock.wrong);
            lock.until = Some(now.after(wait));
            out.push(Output::WrongPasswords(lock.wrong));
            let wait = span(u64::from(wait.get()).saturating_mul(1000));
            return self.say(out, &format!("Wrong password. The next one is taken in {wait}."));
        }
        let wrong = lock.wrong;
        self.lock = None;
        self.entry = None;
        if wrong > 0 {
            out.push(Output::WrongPasswords(0));
            self.say(out, &format!("{} since the last login.", plural_wrong(wrong)));
        }
        self.clock.heard(true);
        self.clock.use_now();
        self.open_session(out);
    }

    /// A byte that is not shown.
    pub(super) fn hidden_byte(&mut self, byte: u8, out: &mut Vec<Output>) {
        let deaf = self.deaf();
        let Some(entry) = &mut self.entry else { return };
        match entry.keys.feed(byte) {
            Some(Key::Position(rows, columns)) => self.learn_size(rows, columns, out),
            Some(_) if deaf => {}
            Some(Key::Char(c) | Key::Literal(c)) => {
                if entry.typed.len() < PASSWORD_MAX {
                    entry.typed.push(c);
                } else {
                    entry.too_long = true;
                }
            }
            Some(Key::Backspace) => {
                entry.typed.pop();
            }
            Some(Key::KillToStart | Key::KillWord) => entry.clear(),
            Some(Key::Enter) => self.hidden_line(out),
            Some(Key::Interrupt | Key::DeleteOrEnd) => {
                entry.clear();
                self.leave_row(out);
                if !self.locked() {
                    self.entry = None;
                    self.say(out, "The password stays as it was.");
                }
                self.prompt(out);
            }
            Some(_) | None => {}
        }
    }

    fn hidden_line(&mut self, out: &mut Vec<Output>) {
        self.leave_row(out);
        let Some(entry) = &mut self.entry else { return };
        let typed = Password::new(core::mem::take(&mut entry.typed));
        let too_long = core::mem::take(&mut entry.too_long);
        let length = typed.reveal().len();
        if let Some(lock) = &mut self.lock {
            if length == 0 {
                return self.prompt(out);
            }
            lock.checking = true;
            out.push(Output::Verify { password: typed, hash: lock.hash.clone() });
            return;
        }
        let Some(entry) = self.entry.take() else { return };
        match entry.purpose {
            Purpose::New if too_long || !(PASSWORD_MIN..=PASSWORD_MAX).contains(&length) => {
                let text = format!(
                    "A password has {PASSWORD_MIN} to {PASSWORD_MAX} characters. It stays as it was."
                );
                self.say(out, &text);
            }
            Purpose::New => self.entry = Some(Entry::new(Purpose::Again(typed))),
            Purpose::Again(first) if first == typed && !too_long => {
                self.hashing = Hashing::Awaited;
                out.push(Output::Hash(typed));
                return;
            }
            Purpose::Again(_) => self.say(out, "These are two different ones. The password stays as it was."),
            // Answered above.
            Purpose::Login => {}
        }
        self.prompt(out);
    }

    /// `set system password`, also below `edit system`. Says whether the line was one.
    pub(super) fn set_password(&mut self, line: &str, edit: &[Step], out: &mut Vec<Output>) -> bool {
        let words = tokens(line, false);
        let Some(at) = words.iter().position(|word| word.text == "password") else { return false };
        let Some(column) = words.get(at).map(|word| word.column) else { return false };
        if self.candidate.is_none() || !Self::sets_hash(line.get(..column).unwrap_or_default(), edit) {
            return false;
        }
        if words.len() > at.saturating_add(1) {
            let text = "Type set system password alone: it asks for the password, and does not show it.";
            self.say(out, text);
        } else if self.hashing != Hashing::No {
            self.say(out, "The password before is still being hashed; try again in a moment.");
        } else {
            self.entry = Some(Entry::new(Purpose::New));
        }
        true
    }

    /// What can follow `set system password`, which the table of settings does not have.
    pub(super) fn password_help(&self, line: &str, edit: &[Step]) -> Option<Vec<Possible>> {
        let before = line.trim_end().strip_suffix("password")?;
        if self.candidate.is_none() || !line.ends_with(' ') || !Self::sets_hash(before, edit) {
            return None;
        }
        let help = String::from("Asks for the new password twice, and does not show it");
        Some(Vec::from([Possible { text: String::from("Enter"), help, literal: false }]))
    }

    /// Whether a hash could be set after these words.
    fn sets_hash(before: &str, edit: &[Step]) -> bool {
        let line = format!("{before}password-hash {ANY_HASH}");
        let changes = |line: &str, edit: &[Step]| match parse(CONFIGURE, line, edit) {
            Ok(Some(Parsed { action: Action::Set, walk: Some(walk), .. })) => Some(walk.changes),
            Ok(_) | Err(_) => None,
        };
        let set = changes(&line, edit);
        set.is_some() && set == changes(&format!("set system password-hash {ANY_HASH}"), &[])
    }

    /// The shell's answer to [`Output::Hash`].
    pub fn hashed(&mut self, hash: Result<Hash, String>, out: &mut Vec<Output>) {
        let awaited = core::mem::take(&mut self.hashing) == Hashing::Awaited;
        if !awaited {
            return;
        }
        match hash {
            Ok(hash) => {
                let line = format!("set system password-hash {}", hash.phc());
                let parsed = parse(CONFIGURE, &line, &[]).ok().flatten().and_then(|parsed| parsed.walk);
                if let (Some(walk), Some(candidate)) = (parsed, &mut self.candidate)
                    && candidate.tree.apply(walk.changes).is_ok()
                {
                    let text = "The password is in the candidate. After commit, each new login asks for it.";
                    self.say(out, text);
                }
            }
            Err(why) => self.say(out, &format!("The password was not set: {why}.")),
        }
        if !self.waiting() {
            self.prompt(out);
        }
        self.resume(out);
    }

    /// What a session that ends without being asked leaves to the next one.
    pub(super) fn leave_candidate(&mut self) {
        if self.changed() {
            self.kept = self.candidate.take();
        }
    }

    /// The next session at this line. It gets nothing of this one but uncommitted changes that nobody discarded.
    #[must_use]
    pub fn successor(self, hostname: Option<&str>) -> Self {
        Self { kept: self.kept, ..Self::new(hostname) }
    }

    /// A break, as a cable that is pulled makes it, ends a session that began with a password.
    pub(super) fn line_broke(&mut self, out: &mut Vec<Output>) {
        self.hide_more(out);
        self.leave_row(out);
        self.leave_candidate();
        self.say(out, &format!("The line was interrupted: the session ended.{}", self.keeps()));
        self.over = true;
        out.push(Output::Logout);
    }

    /// What becomes of uncommitted changes.
    pub(super) fn keeps(&self) -> &'static str {
        if self.kept.is_some() {
            " Uncommitted changes are kept: \"configure\" goes on with them."
        } else {
            ""
        }
    }
}

fn plural_wrong(wrong: u32) -> String {
    plural(usize::try_from(wrong).unwrap_or(usize::MAX), "wrong password")
}

//! One console: bytes and replies in, bytes and requests out. It never waits; the shell around it moves things.
//!
//! ```text
//! typing --Enter--> executing --request--> waiting --reply, C-c or loss of the director--> typing
//!    |                  |
//!    +-- confirming <---+   (reboot, poweroff, leaving an uncommitted candidate)
//! ```
//!
//! While it waits, bytes are kept and processed afterwards in order, so a paste of any speed is executed line by
//! line. Replies carry no number: each belongs to the oldest request of its kind (a commit may take longer than a
//! status asked for later), so a request given up by C-c stays in the queue as abandoned until its reply has come.
//! [`Session::director_lost`] empties the queue.

mod actions;
mod commits;
mod connections;
mod hints;
mod insight;
mod job;
mod login;
mod maintain;
mod pager;
mod ping;
mod print;
mod question;
mod replies;
mod servers;
mod setup;
mod text_io;
mod time;
mod transfer;
mod upgrade;

use super::complete::{self, Candidate as Possible, Names};
use super::editor::{Editor, Event};
use super::grammar::{CONFIGURE, Command, LIMITED as LIMITED_TABLE, OPERATIONAL, Pipe};
use super::tree::{Step, Tree};
use crate::connections::Filter;
use crate::director::protocol::{Power, Request, ServerAction};
use crate::director::status::Status;
use crate::login::Password;
use crate::model::text::Secret;
use crate::store::Generation;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use job::{Job, Pending};
use question::Question;
pub(crate) use text_io::{Export as ExportHow, Load};
pub(crate) use time::FROM_PRIMARY;

/// Bytes kept while a request is outstanding. Chosen: more than five seconds at 115200 baud; [`Session::room`] lets the
/// shell stop reading before.
pub const TYPED_AHEAD_BYTES: usize = 64 * 1024;
/// Bytes for the terminal after which no further input is processed until they are written. Chosen: six seconds at
/// 115200 baud.
pub const OUTPUT_BYTES: usize = 64 * 1024;
/// Requests whose replies have not come, abandoned ones included. Chosen: nobody presses C-c so often for nothing.
const PENDING: usize = 8;
/// Lines of `show log` without a number.
const LOG_LINES: u32 = 40;

/// What the shell must do.
#[derive(Clone, PartialEq, Debug)]
pub enum Output {
    /// Send to the terminal.
    Write(Vec<u8>),
    /// Send to the director; its reply goes to [`Session::reply`].
    Request(Box<Request>),
    /// Read the newest lines of the log, oldest first, and call [`Session::log_text`].
    ShowLog {
        /// At most so many.
        count: u32,
        /// Count only lines that contain this text, in capitals or not.
        filter: Option<String>,
        /// For a person: with the time of day, where it is known. Programs get seconds since the start, which stay the same.
        clock: bool,
    },
    /// Say what this box is made of: call [`Session::log_text`] with the lines.
    ShowHardware,
    /// Read the kernel's table of connections beside the loop ([`crate::connections`]), and call [`Session::connections`].
    ShowConnections(Box<Filter>),
    /// The director is gone: ask init to end the machine.
    DirectPower(Power),
    /// Ask init to end the director process and start another. Works whatever state the director is in.
    RestartDirector,
    /// Compare a password with its hash, beside the loop, and call [`Session::verified`].
    Verify {
        /// As typed.
        password: Password,
        /// The configured hash.
        hash: Secret,
    },
    /// Hash a new password, beside the loop, and call [`Session::hashed`].
    Hash(Password),
    /// So many wrong passwords were typed in a row: log it, and keep it for the next session.
    WrongPasswords(u32),
    /// Get random bytes and give them to [`Session::salt`].
    Salt,
    /// The operator left.
    Logout,
}

/// A configuration in the making.
#[derive(Debug)]
struct Candidate {
    tree: Tree,
    /// What ran when it was fetched, or committed since.
    running: Tree,
    base: Generation,
    edit: Vec<Step>,
}

/// One console.
#[derive(Debug)]
pub struct Session {
    editor: Editor,
    width: usize,
    screen: pager::Screen,
    pager: Option<pager::Pager>,
    clock: time::Clock,
    hostname: String,
    candidate: Option<Box<Candidate>>,
    question: Option<Question>,
    /// The dialogue, or the answers of the last one.
    setup: Option<Box<setup::Dialogue>>,
    pending: VecDeque<Pending>,
    /// `show log` waits for its lines.
    log: Option<Vec<Pipe>>,
    /// `show connections` waits for the table.
    reading: Option<Vec<Pipe>>,
    /// `ping` goes on.
    ping: Option<Box<ping::Ping>>,
    /// The password was not typed yet.
    lock: Option<login::Lock>,
    /// A line that is not shown.
    entry: Option<Box<login::Entry>>,
    hashing: login::Hashing,
    /// This session began with a password.
    guarded: bool,
    /// Nobody knows who may type.
    limited: bool,
    /// The rescue console answers.
    rescue: bool,
    /// Uncommitted changes of a session that ended by itself.
    kept: Option<Box<Candidate>>,
    typed_ahead: VecDeque<u8>,
    typed_lost: bool,
    lost: bool,
    /// A power request was given up: the next one goes to init.
    power_stuck: bool,
    status: Option<Box<Status>>,
    /// The commit of this console that is on trial.
    trial: Option<Generation>,
    /// The machine is about to end: that the director does is no news.
    ending: bool,
    /// The operator left; bytes are ignored.
    over: bool,
    transfer: transfer::Transfer,
    /// What is typed is no command.
    taking: Option<text_io::Taking>,
}

impl Session {
    /// A console of the box with this name; without one the prompt says `director`.
    pub fn new(hostname: Option<&str>) -> Self {
        Self {
            editor: Editor::new(),
            width: super::editor::WIDTH,
            screen: pager::Screen::default(),
            pager: None,
            clock: time::Clock::default(),
            hostname: hostname.unwrap_or("director").to_string(),
            candidate: None,
            question: None,
            setup: None,
            pending: VecDeque::new(),
            log: None,
            reading: None,
            ping: None,
            lock: None,
            entry: None,
            hashing: login::Hashing::No,
            guarded: false,
            limited: false,
            rescue: false,
            kept: None,
            typed_ahead: VecDeque::new(),
            typed_lost: false,
            lost: false,
            power_stuck: false,
            status: None,
            trial: None,
            ending: false,
            over: false,
            transfer: transfer::Transfer::default(),
            taking: None,
        }
    }

    /// Columns of the terminal, when they are known.
    pub fn set_width(&mut self, width: usize) {
        self.width = width.clamp(40, 512);
        self.editor.set_width(self.width);
    }

    /// Greets and asks for the state of the box; the first prompt comes with the answer, with the loss of the director, or
    /// with C-c.
    pub fn start(&mut self, out: &mut Vec<Output>) {
        if self.limited {
            self.lost = true;
            self.say(out, LIMITED);
            return self.prompt(out);
        }
        if self.locked() {
            return self.ask_password(out);
        }
        self.open_session(out);
    }

    /// Nothing is between the operator and the prompt.
    fn open_session(&mut self, out: &mut Vec<Output>) {
        if self.kept.is_some() {
            self.say(out, "The session before left uncommitted changes: \"configure\" goes on with them.");
        }
        if self.rescue {
            RESCUE.iter().for_each(|text| print::line(out, text));
        }
        print::line(out, "Type ? for what is possible here, help for how this console works.");
        self.greet(out);
    }

    /// Bytes that can be taken now without loss. A shell that stops reading at 0 lets flow control do its work.
    pub fn room(&self) -> usize {
        TYPED_AHEAD_BYTES.saturating_sub(self.typed_ahead.len())
    }

    /// Whether a reply or log lines are awaited.
    pub fn waiting(&self) -> bool {
        self.log.is_some()
            || self.reading.is_some()
            || self.ping.is_some()
            || self.hashing == login::Hashing::Awaited
            || self.pending.iter().any(Pending::blocks)
    }

    /// Whether kept bytes can be processed now. The shell writes what it got, then calls [`Self::input`] again, with
    /// nothing if nothing came; so a burst of `?` never makes more than [`OUTPUT_BYTES`] and one answer at once.
    pub fn busy(&self) -> bool {
        !self.over && !self.waiting() && !self.typed_ahead.is_empty()
    }

    /// Takes bytes from the terminal.
    pub fn input(&mut self, bytes: &[u8], out: &mut Vec<Output>) {
        self.resume(out);
        self.clock.heard(!bytes.is_empty());
        for (at, byte) in bytes.iter().enumerate() {
            self.screen.pasting = at.saturating_add(1) < bytes.len();
            if self.over {
                return;
            }
            // A break of the line is a zero.
            if *byte == 0 && self.guarded && !self.locked() && !self.transfer.active() {
                return self.line_broke(out);
            }
            if self.locked() {
                self.hidden_byte(*byte, out);
                continue;
            }
            if self.waiting() && self.transfer.active() {
                if self.transfer.interrupted(*byte) {
                    self.end_transfer(out);
                    continue;
                }
            } else if *byte == 0x03 && self.waiting() {
                self.abandon(out);
                continue;
            } else if *byte == 0x03 {
                self.typed_ahead.clear();
            }
            let room = *byte == 0x03 || print::bytes(out) < OUTPUT_BYTES;
            if self.typed_ahead.is_empty() && !self.waiting() && room {
                self.feed(*byte, out);
            } else if self.typed_ahead.len() < TYPED_AHEAD_BYTES {
                self.typed_ahead.push_back(*byte);
            } else {
                self.typed_lost = true;
            }
        }
    }

    /// Goes on with what was typed while waiting.
    fn resume(&mut self, out: &mut Vec<Output>) {
        while self.busy() && print::bytes(out) < OUTPUT_BYTES {
            let Some(byte) = self.typed_ahead.pop_front() else { break };
            self.feed(byte, out);
        }
        if self.typed_lost && self.typed_ahead.is_empty() && !self.waiting() {
            self.typed_lost = false;
            self.notice(out, "Input was lost: more came than can be kept while waiting. Check what was set.");
        }
    }

    /// C-c while waiting.
    fn abandon(&mut self, out: &mut Vec<Output>) {
        self.typed_ahead.clear();
        self.typed_lost = false;
        self.log = None;
        self.reading = None;
        if self.hashing == login::Hashing::Awaited {
            self.hashing = login::Hashing::Abandoned;
        }
        let mut text = "Not waiting any longer.";
        for pending in self.pending.iter_mut().filter(|p| p.blocks()) {
            pending.abandoned = true;
            match pending.job {
                Job::Commit(..) | Job::SetupCommit(_) => {
                    text = "Not waiting any longer; the commit goes on. Its end will be shown here."
                }
                Job::Power(_) => {
                    self.power_stuck = true;
                    text = "The director did not answer. Ask again to do it without the director.";
                }
                Job::Refresh
                | Job::Greet
                | Job::View { .. }
                | Job::Running { .. }
                | Job::Export(_)
                | Job::Configure
                | Job::Rebase
                | Job::Discard
                | Job::Confirm
                | Job::Cluster
                | Job::Server(_)
                | Job::Commits { .. }
                | Job::Flash { .. }
                | Job::Choose
                | Job::Checks { .. }
                | Job::Why { .. }
                | Job::Connections { .. }
                | Job::RealServers { .. }
                | Job::Doctor { .. }
                | Job::Ping
                | Job::Recall(_)
                | Job::Maintain(_)
                | Job::Upgrade
                | Job::Systems { .. }
                | Job::Upload(_)
                | Job::Rescue { .. }
                | Job::SetupStatus
                | Job::SetupConfig
                | Job::Check { .. } => {}
            }
        }
        if !self.end_ping(out) {
            print::line(out, text);
        }
        self.prompt(out);
    }

    fn feed(&mut self, byte: u8, out: &mut Vec<Output>) {
        if self.transfer.active() {
            return self.transfer_byte(byte, out);
        }
        if self.entry.is_some() {
            return self.hidden_byte(byte, out);
        }
        if self.taking.is_some() {
            return self.taking_byte(byte, out);
        }
        if self.pager.is_some() {
            return self.pager_key(byte, out);
        }
        let mut screen = Vec::new();
        let event = self.editor.feed(byte, &mut screen);
        print::raw(out, &screen);
        match event {
            None => {}
            Some(Event::Line(line)) => {
                self.leave_row(out);
                self.entered(&line, out);
            }
            Some(Event::TooLong) => {
                self.leave_row(out);
                print::line(out, "The line is too long and was not used: at most 1024 characters fit.");
                self.prompt(out);
            }
            Some(Event::Interrupt) => {
                print::raw(out, b"^C");
                self.leave_row(out);
                self.give_up_question(out);
                self.prompt(out);
            }
            Some(Event::End) => {
                self.leave_row(out);
                if self.question == Some(Question::Setup) {
                    self.give_up_question(out);
                    self.prompt(out);
                } else {
                    self.entered(if self.question.is_some() { "n" } else { "exit" }, out);
                }
            }
            Some(Event::Complete) => self.tab(out),
            Some(Event::Help) => self.help_here(out),
            Some(Event::Size { rows, columns }) => self.learn_size(rows, columns, out),
        }
    }

    fn entered(&mut self, line: &str, out: &mut Vec<Output>) {
        self.clock.use_now();
        match self.question.take() {
            Some(question) => self.answer(question, line, out),
            None => self.command(line, out),
        }
        if !self.waiting() && !self.over && !self.transfer.active() {
            self.prompt(out);
        }
    }

    fn command(&mut self, line: &str, out: &mut Vec<Output>) {
        let edit: Vec<Step> = self.candidate.as_ref().map(|c| c.edit.clone()).unwrap_or_default();
        // Such a line may have a password in it.
        if !self.set_password(line, &edit, out) {
            self.editor.remember(line);
            self.execute(line, out);
        }
    }

    fn leave_row(&mut self, out: &mut Vec<Output>) {
        let mut screen = Vec::new();
        self.editor.leave(&mut screen);
        print::raw(out, &screen);
    }

    fn prompt_text(&self) -> String {
        if let Some(entry) = &self.entry {
            return entry.prompt().to_string();
        }
        if let (Some(Question::Setup), Some(dialogue)) = (&self.question, &self.setup) {
            return dialogue.prompt();
        }
        if let Some(question) = &self.question {
            return question.text().to_string();
        }
        let sign = if self.candidate.is_some() { '#' } else { '>' };
        // The name is cut so that half of the row stays for the line.
        let name: String = self.hostname.chars().take((self.width / 2).saturating_sub(2)).collect();
        format!("{name}{sign} ")
    }

    fn prompt(&mut self, out: &mut Vec<Output>) {
        if self.pager.is_some() || self.deaf() || self.taking_prompt(out) {
            return;
        }
        if let (Some(Question::Setup), Some(dialogue)) = (&self.question, &self.setup) {
            dialogue.above().iter().for_each(|text| self.say(out, text));
        }
        if self.question.is_none()
            && self.entry.is_none()
            && let Some(candidate) = &self.candidate
            && !candidate.edit.is_empty()
        {
            print::line(out, &format!("[edit {}]", super::text::path_text(&candidate.edit)));
        }
        let mut screen = Vec::new();
        self.editor.show(&self.prompt_text(), &mut screen);
        print::raw(out, &screen);
    }

    /// Prints something that nobody asked for just now, without disturbing the line being typed.
    fn notice(&mut self, out: &mut Vec<Output>, text: &str) {
        if self.transfer.active() {
            return self.transfer.keep(text);
        }
        let waiting = self.waiting();
        self.hide_more(out);
        if !waiting && self.pager.is_none() {
            let mut screen = Vec::new();
            self.editor.hide(&mut screen);
            print::raw(out, &screen);
        }
        self.say(out, text);
        self.show_more(out);
        if !waiting {
            self.prompt(out);
        }
    }

    /// Prints a sentence, broken to the width of the terminal.
    fn say(&self, out: &mut Vec<Output>, text: &str) {
        for line in super::show::words::wrap(text, self.width.saturating_sub(1), 2) {
            print::line(out, &line);
        }
    }

    fn table(&self) -> &'static [Command] {
        if self.limited {
            return LIMITED_TABLE;
        }
        if self.candidate.is_some() { CONFIGURE } else { OPERATIONAL }
    }

    fn refresh(&mut self, out: &mut Vec<Output>) {
        if !self.lost && self.pending.len() < PENDING {
            self.pending.push_back(Pending { job: Job::Refresh, abandoned: false });
            out.push(Output::Request(Box::new(Request::Status)));
        }
    }

    /// Sends a request, or says why that is impossible.
    fn ask(&mut self, job: Job, request: Request, out: &mut Vec<Output>) {
        if self.lost {
            self.say(out, NO_DIRECTOR);
        } else if self.pending.len() >= PENDING {
            self.say(
                out,
                "The director has not answered earlier questions. \"show log\" may say why; \"reboot\" still works.",
            );
        } else {
            self.pending.push_back(Pending { job, abandoned: false });
            out.push(Output::Request(Box::new(request)));
        }
    }
}

const LIMITED: &str = "The director has not read the configuration yet, so who may log in is not known. \"show log\", \
                       \"restart control-plane\", \"reboot\" and \"poweroff\" work meanwhile.";
const RESCUE: &[&str] = &[
    "RESCUE CONSOLE. The director keeps dying or cannot use the flash, and is not started.",
    "What was committed is still there. A commit here is written, and runs after a reboot.",
    "",
    "  show upgrade, upgrade boot             start the system in the other slot",
    "  configure, rollback 1, commit          go back to the commit before the newest",
    "  configure, load override, commit       import a configuration",
    "  configure, transfer                    take an upgrade over this line",
    "  factory-reset                          start over, with a new partition if need be",
    "  show log, restart control-plane        see why, and try again",
    "",
];
const NO_DIRECTOR: &str =
    "The director is not running. \"show log\" says why; \"reboot\" and \"poweroff\" work without it.";

#[cfg(test)]
mod tests;

//! The whole of what PID 1 decides, as one machine.

use super::ask::Ask;
use super::fence::Fence;
use super::limits;
use super::liveness::{Liveness, Report, Step};
use super::policy::{Exit, Restart, Verdict};
use crate::director::protocol::Power;
use crate::model::{Millis, Mono};
use core::fmt;

/// A process that PID 1 keeps running.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Child {
    /// Decides.
    Director,
    /// Owns the serial line.
    Console,
    /// Copies the kernel log to a serial line; only in the lab.
    KmsgRelay,
}

impl Child {
    /// All, in the order of their start.
    pub const ALL: [Self; 3] = [Self::Director, Self::Console, Self::KmsgRelay];

    /// The word on the command line that chooses it, and its name in the log.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Director => "director",
            Self::Console => "console",
            Self::KmsgRelay => "kmsg-relay",
        }
    }
}

impl fmt::Display for Child {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// What happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Input {
    /// A child ended, or could not be started.
    Ended(Child, Exit),
    /// The director's main loop turned.
    Report(Report),
    /// The director's orders for the case that it stands still; `None` withdraws them.
    Orders(Option<Millis>),
    /// Somebody asks.
    Asked(Ask),
    /// [`Supervisor::next_deadline`] passed. Harmless at any time.
    Tick,
}

/// What is sent to a child.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Signal {
    /// Stop in order.
    Term,
    /// Leave a trace and end.
    Abort,
    /// End. The kernel does it.
    Kill,
}

/// What to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// Remove the floating addresses with the messages of the orders. Before anything else of the same answer.
    Fence,
    /// Ask the hardware watchdog for this time-out in seconds.
    Timeout(u32),
    /// Start a child, as the leader of a process group of its own.
    Start(Child),
    /// Send a signal.
    Send(Child, Signal),
    /// Feed the hardware watchdog.
    Feed,
    /// The boot phase `director` is over; a problem when it was given up.
    DirectorPhase {
        /// How long it took.
        took: Millis,
        /// Why it was given up.
        problem: Option<&'static str>,
    },
    /// The boot phase `console`: quieten the kernel on the console and hand it over.
    HandOver,
    /// Write a line to the log.
    Note(Note),
    /// Kill all processes, reap them, and end the machine. Nothing follows.
    End(Power),
}

/// A line for the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Note {
    /// A child ended; it starts again after `delay`.
    Restarting {
        /// Who.
        child: Child,
        /// How it ended.
        exit: Exit,
        /// How long it ran.
        ran: Millis,
        /// How long is waited.
        delay: Millis,
        /// Whether it keeps dying quickly.
        crash_loop: bool,
    },
    /// A child ended and asked not to be started again.
    Retired {
        /// Who.
        child: Child,
    },
    /// The floating addresses were removed, because no heartbeat left for this long.
    Fenced {
        /// Time since the last heartbeat.
        after: Millis,
    },
    /// The director does not report.
    Wedged {
        /// What it is sent.
        step: Step,
    },
    /// An orderly stop began.
    Stopping {
        /// To which end.
        power: Power,
    },
    /// The director did not stop in time.
    StopOverdue,
    /// The operator asked for a new director.
    RestartAsked,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Restarting { child, exit, ran, delay, crash_loop } => {
                write!(
                    f,
                    "{child} ended: {exit} after {} ms; starts again in {} ms",
                    ran.get(),
                    delay.get()
                )?;
                if *crash_loop { f.write_str("; crash loop") } else { Ok(()) }
            }
            Self::Retired { child } => write!(f, "{child} ended and is not started again"),
            Self::Fenced { after } => {
                write!(f, "the director sent no heartbeat for {after}: its floating addresses were removed")
            }
            Self::Wedged { step: Step::Abort } => f.write_str("director does not report: aborting it"),
            Self::Wedged { step: Step::Kill } => f.write_str("director did not abort: killing it"),
            Self::Stopping { power: Power::Reboot } => f.write_str("stopping for a reboot"),
            Self::Stopping { power: Power::Off } => f.write_str("stopping for power off"),
            Self::StopOverdue => f.write_str("director did not stop in time: killing it"),
            Self::RestartAsked => f.write_str("restart of the director asked for"),
        }
    }
}

/// The answer to one input, in order. Bound: a tick at most retires a boot phase (2), starts three children, ends a
/// wedged director (2), fences (2) and feeds (1); an end of a child adds a note.
pub type Actions = heapless::Vec<Action, 16>;

/// How far a child is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Not started yet, or not to be started.
    Idle,
    /// Runs since.
    Running(Mono),
    /// Is started again at.
    Waiting(Mono),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Slot {
    child: Child,
    state: State,
    restart: Restart,
}

/// Where the machine is.
///
/// ```text
/// Booting --first report or START_GRACE--> Serving --asked--> Stopping --director ended or STOP_MAX--> Over
///    +------------------------------asked-----------------------^
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mode {
    /// Waits for the director's first report since.
    Booting(Mono),
    /// The console has the line.
    Serving,
    /// Waits until the director released everything, at most until.
    Stopping(Power, Mono),
    /// [`Action::End`] was given.
    Over,
}

/// PID 1's decisions. See the module documentation.
#[derive(Clone, Debug)]
pub struct Supervisor {
    mode: Mode,
    slots: [Slot; 3],
    liveness: Option<Liveness>,
    fed: Option<Mono>,
    fence: Fence,
}

impl Supervisor {
    /// The mounts are there: starts the director, and the relay of the kernel log when the box has one. Execute
    /// the actions of a [`Input::Tick`] at once.
    pub fn start(relay: bool, now: Mono) -> Self {
        let slot = |child, state| Slot { child, state, restart: Restart::new() };
        let relay = if relay { State::Waiting(now) } else { State::Idle };
        Self {
            mode: Mode::Booting(now),
            slots: [
                slot(Child::Director, State::Waiting(now)),
                slot(Child::Console, State::Idle),
                slot(Child::KmsgRelay, relay),
            ],
            liveness: None,
            fed: None,
            fence: Fence::default(),
        }
    }

    /// Whether the floating addresses were removed and the director has sent no heartbeat since. One that starts then
    /// must not take up its role again.
    pub const fn fenced(&self) -> bool {
        self.fence.fired()
    }

    /// Takes an input. Time never goes back.
    pub fn handle(&mut self, input: Input, now: Mono) -> Actions {
        let mut out = Actions::new();
        match input {
            Input::Ended(child, exit) => self.ended(child, exit, now, &mut out),
            Input::Report(report) => self.report(report, now, &mut out),
            Input::Orders(after) => self.ordered(after, now, &mut out),
            Input::Asked(ask) => self.asked(ask, now, &mut out),
            Input::Tick => {}
        }
        self.fence(now, &mut out);
        self.advance(now, &mut out);
        out
    }

    /// When to send [`Input::Tick`] at the latest; `None` when nothing is pending.
    pub fn next_deadline(&self) -> Option<Mono> {
        let starts = self.slots.iter().filter_map(|slot| match slot.state {
            State::Waiting(until) => Some(until),
            State::Idle | State::Running(_) => None,
        });
        let mode = match self.mode {
            Mode::Booting(since) => Some(since.after(limits::START_GRACE)),
            Mode::Stopping(_, until) => Some(until),
            Mode::Serving => None,
            Mode::Over => return None,
        };
        let feed = self.fed.map(|at| at.after(limits::WATCHDOG_FEED));
        let liveness = self.liveness.map(|l| l.deadline());
        // While stopping nothing is started or ended for silence, so neither is a deadline.
        let children = if self.stopping() { None } else { starts.chain(liveness).min() };
        [children, mode, feed, self.fence.deadline()].into_iter().flatten().min()
    }

    fn stopping(&self) -> bool {
        matches!(self.mode, Mode::Stopping(..) | Mode::Over)
    }

    fn slot(&mut self, child: Child) -> &mut Slot {
        let [director, console, relay] = &mut self.slots;
        match child {
            Child::Director => director,
            Child::Console => console,
            Child::KmsgRelay => relay,
        }
    }

    fn running(&mut self, child: Child) -> bool {
        matches!(self.slot(child).state, State::Running(_))
    }

    fn ended(&mut self, child: Child, exit: Exit, now: Mono, out: &mut Actions) {
        if child == Child::Director {
            self.liveness = None;
        }
        let slot = self.slot(child);
        let State::Running(since) = slot.state else { return };
        let ran = span(since, now);
        slot.state = match slot.restart.ended(exit, ran) {
            Verdict::Never => {
                push(out, Action::Note(Note::Retired { child }));
                State::Idle
            }
            Verdict::Again { delay, crash_loop } => {
                push(out, Action::Note(Note::Restarting { child, exit, ran, delay, crash_loop }));
                State::Waiting(now.after(delay))
            }
        };
        if self.stopping() {
            // The end of a child that was told to end is no news.
            out.retain(|action| !matches!(action, Action::Note(_)));
        }
    }

    fn report(&mut self, report: Report, now: Mono, out: &mut Actions) {
        let Some(liveness) = &mut self.liveness else { return };
        let first = liveness.report(report, now);
        self.fence.beat(report.beat, now);
        if let (true, Mode::Booting(since)) = (first, self.mode) {
            self.hand_over(span(since, now), None, now, out);
        }
    }

    fn ordered(&mut self, after: Option<Millis>, now: Mono, out: &mut Actions) {
        let before = limits::watchdog_timeout_s(self.fence.after());
        self.fence.order(after, now);
        let timeout = limits::watchdog_timeout_s(after);
        if timeout != before && self.mode != Mode::Over {
            push(out, Action::Timeout(timeout));
        }
    }

    fn fence(&mut self, now: Mono, out: &mut Actions) {
        if self.mode != Mode::Over && self.fence.due(now) {
            push(out, Action::Fence);
            if let Some(after) = self.fence.after() {
                push(out, Action::Note(Note::Fenced { after }));
            }
        }
    }

    fn hand_over(&mut self, took: Millis, problem: Option<&'static str>, now: Mono, out: &mut Actions) {
        self.mode = Mode::Serving;
        push(out, Action::DirectorPhase { took, problem });
        push(out, Action::HandOver);
        self.slot(Child::Console).state = State::Waiting(now);
    }

    fn asked(&mut self, ask: Ask, now: Mono, out: &mut Actions) {
        if self.stopping() {
            // The first request counts: what it began cannot be taken back.
            return;
        }
        match ask {
            Ask::Power(power) => {
                push(out, Action::Note(Note::Stopping { power }));
                self.mode = Mode::Stopping(power, now.after(limits::STOP_MAX));
                if self.running(Child::Director) {
                    push(out, Action::Send(Child::Director, Signal::Term));
                }
            }
            Ask::RestartDirector => {
                push(out, Action::Note(Note::RestartAsked));
                let running = self.running(Child::Director);
                let slot = self.slot(Child::Director);
                slot.restart = Restart::new();
                if running {
                    push(out, Action::Send(Child::Director, Signal::Kill));
                } else {
                    slot.state = State::Waiting(now);
                }
            }
        }
    }

    fn advance(&mut self, now: Mono, out: &mut Actions) {
        self.feed(now, out);
        match self.mode {
            Mode::Booting(since) if now >= since.after(limits::START_GRACE) => {
                self.hand_over(span(since, now), Some("no report of its main loop"), now, out);
            }
            Mode::Booting(_) | Mode::Serving => {}
            Mode::Stopping(power, until) => {
                let running = self.running(Child::Director);
                if running && now >= until {
                    push(out, Action::Note(Note::StopOverdue));
                }
                if !running || now >= until {
                    if self.fence.after().is_some() && !self.fence.fired() {
                        // A director that ended without releasing them: the peer was not told either.
                        push(out, Action::Fence);
                    }
                    self.mode = Mode::Over;
                    push(out, Action::End(power));
                }
            }
            Mode::Over => {}
        }
        if !self.stopping() {
            self.start_due(now, out);
            self.check_liveness(now, out);
        }
    }

    fn start_due(&mut self, now: Mono, out: &mut Actions) {
        for slot in &mut self.slots {
            if matches!(slot.state, State::Waiting(until) if until <= now) {
                slot.state = State::Running(now);
                if slot.child == Child::Director {
                    self.liveness = Some(Liveness::start(now));
                }
                push(out, Action::Start(slot.child));
            }
        }
    }

    fn check_liveness(&mut self, now: Mono, out: &mut Actions) {
        let Some(step) = self.liveness.as_mut().and_then(|l| l.check(now)) else { return };
        push(out, Action::Note(Note::Wedged { step }));
        let signal = match step {
            Step::Abort => Signal::Abort,
            Step::Kill => Signal::Kill,
        };
        push(out, Action::Send(Child::Director, signal));
    }

    /// The hardware watchdog is fed while the director's loop turns, while PID 1 is ending or restarting a director
    /// (a crash loop must leave the console usable), and during a stop (which is bounded). It is not fed when a
    /// killed director does not go away.
    fn feed(&mut self, now: Mono, out: &mut Actions) {
        if self.mode == Mode::Over {
            return;
        }
        let due = self.fed.is_none_or(|at| at.after(limits::WATCHDOG_FEED) <= now);
        if due {
            self.fed = Some(now);
            if self.stopping() || self.liveness.is_none_or(|l| l.in_hand()) {
                push(out, Action::Feed);
            }
        }
    }
}

fn span(from: Mono, to: Mono) -> Millis {
    Millis::new(u32::try_from(to.micros_since(from) / 1000).unwrap_or(u32::MAX))
}

fn push(out: &mut Actions, action: Action) {
    // The bound of Actions covers the worst input (tested over random inputs), so nothing is dropped.
    let dropped = out.push(action).is_err();
    debug_assert!(!dropped, "Actions is too small");
}

#[cfg(test)]
mod tests;

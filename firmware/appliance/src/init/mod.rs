//! PID 1: boots, keeps director and console running, watches the director's main loop, ends the machine.
//!
//! What it decides is [`director_core::init::Supervisor`]; here is what it does. One thread, one poll(2) over a
//! signalfd, the director's reports and the request socket. It never waits for a child, and nothing a child does
//! can end it: no panics, no unwinding, every failed call is a line in the log. Should it end after all, the kernel
//! panics and reboots the box after a second.
//!
//! It is asked to end the machine by a datagram on `/run/init.sock` ([`director_core::init::ask`]) or by SIGTERM
//! (reboot), SIGUSR1 and SIGUSR2 (power off).

pub(crate) mod child;
pub(crate) mod children;
mod face;
pub(crate) mod phases;
mod power;
pub(crate) mod report;
pub(crate) mod request;

use crate::platform::clock;
use crate::platform::fence::FenceSocket;
use crate::platform::watchdog::Watchdog;
use children::{Children, Word};
use director_core::director::event::Level;
use director_core::director::protocol::Power;
use director_core::init::phase::Line;
use director_core::init::{Action, Ask, Exit, Input, Note, Phase, Supervisor};
use director_core::model::{Millis, Mono};
use face::Face;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use request::Requests;
use std::os::fd::AsFd;
use std::process::ExitCode;

/// The word that makes this program write back buffers.
pub(crate) const SYNC_WORD: &str = "sync";
/// Signals, reports and requests taken in one turn of the loop; what is left is taken in the next one.
const BATCH: usize = 64;
/// Failed starts that are given back to the supervisor in one turn. Each child fails at most twice before its
/// restart is delayed.
const FAILURES: usize = 8;

/// Runs as PID 1. Returns only when the machine cannot be ended otherwise: that is a kernel panic, which reboots.
pub(crate) fn run() -> ExitCode {
    let began = clock::now();
    let mut face = Face::open();
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
    let booted = phases::run(&mut face);
    let Some(booted) = booted else {
        face.note(Level::Error, format_args!("the boot failed; rebooting"));
        return power::end(Power::Reboot, None, &mut face);
    };
    // Control-Alt-Delete sends SIGINT instead of rebooting; the signal is taken and ignored.
    if let Err(error) = nix::sys::reboot::set_cad_enabled(false) {
        face.note(Level::Warning, format_args!("Control-Alt-Delete stays on: {error}"));
    }
    let signals = match catch_signals() {
        Ok(signals) => Some(signals),
        Err(error) => {
            // Children are still seen: each turn reaps.
            face.note(Level::Error, format_args!("no signalfd: {error}"));
            None
        }
    };
    let requests = match Requests::open() {
        Ok(requests) => Some(requests),
        Err(error) => {
            face.note(Level::Error, format_args!("nobody can ask on {}: {error}", request::SOCKET));
            None
        }
    };
    let fence = match FenceSocket::open() {
        Ok(fence) => Some(fence),
        Err(error) => {
            face.note(
                Level::Error,
                format_args!("a director that stands still keeps its addresses: {error}"),
            );
            None
        }
    };
    let now = clock::now();
    let init = Init {
        began,
        supervisor: Supervisor::start(booted.relay, now),
        children: Children::new(),
        watchdog: booted.watchdog,
        signals,
        requests,
        fence,
        face,
    };
    init.serve()
}

fn catch_signals() -> nix::Result<SignalFd> {
    let mut set = SigSet::empty();
    for signal in [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGUSR1, Signal::SIGUSR2, Signal::SIGINT] {
        set.add(signal);
    }
    set.thread_block()?;
    SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
}

struct Init {
    began: Mono,
    supervisor: Supervisor,
    children: Children,
    watchdog: Option<Watchdog>,
    signals: Option<SignalFd>,
    requests: Option<Requests>,
    fence: Option<FenceSocket>,
    face: Face,
}

impl Init {
    fn serve(mut self) -> ExitCode {
        loop {
            let mut end = self.give(Input::Tick);
            self.wait();
            // First: a heartbeat that was told in time must count before anything is decided.
            for _ in 0..BATCH {
                let Some(word) = self.children.word() else { break };
                let input = match word {
                    Word::Report(report) => Input::Report(report),
                    Word::Orders(after) => Input::Orders(after),
                    Word::Noise => continue,
                };
                end = end.or(self.give(input));
            }
            for _ in 0..BATCH {
                let Some(signal) = self.signals.as_ref().and_then(|s| s.read_signal().ok().flatten()) else {
                    break;
                };
                if let Some(ask) = asked_by(signal.ssi_signo) {
                    end = end.or(self.give(Input::Asked(ask)));
                }
            }
            for _ in 0..BATCH {
                let Some(ask) = self.requests.as_ref().and_then(Requests::next) else { break };
                end = end.or(self.give(Input::Asked(ask)));
            }
            // Always, not only on SIGCHLD: one that was lost must not leave a child unseen.
            for (child, exit) in self.children.reap() {
                end = end.or(self.give(Input::Ended(child, exit)));
            }
            if let Some(power) = end {
                return power::end(power, self.watchdog.as_mut(), &mut self.face);
            }
        }
    }

    /// Sleeps until something comes in or the next deadline.
    fn wait(&mut self) {
        let timeout = match self.supervisor.next_deadline() {
            None => PollTimeout::NONE,
            Some(deadline) => {
                // Rounded up: waking before the deadline would mean waking again at once.
                let ms = deadline.micros_since(clock::now()).div_ceil(1000);
                PollTimeout::try_from(ms).unwrap_or(PollTimeout::MAX)
            }
        };
        let sources = [
            self.signals.as_ref().map(AsFd::as_fd),
            self.requests.as_ref().map(AsFd::as_fd),
            self.children.reports(),
        ];
        let mut polled: heapless::Vec<PollFd<'_>, 3> = sources.into_iter().flatten().map(readable).collect();
        // An interrupted or failed wait is a wait that ended.
        let _ended = poll(&mut polled, timeout).is_err();
    }

    /// Decides on an input and acts. Gives the end of the machine when it has come.
    fn give(&mut self, input: Input) -> Option<Power> {
        let mut inputs: heapless::Deque<Input, FAILURES> = heapless::Deque::new();
        let mut next = Some(input);
        let mut end = None;
        while let Some(input) = next {
            for action in self.supervisor.handle(input, clock::now()) {
                match action {
                    Action::End(power) => end = Some(power),
                    Action::Start(child) => {
                        if let Err(error) = self.children.start(child, self.supervisor.fenced()) {
                            self.face.note(Level::Error, format_args!("{child} cannot be started: {error}"));
                            let _full = inputs.push_back(Input::Ended(child, Exit::NotStarted)).is_err();
                        }
                    }
                    Action::Send(..)
                    | Action::Fence
                    | Action::Timeout(_)
                    | Action::Feed
                    | Action::DirectorPhase { .. }
                    | Action::HandOver
                    | Action::Note(_) => self.act(action),
                }
            }
            next = inputs.pop_front();
        }
        end
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Send(child, signal) => self.children.send(child, signal),
            Action::Fence => {
                let sent = self.fence.as_ref().map(|fence| fence.send(self.children.orders()));
                if let Some(Err(error)) = sent {
                    self.face.note(Level::Error, format_args!("the addresses could not be removed: {error}"));
                }
            }
            Action::Timeout(seconds) => self.watchdog_timeout(seconds),
            Action::Feed => {
                if let Some(Err(error)) = self.watchdog.as_mut().map(Watchdog::feed) {
                    self.face.note(Level::Error, format_args!("the watchdog takes no food: {error}"));
                }
            }
            Action::DirectorPhase { took, problem } => {
                self.face.phase(&Line { phase: Phase::Director, took, problem });
            }
            Action::HandOver => self.hand_over(),
            Action::Note(note) => self.face.note(level(note), format_args!("{note}")),
            // Done where their result is needed.
            Action::Start(_) | Action::End(_) => {}
        }
    }

    fn watchdog_timeout(&mut self, seconds: u32) {
        let Some(watchdog) = &self.watchdog else { return };
        let granted = watchdog.set(seconds);
        let level = if granted == Some(seconds) { Level::Info } else { Level::Warning };
        let granted = granted.unwrap_or_default();
        self.face.note(
            level,
            format_args!("the hardware watchdog's time-out is {granted} s, asked for {seconds} s"),
        );
    }

    /// The serial line becomes the console's: from here on nothing but a kernel panic is printed on it.
    fn hand_over(&mut self) {
        let start = clock::now();
        let quiet = phases::quieten_kernel();
        let problem = quiet.as_ref().err().map(String::as_str);
        let took = since(start);
        self.face.phase(&Line { phase: Phase::Console, took, problem });
        self.face.hand_over();
        let total = since(self.began);
        self.face.note(Level::Notice, format_args!("booted: console starts {} ms after init", total.get()));
    }
}

fn readable(fd: std::os::fd::BorrowedFd<'_>) -> PollFd<'_> {
    PollFd::new(fd, PollFlags::POLLIN)
}

/// Whole milliseconds since `start`.
fn since(start: Mono) -> Millis {
    Millis::new(u32::try_from(clock::now().micros_since(start) / 1000).unwrap_or(u32::MAX))
}

/// What a signal asks for, as sysvinit and busybox have it.
fn asked_by(signal: u32) -> Option<Ask> {
    match i32::try_from(signal).ok()? {
        libc::SIGTERM => Some(Ask::Power(Power::Reboot)),
        libc::SIGUSR1 | libc::SIGUSR2 => Some(Ask::Power(Power::Off)),
        // SIGCHLD is served by reaping, SIGINT is Control-Alt-Delete; no other is caught.
        _ => None,
    }
}

const fn level(note: Note) -> Level {
    match note {
        Note::Restarting { crash_loop: true, .. }
        | Note::Wedged { .. }
        | Note::Fenced { .. }
        | Note::StopOverdue => Level::Error,
        Note::Restarting { crash_loop: false, .. } | Note::Retired { .. } => Level::Warning,
        Note::Stopping { .. } | Note::RestartAsked => Level::Notice,
    }
}

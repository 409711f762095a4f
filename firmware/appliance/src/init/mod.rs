//! PID 1: mounts, starts, reaps, feeds the watchdog, ends the machine. What it decides is
//! [`director_core::init::Supervisor`]; here is what it does.
//!
//! One thread, no tokio: it sleeps in poll(2) on three descriptors (signals, requests, the director's reports) until
//! the machine's next deadline. It never waits for a child, and no child's fault can end it.

mod boot;
mod children;
mod power;

use crate::platform::watchdog::Watchdog;
use crate::platform::{clock, kmsg};
use children::Children;
use director_core::director::Level;
use director_core::director::protocol::Power;
use director_core::init::limits::{ASK_BYTES, TICK};
use director_core::init::liveness::{REPORT_BYTES, Report};
use director_core::init::phase::Line;
use director_core::init::{Action, Ask, Exit, Input, Phase, Signal, Supervisor};
use director_core::model::{Millis, Mono};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal as UnixSignal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixDatagram;
use std::process::ExitCode;

pub(crate) use power::{ASK_SOCKET, ask};

/// Datagrams taken in one turn, so that a flood cannot keep PID 1 from its children.
const DATAGRAMS_MAX: usize = 64;

/// Asks PID 1 to end the machine.
pub(crate) fn ask_power(power: Power) {
    if let Err(error) = ask(Ask::Power(power)) {
        kmsg::log(Level::Error, &format!("init does not take requests: {error}"));
    }
}

/// Runs for ever. Returning would be a kernel panic, which reboots the box: the last resort when PID 1 cannot work.
pub(crate) fn run() -> ExitCode {
    kmsg::speak_as("init");
    let began = clock::now();
    // Signals are taken from the descriptor only, from the first moment on.
    let signals = SigSet::all();
    if signals.thread_block().is_err() {
        return ExitCode::FAILURE;
    }
    let Some(boot) = boot::boot() else { return power::end(Power::Reboot) };
    match Init::open(&signals, boot) {
        Ok(mut init) => init.serve(began),
        Err(error) => {
            kmsg::log(Level::Error, &format!("init cannot work: {error}"));
            power::end(Power::Reboot)
        }
    }
}

struct Init {
    signals: SignalFd,
    requests: UnixDatagram,
    reports: UnixDatagram,
    children: Children,
    watchdog: Option<Watchdog>,
    relay: bool,
}

impl Init {
    fn open(signals: &SigSet, boot: boot::Booted) -> std::io::Result<Self> {
        let signals = SignalFd::with_flags(signals, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        let requests = UnixDatagram::bind(ASK_SOCKET)?;
        requests.set_nonblocking(true)?;
        let (reports, director_end) = UnixDatagram::pair()?;
        reports.set_nonblocking(true)?;
        let children = Children::new(director_end);
        Ok(Self { signals, requests, reports, children, watchdog: boot.watchdog, relay: boot.relay })
    }

    fn serve(&mut self, began: Mono) -> ExitCode {
        let mut supervisor = Supervisor::start(self.relay, began);
        let mut end = self.execute(&mut supervisor, Input::Tick);
        while end.is_none() {
            self.wait(supervisor.next_deadline());
            end = self
                .take_reports(&mut supervisor)
                .or_else(|| self.take_signals(&mut supervisor))
                .or_else(|| self.reap(&mut supervisor))
                .or_else(|| self.take_requests(&mut supervisor))
                .or_else(|| self.execute(&mut supervisor, Input::Tick));
        }
        power::end(end.unwrap_or(Power::Reboot))
    }

    /// Sleeps until something happens, at most [`TICK`].
    fn wait(&self, deadline: Option<Mono>) {
        let left_us = deadline.map_or(u64::MAX, |at| at.micros_since(clock::now()));
        // Rounded up: waking too early would only turn once more.
        let left_ms = (left_us / 1000).saturating_add(1).min(u64::from(TICK.get()));
        let timeout = PollTimeout::try_from(i32::try_from(left_ms).unwrap_or(0)).unwrap_or(PollTimeout::ZERO);
        let interest = |fd| PollFd::new(fd, PollFlags::POLLIN);
        let mut fds =
            [interest(self.signals.as_fd()), interest(self.requests.as_fd()), interest(self.reports.as_fd())];
        // A failed wait is a short one.
        let _interrupted = poll(&mut fds, timeout).is_err();
    }

    fn take_reports(&mut self, supervisor: &mut Supervisor) -> Option<Power> {
        let mut buffer = [0; REPORT_BYTES];
        for _ in 0..DATAGRAMS_MAX {
            let Ok(count) = self.reports.recv(&mut buffer) else { return None };
            if let Some(report) = buffer.get(..count).and_then(Report::decode)
                && let Some(power) = self.execute(supervisor, Input::Report(report))
            {
                return Some(power);
            }
        }
        None
    }

    fn take_requests(&mut self, supervisor: &mut Supervisor) -> Option<Power> {
        let mut buffer = [0; ASK_BYTES];
        for _ in 0..DATAGRAMS_MAX {
            let Ok(count) = self.requests.recv(&mut buffer) else { return None };
            let asked = buffer.get(..count).and_then(Ask::parse);
            if let Some(power) = asked.and_then(|ask| self.execute(supervisor, Input::Asked(ask))) {
                return Some(power);
            }
        }
        None
    }

    fn take_signals(&mut self, supervisor: &mut Supervisor) -> Option<Power> {
        for _ in 0..DATAGRAMS_MAX {
            let Ok(Some(info)) = self.signals.read_signal() else { return None };
            let signal = i32::try_from(info.ssi_signo).ok().and_then(|n| UnixSignal::try_from(n).ok());
            let power = match signal {
                // As sysvinit and busybox have it.
                Some(UnixSignal::SIGTERM) => Power::Reboot,
                Some(UnixSignal::SIGUSR1 | UnixSignal::SIGUSR2) => Power::Off,
                // SIGCHLD: reaping follows in the same turn. Others mean nothing to PID 1.
                Some(_) | None => continue,
            };
            if let Some(power) = self.execute(supervisor, Input::Asked(Ask::Power(power))) {
                return Some(power);
            }
        }
        None
    }

    fn reap(&mut self, supervisor: &mut Supervisor) -> Option<Power> {
        for (child, exit) in self.children.reap() {
            if let Some(power) = self.execute(supervisor, Input::Ended(child, exit)) {
                return Some(power);
            }
        }
        None
    }

    /// Gives the machine an input and does what it says; what cannot be started is an input in turn.
    fn execute(&mut self, supervisor: &mut Supervisor, input: Input) -> Option<Power> {
        let mut inputs = heapless::Deque::<Input, 4>::new();
        // One input makes at most three starts, so the queue never overflows.
        let _fits = inputs.push_back(input).is_ok();
        while let Some(input) = inputs.pop_front() {
            for action in supervisor.handle(input, clock::now()) {
                match action {
                    Action::Start(child) => {
                        if let Err(error) = self.children.start(child) {
                            kmsg::log(Level::Error, &format!("{child}: {error}"));
                            let _fits = inputs.push_back(Input::Ended(child, Exit::NotStarted)).is_ok();
                        }
                    }
                    Action::Send(child, signal) => self.children.send(child, unix(signal)),
                    Action::Feed => {
                        if let Some(watchdog) = &self.watchdog {
                            watchdog.feed();
                        }
                    }
                    Action::DirectorPhase { took, problem } => {
                        boot::say(&Line { phase: Phase::Director, took, problem });
                    }
                    Action::HandOver => hand_over(),
                    Action::Note(note) => kmsg::log(Level::Notice, &note.to_string()),
                    Action::End(power) => return Some(power),
                }
            }
        }
        None
    }
}

/// The last line of the boot; from here on the kernel is quiet on the console, except when it panics.
fn hand_over() {
    let began = clock::now();
    let problem = boot::quieten().err().map(|error| error.to_string());
    let took = Millis::new(u32::try_from(clock::now().micros_since(began) / 1000).unwrap_or(u32::MAX));
    boot::say(&Line { phase: Phase::Console, took, problem: problem.as_deref() });
}

fn unix(signal: Signal) -> UnixSignal {
    match signal {
        Signal::Term => UnixSignal::SIGTERM,
        Signal::Abort => UnixSignal::SIGABRT,
        Signal::Kill => UnixSignal::SIGKILL,
    }
}

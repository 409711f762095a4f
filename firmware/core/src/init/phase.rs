//! The boot as data: named phases in their order, each with a deadline and what its failure means. One line
//! each on the serial console:
//!
//! ```text
//! [  ok  ] mounts          3 ms
//! [ warn ] watchdog        0 ms  no /dev/watchdog
//! [failed] director     10000 ms  no report of its main loop
//! ```

use crate::model::Millis;
use core::fmt;

/// One step of the boot.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Phase {
    /// `/proc`, `/sys`, `/dev`, `/run`, `/tmp`.
    Mounts,
    /// The kernel log takes our lines without rate limit.
    Kmsg,
    /// The clocks tick, and the wall clock is plausible.
    Clock,
    /// The hardware watchdog runs and is fed from here on.
    Watchdog,
    /// The loopback device is up.
    Loopback,
    /// The director's main loop completed its first turn.
    Director,
    /// The console owns the serial line.
    Console,
}

/// What the failure of a phase means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OnFailure {
    /// The box cannot do its work: reboot.
    Fatal,
    /// The boot goes on; the line tells.
    Warn,
}

/// A row of the boot table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Spec {
    /// Which.
    pub phase: Phase,
    /// Its name on the console, at most [`NAME_WIDTH`] characters.
    pub name: &'static str,
    /// A phase that took longer is marked as a warning; the director's is given up.
    pub deadline: Millis,
    /// What its failure means.
    pub on_failure: OnFailure,
}

/// Column width of the names.
pub const NAME_WIDTH: usize = 10;

/// The boot. Order: what a later phase needs comes first; the watchdog before anything that can hang; the
/// console last, because it takes the serial line over.
pub const BOOT: [Spec; 7] = [
    Spec::new(Phase::Mounts, "mounts", 500, OnFailure::Fatal),
    Spec::new(Phase::Kmsg, "kmsg", 100, OnFailure::Warn),
    Spec::new(Phase::Clock, "clock", 100, OnFailure::Warn),
    Spec::new(Phase::Watchdog, "watchdog", 500, OnFailure::Warn),
    Spec::new(Phase::Loopback, "network-lo", 100, OnFailure::Warn),
    Spec::new(Phase::Director, "director", super::limits::START_GRACE.get(), OnFailure::Warn),
    Spec::new(Phase::Console, "console", 500, OnFailure::Warn),
];

impl Spec {
    const fn new(phase: Phase, name: &'static str, deadline_ms: u32, on_failure: OnFailure) -> Self {
        Self { phase, name, deadline: Millis::new(deadline_ms), on_failure }
    }

    /// The row of a phase.
    pub fn of(phase: Phase) -> Self {
        // Every phase has its row (tested); the fallback keeps this function total.
        BOOT.iter().find(|s| s.phase == phase).copied().unwrap_or(Self::new(phase, "?", 0, OnFailure::Warn))
    }
}

/// How a phase went, as one line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Line<'a> {
    /// Which.
    pub phase: Phase,
    /// How long it took.
    pub took: Millis,
    /// Why it failed, or what the operator should know although it did not.
    pub problem: Option<&'a str>,
}

impl Line<'_> {
    /// Whether the boot must end here.
    pub fn fatal(&self) -> bool {
        self.problem.is_some() && Spec::of(self.phase).on_failure == OnFailure::Fatal
    }
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let spec = Spec::of(self.phase);
        let late = self.took > spec.deadline;
        let mark = match (self.fatal(), self.problem.is_some() || late) {
            (true, _) => "failed",
            (false, true) => " warn ",
            (false, false) => "  ok  ",
        };
        write!(f, "[{mark}] {:NAME_WIDTH$} {:5} ms", spec.name, self.took.get())?;
        match (self.problem, late) {
            (Some(problem), _) => write!(f, "  {problem}"),
            (None, true) => write!(f, "  longer than {} ms", spec.deadline.get()),
            (None, false) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn every_phase_has_one_row_in_the_order_of_the_enum_and_a_name_that_fits() {
        for (row, next) in BOOT.iter().zip(BOOT.iter().skip(1)) {
            assert!(row.phase < next.phase);
        }
        for row in BOOT {
            assert_eq!(Spec::of(row.phase), row);
            assert!(row.name.len() <= NAME_WIDTH && row.deadline.get() > 0);
        }
        // A new phase must get a row.
        match Phase::Mounts {
            Phase::Mounts
            | Phase::Kmsg
            | Phase::Clock
            | Phase::Watchdog
            | Phase::Loopback
            | Phase::Director
            | Phase::Console => assert_eq!(BOOT.len(), 7),
        }
    }

    #[test]
    fn a_line_tells_name_time_and_problem() {
        let line = |phase, ms, problem| Line { phase, took: Millis::new(ms), problem }.to_string();
        assert_eq!(line(Phase::Mounts, 3, None), "[  ok  ] mounts         3 ms");
        assert_eq!(
            line(Phase::Watchdog, 0, Some("no /dev/watchdog")),
            "[ warn ] watchdog       0 ms  no /dev/watchdog"
        );
        assert_eq!(line(Phase::Clock, 101, None), "[ warn ] clock        101 ms  longer than 100 ms");
        assert_eq!(line(Phase::Mounts, 1, Some("proc: EPERM")), "[failed] mounts         1 ms  proc: EPERM");
    }

    #[test]
    fn only_mounts_are_fatal() {
        for row in BOOT {
            let failed = Line { phase: row.phase, took: Millis::new(0), problem: Some("x") };
            assert_eq!(failed.fatal(), row.phase == Phase::Mounts);
            assert!(!Line { problem: None, ..failed }.fatal());
        }
    }
}

//! When a child that ended is started again.

use super::limits;
use crate::model::Millis;
use core::fmt;

/// How a child ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exit {
    /// It returned this code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
    /// It could not be started (no memory, no process id).
    NotStarted,
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
            Self::NotStarted => f.write_str("could not be started"),
        }
    }
}

/// What follows the end of a child.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Start it after `delay`.
    Again {
        /// How long to wait.
        delay: Millis,
        /// It died quickly [`limits::CRASH_LOOP`] times in a row or more often.
        crash_loop: bool,
    },
    /// It asked not to be started again.
    Never,
}

/// The restart policy of one child: how often in a row it died quickly.
///
/// ```text
/// quick deaths in a row   0 or 1   2       3       4       ...   from 21
/// delay                   none     250 ms  500 ms  750 ms  ...   5 s
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Restart {
    quick: u32,
}

impl Restart {
    /// A child that never died.
    pub const fn new() -> Self {
        Self { quick: 0 }
    }

    /// The child ended with `exit` after it `ran`.
    pub fn ended(&mut self, exit: Exit, ran: Millis) -> Verdict {
        if exit == Exit::Code(i32::from(limits::EXIT_FINAL)) {
            return Verdict::Never;
        }
        self.quick = if ran < limits::RUN_MIN { self.quick.saturating_add(1) } else { 0 };
        let steps = self.quick.saturating_sub(1);
        let delay = Millis::new(limits::BACKOFF_STEP.get().saturating_mul(steps)).min(limits::BACKOFF_MAX);
        Verdict::Again { delay, crash_loop: self.quick >= limits::CRASH_LOOP }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CRASH: Exit = Exit::Signal(6);

    fn delays(runs: &[u32]) -> alloc::vec::Vec<u32> {
        let mut policy = Restart::new();
        let delay = |ran: &u32| match policy.ended(CRASH, Millis::new(*ran)) {
            Verdict::Again { delay, .. } => delay.get(),
            Verdict::Never => u32::MAX,
        };
        runs.iter().map(delay).collect()
    }

    #[test]
    fn the_first_restart_is_immediate_and_later_ones_wait_longer() {
        assert_eq!(delays(&[0, 0, 0, 0]), [0, 250, 500, 750]);
    }

    #[test]
    fn the_delay_never_exceeds_its_cap() {
        let delays = delays(&[0; 100]);
        assert_eq!(delays[20], 5000);
        assert!(delays.iter().all(|d| *d <= 5000));
    }

    #[test]
    fn a_long_run_forgives_quick_deaths() {
        assert_eq!(delays(&[0, 0, 0, 5000, 0, 0]), [0, 250, 500, 0, 0, 250]);
        assert_eq!(delays(&[0, 4999]), [0, 250]);
    }

    #[test]
    fn a_crash_loop_is_reported_from_the_fifth_quick_death_on() {
        let mut policy = Restart::new();
        let loops: alloc::vec::Vec<bool> = (0..6)
            .map(|_| matches!(policy.ended(CRASH, Millis::new(10)), Verdict::Again { crash_loop: true, .. }))
            .collect();
        assert_eq!(loops, [false, false, false, false, true, true]);
    }

    #[test]
    fn exit_code_125_ends_a_child_for_good_and_no_other_code_does() {
        for code in 0..=255 {
            let verdict = Restart::new().ended(Exit::Code(code), Millis::new(0));
            assert_eq!(verdict == Verdict::Never, code == 125, "{code}");
        }
        assert_ne!(Restart::new().ended(Exit::Signal(125), Millis::new(0)), Verdict::Never);
    }
}

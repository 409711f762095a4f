//! Whether the director's main loop turns.

use super::limits;
use crate::model::{Millis, Mono};

/// The director's word that its main loop completed a turn: 24 bytes, little endian, one datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Report {
    /// Rises with each report of one process.
    pub sequence: u64,
    /// When the turn ended. A report that lay in the socket while PID 1 slept does not make the loop look fresh.
    pub at: Mono,
    /// When the last heartbeat left; zero before the first.
    pub beat: Mono,
}

/// Bytes of an encoded report.
pub const REPORT_BYTES: usize = 24;

impl Report {
    /// As sent.
    pub fn encode(self) -> [u8; REPORT_BYTES] {
        let mut bytes = [0; REPORT_BYTES];
        let words = [self.sequence, self.at.micros(), self.beat.micros()];
        let from = words.into_iter().flat_map(u64::to_le_bytes);
        bytes.iter_mut().zip(from).for_each(|(to, from)| *to = from);
        bytes
    }

    /// As received; `None` for a datagram of another length.
    pub fn decode(datagram: &[u8]) -> Option<Self> {
        let (sequence, rest) = datagram.split_first_chunk::<8>()?;
        let (at, beat) = rest.split_first_chunk::<8>()?;
        let beat: [u8; 8] = beat.try_into().ok()?;
        let time = |bytes| Mono::from_micros(u64::from_le_bytes(bytes));
        Some(Self { sequence: u64::from_le_bytes(*sequence), at: time(*at), beat: time(beat) })
    }
}

/// What to do about a director that does not report.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// Ask it for a trace and its end (SIGABRT).
    Abort,
    /// End it (SIGKILL).
    Kill,
}

/// How far the matter has gone.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Stage {
    /// Nothing was sent.
    Trusted,
    /// SIGABRT was sent.
    Aborted,
    /// SIGKILL was sent.
    Killed,
}

/// The age of the last report of one director process.
///
/// ```text
/// Trusted --ABORT_AFTER (first report: START_GRACE)--> Aborted --KILL_AFTER--> Killed
/// ```
/// A report in time keeps it Trusted; once aborted, a report changes nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Liveness {
    stage: Stage,
    /// Sequence of the newest report; `None` before the first.
    sequence: Option<u64>,
    /// When this machine looked last.
    looked: Mono,
    /// Microseconds since the last report or stage, as far as PID 1 itself was running.
    age_us: u64,
}

impl Liveness {
    /// A director process was started `now`.
    pub const fn start(now: Mono) -> Self {
        Self { stage: Stage::Trusted, sequence: None, looked: now, age_us: 0 }
    }

    /// A report came in. Returns whether it is the first of this process. A repeated or older one is ignored.
    pub fn report(&mut self, report: Report, now: Mono) -> bool {
        let first = self.sequence.is_none();
        if self.sequence.is_some_and(|seen| report.sequence <= seen) {
            return false;
        }
        self.sequence = Some(report.sequence);
        if self.stage == Stage::Trusted {
            self.look(now);
            self.age_us = self.age_us.min(now.micros_since(report.at));
        }
        first
    }

    /// Time passed. At most one step per call; call again at [`Self::deadline`].
    pub fn check(&mut self, now: Mono) -> Option<Step> {
        self.look(now);
        if self.age_us < micros(self.limit()) {
            return None;
        }
        match self.stage {
            Stage::Trusted => {
                self.enter(Stage::Aborted);
                Some(Step::Abort)
            }
            Stage::Aborted => {
                self.enter(Stage::Killed);
                Some(Step::Kill)
            }
            Stage::Killed => None,
        }
    }

    /// Whether the hardware watchdog may be fed: the loop turns, or PID 1 is about to end the process.
    pub fn in_hand(&self) -> bool {
        self.stage != Stage::Killed || self.age_us < micros(self.limit())
    }

    /// When to call [`Self::check`] at the latest.
    pub fn deadline(&self) -> Mono {
        let rest_us = micros(self.limit()).saturating_sub(self.age_us).min(micros(limits::TICK));
        let rest_us = if rest_us == 0 { micros(limits::TICK) } else { rest_us };
        Mono::from_micros(self.looked.micros().saturating_add(rest_us))
    }

    fn enter(&mut self, stage: Stage) {
        self.stage = stage;
        self.age_us = 0;
    }

    fn look(&mut self, now: Mono) {
        let gap = now.micros_since(self.looked).min(micros(limits::TICK).saturating_mul(2));
        self.age_us = self.age_us.saturating_add(gap);
        self.looked = self.looked.max(now);
    }

    const fn limit(&self) -> Millis {
        match (self.stage, self.sequence) {
            (Stage::Trusted, None) => limits::START_GRACE,
            (Stage::Trusted, Some(_)) => limits::ABORT_AFTER,
            (Stage::Aborted, _) => limits::KILL_AFTER,
            (Stage::Killed, _) => limits::UNKILLABLE_AFTER,
        }
    }
}

fn micros(span: Millis) -> u64 {
    u64::from(span.get()).saturating_mul(1000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn at(ms: u64) -> Mono {
        Mono::from_millis(ms)
    }

    fn report(sequence: u64, ms: u64) -> Report {
        Report { sequence, at: at(ms), beat: Mono::ZERO }
    }

    /// Lets PID 1 wake at each deadline until `end`; gives the steps with their times.
    fn run(live: &mut Liveness, end: u64) -> Vec<(u64, Step)> {
        let mut steps = Vec::new();
        while live.deadline() <= at(end) {
            let now = live.deadline();
            steps.extend(live.check(now).map(|s| (now.millis(), s)));
        }
        steps
    }

    #[test]
    fn a_report_survives_its_encoding_and_other_lengths_are_refused() {
        let sent = Report { sequence: 7, at: Mono::from_micros(u64::MAX - 1), beat: Mono::from_micros(9) };
        assert_eq!(Report::decode(&sent.encode()), Some(sent));
        for length in [0, 1, 8, 16, 23, 25] {
            assert_eq!(Report::decode(&[0; 32][..length]), None);
        }
    }

    #[test]
    fn a_wedged_director_is_aborted_then_killed_then_no_longer_covered() {
        let mut live = Liveness::start(at(0));
        assert!(live.report(report(1, 100), at(100)));
        assert_eq!(run(&mut live, 20_000), [(2100, Step::Abort), (3100, Step::Kill)]);
        assert!(!live.in_hand());
    }

    #[test]
    fn a_starting_director_has_its_grace() {
        let mut live = Liveness::start(at(0));
        assert_eq!(run(&mut live, 9_999), []);
        assert!(live.report(report(1, 9_999), at(9_999)));
        assert_eq!(run(&mut live, 11_998), []);
        assert_eq!(run(&mut Liveness::start(at(0)), 11_500), [(10_000, Step::Abort), (11_000, Step::Kill)]);
    }

    #[test]
    fn reports_in_time_keep_it_alive() {
        let mut live = Liveness::start(at(0));
        for turn in 1..100 {
            live.report(report(turn, turn * 1900), at(turn * 1900));
            assert_eq!(run(&mut live, turn * 1900 + 1899), []);
        }
    }

    #[test]
    fn a_report_counts_from_when_it_was_made_and_only_once() {
        let mut live = Liveness::start(at(0));
        live.report(report(1, 0), at(0));
        assert_eq!(run(&mut live, 1000), []);
        // Made at 500, read at 1000: 500 ms old. The repetition of an old sequence changes nothing.
        live.report(report(2, 500), at(1000));
        assert!(!live.report(report(2, 1000), at(1000)));
        assert_eq!(run(&mut live, 2600), [(2500, Step::Abort)]);
    }

    #[test]
    fn a_stall_of_the_whole_box_is_not_held_against_the_director() {
        let mut live = Liveness::start(at(0));
        live.report(report(1, 0), at(0));
        assert_eq!(live.check(at(60_000)), None);
        assert!(live.in_hand());
        live.report(report(2, 60_010), at(60_010));
        assert_eq!(run(&mut live, 62_000), []);
    }

    #[test]
    fn a_late_report_does_not_save_an_aborted_director() {
        let mut live = Liveness::start(at(0));
        live.report(report(1, 0), at(0));
        assert_eq!(run(&mut live, 2000), [(2000, Step::Abort)]);
        live.report(report(2, 2100), at(2100));
        assert_eq!(run(&mut live, 3500), [(3000, Step::Kill)]);
    }
}

//! When which probe runs.
//!
//! Each probe has a grid: first start + n x interval. A start that is late is made up for once; further ones that
//! were missed are left out, so nothing drifts and nothing bursts. Jitter delays each start by a part of the interval of its
//! own; the grid stays. A fast retry comes between two points of the grid and moves none. First starts are [`START_SPACING_US`] apart on
//! average, and closer only when that would not fit the interval; [`START_TOGETHER`] of them come at once.
//!
//! At most one run of a probe and [`IN_FLIGHT_MAX`] runs in all are under way. A run ends by the answer, or
//! twice [`UNANSWERED_GRACE_US`] after its hard end without one; whatever comes later finds no run and changes nothing.

use super::load::Said;
use super::{Failure, ProbeId, ProbeKind, ProbeOutcome, ProbeSpec};
use crate::model::{Millis, Mono};
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// Most runs under way at a time, each one socket. Chosen: Linux gives a process 4,096 descriptors at most by default
/// (`INR_OPEN_MAX`), and the rest of the director needs some.
pub const IN_FLIGHT_MAX: usize = 3840;
/// Microseconds between the first starts of probes configured together. Chosen: 100 probes start within 100 ms.
pub const START_SPACING_US: u64 = 1000;
/// Probes that start together. Chosen: waking for each alone costs as much as asking, and so few packets at once are nothing to
/// a network.
pub const START_TOGETHER: u64 = 32;
/// Microseconds after its hard end at which a run that nobody answered is looked for, and after as much again counted as failed. The
/// shell answers at the hard end; this is for a shell that is broken.
pub const UNANSWERED_GRACE_US: u64 = 500_000;
/// Checks up to which good runs are remembered as well as bad ones. Chosen: half a KiB each is little then.
pub const GOOD_TRANSCRIPTS_MAX: usize = 256;
/// Intervals without a finished run after which a probe is stale.
pub const STALE_INTERVALS: u64 = 3;

/// Number of a probe, never reused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct ProbeNo(u64);

/// What makes two probes the same.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct ProbeKey {
    pub(crate) spec: ProbeSpec,
    pub(crate) interval: Millis,
    pub(crate) timeout: Millis,
    /// Longest delay of a start, in percent of the interval.
    pub(crate) jitter: u8,
    pub(crate) retry: Option<Retry>,
}

/// Early questions after failures.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Retry {
    /// From the end of a failed run to the next start.
    pub(crate) after: Millis,
    /// Failures in a row that one follows.
    pub(crate) times: u32,
}

impl ProbeKey {
    /// Delay of a start, the same for the same number.
    fn jitter_us(&self, number: u64) -> u64 {
        let most_us = self.interval_us().saturating_mul(u64::from(self.jitter)) / 100;
        scatter(number) % most_us.saturating_add(1)
    }

    fn interval_us(&self) -> u64 {
        u64::from(self.interval.get().max(1)).saturating_mul(1000)
    }

    fn timeout_us(&self) -> u64 {
        u64::from(self.timeout.get()).saturating_mul(1000)
    }
}

#[derive(Clone, Copy, Debug)]
struct Run {
    id: ProbeId,
    /// Hard end; after a stall, when it is fair to expect the answer.
    end: Mono,
    /// It was given up once.
    late: bool,
}

impl Run {
    fn lost_at(self) -> Mono {
        Mono::from_micros(self.end.micros().saturating_add(UNANSWERED_GRACE_US))
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Probe {
    key: Arc<ProbeKey>,
    /// The next point of the grid.
    grid: Mono,
    /// Next start. In `starts` unless a run is under way.
    next: Mono,
    /// Failures in a row.
    pub(crate) failures: u32,
    /// What was said in the last run that was worth it.
    pub(crate) transcript: Option<Box<str>>,
    /// Seconds that the server's certificate had left, and when that was.
    certificate: Option<(i64, Mono)>,
    run: Option<Run>,
    /// Since when it is asked, or this process runs again: staleness is not counted from before.
    since: Mono,
    pub(crate) finished: Option<Mono>,
    /// When a run last ended in any way, also unasked.
    ended: Mono,
    pub(crate) took_us: Option<u32>,
    /// The last run was never answered.
    lost: bool,
    /// The last run could not be asked, and why.
    not_asked: Option<String>,
    /// Configuration round that wanted it last.
    round: u64,
}

impl Probe {
    pub(crate) const fn key(&self) -> &Arc<ProbeKey> {
        &self.key
    }

    /// Where its next run starts, or when it was due.
    pub(crate) const fn next(&self) -> Mono {
        self.next
    }

    /// Hard end of the run under way.
    pub(crate) fn unanswered(&self) -> Option<Mono> {
        self.run.map(|run| run.end)
    }

    /// A run ends: microseconds since the one before, or since it is asked.
    fn end(&mut self, now: Mono) -> u64 {
        now.micros_since(core::mem::replace(&mut self.ended, now))
    }

    /// A start is made or missed: to the next point of the grid.
    fn step(&mut self, number: u64, now: Mono) {
        if self.grid <= now {
            self.grid = grid_after(self.grid, self.key.interval_us(), now);
        }
        let delay_us = self.key.jitter_us(number);
        self.next = Mono::from_micros(self.grid.micros().saturating_add(delay_us));
    }

    /// A run failed, or not: decides about a fast retry.
    fn judge(&mut self, good: bool, now: Mono) {
        self.failures = if good { 0 } else { self.failures.saturating_add(1) };
        let retry = self.key.retry.filter(|retry| !good && self.failures <= retry.times);
        if let Some(retry) = retry {
            self.next = self.next.min(now.after(retry.after));
        }
    }

    /// Seconds until the server's certificate ends.
    pub(crate) fn certificate_left_s(&self, now: Mono) -> Option<i64> {
        let (left_s, at) = self.certificate?;
        Some(left_s.saturating_sub(i64::try_from(now.micros_since(at) / 1_000_000).unwrap_or(i64::MAX)))
    }

    /// The same, when it is so little that the operator wanted to know.
    fn ending(&self, now: Mono) -> Option<i64> {
        let ProbeKind::Named(check) = &self.key.spec.kind else { return None };
        let warning_s = i64::from(check.tls.as_ref()?.expiry_warning.get() / 1000);
        self.certificate_left_s(now).filter(|left_s| *left_s < warning_s)
    }

    /// What is wrong with it.
    pub(crate) fn trouble(&self, now: Mono) -> Option<Trouble<'_>> {
        if self.lost {
            Some(Trouble::Lost)
        } else if let Some(words) = &self.not_asked {
            Some(Trouble::NotAsked(words))
        } else {
            let stale = self.is_stale(now).then_some(Trouble::Stale(self.finished));
            stale.or_else(|| self.ending(now).map(Trouble::Certificate))
        }
    }

    fn is_stale(&self, now: Mono) -> bool {
        self.stale_at() < now
    }

    /// It is stale from then on, if it does not end before.
    fn stale_at(&self) -> Mono {
        let span_us = self.key.interval_us().max(self.key.timeout_us()).saturating_mul(STALE_INTERVALS);
        let from = self.finished.unwrap_or_default().max(self.since);
        Mono::from_micros(from.micros().saturating_add(span_us))
    }
}

/// A run to make.
#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) probe: ProbeNo,
    pub(crate) id: ProbeId,
    pub(crate) spec: ProbeSpec,
    pub(crate) deadline: Mono,
}

/// How a run ended, for the verdicts.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) probe: ProbeNo,
    pub(crate) result: Result<(), Failure>,
    /// Microseconds since the end before, or since the probe is asked.
    pub(crate) silent_us: u64,
    /// What a source of load said.
    pub(crate) load: Option<Said>,
}

/// A probe that needs somebody's attention.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trouble<'a> {
    /// It has not ended for more than [`STALE_INTERVALS`] intervals. When it last did.
    Stale(Option<Mono>),
    /// The shell never answered the last run: a defect of ours.
    Lost,
    /// The last run could not be asked, and why.
    NotAsked(&'a str),
    /// The server's certificate ends soon: seconds left.
    Certificate(i64),
}

/// All probes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Schedule {
    probes: BTreeMap<ProbeNo, Probe>,
    by_key: BTreeMap<Arc<ProbeKey>, ProbeNo>,
    /// Probes without a run under way, by their next start.
    starts: BTreeSet<(Mono, ProbeNo)>,
    runs: BTreeMap<ProbeId, ProbeNo>,
    /// Runs under way, by when they are lost. May be early, never late.
    ends: BTreeSet<(Mono, ProbeId)>,
    last_run: u64,
    last_probe: u64,
    round: u64,
    /// Probes new in this round, in order.
    fresh: Vec<ProbeNo>,
}

impl Schedule {
    /// Continues the numbering of runs after `last_run`.
    pub(crate) fn new(last_run: u64) -> Self {
        Self { last_run, ..Self::default() }
    }

    pub(crate) const fn last_run(&self) -> u64 {
        self.last_run
    }

    /// Starts a configuration round: what is not wanted until [`Self::end_round`] goes.
    pub(crate) fn begin_round(&mut self) {
        self.round = self.round.wrapping_add(1);
        self.fresh.clear();
    }

    /// The probe with this key, made when there is none.
    pub(crate) fn want(&mut self, key: &ProbeKey, now: Mono) -> ProbeNo {
        if let Some(no) = self.by_key.get(key) {
            if let Some(probe) = self.probes.get_mut(no) {
                probe.round = self.round;
            }
            return *no;
        }
        self.last_probe = self.last_probe.saturating_add(1);
        let no = ProbeNo(self.last_probe);
        let key = Arc::new(key.clone());
        self.by_key.insert(Arc::clone(&key), no);
        let probe = Probe {
            key,
            grid: now,
            next: now,
            failures: 0,
            transcript: None,
            certificate: None,
            run: None,
            since: now,
            finished: None,
            ended: now,
            took_us: None,
            lost: false,
            not_asked: None,
            round: self.round,
        };
        self.probes.insert(no, probe);
        self.fresh.push(no);
        no
    }

    /// Drops what was not wanted, with its runs, and gives the new probes their first starts.
    pub(crate) fn end_round(&mut self, now: Mono) {
        let unwanted: Vec<ProbeNo> =
            self.probes.iter().filter(|(_, p)| p.round != self.round).map(|(no, _)| *no).collect();
        for no in unwanted {
            self.remove(no);
        }
        let count = u64::try_from(self.fresh.len()).unwrap_or(u64::MAX);
        for (index, no) in (0_u64..).zip(core::mem::take(&mut self.fresh)) {
            let Some(probe) = self.probes.get_mut(&no) else { continue };
            let index = index.saturating_sub(index % START_TOGETHER);
            let even_us = probe.key.interval_us().saturating_mul(index) / count.max(1);
            let offset_us = even_us.min(index.saturating_mul(START_SPACING_US));
            probe.grid = Mono::from_micros(now.micros().saturating_add(offset_us));
            probe.next = probe.grid;
            self.starts.insert((probe.next, no));
        }
    }

    fn remove(&mut self, no: ProbeNo) {
        let Some(probe) = self.probes.remove(&no) else { return };
        self.by_key.remove(&probe.key);
        self.starts.remove(&(probe.next, no));
        if let Some(run) = probe.run {
            // Its entry in `ends` finds no run when it is due.
            self.runs.remove(&run.id);
        }
    }

    pub(crate) fn get(&self, no: ProbeNo) -> Option<&Probe> {
        self.probes.get(&no)
    }

    /// The next run that is due, if there is room for one.
    pub(crate) fn start_due(&mut self, now: Mono) -> Option<Start> {
        let (due, no) = self.starts.first().copied()?;
        if due > now || self.runs.len() >= IN_FLIGHT_MAX {
            return None;
        }
        self.starts.remove(&(due, no));
        let probe = self.probes.get_mut(&no)?;
        self.last_run = self.last_run.saturating_add(1);
        let id = ProbeId(self.last_run);
        let deadline = now.after(probe.key.timeout);
        let run = Run { id, end: deadline, late: false };
        probe.run = Some(run);
        probe.step(id.0, now);
        self.runs.insert(id, no);
        self.ends.insert((run.lost_at(), id));
        Some(Start { probe: no, id, spec: probe.key.spec.clone(), deadline })
    }

    /// The answer to a run; `None` when there is no such run any more.
    pub(crate) fn answer(&mut self, id: ProbeId, outcome: ProbeOutcome, now: Mono) -> Option<End> {
        let no = self.runs.remove(&id)?;
        let few = self.probes.len() <= GOOD_TRANSCRIPTS_MAX;
        let probe = self.probes.get_mut(&no)?;
        if let Some(run) = probe.run.take() {
            // When a stall moved the end, the entry stays and finds no run when it is due.
            self.ends.remove(&(run.lost_at(), id));
        }
        let silent_us = probe.end(now);
        probe.lost = false;
        probe.not_asked = None;
        match &outcome.result {
            Ok(()) => {
                probe.finished = Some(now);
                probe.took_us = Some(outcome.took_us);
                probe.judge(true, now);
            }
            Err(Failure::Server(_)) => {
                probe.finished = Some(now);
                probe.judge(false, now);
            }
            Err(Failure::NotAsked(words)) => probe.not_asked = Some(super::words::clip(words)),
        }
        self.starts.insert((probe.next, no));
        if let Some(left_s) = outcome.learned.certificate_left_s {
            probe.certificate = Some((left_s, now));
        }
        if few || outcome.result.is_err() {
            probe.transcript = outcome.transcript;
        }
        Some(End { probe: no, result: outcome.result, silent_us, load: outcome.learned.load })
    }

    /// The next run that nobody answered; it ends as a failure.
    pub(crate) fn lost_due(&mut self, now: Mono) -> Option<End> {
        // Each round takes an entry out; those put back are later than `now`.
        loop {
            let (at, id) = self.ends.first().copied()?;
            if at > now {
                return None;
            }
            self.ends.remove(&(at, id));
            let Some(no) = self.runs.get(&id).copied() else { continue };
            let Some(probe) = self.probes.get_mut(&no) else { continue };
            let Some(run) = probe.run.as_mut() else { continue };
            // Its answer may lie in the queue: when everything waits for answers, a stall that is as long as this is the first
            // that anybody hears of it.
            if run.lost_at() <= now && !run.late {
                (run.late, run.end) = (true, now);
            }
            if run.lost_at() > now {
                self.ends.insert((run.lost_at(), id));
                continue;
            }
            self.runs.remove(&id);
            let silent_us = probe.end(now);
            probe.run = None;
            probe.lost = true;
            probe.not_asked = None;
            self.starts.insert((probe.next, no));
            let result = Err(Failure::Server(String::from("the check did not finish")));
            return Some(End { probe: no, result, silent_us, load: None });
        }
    }

    /// When [`Self::start_due`] or [`Self::lost_due`] has something to do.
    pub(crate) fn next_deadline(&self) -> Option<Mono> {
        let start = self.starts.first().map(|(at, _)| *at).filter(|_| self.runs.len() < IN_FLIGHT_MAX);
        let end = self.ends.first().map(|(at, _)| *at);
        match (start, end) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// The process did not run until `now`: answers may lie in the queue, so the runs under way get time to be
    /// answered, and probes that missed more than one interval go back to their own place on the grid.
    pub(crate) fn wake(&mut self, now: Mono) {
        for no in self.runs.values() {
            if let Some(run) = self.probes.get_mut(no).and_then(|probe| probe.run.as_mut()) {
                run.end = run.end.max(now);
            }
        }
        for probe in self.probes.values_mut() {
            probe.since = now;
        }
        let late: Vec<(Mono, ProbeNo)> = self.starts.range(..(now, ProbeNo(0))).copied().collect();
        for (due, no) in late {
            let Some(probe) = self.probes.get_mut(&no) else { continue };
            if now.micros_since(due) > probe.key.interval_us() {
                self.starts.remove(&(due, no));
                probe.step(no.0, now);
                self.starts.insert((probe.next, no));
            }
        }
    }

    /// Probes that have not ended for too long.
    pub(crate) fn stale(&self, now: Mono) -> impl Iterator<Item = (&ProbeSpec, Option<Mono>)> {
        self.probes.values().filter(move |p| p.is_stale(now)).map(|p| (&p.key.spec, p.finished))
    }

    /// When the first of them is stale, unless it ends before. Looks at every probe.
    pub(crate) fn first_stale(&self) -> Option<Mono> {
        self.probes.values().map(Probe::stale_at).min()
    }

    /// Probes that need attention. Each once, with the worst of its troubles.
    pub(crate) fn troubles(&self, now: Mono) -> impl Iterator<Item = (&ProbeSpec, Trouble<'_>)> {
        self.probes.values().filter_map(move |p| Some((&p.key.spec, p.trouble(now)?)))
    }

    /// All.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (ProbeNo, &Probe)> {
        self.probes.iter().map(|(no, probe)| (*no, probe))
    }

    /// Number of probes.
    pub(crate) fn len(&self) -> usize {
        self.probes.len()
    }

    /// Number of runs under way.
    pub(crate) fn in_flight(&self) -> usize {
        self.runs.len()
    }
}

/// The first point of the grid `from` + n x `step_us`, n >= 1, that is later than `now`.
fn grid_after(from: Mono, step_us: u64, now: Mono) -> Mono {
    let steps = (now.micros_since(from) / step_us.max(1)).saturating_add(1);
    Mono::from_micros(from.micros().saturating_add(step_us.saturating_mul(steps)))
}

/// Spreads consecutive numbers over all of them (the finaliser of splitmix64).
const fn scatter(number: u64) -> u64 {
    let mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

//! What we know of the peer: which of its frames count, and how fresh they are.
//!
//! A frame counts as *proven* when it echoes a stamp that this process made less than the dead time ago: nobody can
//! have recorded it before. No clock is compared; the age is measured on ours. Frames of one process are taken in
//! order only, and those of a process that came before the known one never again, so a replay changes nothing.
//!
//! ```text
//!  who sent it         is taken when
//!  the known process   it is newer than the last frame of that path
//!  another process     it is of a later boot, or of the same boot and newer than all before;
//!                      or the known one was silent for the dead time (its flash may have been replaced)
//! ```

use crate::model::{Millis, Mono};
use crate::wire::heartbeat::{Frame, Stamp};
use serde::{Deserialize, Serialize};

/// Paths at once: the networks and a serial line.
pub const PATHS_MAX: usize = crate::model::limits::HEARTBEAT_PATHS + 1;

/// Number of the serial line among the paths: behind all networks, so that it stays when those change.
pub const SERIAL_PATH: u8 = 4;
const _: () =
    assert!(crate::model::limits::HEARTBEAT_PATHS == 4, "the number of the serial line follows the networks");

/// What a frame was worth.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Worth {
    /// It is the peer's word of this moment.
    Proven,
    /// Authentic, but it does not show that the peer hears us.
    Unproven,
    /// Seen before, or older than what was seen.
    Old,
    /// Of another box with the peer's identity and our key.
    Twin,
}

/// One way to the peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Path {
    /// Newest stamp taken from it.
    last: Stamp,
    /// When the last proven frame came.
    pub proven: Option<Mono>,
    /// When the last frame came that was at least authentic and new.
    pub heard: Option<Mono>,
    /// Frames taken.
    pub frames: u64,
    /// Smoothed time from a question to its answer on this path.
    pub round_us: Option<u64>,
    /// Frames that other paths brought before the first one here.
    joined: u64,
    /// Sequence of the question that was measured last.
    measured: u64,
}

/// The newest process that was heard.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Newest {
    stamp: Stamp,
    boots: u32,
    at: Mono,
}

/// RFC 6298 section 2: one eighth of the new value.
fn smooth(old: Option<u64>, sample: u64) -> u64 {
    old.map_or(sample, |old| (old.saturating_mul(7).saturating_add(sample)) / 8)
}

/// The other node.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Random, made when this process started.
    nonce: u64,
    /// Sequence of the last frame made.
    made: u64,
    /// Echoes of earlier stamps prove nothing any more.
    fresh: u64,
    dead_time: Millis,
    newest: Option<Newest>,
    /// Its last proven frame, and when it came.
    word: Option<(Frame, Mono)>,
    paths: [Path; PATHS_MAX],
    /// When it was given up: what it said before does not count any more.
    buried: Option<Mono>,
    /// When an authentic frame came last that proved nothing.
    unproven: Option<Mono>,
    /// When another box with its identity was heard last.
    twin: Option<Mono>,
    /// Sequence of the question under way.
    asked: Option<u64>,
    /// Smoothed time from a question to its answer.
    round_us: Option<u64>,
    /// Frames that were old.
    old: u64,
    /// Different frames that were taken.
    different: u64,
}

impl Peer {
    pub(super) fn new(nonce: u64, dead_time: Millis) -> Self {
        Self {
            nonce,
            made: 0,
            fresh: 0,
            dead_time,
            newest: None,
            word: None,
            paths: [Path::default(); PATHS_MAX],
            buried: None,
            unproven: None,
            twin: None,
            asked: None,
            round_us: None,
            old: 0,
            different: 0,
        }
    }

    pub(super) fn set_dead_time(&mut self, dead_time: Millis) {
        self.dead_time = dead_time;
    }

    /// The stamp of a frame that is made now.
    pub(super) fn stamp(&mut self, now: Mono) -> Stamp {
        self.made = now.micros().max(self.made.saturating_add(1));
        Stamp { nonce: self.nonce, sequence: self.made }
    }

    /// What our frames echo.
    pub(super) fn echo(&self) -> Option<Stamp> {
        self.newest.map(|n| n.stamp)
    }

    /// When the last frame was made.
    pub(super) fn made(&self) -> Mono {
        Mono::from_micros(self.made)
    }

    /// What it said so far counts no more, nor what answers to frames made so far.
    pub(super) fn distrust(&mut self, now: Mono) {
        self.fresh = self.made.saturating_add(1);
        self.bury(now);
    }

    /// The frame just made is a question.
    pub(super) fn asking(&mut self) {
        self.asked = Some(self.made);
    }

    /// It is taken for dead; only a new frame brings it back.
    pub(super) fn bury(&mut self, now: Mono) {
        self.buried = Some(now);
    }

    /// Takes a frame that passed the guard.
    pub(super) fn take(&mut self, path: u8, frame: &Frame, now: Mono) -> Worth {
        if !self.counts(path, frame, now) {
            let live = self.echoes_us(frame, now);
            let other = self.newest.is_some_and(|n| n.stamp.nonce != frame.stamp.nonce);
            self.old = self.old.saturating_add(1);
            if live && other {
                self.twin = Some(now);
                return Worth::Twin;
            }
            return Worth::Old;
        }
        let newer = self
            .newest
            .is_none_or(|n| n.stamp.nonce != frame.stamp.nonce || frame.stamp.sequence > n.stamp.sequence);
        let before = self.different;
        if newer {
            self.different = self.different.saturating_add(1);
            self.newest = Some(Newest { stamp: frame.stamp, boots: frame.boots, at: now });
        }
        let proven = self.echoes_us(frame, now);
        if let Some(path) = self.paths.get_mut(usize::from(path)) {
            if path.frames == 0 {
                path.joined = before;
            }
            path.last = frame.stamp;
            path.heard = Some(now);
            path.frames = path.frames.saturating_add(1);
            if proven {
                path.proven = Some(now);
            }
        }
        if !proven {
            self.unproven = Some(now);
            return Worth::Unproven;
        }
        self.measure(path, frame, now);
        // A copy that took a slower path says nothing new, but that path works.
        if newer || self.word.is_none() {
            self.word = Some((frame.clone(), now));
        }
        Worth::Proven
    }

    fn counts(&self, path: u8, frame: &Frame, now: Mono) -> bool {
        let Some(path) = self.paths.get(usize::from(path)) else { return false };
        let Some(newest) = self.newest else { return true };
        let (stamp, sequence) = (frame.stamp, frame.stamp.sequence);
        if stamp.nonce == newest.stamp.nonce {
            return path.last.nonce != stamp.nonce || sequence > path.last.sequence;
        }
        let later = (frame.boots, sequence) > (newest.boots, newest.stamp.sequence);
        later || (!self.alive(now) && self.over(newest.at, now))
    }

    fn echoes_us(&self, frame: &Frame, now: Mono) -> bool {
        frame.echo.is_some_and(|echo| {
            echo.nonce == self.nonce
                && (self.fresh..=self.made).contains(&echo.sequence)
                && !self.over(Mono::from_micros(echo.sequence), now)
        })
    }

    fn measure(&mut self, path: u8, frame: &Frame, now: Mono) {
        let Some(asked) = self.asked.filter(|asked| frame.echo.is_some_and(|e| e.sequence == *asked)) else {
            return;
        };
        let sample = now.micros().saturating_sub(asked);
        let first = self.paths.iter().all(|p| p.measured != asked);
        if let Some(path) = self.paths.get_mut(usize::from(path)).filter(|p| p.measured != asked) {
            path.measured = asked;
            path.round_us = Some(smooth(path.round_us, sample));
        }
        if first {
            self.round_us = Some(smooth(self.round_us, sample));
        }
    }

    /// Frames that came over other paths and not over this one.
    pub fn missed(&self, path: u8) -> u64 {
        let Some(path) = self.paths.get(usize::from(path)) else { return 0 };
        self.different.saturating_sub(path.joined).saturating_sub(path.frames)
    }

    fn over(&self, at: Mono, now: Mono) -> bool {
        now >= at.after(self.dead_time)
    }

    /// When it last proved to be alive.
    pub fn proven(&self) -> Option<Mono> {
        self.paths.iter().filter_map(|p| p.proven).max()
    }

    /// Whether it proved to be alive within the dead time.
    pub fn alive(&self, now: Mono) -> bool {
        self.proven().is_some_and(|at| !self.over(at, now) && self.buried.is_none_or(|buried| at > buried))
    }

    /// Whether it is heard without proof that it hears us.
    pub fn one_way(&self, now: Mono) -> bool {
        self.unproven.is_some_and(|at| !self.over(at, now) && self.proven().is_none_or(|proven| proven < at))
    }

    /// Whether it may know that we hear it: it was heard within the dead time, with or without proof. Our next heartbeat
    /// echoes what came, and proves to it that we are there.
    pub fn heard(&self, now: Mono) -> bool {
        self.alive(now) || self.one_way(now)
    }

    /// When a second box with its identity was heard last.
    pub fn twin(&self) -> Option<Mono> {
        self.twin
    }

    /// Its last proven word.
    pub fn word(&self) -> Option<&Frame> {
        self.word.as_ref().map(|(frame, _)| frame)
    }

    /// When its last word came.
    pub fn word_at(&self) -> Option<Mono> {
        self.word.as_ref().map(|(_, at)| *at)
    }

    /// The ways to it, by number.
    pub fn paths(&self) -> &[Path] {
        &self.paths
    }

    /// Smoothed time from a question to its answer.
    pub fn round_us(&self) -> Option<u64> {
        self.round_us
    }

    /// Frames that were refused because they were old.
    pub fn old(&self) -> u64 {
        self.old
    }
}

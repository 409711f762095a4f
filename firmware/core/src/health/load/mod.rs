//! Weights that follow the load of a server, as Piranha's nanny had it with `uptime`, `ruptime` and `rup`.
//!
//! A source says a percentage of the configured weight, or a load average. Of that the percentage is `100 / load`: twice the
//! load is half the weight, whatever the number of processors, as long as the servers of a pool have equally many. The
//! percentage stays between `least` and `greatest` and moves by at most `step` in one interval, so that one wrong number
//! moves little. What an agent calls down or draining takes no connections at once. A source that is silent moves the weight
//! back to the configured one.

mod gauges;

pub(crate) use gauges::{Gauges, Saved, monitored};

use crate::model::check::{LoadMonitor, LoadSource};
use crate::model::choice::Chosen as _;
use crate::model::{Millis, Mono, Name};
use alloc::format;
use alloc::string::String;
use serde::{Deserialize, Serialize};

/// A number that a source told.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Reading {
    /// Load average over a minute, in thousandths.
    Average(u32),
    /// Percentage of the configured weight.
    Percent(u32),
}

/// Whether an agent wants connections for its server.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum Wish {
    /// It does.
    #[default]
    Up,
    /// No new ones.
    Drain,
    /// It says that the server does not work, or is being worked on.
    Down,
}

/// What a source said once.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Said {
    /// The number.
    pub reading: Option<Reading>,
    /// What it wishes; absent: what it wished before.
    pub wish: Option<Wish>,
    /// Connections that it takes at most.
    pub most: Option<u32>,
}

impl Reading {
    /// From text that begins with a number: `0.42`, `75%`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        /// Digits that count: more say nothing about a load.
        const DIGITS_MAX: usize = 6;
        let text = text.trim_start();
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, rest) = text.split_at_checked(end)?;
        let (whole, part) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() || whole.len() > DIGITS_MAX || part.contains('.') {
            return None;
        }
        let whole: u32 = whole.parse().ok()?;
        if rest.starts_with('%') {
            return Some(Self::Percent(whole));
        }
        let digit = |place: usize| part.as_bytes().get(place).map_or(0, |c| u32::from(c.wrapping_sub(b'0')));
        let thousandths =
            digit(0).saturating_mul(100).saturating_add(digit(1).saturating_mul(10)).saturating_add(digit(2));
        Some(Self::Average(whole.saturating_mul(1000).saturating_add(thousandths)))
    }

    /// The percentage of the configured weight that it means.
    #[must_use]
    pub const fn percent(self) -> u32 {
        match self {
            Self::Percent(percent) => percent,
            // No load is as good as the least one that is measured.
            Self::Average(0) => 100_000,
            Self::Average(thousandths) => 100_000 / thousandths,
        }
    }

    fn words(self) -> String {
        match self {
            Self::Percent(percent) => format!("{percent} percent"),
            Self::Average(thousandths) => {
                format!("load {}.{:02}", thousandths / 1000, thousandths % 1000 / 10)
            }
        }
    }
}

/// How a source moves a weight.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Rule {
    source: LoadSource,
    interval: Millis,
    least: u32,
    greatest: u32,
    step: u32,
    silence: Millis,
}

impl From<&LoadMonitor> for Rule {
    fn from(monitor: &LoadMonitor) -> Self {
        Self {
            source: monitor.source,
            interval: monitor.interval.max(Millis::new(1)),
            least: monitor.least.into(),
            greatest: monitor.greatest.into(),
            step: monitor.step.into(),
            silence: monitor.silence,
        }
    }
}

/// The state of one server's monitor.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Gauge {
    reading: Option<Reading>,
    wish: Wish,
    most: Option<u32>,
    /// When the source last said something.
    heard: Option<Mono>,
    /// Since when it is listened to.
    since: Mono,
    silent: bool,
    /// Percentage of the configured weight that counts.
    current: u32,
}

impl Gauge {
    const fn new(now: Mono) -> Self {
        let wish = Wish::Up;
        Self { reading: None, wish, most: None, heard: None, since: now, silent: false, current: 100 }
    }

    /// Takes what was said. Words for the log when a wish changed or a silence ended, and whether that is bad.
    fn hear(&mut self, said: &Said, now: Mono) -> Option<(String, bool)> {
        let was_silent = core::mem::take(&mut self.silent);
        self.heard = Some(now);
        self.reading = said.reading.or(self.reading);
        self.most = said.most.or(self.most);
        let wish = said.wish.unwrap_or(self.wish);
        let before = core::mem::replace(&mut self.wish, wish);
        if wish != Wish::Up {
            self.current = 0;
        }
        let words = match wish {
            _ if before == wish => return was_silent.then(|| (String::from("is heard again"), false)),
            Wish::Up => "wants connections again",
            Wish::Drain => "wants no new connections",
            Wish::Down => "says that the server is down",
        };
        Some((String::from(words), wish == Wish::Down))
    }

    fn target(&self, rule: &Rule) -> u32 {
        match (self.silent, self.wish, self.reading) {
            (true, _, _) | (false, Wish::Up, None) => 100,
            (false, Wish::Drain | Wish::Down, _) => 0,
            (false, Wish::Up, Some(reading)) => reading.percent().clamp(rule.least, rule.greatest),
        }
    }

    /// An interval is over. Says whether the weight moved, and words when the source has fallen silent.
    fn step(&mut self, rule: &Rule, now: Mono) -> (bool, Option<String>) {
        let quiet = self.heard.unwrap_or(self.since).after(rule.silence) <= now;
        let fell = quiet && !self.silent;
        if fell {
            self.silent = true;
            self.most = None;
        }
        let words = fell.then(|| format!("says nothing for {}: the configured weight holds", rule.silence));
        let target = self.target(rule);
        let from = if target == 0 { 0 } else { self.current.max(rule.least) };
        let before = self.current;
        self.current = target.clamp(from.saturating_sub(rule.step), from.saturating_add(rule.step));
        if target == 0 {
            self.current = 0;
        }
        (self.current != before, words)
    }

    /// The part of a weight that counts. A server that takes connections keeps at least 1.
    fn share(&self, weight: u32) -> u32 {
        if self.current == 0 || weight == 0 {
            return 0;
        }
        let part = u64::from(weight).saturating_mul(u64::from(self.current)) / 100;
        u32::try_from(part).unwrap_or(u32::MAX).clamp(1, crate::model::limits::WEIGHT_MAX)
    }
}

/// A monitor as it is shown.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LoadStatus {
    /// The server.
    pub server: Name,
    /// Where its load comes from.
    pub source: String,
    /// The last number, in words.
    pub reading: Option<String>,
    /// What an agent wishes.
    pub wish: Wish,
    /// When the source last said something.
    pub heard: Option<Mono>,
    /// It is silent, and the configured weight holds.
    pub silent: bool,
    /// Percentage of the configured weight that counts.
    pub percent: u32,
    /// Where the percentage goes, and between which bounds it stays, in percent.
    pub target: u32,
    /// Least.
    pub least: u32,
    /// Greatest.
    pub greatest: u32,
    /// Connections that an agent takes at most.
    pub most: Option<u32>,
}

fn status(server: &Name, gauge: &Gauge, rule: &Rule) -> LoadStatus {
    LoadStatus {
        server: server.clone(),
        source: String::from(rule.source.word()),
        reading: gauge.reading.map(Reading::words),
        wish: gauge.wish,
        heard: gauge.heard,
        silent: gauge.silent,
        percent: gauge.current,
        target: gauge.target(rule),
        least: rule.least,
        greatest: rule.greatest,
        most: gauge.most,
    }
}

#[cfg(test)]
mod tests;

//! What a job found.

use serde::{Deserialize, Serialize};
use std::fmt;

/// One line of `build/bench.json`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Figure {
    /// What was measured, as `job.what`.
    pub name: String,
    /// How much.
    pub value: f64,
    /// Of what: `ms`, `MiB`, `1/s`, ...
    pub unit: String,
    /// The same of the system that Director is compared with, in the same run.
    pub peer: Option<f64>,
    /// Ours divided by the peer's.
    pub ratio: Option<f64>,
    /// What is to be reached, in words.
    pub goal: Option<String>,
    /// Whether it was.
    pub met: Option<bool>,
}

impl Figure {
    /// A figure without peer and goal.
    #[must_use]
    pub fn new(name: impl Into<String>, value: f64, unit: &str) -> Self {
        Self { name: name.into(), value, unit: unit.into(), peer: None, ratio: None, goal: None, met: None }
    }

    /// With the peer's figure.
    #[must_use]
    pub fn beside(mut self, peer: f64) -> Self {
        self.peer = Some(peer);
        self.ratio = (peer > 0.0).then(|| self.value / peer);
        self
    }

    /// With what is to be reached, and whether it was.
    #[must_use]
    pub fn goal(mut self, goal: &str, met: bool) -> Self {
        self.goal = Some(goal.into());
        self.met = Some(met);
        self
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<44} {:>12.1} {:<6}", self.name, self.value, self.unit)?;
        if let (Some(peer), Some(ratio)) = (self.peer, self.ratio) {
            write!(f, " peer {peer:.1}, ratio {ratio:.2}")?;
        }
        if let (Some(goal), Some(met)) = (&self.goal, self.met) {
            write!(f, " goal {goal}: {}", if met { "met" } else { "NOT MET" })?;
        }
        Ok(())
    }
}

/// One line of `build/soak.json`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Round {
    /// What was repeated.
    pub name: String,
    /// First seed.
    pub seed: u64,
    /// How often.
    pub count: u64,
    /// How long it took.
    pub seconds: f64,
    /// What came out, in words.
    pub found: String,
    /// Whether all was well.
    pub passed: bool,
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, seed, count, seconds, found, passed } = self;
        let result = if *passed { "passed" } else { "FAILED" };
        write!(f, "{name:<28} {result} {count:>8} from seed {seed} in {seconds:.0} s: {found}")
    }
}

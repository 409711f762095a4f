//! What must hold of a commit on trial: it ends with its time, with a crash and with the power, and only a confirmation
//! makes it one that the box boots from.

use super::Sim;
use director_core::model::{Config, Millis, Mono};
use director_core::store::Generation;

/// How long after its time a trial may run while the flash is at the write that would end it.
const GRACE_US: u64 = 10_000_000;

/// What is asked of a trial.
#[derive(Clone, Copy, Debug)]
pub enum Asks {
    /// That one begins, or lasts this long from now on.
    Window(Millis),
    /// That what is on trial stays.
    Confirmation,
}

/// What runs and is not confirmed.
#[derive(Clone, Debug)]
pub struct OnTrial {
    /// Its number.
    pub generation: Generation,
    /// What it is.
    pub config: Config,
    /// When it ends.
    pub deadline: Mono,
}

impl Sim {
    /// What runs: what is on trial, or what is committed.
    pub fn running(&self) -> (Generation, &Config) {
        match &self.trial {
            Some(trial) => (trial.generation, &trial.config),
            None => (self.committed.0, &self.committed.1),
        }
    }

    pub(super) fn begins(&mut self, generation: Generation, config: Config, window: Millis) {
        self.note(format!("commit {generation} is on trial for {window}"));
        let stored = self.flash.get(&generation).map(|(_, config)| config);
        assert_eq!(stored, Some(&config), "what is stored is another one");
        self.ended();
        self.fell_back = false;
        self.seen.trials += 1;
        self.trial = Some(OnTrial { generation, config, deadline: self.now.after(window) });
    }

    pub(super) fn confirmed(&mut self, generation: Generation) {
        self.note(format!("{generation} is confirmed"));
        let trial = self.trial.take().expect("something is on trial");
        assert_eq!(generation, trial.generation, "another one is confirmed");
        assert!(self.now.micros() <= trial.deadline.micros() + GRACE_US, "confirmed too late");
        self.committed = (generation, trial.config);
        self.seen.confirmed += 1;
    }

    /// The record of what is on trial becomes good only when somebody asked for it.
    pub(super) fn may_be_good(&self, generation: Generation) {
        let on_trial = self.trial.as_ref().is_some_and(|t| t.generation == generation);
        let asked =
            self.open.values().any(|a| a.config.is_some() || matches!(a.trial, Some(Asks::Confirmation)));
        let outlived = self.committed.0 > generation;
        assert!(!on_trial || asked || outlived, "nobody confirmed {generation}, which becomes good");
    }

    /// Every console was told something.
    pub(super) fn told(&mut self, text: &str) {
        self.note(format!("told: {text}"));
        if !text.contains("was not confirmed in time") {
            let known = text.contains("persistent server actions")
                || text.contains("is on trial")
                || text.contains("was confirmed");
            return assert!(known, "nothing to tell: {text}");
        }
        let deadline = self.trial.as_ref().expect("something is on trial").deadline;
        assert!(self.now >= deadline, "ended before its time");
        self.ended();
        self.seen.expired += 1;
        self.fell_back = true;
    }

    fn ended(&mut self) {
        if let Some(trial) = self.trial.take() {
            self.tried.push_back((self.now, trial.config));
        }
    }

    /// What the next process finds of a trial.
    pub(super) fn trial_at_start(&mut self, asked: bool) -> Option<(Generation, Box<Config>)> {
        self.seen.crashed += u32::from(self.trial.is_some());
        self.ended();
        self.fell_back = false;
        let saved = self.checkpoint.as_ref()?.trial?;
        let newer = saved.generation > self.committed.0;
        let found = self.flash.get(&saved.generation).filter(|_| asked).map(|(_, config)| config.clone());
        match &found {
            Some(config) if newer => {
                let (generation, config) = (saved.generation, config.clone());
                self.seen.resumed += 1;
                self.trial = Some(OnTrial { generation, config, deadline: saved.deadline });
            }
            _ => self.fell_back = newer,
        }
        found.map(|config| (saved.generation, Box::new(config)))
    }

    pub(super) fn no_trial_outlives_its_time(&self) {
        let (Some(trial), Some(_)) = (&self.trial, &self.director) else { return };
        let late = self.now.micros().saturating_sub(trial.deadline.micros());
        let writes = self.open.values().any(|a| a.config.is_some() || a.trial.is_some());
        assert!(late == 0 || (writes && late <= GRACE_US), "{} is on trial after its time", trial.generation);
    }
}

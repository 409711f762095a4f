//! What was committed, by whom, on top of what; and what must hold of it.
//!
//! ```text
//! C1  what was answered as committed on both is good in both flashes, and stays so
//! C2  what was answered as refused is good in no flash, then or later
//! C3  what a box boots with is replaced only by what was made on top of it, unless an operator chose between two
//! C4  after all faults both boxes have the same, or two of which none was made on top of the other; then an operator's word
//!     makes them one
//! C5  after all faults what was done to servers by hand is the same on both
//! ```
//!
//! Each configuration has a number of its own in its host name.

use super::node::Power;
use super::world::World;
use director_core::director::protocol::{
    ClusterAction, CommitOptions, Reply, Request, ServerAction, SessionId,
};
use director_core::model::{Config, Millis};
use director_core::overrides::Forced;
use director_core::store::record::SlotState;
use director_core::store::{Generation, StoreError};
use std::collections::{BTreeMap, BTreeSet};

/// Asks for the configuration that a commit is made from.
pub const CANDIDATE: SessionId = SessionId(2);
/// Commits come from consoles with numbers from here on.
const FIRST: u32 = 1000;
/// How long after an operator's word a box may change to what was not made on top of its own.
const RESOLVE_US: u64 = 120_000_000;

/// All commits.
#[derive(Debug, Default)]
pub struct Book {
    /// What each was made on top of.
    parents: BTreeMap<u32, u32>,
    /// Answered as refused.
    refused: BTreeSet<u32>,
    /// Answered as committed, on this box.
    answered: BTreeSet<(usize, Generation, u32)>,
    resolved: Option<u64>,
    /// Commits that both have.
    pub both: u32,
    /// Pairs that differed at the end.
    pub apart: u32,
}

/// The number of a configuration.
fn number(config: &Config) -> u32 {
    let name = config.primary.hostname.as_ref().expect("it has one").to_string();
    name.strip_prefix('m').and_then(|n| n.parse().ok()).unwrap_or(0)
}

impl Book {
    /// An operator chooses between two.
    pub fn resolve(&mut self, now: u64) {
        self.resolved = Some(now);
    }

    fn made_on(&self, mut later: u32, earlier: u32) -> bool {
        while later > earlier {
            later = self.parents.get(&later).copied().unwrap_or(0);
        }
        later == earlier
    }
}

impl World {
    fn boots(&self, n: usize) -> (Generation, u32) {
        self.nodes[n].good().map(|(generation, config)| (generation, number(config))).expect("never empty")
    }

    /// The flash writes.
    pub fn write(
        &mut self,
        n: usize,
        generation: Generation,
        state: SlotState,
        config: Option<Config>,
    ) -> Result<(), StoreError> {
        let (newest, before) = self.boots(n);
        let flash = &mut self.nodes[n].flash;
        match config {
            Some(_) if generation <= newest => {
                return Err(StoreError::OldGeneration { wanted: generation, newest });
            }
            Some(config) => drop(flash.insert(generation, (state, config))),
            None => flash.get_mut(&generation).ok_or(StoreError::NoSuchGeneration(generation))?.0 = state,
        }
        let (booted, after) = self.boots(n);
        assert!(booted >= newest, "a good record was taken back: {newest} to {booted}");
        if after != before {
            self.note(format!("lvs{} has m{after} in flash as {booted} in place of m{before}", n + 1));
            assert!(!self.book.refused.contains(&after), "C2: m{after} was refused");
            let chosen = self.book.resolved.is_some_and(|at| self.now < at + RESOLVE_US);
            assert!(
                chosen || self.book.made_on(after, before),
                "C3: m{before} was replaced by m{after}, which was not made on top of it"
            );
        }
        for (box_, generation, made) in &self.book.answered {
            let kept = |n: usize| {
                let record = self.nodes[n].flash.get(generation);
                record.is_some_and(|(state, config)| *state == SlotState::Good && number(config) == *made)
            };
            assert!(*box_ != n || kept(n), "C1: commit {generation} (m{made}) is lost on lvs{}", n + 1);
        }
        Ok(())
    }

    /// A console got its answer.
    pub fn replied(&mut self, n: usize, session: SessionId, reply: Reply) {
        if session == CANDIDATE
            && let Reply::Config { generation, config } = reply
        {
            return self.candidate(n, generation, config);
        }
        let Some(made) = session.0.checked_sub(FIRST) else {
            if let Reply::Refused { reason, .. } = reply {
                self.note(format!("lvs{} refuses: {reason}", n + 1));
            }
            return;
        };
        match reply {
            Reply::Committed { generation, findings, .. } => {
                let alone = findings.iter().any(|f| f.message.contains("this box"));
                self.acknowledged(n, generation, made, alone);
            }
            Reply::Confirmed { generation } => {
                // What it is worth on the other box was said on the console, not in the answer. It confirms whatever is on
                // trial by now, which may be a later commit than the one that this session made.
                let kept = self.nodes[n].flash.get(&generation).map(|(_, config)| number(config));
                self.acknowledged(n, generation, kept.unwrap_or(made), true);
            }
            Reply::OnTrial { window, .. } => {
                self.note(format!("lvs{}: m{made} is on trial for {window}", n + 1));
                if self.rng.chance(60) {
                    let after = self.rng.between(0, 6_000_000);
                    let request = Box::new(Request::Confirm);
                    let event = director_core::director::Event::Request { session, request };
                    self.post(n, after, super::world::Item::Event(event));
                }
            }
            Reply::Refused { reason, .. } => {
                self.note(format!("lvs{}: m{made} refused: {reason}", n + 1));
                // A confirmation that is refused says nothing of the commit, which may be good by then.
                let confirms = reason.contains("waits for a confirmation") || reason.contains("confirm");
                let good = |n: usize| {
                    let mut records = self.nodes[n].flash.values();
                    records.any(|(state, config)| *state == SlotState::Good && number(config) == made)
                };
                if !confirms {
                    assert!(!good(0) && !good(1), "C2: m{made} was refused, and is good in flash");
                    self.book.refused.insert(made);
                }
            }
            _ => {}
        }
    }

    fn acknowledged(&mut self, n: usize, generation: Generation, made: u32, alone: bool) {
        self.note(format!("lvs{}: m{made} committed as {generation}, alone {alone}", n + 1));
        for node in if alone { n..n + 1 } else { 0..2 } {
            let record = self.nodes[node].flash.get(&generation);
            let kept = record.is_some_and(|(state, c)| *state == SlotState::Good && number(c) == made);
            assert!(kept, "C1: m{made} is committed as {generation}, and lvs{} does not have it", node + 1);
            self.book.answered.insert((node, generation, made));
        }
        self.book.both += u32::from(!alone);
    }

    fn candidate(&mut self, n: usize, base: Generation, mut config: Config) {
        let made = self.book.parents.keys().next_back().copied().unwrap_or(0) + 1;
        self.book.parents.insert(made, number(&config));
        config.primary.hostname = Some(format!("m{made}").parse().expect("a name"));
        let local = !self.linked() && self.rng.chance(60);
        let confirm = self.rng.chance(25).then(|| Millis::from_secs(5));
        let word = if local { "commit local" } else { "commit" };
        self.note(format!("operator on lvs{}: {word} m{made} on {base}", n + 1));
        let options = CommitOptions { local, confirm, agreed: true, ..CommitOptions::default() };
        self.ask_as(n, SessionId(FIRST + made), Request::Commit { base, config, options });
    }

    /// An operator drains or frees the server.
    pub fn drain(&mut self, n: usize) {
        let forced = if self.rng.chance(70) { Forced::Drain } else { Forced::Normal };
        self.note(format!("operator on lvs{}: server {forced:?}", n + 1));
        let server = "rs1".parse().expect("a name");
        let action =
            ServerAction { server, pool: None, forced, lasts: None, persistent: false, agreed: true };
        self.ask(n, Request::Server(action));
    }

    /// After all faults.
    pub fn agreed(&mut self) {
        assert!(self.linked(), "C4: no connection");
        let (first, second) = (self.boots(0).1, self.boots(1).1);
        if first != second {
            let book = &self.book;
            let follows = book.made_on(first, second) || book.made_on(second, first);
            assert!(!follows, "C4: m{first} and m{second} differ, and one follows the other");
            self.book.apart += 1;
            self.book.resolve(self.now);
            let n = usize::from(self.rng.chance(50));
            let take = self.rng.chance(50);
            self.ask(n, Request::Cluster(if take { ClusterAction::Take } else { ClusterAction::Give }));
            self.advance(3_000_000);
            let kept = if (n == 0) == take { second } else { first };
            assert_eq!(
                (self.boots(0).1, self.boots(1).1),
                (kept, kept),
                "C4: an operator's word did not help"
            );
        }
        let overrides = |n: usize| {
            let checkpoint = self.nodes[n].checkpoint.as_ref().expect("it has one");
            checkpoint.overrides.to_share(director_core::model::Mono::ZERO)
        };
        if self.nodes.iter().all(|node| node.power == Power::Up) {
            assert_eq!(overrides(0), overrides(1), "C5: what was done by hand differs");
        }
    }
}

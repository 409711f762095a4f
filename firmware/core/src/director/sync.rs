//! One configuration for both boxes: the director's side of [`crate::sync`].
//!
//! Level-triggered: each box tells the other what it runs whenever that changes, and whoever sees a difference asks its own
//! flash whether the other's configuration is one that it had before. If so the other is behind, and is given the
//! newer one. If neither is behind, both were changed while apart: nothing happens until an operator says
//! `cluster configuration take` or `give`.

mod commit;
mod table;

pub(super) use commit::turn_answers;

use super::Director;
use super::event::{Effect, Level};
use super::protocol::{Recall, Recalled, Reply, SessionId};
use super::requests::answer;
use crate::model::Mono;
use crate::store::blob::SCHEMA;
use crate::store::{Generation, StoreError};
use crate::sync::{Message, State};
use crate::wire::heartbeat::Running;
use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use commit::Held;
use table::After;

/// Stands for the peer where a console's number stands. Consoles are numbered from 1.
pub(super) const PEER: SessionId = SessionId(u32::MAX);
/// The same for this box itself.
const SELF: SessionId = SessionId(u32::MAX - 1);
/// Why a commit that the peer was asked to try ends.
pub(super) const NO_ANSWER: &str = "the other box does not answer";

/// The connection to the peer, and what is going on over it.
#[derive(Debug, Default)]
pub(super) struct Sync {
    up: bool,
    /// It was there since this process started.
    seen: bool,
    /// How things stand there.
    peer: Option<State>,
    /// What it was told last of how they stand here.
    told: Option<State>,
    /// What the peer wants us to run: under way, or on trial.
    pub(super) proposal: Option<Generation>,
    /// An answer that waits until the peer has kept the configuration, too.
    held: Option<Held>,
    /// Ours and the peer's, while the flash is asked whether ours comes after the peer's.
    asked: Option<(Running, Running)>,
    /// What it said.
    judged: Option<((Running, Running), Relation)>,
    /// Connections that the peer sent since the connection is there.
    table: Option<u32>,
    /// The peer was asked for them.
    wanted: bool,
    /// Until when they are waited for before a role is claimed back.
    gate: Option<Mono>,
    /// What waits until they are sent.
    after: Option<(After, Mono)>,
}

/// Why boxes of different firmware do not share a commit. What one writes the other does not read, or reads as something
/// with another hash: so they are not compared either, and each runs what both had when the first was upgraded.
fn other_firmware(schema: u16) -> String {
    alloc::format!(
        "the other box's firmware writes configurations in schema {schema}, this one in {SCHEMA}: upgrade both first"
    )
}

/// How a configuration of ours stands to another one of the peer's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Relation {
    /// The peer's is one that we had before.
    Newer,
    /// As [`Self::Newer`], and giving it to the peer was tried.
    Given,
    /// Not so; the peer may know better.
    Unknown,
}

impl Sync {
    /// Whether a commit waits for the peer's last word.
    pub(super) fn busy(&self) -> bool {
        self.held.is_some()
    }

    pub(super) fn next_deadline(&self) -> Option<Mono> {
        let held = self.held.as_ref().map(|h| h.until);
        let after = self.after.map(|(_, until)| until);
        let gate = self.gate.filter(|until| *until != Mono::ZERO);
        [held, after, gate].into_iter().flatten().min()
    }
}

impl Director {
    /// What this box runs.
    fn running(&self) -> Running {
        Running { generation: self.generation.0, hash: self.cluster.running.hash }
    }

    pub(super) fn sync_up(&self) -> bool {
        self.sync.up
    }

    /// The peer is connected, and nothing is under way or on trial here.
    pub(super) fn sync_rests(&self) -> bool {
        self.sync.up && self.at_rest()
    }

    /// Whether both boxes have nothing under way, so that something can be begun on both.
    pub(super) fn other_is_there(&self) -> Result<&State, String> {
        let peer = self.sync.peer.as_ref().filter(|_| self.sync.up);
        let peer = peer.ok_or("the other box cannot be reached: show cluster")?;
        if peer.settled && self.at_rest() {
            Ok(peer)
        } else {
            Err("a commit is under way or on trial; try again in a moment".to_string())
        }
    }

    /// Nothing is under way or on trial.
    fn at_rest(&self) -> bool {
        self.transaction.is_none() && self.trial.is_none() && !self.sync.busy() && !self.stopping
    }

    pub(super) fn tell_peer(&self, message: Message, out: &mut Vec<Effect>) {
        if self.sync.up {
            out.push(Effect::Tell(Box::new(message)));
        }
    }

    pub(super) fn on_linked(&mut self, up: bool, now: Mono, out: &mut Vec<Effect>) {
        let was = core::mem::replace(&mut self.sync.up, up);
        (self.sync.peer, self.sync.told, self.sync.judged, self.sync.asked) = (None, None, None, None);
        (self.sync.table, self.sync.wanted) = (None, false);
        self.rolling.forget_told();
        if was {
            self.peer_lost(now, out);
            self.rollout_unlinked(now, out);
        }
        if up {
            self.sync.seen = true;
            self.log(Level::Info, "cluster: connected to the peer: configurations are compared", out);
            self.tell_overrides(now, out);
            self.want_table(now, out);
        } else if was {
            self.log(Level::Notice, "cluster: the connection to the peer is lost", out);
        }
    }

    /// Tells the peer how things stand here, when that changed, and looks whether both run the same. Called after every event.
    pub(super) fn say_state(&mut self, now: Mono, out: &mut Vec<Effect>) {
        self.cluster.running.generation = self.generation.0;
        if !self.sync.up {
            return;
        }
        let state =
            State { schema: SCHEMA, newest: self.newest, running: self.running(), settled: self.at_rest() };
        if self.sync.told.as_ref() != Some(&state) {
            self.sync.told = Some(state.clone());
            self.tell_peer(Message::State(state), out);
        }
        self.compare(now, out);
    }

    fn compare(&mut self, now: Mono, out: &mut Vec<Effect>) {
        let Some(peer) = self.sync.peer.as_ref().filter(|p| p.settled && p.schema == SCHEMA) else {
            return;
        };
        if !self.at_rest() || self.sync.asked.is_some() {
            return;
        }
        let both = (self.running(), peer.running);
        if both.0.hash == both.1.hash {
            return;
        }
        match self.sync.judged {
            Some((judged, Relation::Newer)) if judged == both => {
                self.sync.judged = Some((both, Relation::Given));
                self.give(SELF, now, out);
            }
            Some((judged, Relation::Given | Relation::Unknown)) if judged == both => {}
            Some(_) | None => {
                self.log(Level::Warning, "cluster: the two boxes run different configurations", out);
                if self.start.flash {
                    self.sync.asked = Some(both);
                    let running = self.generation;
                    out.push(Effect::Recall { session: PEER, what: Recall::Lineage, running });
                } else {
                    self.sync.judged = Some((both, Relation::Unknown));
                }
            }
        }
    }

    /// The flash said what this box had before.
    pub(super) fn lineage_read(
        &mut self,
        result: Result<Recalled, StoreError>,
        now: Mono,
        out: &mut Vec<Effect>,
    ) {
        let Some(both) = self.sync.asked.take() else { return };
        let (ours, theirs) = both;
        let newer = match result {
            Ok(Recalled::Lineage(all)) => {
                theirs.generation < ours.generation && all.contains(&ours) && all.contains(&theirs)
            }
            // Excluded by what was asked.
            Ok(_) | Err(_) => false,
        };
        self.sync.judged = Some((both, if newer { Relation::Newer } else { Relation::Unknown }));
        self.compare(now, out);
    }

    /// `cluster configuration take`.
    pub(super) fn take(&self, out: &mut Vec<Effect>) -> Result<String, String> {
        self.other_runs_another()?;
        self.tell_peer(Message::Give, out);
        Ok("the other box is asked for its configuration: show cluster".to_string())
    }

    /// Refuses when there is nothing to take or give.
    fn other_runs_another(&self) -> Result<(), String> {
        let peer = self.other_is_there()?;
        if peer.schema != SCHEMA {
            return Err(other_firmware(peer.schema));
        }
        if peer.running.hash == self.cluster.running.hash {
            return Err("both boxes run the same configuration".to_string());
        }
        Ok(())
    }

    /// `cluster configuration give`, or what the peer asks for, or has to get because it is behind.
    pub(super) fn give(&mut self, session: SessionId, now: Mono, out: &mut Vec<Effect>) {
        if let Err(reason) = self.other_runs_another() {
            return answer(session, Reply::Refused { reason, findings: Vec::new() }, out);
        }
        let comment = "the same on both boxes".parse().unwrap_or_default();
        let options = super::protocol::CommitOptions { comment, agreed: true, ..Default::default() };
        let config = self.config.clone();
        self.begin(session, config, Vec::new(), options, true, now, out);
    }

    pub(super) fn on_told(&mut self, message: Message, now: Mono, out: &mut Vec<Effect>) {
        if !self.sync.up {
            return;
        }
        match message {
            Message::State(state) => self.sync.peer = Some(state),
            Message::Propose(proposal) => self.participate(&proposal, now, out),
            Message::Ready(generation) => self.peer_ready(generation, now, out),
            Message::Refused { generation, reason } => self.peer_refused(generation, &reason, now, out),
            Message::Keep(generation) => self.keep_proposed(generation, now, out),
            Message::Kept(generation) => self.peer_kept(generation, None, out),
            Message::Drop(generation) => self.drop_proposed(generation, now, out),
            Message::Give => {
                self.log(Level::Notice, "cluster: the other box asks for this box's configuration", out);
                self.give(SELF, now, out);
            }
            Message::Overrides { version, list } => self.peer_overrides(version, list, now, out),
            Message::WantTable => self.send_table(out),
            Message::TableSent(connections) => self.table_received(connections, now, out),
            Message::Rollout(rollout) => self.rollout_told(rollout, now, out),
            Message::Bundle(bundle) => self.bundle_told(bundle, now, out),
        }
    }

    /// How the two configurations stand, in words.
    pub(super) fn configuration_words(&self) -> String {
        let Some(peer) = self.sync.peer.as_ref().filter(|_| self.sync.up) else {
            return "not compared: no connection to the peer".to_string();
        };
        if peer.schema != SCHEMA {
            return alloc::format!("not compared: {}", other_firmware(peer.schema));
        }
        let (ours, theirs) = (self.generation, peer.running.generation);
        if peer.running.hash == self.cluster.running.hash {
            return alloc::format!("the same on both, generation {ours}");
        }
        if !(peer.settled && self.at_rest()) {
            return "a commit is under way or on trial".to_string();
        }
        alloc::format!("different: generation {ours} here, {theirs} there")
    }

    /// Nothing of the peer's is under way or on trial any more.
    pub(super) fn forget_proposal(&mut self) {
        if self.transaction.is_none() && self.trial.is_none() {
            self.sync.proposal = None;
        }
    }

    /// What is wrong between the configurations of both boxes.
    pub(super) fn sync_alarm(&self) -> Option<String> {
        let comparable = |p: &&State| self.sync.up && p.settled && p.schema == SCHEMA && self.at_rest();
        let peer = self.sync.peer.as_ref().filter(comparable)?;
        (peer.running.hash != self.cluster.running.hash).then(|| {
            "the two boxes run different configurations: \"cluster configuration take\" or \"give\" makes them one"
                .to_string()
        })
    }
}

//! A commit on both boxes. What is said when: [`crate::sync`].

use super::super::Director;
use super::super::commit::{APPLY_TIMEOUT, Stage, Transaction};
use super::super::event::{Effect, Level};
use super::super::protocol::{CommitOptions, Reply, SessionId};
use super::super::requests::{answer, has_errors};
use super::super::rollout::{BUNDLE, bundle_answer};
use super::super::trial::{CONFIRM_MAX, Trial, With};
use super::{PEER, SELF};
use crate::election::Election;
use crate::model::validate::{Finding, Severity};
use crate::model::{Millis, Mono};
use crate::store::blob::{self, SCHEMA};
use crate::store::record::SlotState;
use crate::store::{Commit, Generation};
use crate::sync::{Message, Proposal};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// How long the peer may take to try a configuration: what its kernel may take, and its flash.
const TRY_MAX: Millis = Millis::from_secs(75);
/// How long the peer keeps a configuration on trial: what this box may take after it.
const WINDOW: Millis = Millis::from_secs(90);
/// How long the peer may take to mark its record good.
const KEEP_MAX: Millis = Millis::from_secs(10);

/// An answer that waits for the peer.
#[derive(Debug)]
pub(in super::super) struct Held {
    session: SessionId,
    generation: Generation,
    reply: Reply,
    pub(super) until: Mono,
}

impl Director {
    /// The number of the next commit: one that neither box has used.
    pub(in super::super) fn next_generation(&self, shared: bool) -> Generation {
        let peer = self.sync.peer.as_ref().filter(|_| shared).map_or(Generation(0), |p| p.newest);
        Generation(self.newest.max(peer).0.saturating_add(1))
    }

    /// Whether a commit is for both boxes, or why it cannot be.
    pub(in super::super) fn sharing(
        &self,
        local: bool,
        findings: &mut Vec<Finding>,
        now: Mono,
    ) -> Result<bool, String> {
        if self.cluster.listen.as_ref().is_none_or(|l| l.credentials.is_none()) {
            return Ok(false);
        }
        if !self.sync.up {
            let heard = self.cluster.election.as_ref().is_some_and(|e: &Election| e.peer().alive(now));
            if !local && (heard || self.sync.seen) {
                return Err(
                    "the other box cannot be reached: \"commit local\" commits on this box alone, and the \
                     other gets it when it is back"
                        .to_string(),
                );
            }
            findings.push(Finding {
                severity: Severity::Warning,
                path: String::new(),
                message: "on this box alone: the other box is not there, and gets it when it is".to_string(),
            });
            return Ok(false);
        }
        if local {
            return Err("the other box is there: \"commit\" commits on both".to_string());
        }
        let peer = self.sync.peer.as_ref();
        let peer = peer.ok_or("the other box has not said yet what it runs; try again in a moment")?;
        if peer.schema != SCHEMA {
            return Err(super::other_firmware(peer.schema));
        }
        if !peer.settled && !self.trial.as_ref().is_some_and(|t| t.with == With::Peer) {
            return Err("a commit is under way or on trial on the other box".to_string());
        }
        if peer.running.hash != self.cluster.running.hash {
            return Err(
                "the other box runs another configuration: \"cluster configuration take\" or \"give\" first"
                    .to_string(),
            );
        }
        Ok(true)
    }

    /// Asks the peer to try the transaction's configuration first.
    pub(in super::super) fn propose(&mut self, now: Mono, out: &mut Vec<Effect>) {
        let base = self.sync.peer.as_ref().map(|p| p.running).unwrap_or_default();
        let Some(transaction) = &mut self.transaction else { return };
        transaction.until = now.after(TRY_MAX);
        let commit = Commit {
            at_unix_s: 0,
            comment: transaction.options.comment.clone(),
            config: (*transaction.other).clone(),
        };
        let window = if transaction.options.confirm.is_some() { CONFIRM_MAX } else { WINDOW };
        let proposal = Proposal {
            generation: transaction.generation,
            base,
            schema: SCHEMA,
            commit: blob::encode(&commit),
            window: window.plus(WINDOW),
        };
        self.tell_peer(Message::Propose(proposal), out);
    }

    /// The transaction that waits for the peer to try this.
    fn asking(&self, generation: Generation) -> bool {
        let asks = |t: &Transaction| t.stage == Stage::Asking && t.generation == generation;
        self.transaction.as_ref().is_some_and(asks)
    }

    pub(super) fn peer_ready(&mut self, generation: Generation, now: Mono, out: &mut Vec<Effect>) {
        if self.asking(generation) {
            self.save_new(now, out);
        }
    }

    pub(super) fn peer_refused(
        &mut self,
        generation: Generation,
        reason: &str,
        now: Mono,
        out: &mut Vec<Effect>,
    ) {
        let ours = |t: &Transaction| t.shared && t.generation == generation && t.stage != Stage::Marking;
        if self.transaction.as_ref().is_some_and(ours) {
            self.take_back(&format!("the other box: {reason}"), now, out);
        } else {
            self.peer_kept(generation, Some(reason), out);
        }
    }

    /// The peer did its last part, or says why not.
    pub(super) fn peer_kept(&mut self, generation: Generation, failed: Option<&str>, out: &mut Vec<Effect>) {
        let Some(mut held) = self.sync.held.take_if(|h| h.generation == generation) else { return };
        if let Some(why) = failed {
            let message = format!("only this box has it for sure ({why}); the other gets it when it is back");
            self.log(Level::Warning, format!("commit {generation}: {message}"), out);
            if let Reply::Committed { findings, .. } = &mut held.reply {
                findings.push(Finding { severity: Severity::Warning, path: String::new(), message });
            } else {
                out.push(Effect::Notify { but: None, text: format!("Commit {generation}: {message}.") });
            }
        }
        answer(held.session, held.reply, out);
    }

    /// A commit is good here. One that the peer has too is answered when it is good there.
    pub(in super::super) fn acknowledge(
        &mut self,
        (session, generation, shared): (SessionId, Generation, bool),
        reply: Reply,
        now: Mono,
        out: &mut Vec<Effect>,
    ) {
        if session == PEER {
            self.sync.proposal = None;
        }
        if !shared {
            return answer(session, reply, out);
        }
        self.tell_peer(Message::Keep(generation), out);
        let until = now.after(KEEP_MAX);
        let up = self.sync.up;
        self.sync.held = Some(Held { session, generation, reply, until });
        if !up {
            self.peer_kept(generation, Some("the connection to the other box is lost"), out);
        }
    }

    /// A transaction ends without being good: the peer goes back, too.
    pub(in super::super) fn drop_shared(&self, transaction: &Transaction, out: &mut Vec<Effect>) {
        if transaction.shared {
            self.tell_peer(Message::Drop(transaction.generation), out);
        }
    }

    /// The connection is gone: what was not decided is taken back on both sides.
    pub(super) fn peer_lost(&mut self, now: Mono, out: &mut Vec<Effect>) {
        let undecided = |t: &Transaction| (t.shared || t.session == PEER) && t.stage != Stage::Marking;
        if self.transaction.as_ref().is_some_and(undecided) {
            self.take_back("the connection to the other box is lost", now, out);
        }
        if let Some(generation) = self.sync.held.as_ref().map(|h| h.generation) {
            self.peer_kept(generation, Some("the connection to the other box is lost"), out);
        }
        if let Some(generation) = self.sync.proposal {
            self.drop_proposed(generation, now, out);
        }
    }

    /// Tries what the peer proposes.
    pub(super) fn participate(&mut self, proposal: &Proposal, now: Mono, out: &mut Vec<Effect>) {
        let generation = proposal.generation;
        match self.proposed(proposal) {
            Err(reason) => {
                // What it believed of this box may be old.
                self.sync.told = None;
                self.tell_peer(Message::Refused { generation, reason }, out);
            }
            Ok(commit) => {
                self.newest = generation;
                self.sync.proposal = Some(generation);
                self.transaction = Some(Transaction {
                    session: PEER,
                    generation,
                    other: Box::new(commit.config),
                    findings: Vec::new(),
                    shared: false,
                    options: CommitOptions {
                        comment: commit.comment,
                        confirm: Some(proposal.window),
                        agreed: true,
                        local: false,
                    },
                    stage: Stage::Saving,
                    operations: 0,
                    after_batch: 0,
                    failing_before: Vec::new(),
                    until: now,
                });
                self.save_new(now, out);
            }
        }
    }

    fn proposed(&self, proposal: &Proposal) -> Result<Commit, String> {
        if self.stopping || self.resetting {
            return Err("it is stopping".to_string());
        }
        let own_trial = self.trial.as_ref().is_some_and(|t| t.with != With::ForPeer);
        if self.transaction.is_some() || own_trial || self.sync.busy() {
            return Err("a commit is under way or on trial there".to_string());
        }
        if proposal.base.hash != self.cluster.running.hash {
            return Err("it runs another configuration by now".to_string());
        }
        if proposal.generation <= self.newest {
            return Err(format!("it has used the number {} already; commit again", proposal.generation));
        }
        let commit = blob::decode(proposal.schema, &proposal.commit)
            .map_err(|error| format!("it cannot read the configuration: {error}"))?;
        if self.reconcile.observed().is_none() {
            return Err("its devices are not known yet; try again in a moment".to_string());
        }
        let findings = self.findings(&commit.config);
        if has_errors(&findings) {
            let first = findings.iter().find(|f| f.severity == Severity::Error);
            return Err(first.map_or_else(String::new, |f| format!("{}: {}", f.path, f.message)));
        }
        Ok(commit)
    }

    /// The peer decided: its record is good.
    pub(super) fn keep_proposed(&mut self, generation: Generation, now: Mono, out: &mut Vec<Effect>) {
        let on_trial = |t: &&mut Trial| t.with == With::ForPeer && t.generation == generation;
        match self.trial.as_mut().filter(on_trial) {
            Some(trial) if trial.confirming.is_none() => {
                trial.confirming = Some(PEER);
                if self.start.flash {
                    self.mark(generation, SlotState::Good, out);
                } else {
                    self.confirmation_saved(Ok(()), now, out);
                }
            }
            Some(_) => {}
            None => {
                let reason = "it went back to its own configuration meanwhile".to_string();
                self.tell_peer(Message::Refused { generation, reason }, out);
            }
        }
    }

    /// The peer does not want it any more, or is gone.
    pub(super) fn drop_proposed(&mut self, generation: Generation, now: Mono, out: &mut Vec<Effect>) {
        if self.sync.proposal != Some(generation) {
            return;
        }
        if self.transaction.as_ref().is_some_and(|t| t.session == PEER && t.stage != Stage::Marking) {
            self.take_back("the other box does not go on with it", now, out);
        }
        // One that is being kept is decided.
        let on_trial = |t: &Trial| t.with == With::ForPeer && t.confirming.is_none();
        if self.trial.as_ref().is_some_and(on_trial) {
            self.go_back(now, out);
        }
        self.sync.proposal = None;
    }

    /// An answer was waited for long enough.
    pub(super) fn held_deadline(&mut self, now: Mono, out: &mut Vec<Effect>) {
        let due = self.sync.held.as_ref().filter(|h| h.until <= now).map(|h| h.generation);
        if let Some(generation) = due {
            self.peer_kept(generation, Some(super::NO_ANSWER), out);
        }
    }
}

/// Answers to the peer become messages, those to this box itself log lines.
pub(in super::super) fn turn_answers(proposal: Option<Generation>, out: &mut [Effect]) {
    for effect in out {
        let Effect::Reply { session, reply } = effect else { continue };
        if *session == BUNDLE {
            if let Some(told) = bundle_answer(reply) {
                *effect = told;
            }
            continue;
        }
        let log = |level, text| Effect::Log { level, text };
        *effect = match (*session, &mut **reply) {
            (PEER, Reply::OnTrial { generation, .. }) => Effect::Tell(Box::new(Message::Ready(*generation))),
            (PEER, Reply::Confirmed { generation }) => Effect::Tell(Box::new(Message::Kept(*generation))),
            (PEER, Reply::Refused { reason, .. }) => {
                let reason = core::mem::take(reason);
                match proposal {
                    Some(generation) => Effect::Tell(Box::new(Message::Refused { generation, reason })),
                    None => {
                        log(Level::Notice, format!("cluster: the configuration of the other box: {reason}"))
                    }
                }
            }
            (SELF, Reply::Refused { reason, .. }) => log(
                Level::Warning,
                format!("cluster: the other box does not get this configuration: {reason}"),
            ),
            (SELF, Reply::Committed { generation, .. }) => {
                log(Level::Notice, format!("cluster: both boxes run configuration {generation} now"))
            }
            _ => continue,
        };
    }
}

const _: () = assert!(WINDOW.get() > APPLY_TIMEOUT.get(), "this box has time to do what the peer did");

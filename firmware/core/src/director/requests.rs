//! What consoles ask, and the commit transaction's moves.

use super::commit::{APPLY_TIMEOUT, Stage, Transaction};
use super::event::{Effect, Level};
use super::impact::Impact;
use super::protocol::{
    ClusterAction, CommitOptions, Power, Recall, Recalled, Reply, Request, SessionId, SystemsNow,
};
use super::sync::PEER;
use super::{Director, READS_MAX, REFUSALS_LOGGED, STATUS_WAITERS_MAX};
use crate::cli::show::ops::describe;
use crate::model::validate::{Finding, Severity, validate};
use crate::model::{Config, Mono};
use crate::plan::{Op, OpError, plan};
use crate::store::record::SlotState;
use crate::store::{Generation, StoreError};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

impl Director {
    pub(super) fn on_request(
        &mut self,
        session: SessionId,
        request: Request,
        now: Mono,
        out: &mut Vec<Effect>,
    ) {
        match request {
            Request::Status => self.want_status(session, true, now, out),
            Request::BoxStatus => self.want_status(session, false, now, out),
            Request::Config => {
                // A commit under way may still be taken back: the committed one is what a candidate starts from.
                let running = |t: &&Transaction| !matches!(t.stage, Stage::Asking | Stage::Saving);
                let tried = self.transaction.as_ref().filter(running);
                let config = (**tried.map_or(&self.config, |t| &t.other)).clone();
                let reply = Reply::Config { generation: self.generation, config };
                answer(session, reply, out);
            }
            Request::Check(config) => {
                let reply = self.check(&config);
                answer(session, reply, out);
            }
            Request::Commit { base, config, options } => {
                self.commit(session, (base, Box::new(config), options), now, out);
            }
            Request::Checks => answer(session, self.checks(now), out),
            Request::Why { service, server } => {
                let reply = self.why(service.as_ref(), &server, now);
                answer(session, reply, out);
            }
            Request::Doctor { service } => self.examine(session, service.as_ref(), out),
            Request::Ping(address) => self.ping_by_hand(session, address, now, out),
            Request::Confirm => self.confirm(session, now, out),
            Request::Server(ask) => self.server_action(session, ask, now, out),
            Request::Cluster(ClusterAction::Give) => self.give(session, now, out),
            Request::Cluster(ask) => {
                let reply = match self.cluster_action(ask, now, out) {
                    Ok(text) => Reply::Done { text },
                    Err(reason) => Reply::Refused { reason, findings: Vec::new() },
                };
                answer(session, reply, out);
            }
            Request::Recall(what) => self.recall(session, what, out),
            Request::Maintain(what) => self.maintain(session, what, now, out),
            Request::Upgrade(ask) => self.upgrade_asked(session, ask, now, out),
            Request::Power(power) => {
                let word = match power {
                    Power::Reboot => "reboot",
                    Power::Off => "power off",
                };
                self.log(Level::Notice, format!("{word} requested on the console"), out);
                answer(session, Reply::Stopping, out);
                out.push(Effect::Power(power));
            }
        }
    }

    pub(super) fn answer_status_waiters(&mut self, now: Mono, out: &mut Vec<Effect>) {
        for (session, servers) in core::mem::take(&mut self.status_waiters) {
            answer(session, Reply::Status(self.status(servers, now)), out);
        }
    }

    /// Answers with the next dump, whose counters are fresh; at once when many wait already.
    fn want_status(&mut self, session: SessionId, servers: bool, now: Mono, out: &mut Vec<Effect>) {
        if self.status_waiters.len() < STATUS_WAITERS_MAX {
            self.status_waiters.push((session, servers));
        } else {
            answer(session, Reply::Status(self.status(servers, now)), out);
        }
    }

    /// Findings of the model, and those that need the box at hand.
    pub(super) fn findings(&self, config: &Config) -> Vec<Finding> {
        let mut findings = validate(config);
        if let Some(observed) = self.reconcile.observed() {
            findings.extend(self.missing_cards(config, observed));
        }
        if !self.start.flash {
            findings.push(Finding {
                severity: Severity::Warning,
                path: String::new(),
                message: "no flash partition: this configuration is lost when the power goes".to_string(),
            });
        }
        findings
    }

    fn check(&self, config: &Config) -> Reply {
        let findings = self.findings(config);
        let (ops, impact) = match self.reconcile.observed() {
            Some(observed) if !has_errors(&findings) => {
                let ops = plan(&self.desired(config, observed), observed).ops;
                let impact = self.impact(config, &ops, observed);
                (ops, impact)
            }
            Some(_) | None => (Vec::new(), Impact::default()),
        };
        Reply::Checked { findings, ops, impact }
    }

    fn commit(
        &mut self,
        session: SessionId,
        (base, config, options): (Generation, Box<Config>, CommitOptions),
        now: Mono,
        out: &mut Vec<Effect>,
    ) {
        let refuse = |reason: String, findings, out: &mut Vec<Effect>| {
            answer(session, Reply::Refused { reason, findings }, out);
        };
        if self.stopping || self.resetting {
            return refuse("the director is stopping".to_string(), Vec::new(), out);
        }
        if self.transaction.is_some() || self.sync.busy() {
            return refuse("another commit is under way; try again in a moment".to_string(), Vec::new(), out);
        }
        if base != self.generation {
            let reason = format!(
                "the running configuration changed meanwhile (you started from commit {base}, now it is {}); \
                 `compare` shows the difference, `discard` starts over",
                self.generation
            );
            return refuse(reason, Vec::new(), out);
        }
        let Some(observed) = self.reconcile.observed() else {
            let reason = "the devices of this box are not known yet; try again in a moment".to_string();
            return refuse(reason, Vec::new(), out);
        };
        let mut findings = self.findings(&config);
        if has_errors(&findings) {
            return refuse("the configuration has errors".to_string(), findings, out);
        }
        if *config == *self.config {
            return self.commit_again(session, &options, findings, now, out);
        }
        if !options.agreed {
            let ops = plan(&self.desired(&config, observed), observed).ops;
            let impact = self.impact(&config, &ops, observed);
            if impact.asks() {
                return answer(session, Reply::Harmful { impact }, out);
            }
        }
        let shared = match self.sharing(options.local, &mut findings, now) {
            Ok(shared) => shared,
            Err(reason) => return refuse(reason, Vec::new(), out),
        };
        self.begin(session, config, findings, options, shared, now, out);
    }

    /// Begins a transaction with a configuration that was found good.
    #[expect(clippy::too_many_arguments, reason = "the parts of a transaction")]
    pub(super) fn begin(
        &mut self,
        session: SessionId,
        config: Box<Config>,
        findings: Vec<Finding>,
        options: CommitOptions,
        shared: bool,
        now: Mono,
        out: &mut Vec<Effect>,
    ) {
        let generation = self.next_generation(shared);
        self.newest = generation;
        self.transaction = Some(Transaction {
            session,
            generation,
            other: config,
            findings,
            shared,
            options,
            stage: Stage::Asking,
            operations: 0,
            after_batch: 0,
            failing_before: Vec::new(),
            until: now,
        });
        if shared { self.propose(now, out) } else { self.save_new(now, out) }
    }

    /// Writes the tentative record of the transaction.
    pub(super) fn save_new(&mut self, now: Mono, out: &mut Vec<Effect>) {
        let Some(transaction) = &mut self.transaction else { return };
        transaction.stage = Stage::Saving;
        if !self.start.flash {
            return self.run_new(now, out);
        }
        out.push(Effect::Save {
            generation: transaction.generation,
            state: SlotState::Tentative,
            comment: transaction.options.comment.clone(),
            config: transaction.other.clone(),
        });
    }

    /// A commit of what runs already: it confirms or prolongs a trial.
    fn commit_again(
        &mut self,
        session: SessionId,
        options: &CommitOptions,
        findings: Vec<Finding>,
        now: Mono,
        out: &mut Vec<Effect>,
    ) {
        let generation = self.generation;
        let Some(back) = self.trial.as_ref().map(|t| t.back_generation) else {
            return answer(session, Reply::Committed { generation, operations: 0, findings }, out);
        };
        let Some(window) = options.confirm else { return self.confirm(session, now, out) };
        self.extend_trial(window, now);
        self.checkpoint(out);
        answer(session, Reply::OnTrial { generation, operations: 0, findings, window, back }, out);
    }

    /// The flash answered.
    pub(super) fn on_saved(
        &mut self,
        generation: Generation,
        result: Result<(), StoreError>,
        now: Mono,
        out: &mut Vec<Effect>,
    ) {
        if !self.marked(generation, &result, now, out) {
            self.transaction_saved(generation, result, now, out);
        }
    }

    fn transaction_saved(
        &mut self,
        generation: Generation,
        result: Result<(), StoreError>,
        now: Mono,
        out: &mut Vec<Effect>,
    ) {
        let confirming =
            self.trial.as_ref().is_some_and(|t| t.generation == generation && t.confirming.is_some());
        if confirming {
            return self.confirmation_saved(result, now, out);
        }
        let Some(transaction) = self.transaction.as_ref().filter(|t| t.generation == generation) else {
            if let Err(error) = result {
                self.log(Level::Warning, format!("the record of commit {generation}: {error}"), out);
            }
            return;
        };
        match (&transaction.stage, result) {
            (Stage::Saving, Ok(())) => self.run_new(now, out),
            (Stage::Saving, Err(error)) => {
                if let Some(transaction) = self.transaction.take() {
                    self.drop_shared(&transaction, out);
                    let reason = format!("not stored: {error}");
                    self.log(Level::Error, format!("commit {generation} {reason}"), out);
                    answer(transaction.session, Reply::Refused { reason, findings: Vec::new() }, out);
                }
            }
            (Stage::Asking | Stage::Applying, _) => {}
            (Stage::Marking, Ok(())) => self.committed(now, out),
            (Stage::Marking, Err(error)) => self.take_back(&format!("the flash failed: {error}"), now, out),
        }
    }

    /// The tentative record is safe: run the new configuration.
    fn run_new(&mut self, now: Mono, out: &mut Vec<Effect>) {
        if let Some(transaction) = &mut self.transaction {
            core::mem::swap(&mut self.config, &mut transaction.other);
            transaction.stage = Stage::Applying;
            transaction.after_batch = self.reconcile.last_batch();
            transaction.failing_before.clone_from(&self.failing);
            transaction.until = now.after(APPLY_TIMEOUT);
            self.configured(now, out);
        }
    }

    /// A batch ended, in which the kernel refused these.
    pub(super) fn commit_applied(
        &mut self,
        batch: u64,
        done: u32,
        refused: &[(Op, OpError)],
        now: Mono,
        out: &mut Vec<Effect>,
    ) {
        let Some(transaction) = &mut self.transaction else { return };
        if transaction.stage != Stage::Applying || batch <= transaction.after_batch {
            return;
        }
        transaction.operations = transaction.operations.saturating_add(done);
        match refused.iter().find(|(op, _)| !transaction.failing_before.contains(op)) {
            Some((op, error)) => {
                self.take_back(&format!("the kernel refused to {}: {error}", describe(op)), now, out);
            }
            None if refused.is_empty() => {}
            None => {
                let as_before = |(op, error): &(Op, OpError)| Finding {
                    severity: Severity::Warning,
                    path: String::new(),
                    message: format!(
                        "as before this commit, the kernel refuses to {}: {error}",
                        describe(op)
                    ),
                };
                transaction.findings.extend(refused.iter().take(REFUSALS_LOGGED).map(as_before));
                self.commit_settled(now, out);
            }
        }
    }

    /// The kernel agrees with the running configuration.
    pub(super) fn commit_settled(&mut self, now: Mono, out: &mut Vec<Effect>) {
        let Some(transaction) = &mut self.transaction else { return };
        if transaction.stage != Stage::Applying {
            return;
        }
        if let Some(window) = transaction.options.confirm {
            return self.begin_trial(window, now, out);
        }
        transaction.stage = Stage::Marking;
        let generation = transaction.generation;
        if self.start.flash {
            self.mark(generation, SlotState::Good, out);
        } else {
            self.committed(now, out);
        }
    }

    fn committed(&mut self, now: Mono, out: &mut Vec<Effect>) {
        let Some(transaction) = self.transaction.take() else { return };
        let Transaction { session, generation, findings, operations, shared, .. } = transaction;
        self.generation = generation;
        if self.start.flash {
            self.notes.clear();
        }
        self.source = format!("configuration {generation}, committed on this console");
        self.fell_back = None;
        self.outranked(generation, out);
        self.trial_outlived(out);
        let s = if operations == 1 { "" } else { "s" };
        self.log(Level::Notice, format!("commit {generation}: {operations} kernel operation{s}"), out);
        let reply = Reply::Committed { generation, operations, findings };
        self.acknowledge((session, generation, shared), reply, now, out);
    }

    /// Runs the old configuration again and says why.
    pub(super) fn take_back(&mut self, why: &str, now: Mono, out: &mut Vec<Effect>) {
        let Some(transaction) = self.transaction.take() else { return };
        self.drop_shared(&transaction, out);
        let ran = !matches!(transaction.stage, Stage::Asking | Stage::Saving);
        match transaction.stage {
            // Not running yet: nothing to put back.
            Stage::Asking | Stage::Saving => {}
            Stage::Applying => self.config = transaction.other,
            Stage::Marking => {
                self.config = transaction.other;
                // It may be good in flash all the same, and would be what the next start finds.
                if self.start.flash {
                    self.undo(transaction.generation, out);
                }
            }
        }
        self.log(Level::Error, format!("commit {} taken back: {why}", transaction.generation), out);
        let what =
            if ran { "taken back, the previous configuration runs again" } else { "nothing was changed" };
        let reason = format!("{what}: {why}");
        answer(transaction.session, Reply::Refused { reason, findings: Vec::new() }, out);
        if ran {
            self.configured(now, out);
        }
    }
}

impl Director {
    fn recall(&mut self, session: SessionId, what: Recall, out: &mut Vec<Effect>) {
        let running = self.generation;
        if !self.start.flash {
            return answer(session, Reply::Recalled { running, result: Err(StoreError::NoDevice) }, out);
        }
        if self.reads >= READS_MAX {
            let reason = "the flash is being read for other consoles; try again in a moment".to_string();
            return answer(session, Reply::Refused { reason, findings: Vec::new() }, out);
        }
        self.reads = self.reads.saturating_add(1);
        out.push(Effect::Recall { session, what, running });
    }

    /// The flash was read. One configuration is as large as a commit, so the answer fits a frame.
    pub(super) fn on_recalled(
        &mut self,
        session: SessionId,
        mut result: Result<Recalled, StoreError>,
        now: Mono,
        out: &mut Vec<Effect>,
    ) {
        if session == PEER {
            return self.lineage_read(result, now, out);
        }
        self.reads = self.reads.saturating_sub(1);
        if let Ok(Recalled::Systems(_, known)) = &mut result {
            *known = SystemsNow {
                running: self.system.status(),
                waits: self.system_waits(now),
                progress: self.upgrading.progress().clone(),
                cluster: self.rolling.status(),
            };
        }
        answer(session, Reply::Recalled { running: self.generation, result }, out);
    }
}

pub(super) fn has_errors(findings: &[Finding]) -> bool {
    findings.iter().any(|f| f.severity == Severity::Error)
}

pub(super) fn answer(session: SessionId, reply: Reply, out: &mut Vec<Effect>) {
    out.push(Effect::Reply { session, reply: Box::new(reply) });
}

//! What a reply, log lines, and the loss and return of the director do.

use super::super::grammar::{Pipe, View};
use super::super::json::Json;
use super::super::show::words::{generation, plural};
use super::super::tree::Tree;
use super::super::{bind, show, text};
use super::{Candidate, Job, Output, Pending, Session, print};
use crate::director::impact::Impact;
use crate::director::protocol::{CommitOptions, Power, Reply, Request};
use crate::director::status::Status;
use crate::model::Config;
use crate::model::validate::Finding;
use crate::plan::Op;
use crate::store::Generation;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

impl Session {
    /// Takes a reply of the director. One that nothing was asked for is ignored.
    pub fn reply(&mut self, reply: Reply, out: &mut Vec<Output>) {
        if let Reply::Notice(text) = reply {
            if !self.locked() {
                self.noticed(&text, out);
            }
            return;
        }
        let at = self.pending.iter().position(|p| p.job.fits(&reply));
        let Some(pending) = at.and_then(|at| self.pending.remove(at)) else { return };
        let blocked = pending.blocks();
        self.capture(out, |session, out| session.accept(pending, reply, out));
        if blocked && !self.waiting() && !self.over && !self.transfer.active() {
            self.prompt(out);
        }
        self.resume(out);
    }

    fn accept(&mut self, pending: Pending, reply: Reply, out: &mut Vec<Output>) {
        let Pending { job, abandoned } = pending;
        match (job, reply) {
            (job @ (Job::Commit(..) | Job::SetupCommit(_)), reply) => {
                self.commit_ended(job, reply, abandoned, out);
            }
            (Job::Confirm, Reply::Confirmed { generation }) => self.confirmed(generation, abandoned, out),
            (Job::Greet, Reply::Status(status)) if !abandoned => self.greeted(status, out),
            (Job::Refresh | Job::Greet, Reply::Status(status)) => self.learn(status, out),
            (Job::Rebase, Reply::Config { generation, config }) => self.rebase(generation, &config, out),
            (_, _) if abandoned => {}
            (Job::View { view, args, pipes }, Reply::Status(status)) => {
                self.view(view, &status, &args, &pipes, out);
                // One without servers would take their names from the completion.
                if view.has_servers() {
                    self.know(status);
                }
            }
            (Job::SetupStatus, Reply::Status(status)) => {
                self.know(status);
                self.ask(Job::SetupConfig, Request::Config, out);
            }
            (job, Reply::Config { generation, config }) => self.config_came(job, generation, &config, out),
            (Job::Check { pipes }, Reply::Checked { findings, ops, impact }) => {
                self.checked(&findings, &ops, &impact, &pipes, out);
            }
            (Job::Commits { pipes }, Reply::Recalled { running, result }) => {
                self.listed(running, result, &pipes, out);
            }
            (Job::Choose, Reply::Recalled { running, result }) => self.chosen(running, result, out),
            (Job::Flash { pipes }, Reply::Recalled { result, .. }) => self.used(result, &pipes, out),
            (Job::Checks { pipes }, Reply::Checks { at, checks, loads }) => {
                self.checks(at, &checks, &loads, &pipes, out)
            }
            (Job::Why { pipes }, Reply::Why(why)) => self.why(&why, &pipes, out),
            (Job::Upload(digest), reply) => self.uploaded(digest, reply, out),
            (Job::Systems { pipes }, Reply::Recalled { result, .. }) => self.systems(result, &pipes, out),
            (Job::Upgrade, Reply::Done { text }) => self.say(out, &format!("{text}.")),
            (Job::Ping, Reply::Pinged(took)) => self.pinged(took, out),
            (Job::Doctor { pipes }, Reply::Doctor(report)) => self.doctor(&report, &pipes, out),
            (Job::Maintain(what), Reply::Done { text }) => self.maintained(what, &text, out),
            (Job::Rescue { shown }, Reply::Recalled { result, .. }) => self.rescued(shown, result, out),
            (Job::Server(_) | Job::Cluster, Reply::Done { text }) => self.say(out, &format!("Done: {text}.")),
            (Job::Cluster, Reply::Committed { generation, findings, .. }) => {
                self.made_one(generation, &findings, out);
            }
            (Job::Server(ask), Reply::Emptied { services, ends }) => {
                self.emptied(*ask, &services, ends, out);
            }
            (Job::Recall(purpose), Reply::Recalled { result, .. }) => self.recalled(&purpose, result, out),
            (Job::Power(power), Reply::Stopping) => self.stopping(power, out),
            (_, Reply::Refused { reason, findings }) => {
                self.ping = None;
                self.findings(&findings, out);
                self.say(out, &format!("Refused: {}.", reason.trim_end_matches('.')));
            }
            // Excluded by `Job::fits`.
            (_, _) => {}
        }
    }

    fn stopping(&mut self, power: Power, out: &mut Vec<Output>) {
        self.ending = true;
        let text = match power {
            Power::Reboot => "Rebooting.",
            Power::Off => "Switching off.",
        };
        print::line(out, text);
    }

    fn made_one(&mut self, number: crate::store::Generation, findings: &[Finding], out: &mut Vec<Output>) {
        self.findings(findings, out);
        self.say(out, &format!("Done: both boxes run configuration {number}."));
    }

    /// The running configuration, for what asked for it.
    fn config_came(&mut self, job: Job, base: Generation, config: &Config, out: &mut Vec<Output>) {
        match (job, config) {
            (Job::SetupConfig, config) => self.setup_begin(base, config, out),
            (Job::Connections { ask, pipes }, config) => self.connections_of(*ask, config, pipes, out),
            (Job::RealServers { args, pipes }, config) => self.real_servers(config, &args, &pipes, out),
            (Job::Running { pipes }, config) => self.show_running(&bind::to_tree(config), &pipes, out),
            (Job::Export(export), config) => self.export_tree(bind::to_tree(config), export, out),
            (Job::Configure | Job::Discard, config) => {
                let discarded = self.candidate.is_some();
                self.open(base, config, out);
                if discarded {
                    print::line(out, "Changes discarded.");
                }
            }
            // Excluded by `Job::fits`.
            (_, _) => {}
        }
    }

    /// The answer to a commit of the candidate or of the dialogue's answers.
    fn commit_ended(&mut self, job: Job, reply: Reply, abandoned: bool, out: &mut Vec<Output>) {
        let setup = matches!(job, Job::SetupCommit(_));
        let options =
            if let Job::Commit(_, options) = &job { options.clone() } else { CommitOptions::default() };
        let (Job::Commit(tree, _) | Job::SetupCommit(tree)) = job else { return };
        match reply {
            Reply::Harmful { impact } => return self.harmful(&impact, options, setup, abandoned, out),
            Reply::Committed { generation, operations, findings } => {
                self.committed(*tree, (generation, operations), &findings, abandoned, out);
            }
            Reply::OnTrial { generation, operations, findings, window, back } => {
                self.on_trial(*tree, (generation, operations), (window, back), &findings, abandoned, out);
            }
            Reply::Confirmed { generation } => self.confirmed(generation, abandoned, out),
            Reply::Refused { reason, findings } => {
                self.refused(&reason, &findings, abandoned, out);
                if setup && !abandoned {
                    self.setup_edit(out);
                }
                return;
            }
            // Excluded by `Job::fits`.
            Reply::Status(_)
            | Reply::Config { .. }
            | Reply::Checked { .. }
            | Reply::Recalled { .. }
            | Reply::Checks { .. }
            | Reply::Why(_)
            | Reply::Doctor(_)
            | Reply::Pinged(_)
            | Reply::Done { .. }
            | Reply::Have(_)
            | Reply::Emptied { .. }
            | Reply::Notice(_)
            | Reply::Stopping => return,
        }
        if setup {
            self.setup_done(out);
        }
    }

    /// Log lines for [`Output::ShowLog`], oldest first.
    pub fn log_text(&mut self, lines: &[String], out: &mut Vec<Output>) {
        let Some(pipes) = self.log.take() else { return };
        let lines: Vec<String> = if pipes.first() == Some(&Pipe::Json) {
            let mut json = Json::new();
            json.array(|json| lines.iter().for_each(|line| json.string(line)));
            json.finish().lines().map(ToString::to_string).collect()
        } else {
            lines.to_vec()
        };
        self.capture(out, |session, out| session.filtered(&lines, &pipes, "no log line fits", out));
        if !self.waiting() {
            self.prompt(out);
        }
        self.resume(out);
    }

    /// The connection to the director is gone: whatever was asked will not be answered.
    pub fn director_lost(&mut self, out: &mut Vec<Output>) {
        if self.lost {
            return;
        }
        if self.locked() {
            self.lost = true;
            return;
        }
        let waited = self.pending.iter().any(Pending::blocks);
        let committing = self.pending.iter().any(|p| matches!(p.job, Job::Commit(..) | Job::SetupCommit(_)));
        let stopping = self.pending.iter().any(|p| matches!(p.job, Job::Power(_)));
        self.pending.clear();
        self.ping = None;
        self.lost = true;
        let mut text = String::from("The director stopped; init starts it again. \"show log\" says why.");
        if stopping || self.ending {
            text = String::from("The director has ended.");
        }
        if committing {
            text.push_str(" Whether the commit was done is not known: \"compare\" tells when it is back.");
        }
        if waited {
            self.say(out, &text);
            if !self.waiting() {
                self.prompt(out);
            }
            self.resume(out);
        } else {
            self.notice(out, &text);
        }
    }

    /// The director can be asked again.
    pub fn director_back(&mut self, out: &mut Vec<Output>) {
        if !self.lost {
            return;
        }
        self.lost = false;
        self.power_stuck = false;
        if self.locked() {
            return;
        }
        self.notice(out, "The director is back.");
        self.refresh(out);
        if self.candidate.is_some() {
            self.pending.push_back(Pending { job: Job::Rebase, abandoned: false });
            out.push(Output::Request(Box::new(Request::Config)));
        }
    }

    pub(super) fn know(&mut self, status: Status) {
        if status.system.trial.is_none() && self.candidate.is_none() {
            self.trial = None;
        }
        self.hostname = status.system.hostname.as_ref().map_or("director", |h| h.as_str()).to_string();
        self.status = Some(Box::new(status));
    }

    /// Takes names over; a prompt on the screen is repainted when it changed.
    fn learn(&mut self, status: Status, out: &mut Vec<Output>) {
        let before = self.prompt_text();
        self.know(status);
        if before != self.prompt_text() && !self.waiting() && self.pager.is_none() && !self.transfer.active()
        {
            let mut screen = Vec::new();
            self.editor.hide(&mut screen);
            self.editor.show(&self.prompt_text(), &mut screen);
            print::raw(out, &screen);
        }
    }

    fn open(&mut self, base: Generation, config: &Config, out: &mut Vec<Output>) {
        let tree = bind::to_tree(config);
        if let Some(kept) = self.kept.take() {
            self.candidate = Some(kept);
            self.rebase(base, config, out);
            let text = "The candidate has the uncommitted changes of the session before. \"compare\" shows them, \
                        \"discard\" throws them away.";
            return self.say(out, text);
        }
        self.candidate = Some(Box::new(Candidate { running: tree.clone(), tree, base, edit: Vec::new() }));
    }

    /// A director that was away may run another configuration than the one the candidate was made from.
    fn rebase(&mut self, base: Generation, config: &Config, out: &mut Vec<Output>) {
        let Some(candidate) = &mut self.candidate else { return };
        if candidate.base == base {
            return;
        }
        self.trial = self.trial.filter(|trial| *trial == base);
        candidate.base = base;
        candidate.running = bind::to_tree(config);
        let text = format!(
            "The running configuration is generation {} now; the candidate is kept. \"compare\" shows how they differ.",
            generation(base)
        );
        self.notice(out, &text);
    }

    fn view(&mut self, view: View, status: &Status, args: &[String], pipes: &[Pipe], out: &mut Vec<Output>) {
        let result = if pipes.first() == Some(&Pipe::Json) {
            show::json(view, status, args).map(|text| text.lines().map(ToString::to_string).collect())
        } else {
            show::lines(view, status, args, self.width)
        };
        match result {
            Ok(lines) => self.filtered(&lines, pipes, "nothing to show", out),
            Err(why) => self.say(out, &why),
        }
    }

    fn committed(
        &mut self,
        tree: Tree,
        (base, operations): (Generation, u32),
        findings: &[Finding],
        abandoned: bool,
        out: &mut Vec<Output>,
    ) {
        self.trial = None;
        if let Some(candidate) = &mut self.candidate {
            candidate.base = base;
            candidate.running = tree;
        }
        let operations = plural(usize::try_from(operations).unwrap_or(usize::MAX), "kernel operation");
        let text = format!("Committed as generation {base}: {operations}.");
        if abandoned {
            self.notice(out, &text);
        } else {
            self.findings(findings, out);
            self.say(out, &text);
        }
        self.refresh(out);
    }

    fn refused(&mut self, reason: &str, findings: &[Finding], abandoned: bool, out: &mut Vec<Output>) {
        let reason = reason.trim_end_matches('.');
        let text = format!("Refused: {reason}. The running configuration is unchanged.");
        if abandoned {
            self.notice(out, &text);
        } else {
            self.findings(findings, out);
            self.say(out, &text);
        }
    }

    fn checked(
        &mut self,
        findings: &[Finding],
        ops: &[Op],
        impact: &Impact,
        pipes: &[Pipe],
        out: &mut Vec<Output>,
    ) {
        self.findings(findings, out);
        let mut lines = Vec::new();
        for (i, op) in ops.iter().enumerate() {
            let text = format!("{:>4} {}", i.saturating_add(1), show::ops::describe(op));
            lines.extend(show::words::wrap(&text, self.width.saturating_sub(1), 5));
        }
        if pipes.iter().all(|pipe| matches!(pipe, Pipe::More | Pipe::NoMore)) && !ops.is_empty() {
            lines.push(format!("A commit would do {}.", plural(ops.len(), "kernel operation")));
        }
        for text in show::impact::lines(impact) {
            lines.extend(show::words::wrap(&text, self.width.saturating_sub(1), 2));
        }
        if impact.asks() {
            lines.push(String::from("A commit asks before it does that."));
        }
        let words =
            self.candidate.as_ref().map(|c| show::words::changes(&text::difference(&c.running, &c.tree)));
        for text in words.unwrap_or_default().into_iter().filter(|(always, _)| *always || ops.is_empty()) {
            lines.extend(show::words::wrap(&text.1, self.width.saturating_sub(1), 2));
        }
        if ops.is_empty() && pipes.iter().all(|pipe| matches!(pipe, Pipe::More | Pipe::NoMore)) {
            lines.insert(0, String::from("A commit would do nothing in the kernel."));
        }
        self.filtered(&lines, pipes, "A commit would do nothing in the kernel.", out);
    }
}

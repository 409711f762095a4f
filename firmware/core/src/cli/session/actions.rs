//! What a line does.

use super::super::grammar::{Action, CONFIGURE, Command, OPERATIONAL, Parsed, Pipe, RUN, parse};
use super::super::path::Walk;
use super::super::tree::{Step, Tree};
use super::super::words::{Fault, FaultKind, Found, find, quoted, suggestion, tokens};
use super::super::{bind, reference, text};
use super::commits::Use;
use super::{Candidate, Job, LOG_LINES, NO_DIRECTOR, Output, Question, Session, print};
use crate::director::protocol::{CommitOptions, Maintenance, Power, Recall, Request};
use crate::director::upgrading::UpgradeAsk;
use crate::model::Config;
use crate::model::validate::{Finding, Severity, validate};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

impl Session {
    pub(super) fn execute(&mut self, line: &str, out: &mut Vec<Output>) {
        if let Some(fault) = self.word_of_configure(line) {
            return self.fault(&fault, line, out);
        }
        let edit: Vec<Step> = self.candidate.as_ref().map(|c| c.edit.clone()).unwrap_or_default();
        match parse(self.table(), line, &edit) {
            Ok(None) => {}
            Ok(Some(parsed)) => self.act(parsed, out),
            Err(fault) => self.fault(&fault, line, out),
        }
    }

    /// Points at the offending word and says the fix.
    fn fault(&self, fault: &Fault, line: &str, out: &mut Vec<Output>) {
        let prompt = self.prompt_text().len();
        let column = prompt.saturating_add(fault.column);
        // A line that scrolled sideways has no column to point at; every message names the word as well.
        if prompt.saturating_add(line.len()) < self.width.saturating_sub(1) && column < self.width {
            print::line(out, &format!("{:column$}^", ""));
        }
        match self.other_mode(fault, line) {
            Some(hint) => self.say(out, &hint),
            None => self.say(out, &fault.message),
        }
    }

    /// In operational mode `set` is not short for `setup`: who types it wants configure mode.
    fn word_of_configure(&self, line: &str) -> Option<Fault> {
        let first = *tokens(line, true).first()?;
        let exact = |table: &'static [Command]| table.iter().any(|c| c.word == first.text);
        let foreign = self.candidate.is_none() && exact(CONFIGURE) && !exact(OPERATIONAL);
        foreign.then(|| Fault { kind: FaultKind::NoMatch, column: first.column, message: String::new() })
    }

    /// A word of the other mode is the most frequent mistake of all.
    fn other_mode(&self, fault: &Fault, line: &str) -> Option<String> {
        let first = line.split_whitespace().next()?;
        let at_first = fault.kind == FaultKind::NoMatch && line.get(..fault.column)?.trim().is_empty();
        let known_as = |table: &'static [Command], word: &str| matches!(find(table, word), Found::One(..));
        let known = |table: &'static [Command]| known_as(table, first);
        match &self.candidate {
            // "show" is a word of both modes: what it cannot show of the candidate, run may show.
            Some(_) if !at_first && fault.kind == FaultKind::NoMatch && shows(first, line) => Some(format!(
                "\"show\" shows the candidate here: type run {} to see how things are.",
                line.trim()
            )),
            Some(_) if !at_first && fault.kind == FaultKind::NoMatch && "run".starts_with(first) => {
                let word = line.split_whitespace().nth(1)?;
                let foreign = matches!(find(RUN, word), Found::None);
                if foreign && known_as(CONFIGURE, word) {
                    Some(format!("{} is a word of configure mode itself: leave run out.", quoted(word)))
                } else if foreign && known_as(OPERATIONAL, word) {
                    Some(format!("{} is not possible in configure mode: exit leaves it.", quoted(word)))
                } else {
                    None
                }
            }
            _ if !at_first => None,
            None if known(CONFIGURE) => {
                Some(format!("{} is a word of configure mode: type configure first.", quoted(first)))
            }
            Some(_) if known(RUN) => Some(format!("You are in configure mode: type run {}.", line.trim())),
            Some(_) if known(OPERATIONAL) => Some(String::from("You are in configure mode; exit leaves it.")),
            None | Some(_) => None,
        }
    }

    pub(super) fn act(&mut self, parsed: Parsed, out: &mut Vec<Output>) {
        let Parsed { action, args, walk, pipes } = parsed;
        match action {
            Action::View(view) => {
                let request = if view.has_servers() { Request::Status } else { Request::BoxStatus };
                self.ask(Job::View { view, args, pipes }, request, out)
            }
            Action::Hardware => self.show_hardware(pipes, out),
            Action::Log => self.show_log(&args, pipes, out),
            Action::Running => self.ask(Job::Running { pipes }, Request::Config, out),
            Action::Defaults => self.filtered(&reference::defaults(), &pipes, "there are none", out),
            Action::Configure => self.ask(Job::Configure, Request::Config, out),
            Action::RestartControlPlane => {
                print::line(out, "Restarting the control plane; connections and addresses stay.");
                out.push(Output::RestartDirector);
            }
            Action::Terminal(setting) => self.set_terminal(setting, &args, out),
            Action::Setup => self.ask(Job::SetupStatus, Request::Status, out),
            Action::Power(power) => self.confirm_power(power, out),
            Action::Help(text) => text.iter().for_each(|text| print::line(out, text)),
            Action::Exit => self.exit(out),
            Action::Compare if !args.is_empty() && args.first().is_some_and(|n| n != "0") => {
                self.recall(args.first(), Use::Compare(pipes), out);
            }
            Action::Compare => self.compare_running(&pipes, out),
            Action::Commit => self.commit(CommitOptions::default(), out),
            Action::CommitForce => self.commit(CommitOptions::forced(), out),
            Action::CommitLocal => self.commit(CommitOptions::alone(), out),
            Action::CommitComment => self.commit_with(&args, None, out),
            Action::CommitConfirmed => self.commit_confirmed(&args, out),
            Action::Confirm => self.ask(Job::Confirm, Request::Confirm, out),
            Action::Server => self.server(&args, out),
            Action::Upgrade(what) => self.upgrade(what, &args, out),
            Action::Cluster(ask) => self.ask(Job::Cluster, Request::Cluster(ask), out),
            Action::Rollback if args.first().is_some_and(|word| word == "rescue") => self.rescue(None, out),
            Action::Rollback => self.recall(args.first(), Use::Rollback, out),
            Action::Checks => self.ask(Job::Checks { pipes }, Request::Checks, out),
            Action::Doctor => self.ask_doctor(&args, pipes, out),
            Action::Ping => self.begin_ping(&args, out),
            Action::Why => self.ask_why(&args, pipes, out),
            Action::Commits => self.stored(Job::Commits { pipes }, Recall::List, out),
            Action::Flash => self.stored(Job::Flash { pipes }, Recall::Usage, out),
            Action::ShowUpgrade => self.stored(Job::Systems { pipes }, Recall::Systems, out),
            Action::Connections => self.ask_connections(&args, pipes, out),
            Action::RealServerSetup => self.ask(Job::RealServers { args, pipes }, Request::Config, out),
            Action::Rescue(what) => self.maintain(what, out),
            Action::ShowRescue => self.rescue(Some(pipes), out),
            Action::FactoryReset => self.ask_reset(out),
            Action::Identity(role) => self.ask_identity(role, out),
            Action::ShowCommit => self.recall(args.first(), Use::Show(pipes), out),
            Action::Check => self.check(pipes, out),
            Action::Discard => self.discard(out),
            Action::Top => self.top(),
            Action::Up => self.up(),
            Action::Transfer => self.begin_transfer(out),
            Action::Load(how) => self.begin_load(how, out),
            Action::Export(export) => self.export(export, out),
            Action::Set => self.with_candidate(walk, |s, candidate, walk| {
                if let Err(why) = candidate.tree.apply(walk.changes) {
                    s.say(out, &format!("not set: {why}"));
                }
            }),
            Action::Delete => self.with_candidate(walk, |s, candidate, walk| s.delete(&walk, candidate, out)),
            Action::Edit => self.with_candidate(walk, |_, candidate, walk| candidate.edit = walk.path),
            Action::Candidate => self.with_candidate(walk, |s, candidate, walk| {
                s.show_tree(&candidate.tree, &walk.path, &pipes, out);
            }),
        }
    }

    fn stored(&mut self, job: Job, what: Recall, out: &mut Vec<Output>) {
        self.ask(job, Request::Recall(what), out);
    }

    fn top(&mut self) {
        if let Some(candidate) = &mut self.candidate {
            candidate.edit.clear();
        }
    }

    fn show_hardware(&mut self, pipes: Vec<Pipe>, out: &mut Vec<Output>) {
        self.log = Some(pipes);
        out.push(Output::ShowHardware);
    }

    fn compare_running(&mut self, pipes: &[Pipe], out: &mut Vec<Output>) {
        let difference = self.candidate.as_ref().map(|c| text::difference(&c.running, &c.tree));
        self.filtered(&difference.unwrap_or_default(), pipes, "no changes", out);
    }

    fn with_candidate(&mut self, walk: Option<Walk>, act: impl FnOnce(&mut Self, &mut Candidate, Walk)) {
        if let (Some(walk), Some(mut candidate)) = (walk, self.candidate.take()) {
            act(self, &mut candidate, walk);
            self.candidate = Some(candidate);
        }
    }

    fn delete(&self, walk: &Walk, candidate: &mut Candidate, out: &mut Vec<Output>) {
        if candidate.tree.remove(&walk.path, walk.value.as_ref()) {
            // The place being edited may be gone with it.
            while !candidate.edit.is_empty() && candidate.tree.find(&candidate.edit).is_none() {
                shorten(&mut candidate.edit);
            }
            return;
        }
        let path = text::path_text(&walk.path);
        let value = walk.value.as_ref().map(|v| format!(" {v}")).unwrap_or_default();
        let hint = self.missing(&walk.path, &candidate.tree);
        self.say(out, &format!("nothing deleted: {path}{value} is not set{hint}"));
    }

    /// Names that exist where one was not found.
    fn missing(&self, path: &[Step], tree: &Tree) -> String {
        for (i, step) in path.iter().enumerate() {
            let Step::Key(key) = step else { continue };
            let Some(list) = path.get(..i) else { break };
            let keys = tree.keys(list);
            let names: Vec<&str> = keys.iter().map(String::as_str).collect();
            let key = key.to_string();
            if !keys.contains(&key) && !names.is_empty() {
                return format!("; {}", suggestion(&key, &names));
            }
        }
        String::new()
    }

    fn show_tree(&mut self, tree: &Tree, path: &[Step], pipes: &[Pipe], out: &mut Vec<Output>) {
        let lines = match pipes.first() {
            Some(Pipe::Json) => text::json(tree, path).lines().map(ToString::to_string).collect(),
            Some(Pipe::Set) => text::set_lines_at(tree, path),
            Some(Pipe::Count | Pipe::Match(_) | Pipe::More | Pipe::NoMore) | None => text::braces(tree, path),
        };
        let empty = if path.is_empty() {
            String::from("nothing is configured")
        } else {
            format!("nothing is set at {}{}", text::path_text(path), self.missing(path, tree))
        };
        self.filtered(&lines, pipes, &empty, out);
    }

    pub(super) fn show_running(&mut self, tree: &Tree, pipes: &[Pipe], out: &mut Vec<Output>) {
        self.show_tree(tree, &[], pipes, out);
    }

    /// Prints lines through filters. `empty` is said when there was nothing to filter.
    pub(super) fn filtered(&mut self, lines: &[String], pipes: &[Pipe], empty: &str, out: &mut Vec<Output>) {
        if lines.is_empty() && !pipes.contains(&Pipe::Count) {
            self.say(out, empty);
            return;
        }
        let mut kept: Vec<String> = lines.to_vec();
        for pipe in pipes {
            match pipe {
                Pipe::Json | Pipe::Set | Pipe::More | Pipe::NoMore => {}
                Pipe::Count => kept = Vec::from([kept.len().to_string()]),
                Pipe::Match(text) => {
                    let text = text.to_ascii_lowercase();
                    kept.retain(|line| line.to_ascii_lowercase().contains(&text));
                }
            }
        }
        self.page(kept, pipes, out);
    }

    fn show_log(&mut self, args: &[String], pipes: Vec<Pipe>, out: &mut Vec<Output>) {
        let count = args.first().and_then(|n| n.parse().ok()).unwrap_or(LOG_LINES);
        let filter = match pipes.first() {
            Some(Pipe::Match(text)) => Some(text.clone()),
            Some(Pipe::Count | Pipe::Json | Pipe::More | Pipe::NoMore | Pipe::Set) | None => None,
        };
        let clock = !self.transfer.active() && pipes.first() != Some(&Pipe::Json);
        self.log = Some(pipes);
        out.push(Output::ShowLog { count, filter, clock });
    }

    /// Whether a commit, of this console or another, waits for its confirmation.
    fn on_trial_now(&self) -> bool {
        self.trial.is_some() || self.status.as_ref().is_some_and(|s| s.system.trial.is_some())
    }

    pub(super) fn changed(&self) -> bool {
        self.candidate.as_ref().is_some_and(|c| c.tree != c.running)
    }

    /// Before the machine ends.
    pub(super) fn warn_of_changes(&self, out: &mut Vec<Output>) {
        if self.changed() {
            print::line(out, "The candidate has changes that are not committed; they will be lost.");
        }
    }

    fn confirm_power(&mut self, power: Power, out: &mut Vec<Output>) {
        self.warn_of_changes(out);
        self.question = Some(Question::Power(power));
    }

    pub(super) fn answer(&mut self, question: Question, line: &str, out: &mut Vec<Output>) {
        if question == Question::Setup {
            return self.setup_answer(line, out);
        }
        if question == Question::FactoryReset {
            return self.answer_reset(line, out);
        }
        if question == Question::SetupCommit && "edit".eq_ignore_ascii_case(line.trim()) {
            return self.setup_edit(out);
        }
        match line.trim().to_ascii_lowercase().as_str() {
            "y" | "yes" => {}
            "n" | "no" => {
                print::line(out, "Nothing was done.");
                return;
            }
            other if matches!(question, Question::Harm(..)) => {
                let other = quoted(other);
                self.say(
                    out,
                    &format!(
                        "{other} is not an answer: nothing was committed. Type commit to be asked again."
                    ),
                );
                return;
            }
            other => {
                let text = question.choices();
                self.say(out, &format!("{} is not an answer: {text}", quoted(other)));
                self.question = Some(question);
                return;
            }
        }
        match question {
            Question::Server(ask) => self.ask_server(super::ServerAction { agreed: true, ..*ask }, out),
            Question::Harm(options, setup) => {
                let options = CommitOptions { agreed: true, ..*options };
                if setup { self.setup_commit(options, out) } else { self.commit(options, out) }
            }
            Question::Identity(role) => self.maintain(Maintenance::Identity(role), out),
            Question::UpgradeBoot => self.ask(Job::Upgrade, Request::Upgrade(UpgradeAsk::Boot), out),
            Question::LeaveConfigure => self.leave_configure(out),
            Question::SetupCommit => self.setup_commit(CommitOptions::default(), out),
            // Answered above.
            Question::Setup | Question::FactoryReset => {}
            Question::Power(power) if self.lost || self.power_stuck => {
                print::line(out, "Asking init to do it without the director.");
                out.push(Output::DirectPower(power));
            }
            Question::Power(power) => self.ask(Job::Power(power), Request::Power(power), out),
        }
    }

    fn exit(&mut self, out: &mut Vec<Output>) {
        let changed = self.changed();
        match &mut self.candidate {
            None => {
                // Without a password the next session greets at once, and says it.
                if self.guarded {
                    self.remind_of_trial(out);
                }
                self.over = true;
                out.push(Output::Logout);
            }
            Some(candidate) if !candidate.edit.is_empty() => candidate.edit.clear(),
            Some(_) if changed => {
                print::line(out, "The candidate has changes that are not committed (compare shows them).");
                self.question = Some(Question::LeaveConfigure);
            }
            Some(_) => self.leave_configure(out),
        }
    }

    fn leave_configure(&mut self, out: &mut Vec<Output>) {
        self.candidate = None;
        self.remind_of_trial(out);
    }

    fn up(&mut self) {
        if let Some(candidate) = &mut self.candidate {
            shorten(&mut candidate.edit);
        }
    }

    pub(super) fn discard(&mut self, out: &mut Vec<Output>) {
        if self.lost {
            if let Some(candidate) = &mut self.candidate {
                candidate.tree = candidate.running.clone();
                candidate.edit.clear();
            }
            print::line(out, "Changes discarded.");
        } else {
            self.ask(Job::Discard, Request::Config, out);
        }
    }

    /// The candidate as a configuration, when nothing is wrong with it; prints what is.
    fn valid_config(&self, out: &mut Vec<Output>) -> Option<Config> {
        let candidate = self.candidate.as_ref()?;
        let config = match bind::to_config(&candidate.tree) {
            Ok(config) => config,
            Err(e) => {
                self.say(out, &format!("error: {e}"));
                return None;
            }
        };
        let findings = validate(&config);
        let errors = findings.iter().filter(|f| f.severity == Severity::Error).count();
        if errors == 0 {
            return Some(config);
        }
        self.findings(&findings, out);
        let errors = super::super::show::words::plural(errors, "error");
        self.say(out, &format!("Refused: {errors}. The running configuration is unchanged."));
        None
    }

    pub(super) fn findings(&self, findings: &[Finding], out: &mut Vec<Output>) {
        findings.iter().for_each(|finding| self.say(out, &finding.to_string()));
    }

    pub(super) fn commit(&mut self, options: CommitOptions, out: &mut Vec<Output>) {
        if self.lost {
            self.say(out, NO_DIRECTOR);
            print::line(out, "The candidate is kept.");
            return;
        }
        if !self.changed() && self.on_trial_now() {
            if options.confirm.is_none() {
                return self.ask(Job::Confirm, Request::Confirm, out);
            }
        } else if !self.changed() {
            print::line(out, "Nothing to commit: the candidate equals the running configuration.");
            return;
        }
        let Some(config) = self.valid_config(out) else { return };
        let Some(candidate) = &self.candidate else { return };
        let (base, tree) = (candidate.base, Box::new(candidate.tree.clone()));
        let job = Job::Commit(tree, options.clone());
        self.ask(job, Request::Commit { base, config, options }, out);
    }

    fn check(&mut self, pipes: Vec<Pipe>, out: &mut Vec<Output>) {
        if let Some(config) = self.valid_config(out) {
            self.ask(Job::Check { pipes }, Request::Check(config), out);
        }
    }
}

/// Whether a line is a whole `show` of operational mode.
fn shows(first: &str, line: &str) -> bool {
    "show".starts_with(first) && parse(RUN, line, &[]).is_ok()
}

/// Removes the last level: a list's word goes with its key.
fn shorten(path: &mut Vec<Step>) {
    let Some(last) = path.pop() else { return };
    if matches!(last, Step::Key(_)) {
        path.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn up_leaves_a_list_entry_with_its_word() {
        let mut path = super::super::super::testing::path("pool web server rs1");
        shorten(&mut path);
        assert_eq!(text::path_text(&path), "pool web");
        shorten(&mut path);
        assert_eq!(path, []);
    }
}

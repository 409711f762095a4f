//! `commit` in its forms, `confirm`, `rollback`, `show commits`: what they ask and what the answers say.

use super::super::complete::Candidate as Possible;
use super::super::grammar::{Arg, Pipe};
use super::super::show::words::{generation, plural, span};
use super::super::show::{commits, flash, impact};
use super::super::{bind, text};
use super::{Job, Question, Session, print};
use crate::director::impact::Impact;
use crate::director::protocol::{CommitOptions, Recall, Recalled, Request};
use crate::director::trial::{CONFIRM_DEFAULT, CONFIRM_MAX, CONFIRM_MIN};
use crate::model::Millis;
use crate::model::validate::Finding;
use crate::store::{Commit, Generation, StoreError};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// What a stored configuration is read for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Use {
    /// Becomes the candidate.
    Rollback,
    /// Shown.
    Show(Vec<Pipe>),
    /// Compared with the candidate.
    Compare(Vec<Pipe>),
}

impl Session {
    /// `commit confirmed [TIME [COMMENT]]`.
    pub(super) fn commit_confirmed(&mut self, args: &[String], out: &mut Vec<super::Output>) {
        let window = match args.first().map(|text| window(text)) {
            None => CONFIRM_DEFAULT,
            Some(Ok(window)) => window,
            Some(Err(why)) => return self.say(out, &why),
        };
        let words = args.get(1..).unwrap_or_default();
        self.commit_with(words, Some(window), out);
    }

    /// A commit with the words of a comment.
    pub(super) fn commit_with(
        &mut self,
        words: &[String],
        confirm: Option<Millis>,
        out: &mut Vec<super::Output>,
    ) {
        let text = words.join(" ");
        // Who puts it into quotation marks does not mean them.
        let inner = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        match inner.unwrap_or(&text).parse() {
            Ok(comment) => {
                self.commit(CommitOptions { comment, confirm, ..CommitOptions::default() }, out);
            }
            Err(why) => self.say(out, &format!("comment: {why}")),
        }
    }

    pub(super) fn recall(&mut self, back: Option<&String>, purpose: Use, out: &mut Vec<super::Output>) {
        let Some(back) = back.and_then(|n| n.parse::<u8>().ok()) else { return };
        match (back, purpose) {
            (0, Use::Rollback) => self.discard(out),
            (0, Use::Show(pipes)) => self.ask(Job::Running { pipes }, Request::Config, out),
            (_, purpose) => self.ask(Job::Recall(purpose), Request::Recall(Recall::Back(back)), out),
        }
    }

    pub(super) fn recalled(
        &mut self,
        purpose: &Use,
        result: Result<Recalled, StoreError>,
        out: &mut Vec<super::Output>,
    ) {
        match result {
            Ok(Recalled::Commit { generation, commit }) => self.use_commit(purpose, generation, &commit, out),
            // Excluded by what was asked.
            Ok(
                Recalled::List(..)
                | Recalled::Usage(_)
                | Recalled::Rescue(_)
                | Recalled::Lineage(_)
                | Recalled::Systems(..),
            ) => {}
            Err(error) => self.say(out, &format!("{error}.")),
        }
    }

    fn use_commit(
        &mut self,
        purpose: &Use,
        number: Generation,
        commit: &Commit,
        out: &mut Vec<super::Output>,
    ) {
        let tree = bind::to_tree(&commit.config);
        match (purpose, &mut self.candidate) {
            (Use::Show(pipes), _) => self.show_running(&tree, pipes, out),
            (Use::Compare(pipes), Some(candidate)) => {
                let lines = text::difference(&tree, &candidate.tree);
                self.filtered(&lines, pipes, &format!("no changes since commit {number}"), out);
            }
            (Use::Rollback, Some(candidate)) => {
                candidate.tree = tree;
                candidate.edit.clear();
                let when = commits::when(commit.at_unix_s);
                self.say(
                    out,
                    &format!(
                        "The candidate is the configuration of {when}, rollback {number}. \"compare\" shows what changes, \"commit\" makes it run."
                    ),
                );
            }
            (Use::Compare(_) | Use::Rollback, None) => {}
        }
    }

    pub(super) fn listed(
        &mut self,
        running: Generation,
        result: Result<Recalled, StoreError>,
        pipes: &[Pipe],
        out: &mut Vec<super::Output>,
    ) {
        match result {
            Ok(Recalled::List(past, _)) => {
                let lines = if pipes.first() == Some(&Pipe::Json) {
                    commits::json(running, &past).lines().map(ToString::to_string).collect()
                } else {
                    commits::lines(running, &past, self.width)
                };
                self.filtered(&lines, pipes, "nothing has been committed yet", out);
            }
            Ok(
                Recalled::Usage(_)
                | Recalled::Commit { .. }
                | Recalled::Rescue(_)
                | Recalled::Lineage(_)
                | Recalled::Systems(..),
            ) => {}
            Err(error) => self.say(out, &format!("{error}.")),
        }
    }

    /// Whether the line wants the number of a commit next; then the possibilities lie in flash.
    pub(super) fn choose_commit(&mut self, candidates: &[Possible], out: &mut Vec<super::Output>) -> bool {
        let wanted = [Arg::Back.placeholder(), Arg::BackOrRescue.placeholder()];
        let wants = candidates.iter().any(|c| wanted.contains(&c.text.as_str()));
        if !wants || self.lost || self.pending.len() >= super::PENDING {
            return false;
        }
        self.leave_row(out);
        self.ask(Job::Choose, Request::Recall(Recall::List), out);
        true
    }

    /// The commits that can be gone back to, in place of the numbers that could be typed.
    pub(super) fn chosen(
        &mut self,
        running: Generation,
        result: Result<Recalled, StoreError>,
        out: &mut Vec<super::Output>,
    ) {
        let (past, rescue) = match result {
            Ok(Recalled::List(past, rescue)) => (past, rescue),
            Ok(_) => return,
            Err(error) => return self.say(out, &format!("{error}.")),
        };
        let Ok((partial, mut candidates, _)) = self.possible() else { return };
        let rescue_too = candidates.iter().any(|c| c.text == Arg::BackOrRescue.placeholder());
        let rescue = rescue.filter(|_| rescue_too);
        candidates.retain(|c| !c.text.starts_with('<'));
        let mut all = commits::choices(running, &past);
        all.extend(rescue.map(|at| {
            ("rescue".to_string(), format!("The rescue configuration, kept {}", commits::when(at)))
        }));
        let fits = all.into_iter().filter(|(text, _)| text.starts_with(&partial));
        candidates.splice(0..0, fits.map(|(text, help)| Possible { text, help, literal: true }));
        if candidates.is_empty() {
            return self.say(out, "No commit that could be gone back to has this number.");
        }
        self.list(&candidates, out);
    }

    /// `show flash`.
    pub(super) fn used(
        &mut self,
        result: Result<Recalled, StoreError>,
        pipes: &[Pipe],
        out: &mut Vec<super::Output>,
    ) {
        match result {
            Ok(Recalled::Usage(usage)) => {
                let lines = if pipes.first() == Some(&Pipe::Json) {
                    flash::json(&usage).lines().map(ToString::to_string).collect()
                } else {
                    flash::lines(&usage, self.width)
                };
                self.filtered(&lines, pipes, "nothing lies in flash", out);
            }
            Ok(
                Recalled::List(..)
                | Recalled::Commit { .. }
                | Recalled::Rescue(_)
                | Recalled::Lineage(_)
                | Recalled::Systems(..),
            ) => {}
            Err(error) => self.say(out, &format!("{error}.")),
        }
    }

    pub(super) fn on_trial(
        &mut self,
        tree: super::Tree,
        (number, operations): (Generation, u32),
        (window, back): (Millis, Generation),
        findings: &[Finding],
        abandoned: bool,
        out: &mut Vec<super::Output>,
    ) {
        if let Some(candidate) = &mut self.candidate {
            candidate.base = number;
            candidate.running = tree;
        }
        self.trial = Some(number);
        let operations = plural(usize::try_from(operations).unwrap_or(usize::MAX), "kernel operation");
        let left = span(u64::from(window.get()).saturating_mul(1000));
        let text = format!(
            "On trial as generation {number}: {operations}. Type confirm within {left}, or generation {} runs again.",
            generation(back)
        );
        if abandoned {
            self.notice(out, &text);
        } else {
            self.findings(findings, out);
            self.say(out, &text);
        }
        self.refresh(out);
    }

    /// A commit would do harm that nobody agreed to. A person is asked; lines that were pasted or typed ahead are no answer.
    pub(super) fn harmful(
        &mut self,
        impact: &Impact,
        options: CommitOptions,
        setup: bool,
        abandoned: bool,
        out: &mut Vec<super::Output>,
    ) {
        if abandoned {
            return self.notice(out, "The commit was not done: it would have asked first. Type it again.");
        }
        for text in impact::lines(impact) {
            self.say(out, &text);
        }
        if self.screen.pasting || !self.typed_ahead.is_empty() {
            let text = "Refused: this must be agreed to. Type \"commit\" alone to be asked, or \"commit force\". The running configuration is unchanged.";
            return self.say(out, text);
        }
        self.question = Some(Question::Harm(Box::new(options), setup));
    }

    pub(super) fn confirmed(&mut self, number: Generation, abandoned: bool, out: &mut Vec<super::Output>) {
        self.trial = None;
        let text = format!("Confirmed: generation {number} stays.");
        if abandoned {
            self.notice(out, &text);
        } else {
            print::line(out, &text);
        }
        self.refresh(out);
    }

    /// That what runs goes back by itself, for who might leave it so.
    pub(super) fn remind_of_trial(&self, out: &mut Vec<super::Output>) {
        let Some((at, trial)) = self.status.as_ref().and_then(|s| Some((s.at, s.system.trial?))) else {
            return;
        };
        let now = self.clock.now().max(at);
        let (left, back) = (span(trial.deadline.micros_since(now)), generation(trial.back));
        let text =
            format!("On trial: configuration {back} runs again in {left} unless \"confirm\" is typed.");
        self.say(out, &text);
    }

    /// A sentence of the director for every console.
    pub(super) fn noticed(&mut self, text: &str, out: &mut Vec<super::Output>) {
        self.notice(out, text);
        self.refresh(out);
        // What this console has on trial may be what was taken back.
        if self.trial.is_some() && self.candidate.is_some() && self.pending.len() < super::PENDING {
            self.pending.push_back(super::Pending { job: Job::Rebase, abandoned: false });
            out.push(super::Output::Request(Box::new(Request::Config)));
        }
    }
}

/// A time to confirm: a number of minutes, or a time with its unit.
fn window(text: &str) -> Result<Millis, String> {
    let minutes = text.parse::<u32>().ok().and_then(|m| m.checked_mul(60_000)).map(Millis::new);
    let window = match minutes {
        Some(window) => Some(window),
        None => text.parse::<Millis>().ok(),
    };
    window.filter(|w| (CONFIRM_MIN..=CONFIRM_MAX).contains(w)).ok_or_else(|| {
        format!(
            "time to confirm \"{text}\": must be {CONFIRM_MIN} to {CONFIRM_MAX}; a number without a unit is minutes"
        )
    })
}

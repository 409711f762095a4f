//! The dialogue inside a session: asks, shows what it made, commits.

use super::super::setup::{Outcome, Setup};
use super::super::tree::Tree;
use super::super::{bind, text};
use super::{Candidate, Job, NO_DIRECTOR, Output, Question, Session, print};
use crate::director::protocol::{CommitOptions, Request};
use crate::model::Config;
use crate::model::validate::validate;
use crate::store::Generation;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// A dialogue and what it would replace.
#[derive(Debug)]
pub(super) struct Dialogue {
    setup: Setup,
    base: Generation,
    running: Tree,
}

impl Dialogue {
    pub(super) fn prompt(&self) -> String {
        self.setup.prompt()
    }

    pub(super) fn above(&self) -> Vec<String> {
        self.setup.above()
    }

    pub(super) fn explain(&self) -> String {
        self.setup.explain()
    }
}

impl Session {
    /// The director told devices and configuration: the first question.
    pub(super) fn setup_begin(&mut self, base: Generation, config: &Config, out: &mut Vec<Output>) {
        let Some(status) = &self.status else { return };
        let earlier = self.setup.take().map(|old| old.setup);
        let setup = match Setup::begin(status, earlier) {
            Ok(setup) => setup,
            Err(why) => return self.say(out, &why),
        };
        let running = bind::to_tree(config);
        let text = "Enter takes what stands in brackets, ? explains, < goes back, C-c leaves. Nothing changes before \
                    you commit at the end.";
        self.say(out, text);
        if running != Tree::default() {
            let text = "This box is configured already: what you answer replaces all of it. \"configure\" changes \
                        parts.";
            self.say(out, text);
        }
        self.setup = Some(Box::new(Dialogue { setup, base, running }));
        self.question = Some(Question::Setup);
    }

    pub(super) fn setup_answer(&mut self, line: &str, out: &mut Vec<Output>) {
        let Some(dialogue) = &mut self.setup else { return };
        match dialogue.setup.enter(line) {
            Outcome::Next => self.question = Some(Question::Setup),
            Outcome::Again(why) => {
                self.question = Some(Question::Setup);
                self.say(out, &why);
            }
            Outcome::Done => self.setup_show(out),
        }
    }

    /// What the answers are as lines, or how they differ from what runs.
    fn setup_show(&mut self, out: &mut Vec<Output>) {
        let Some(dialogue) = &self.setup else { return };
        let lines = if dialogue.running == Tree::default() {
            dialogue.setup.shown()
        } else {
            let tree = dialogue.setup.tree().unwrap_or_default();
            text::difference(&dialogue.running, &tree)
        };
        print::line(out, "");
        self.say(out, dialogue.setup.names());
        print::line(out, "");
        lines.iter().for_each(|line| print::line(out, line));
        print::line(out, "");
        self.question = Some(Question::SetupCommit);
    }

    pub(super) fn setup_commit(&mut self, options: CommitOptions, out: &mut Vec<Output>) {
        let Some(dialogue) = &self.setup else { return };
        let tree = dialogue.setup.tree();
        let config = tree.as_ref().ok().and_then(|tree| bind::to_config(tree).ok());
        let (Ok(tree), Some(config)) = (tree, config) else {
            return self.say(out, "The answers make no configuration. Type setup to answer again.");
        };
        if self.lost {
            self.say(out, NO_DIRECTOR);
            return self.say(out, "The answers are kept: type setup when it is back.");
        }
        if tree == dialogue.running {
            return self.say(out, "Nothing to commit: this is the running configuration already.");
        }
        debug_assert!(
            validate(&config).iter().all(|f| f.severity != crate::model::validate::Severity::Error)
        );
        let base = dialogue.base;
        self.ask(Job::SetupCommit(Box::new(tree)), Request::Commit { base, config, options }, out);
    }

    /// The answers become a candidate.
    pub(super) fn setup_edit(&mut self, out: &mut Vec<Output>) {
        let Some(dialogue) = self.setup.take() else { return };
        let tree = dialogue.setup.tree().unwrap_or_default();
        let Dialogue { base, running, .. } = *dialogue;
        self.candidate = Some(Box::new(Candidate { tree, running, base, edit: Vec::new() }));
        self.say(
            out,
            "The lines are the candidate now: change them with set and delete, then commit. After that, \
             \"run show realserver-setup web\" prints what each real server needs, and \"run doctor\" finds what is missing there.",
        );
    }

    pub(super) fn setup_done(&mut self, out: &mut Vec<Output>) {
        let Some(dialogue) = self.setup.take() else { return };
        dialogue.setup.afterwards().iter().for_each(|text| self.say(out, text));
    }

    /// C-c at a question.
    pub(super) fn give_up_question(&mut self, out: &mut Vec<Output>) {
        let question = self.question.take();
        if matches!(question, Some(Question::Setup | Question::SetupCommit)) {
            self.say(out, &format!("Nothing was changed. {KEPT}"));
        }
    }
}

const KEPT: &str = "\"setup\" asks again, with your answers in brackets.";

//! The `setup` dialogue: a dozen questions from an empty box to a working service. It decides what is asked, which
//! answer is good, and which `set` lines the answers are. It never sends anything; the session asks and commits.
//!
//! The answers so far are the whole state: the next question and the configuration follow from them. Each answer is
//! taken only if the configuration of all answers passes [`validate`], so what is offered for a commit never fails it.

mod lines;
mod questions;

use super::bind;
use super::text::{parse_tree, set_lines};
use super::tree::Tree;
use crate::director::status::Status;
use crate::model::limits;
use crate::model::validate::{Severity, validate};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use questions::Step;

/// Answers one dialogue may hold. Chosen: more real servers than anybody types, and fewer than a pool may have.
const ANSWERS: usize = 200;
const _: () = assert!(ANSWERS < limits::POOL_SERVERS);

/// Goes back to the question before.
const BACK: &str = "<";

/// A device that can be chosen.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Port {
    device: String,
    state: &'static str,
}

/// An answer, as its question wants it: canonical, defaults filled in.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Answer {
    step: Step,
    text: String,
}

/// What an answer led to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    /// Ask the next question.
    Next,
    /// Not taken: why, with the fix. Ask again.
    Again(String),
    /// All is answered.
    Done,
}

/// A dialogue.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    ports: Vec<Port>,
    answers: Vec<Answer>,
    /// Answers of an earlier dialogue, offered as defaults.
    earlier: Vec<Answer>,
}

impl Setup {
    /// Begins; gives why it cannot.
    pub(crate) fn begin(status: &Status, earlier: Option<Self>) -> Result<Self, String> {
        if status.system.identity == crate::store::identity::Role::Backup {
            return Err(format!(
                "This box is node backup of a pair: setup is for the first box. {}",
                super::session::FROM_PRIMARY
            ));
        }
        let ports: Vec<Port> = status
            .interfaces
            .iter()
            .filter_map(|i| {
                let link = i.link.as_ref()?;
                let state = match (link.up, link.carrier) {
                    (true, true) => "link up",
                    (true, false) => "no link: check the cable",
                    (false, _) => "not in use yet",
                };
                Some(Port { device: i.device.to_string(), state })
            })
            .collect();
        if ports.is_empty() {
            let text = "No network device was found: \"show log\" says what the kernel saw. Nothing can be set up without one.";
            return Err(text.to_string());
        }
        let earlier = earlier.map(|old| if old.answers.is_empty() { old.earlier } else { old.answers });
        Ok(Self { ports, answers: Vec::new(), earlier: earlier.unwrap_or_default() })
    }

    /// What is asked now; `None`: everything was answered.
    fn step(&self) -> Option<Step> {
        let Some(last) = self.answers.last() else { return Some(Step::Hostname) };
        last.step.next(&last.text, self.answer(Step::Forward) == Some("nat"))
    }

    fn answer(&self, step: Step) -> Option<&str> {
        find(&self.answers, step)
    }

    /// Lines above the question; empty for most.
    pub(crate) fn above(&self) -> Vec<String> {
        match self.step() {
            Some(Step::Public) => {
                self.ports.iter().map(|port| format!("  {:15} {}", port.device, port.state)).collect()
            }
            Some(Step::Server(1)) => Vec::from([String::from(
                "Real servers, one a line: address, perhaps a weight. Enter alone ends the list.",
            )]),
            Some(_) | None => Vec::new(),
        }
    }

    /// The question with its default, at most 39 columns.
    pub(crate) fn prompt(&self) -> String {
        let Some(step) = self.step() else { return String::new() };
        let title = step.title();
        match self.default(step) {
            Some(text) => format!("{title} [{text}]: "),
            None => format!("{title}: "),
        }
    }

    /// What `?` says.
    pub(crate) fn explain(&self) -> String {
        self.step().map(|step| format!("{} {BACK} goes back, C-c leaves.", step.help())).unwrap_or_default()
    }

    fn default(&self, step: Step) -> Option<String> {
        // An earlier answer that no longer fits would only be refused.
        let earlier = find(&self.earlier, step).filter(|text| self.fits(step, text));
        earlier.map(ToString::to_string).or_else(|| self.natural_default(step))
    }

    /// Whether an answer would be taken.
    fn fits(&self, step: Step, text: &str) -> bool {
        self.canonical(step, text).is_ok_and(|text| self.with(step, text).is_ok())
    }

    /// Takes what was typed.
    pub(crate) fn enter(&mut self, line: &str) -> Outcome {
        let Some(step) = self.step() else { return Outcome::Done };
        let typed = line.trim();
        if typed == BACK {
            return match self.answers.pop() {
                Some(answer) => {
                    self.earlier.retain(|old| old.step != answer.step);
                    self.earlier.push(answer);
                    Outcome::Next
                }
                None => Outcome::Again("This is the first question; C-c leaves.".to_string()),
            };
        }
        let text = match (typed.is_empty(), self.default(step)) {
            (false, _) => typed.to_string(),
            (true, Some(default)) => default,
            (true, None) => return Outcome::Again(format!("An answer is needed. {}", step.help())),
        };
        if self.answers.len() >= ANSWERS {
            return Outcome::Again(
                "No more servers fit in this dialogue: Enter alone ends the list; add others with configure."
                    .to_string(),
            );
        }
        match self.canonical(step, &text).and_then(|text| self.with(step, text)) {
            Ok(next) => self.answers = next.answers,
            Err(why) => return Outcome::Again(why),
        }
        if self.step().is_some() { Outcome::Next } else { Outcome::Done }
    }

    /// The dialogue with one more answer; an error when the configuration would not pass.
    fn with(&self, step: Step, text: String) -> Result<Self, String> {
        let mut next = self.clone();
        next.answers.push(Answer { step, text });
        let tree = next.tree()?;
        let config = bind::to_config(&tree).map_err(|e| e.to_string())?;
        match validate(&config).into_iter().find(|f| f.severity == Severity::Error) {
            Some(finding) => Err(format!("{}: {}.", finding.path, finding.message)),
            None => Ok(next),
        }
    }

    /// The configuration of the answers so far, made by the same lines that an operator would type.
    pub(crate) fn tree(&self) -> Result<Tree, String> {
        let (tree, errors) = parse_tree(&self.lines().join("\n"));
        match errors.first() {
            None => Ok(tree),
            Some(error) => Err(format!("{}.", error.message)),
        }
    }

    /// The configuration of the answers as `set` lines.
    pub(crate) fn shown(&self) -> Vec<String> {
        let tree = self.tree().unwrap_or_default();
        set_lines(&tree).lines().map(ToString::to_string).collect()
    }
}

fn find(answers: &[Answer], step: Step) -> Option<&str> {
    answers.iter().find(|a| a.step == step).map(|a| a.text.as_str())
}

#[cfg(test)]
mod tests;

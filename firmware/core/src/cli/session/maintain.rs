//! `rescue`, `rollback rescue`, `factory-reset`: what they ask and what the answers say.

use super::super::bind;
use super::super::grammar::Pipe;
use super::super::show::commits;
use super::{Job, Output, Question, Session, print};
use crate::director::protocol::{Maintenance, Recall, Recalled, Request};
use crate::store::StoreError;
use crate::store::identity::Role;
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

/// What a reset takes, before the question.
const LOSSES: &str = "This overwrites in flash: the running configuration, all earlier commits, the rescue \
                      configuration, what was set on servers by hand, and every password and key. The box then \
                      reboots and serves nothing until it is configured on this console. Its identity and its \
                      boot counter are kept.";

impl Session {
    pub(super) fn maintain(&mut self, what: Maintenance, out: &mut Vec<Output>) {
        self.ask(Job::Maintain(what), Request::Maintain(what), out);
    }

    /// Shows the rescue configuration, or makes it the candidate.
    pub(super) fn rescue(&mut self, shown: Option<Vec<Pipe>>, out: &mut Vec<Output>) {
        self.ask(Job::Rescue { shown }, Request::Recall(Recall::Rescue), out);
    }

    pub(super) fn rescued(
        &mut self,
        shown: Option<Vec<Pipe>>,
        result: Result<Recalled, StoreError>,
        out: &mut Vec<Output>,
    ) {
        let commit = match result {
            Ok(Recalled::Rescue(commit)) => commit,
            // Excluded by what was asked.
            Ok(
                Recalled::List(..)
                | Recalled::Lineage(_)
                | Recalled::Usage(_)
                | Recalled::Commit { .. }
                | Recalled::Systems(..),
            ) => {
                return;
            }
            Err(error) => return self.say(out, &format!("{error}.")),
        };
        let tree = bind::to_tree(&commit.config);
        let (what, when) = (commit.comment.to_string(), commits::when(commit.at_unix_s));
        match (shown, &mut self.candidate) {
            (Some(pipes), _) => {
                if pipes.is_empty() {
                    self.say(out, &format!("Kept {when}: {what}."));
                }
                self.show_running(&tree, &pipes, out);
            }
            (None, Some(candidate)) => {
                candidate.tree = tree;
                candidate.edit.clear();
                let text = format!(
                    "The candidate is the rescue configuration, kept {when}: {what}. \"compare\" shows what \
                     changes, \"commit\" makes it run."
                );
                self.say(out, &text);
            }
            (None, None) => {}
        }
    }

    pub(super) fn maintained(&mut self, what: Maintenance, text: &str, out: &mut Vec<Output>) {
        if matches!(what, Maintenance::FactoryReset | Maintenance::Identity(_)) {
            self.ending = true;
            self.candidate = None;
        }
        self.say(out, &format!("Done: {text}."));
    }

    /// `cluster identity`. What would be refused is refused by the director, after the question.
    pub(super) fn ask_identity(&mut self, role: Role, out: &mut Vec<Output>) {
        if self.status.as_ref().is_some_and(|status| status.system.identity == role) {
            return self.say(out, &format!("This box is the {role} node already. Nothing was done."));
        }
        self.say(
            out,
            &format!(
                "From the next start on this box goes by what is configured for node {role}: its host name and \
                 addresses. Configuration and commits stay. The other box must be node {}.",
                role.other()
            ),
        );
        self.warn_of_changes(out);
        self.question = Some(Question::Identity(role));
    }

    pub(super) fn ask_reset(&mut self, out: &mut Vec<Output>) {
        self.say(out, LOSSES);
        self.question = Some(Question::FactoryReset);
    }

    pub(super) fn answer_reset(&mut self, line: &str, out: &mut Vec<Output>) {
        if line.trim() == "factory-reset" {
            return self.maintain(Maintenance::FactoryReset, out);
        }
        print::line(out, "Nothing was done.");
    }
}

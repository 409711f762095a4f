//! send-expect: say something, wait for what must come, and so on.

use super::pattern::{Match, Pattern};
use super::{Machine, Step};
use crate::model::check;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;

#[derive(Debug)]
struct Todo {
    send: Option<Vec<u8>>,
    expect: Option<Pattern>,
}

/// The steps that are left, and the bytes that no step has used.
#[derive(Debug)]
pub(super) struct Steps {
    todo: VecDeque<Todo>,
    have: Vec<u8>,
    /// What the last steps send and nothing answers.
    last_words: Vec<u8>,
}

impl Steps {
    pub(super) fn new<'a>(steps: impl Iterator<Item = &'a check::Dialogue>) -> Self {
        let todo = steps.map(|step| Todo {
            send: step.send.as_ref().map(crate::model::text::Escaped::bytes),
            expect: step.expect.as_ref().map(|wanted| Pattern::new(wanted, step.compare)),
        });
        Self { todo: todo.collect(), have: Vec::new(), last_words: Vec::new() }
    }

    /// Goes as far as it can. What is to be sent is joined until something must come. Each round uses up a step.
    fn advance(&mut self) -> Step {
        let mut sending = Vec::new();
        while let Some(step) = self.todo.front_mut() {
            if let Some(bytes) = step.send.take() {
                // An answer follows its question: what came before belongs to no later step.
                self.have.clear();
                sending.extend_from_slice(&bytes);
            }
            if let Some(pattern) = &step.expect {
                match pattern.judge(&self.have, false) {
                    Match::Yes(used) => {
                        self.have.drain(..used.min(self.have.len()));
                    }
                    Match::Never => return Step::Done(Err(pattern.complaint(&self.have))),
                    Match::NotYet if sending.is_empty() => return Step::Wait,
                    Match::NotYet => return Step::Send(sending),
                }
            }
            self.todo.pop_front();
        }
        self.last_words = sending;
        Step::Done(Ok(()))
    }
}

impl Machine for Steps {
    fn open(&mut self) -> Step {
        self.advance()
    }

    fn feed(&mut self, bytes: &[u8]) -> Step {
        self.have.extend_from_slice(bytes);
        self.advance()
    }

    fn closed(&mut self) -> Result<(), String> {
        let Some(step) = self.todo.front() else { return Ok(()) };
        let Some(pattern) = &step.expect else { return Ok(()) };
        let last = self.todo.len() == 1;
        match pattern.judge(&self.have, true) {
            Match::Yes(_) if last => Ok(()),
            Match::Yes(_) | Match::NotYet | Match::Never if self.have.is_empty() => {
                Err(String::from("connection closed without an answer"))
            }
            Match::Yes(_) => Err(String::from("connection closed before the last step")),
            Match::NotYet | Match::Never => Err(pattern.complaint(&self.have)),
        }
    }

    fn farewell(&self) -> &[u8] {
        &self.last_words
    }

    fn silent(&self) -> Option<Result<(), String>> {
        let pattern = self.todo.front()?.expect.as_ref()?;
        (!self.have.is_empty()).then(|| Err(pattern.complaint(&self.have)))
    }
}

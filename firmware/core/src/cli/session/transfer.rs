//! A program on the line pushes or pulls a configuration ([`super::super::transfer`]). No echo and no editing meanwhile.

use super::super::transfer::{Depot, Lines, Message};
use super::super::{bind, text};
use super::{Output, Session, print};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// C-c in a row by which a person leaves. More than one, because noise makes one.
const LEAVE: u8 = 3;
/// Sentences kept until the mode ends; they are in the log too.
const NOTICES_MAX: usize = 8;

/// The mode and what came in it. What came outlives the mode, so that a push can go on.
#[derive(Debug, Default)]
pub(super) struct Transfer {
    lines: Option<Lines>,
    depot: Depot,
    interrupts: u8,
    /// What was to be said meanwhile: the program on the line would take it for noise.
    notices: Vec<String>,
}

impl Transfer {
    pub(super) fn active(&self) -> bool {
        self.lines.is_some()
    }

    /// Keeps a sentence until the mode ends.
    pub(super) fn keep(&mut self, text: &str) {
        if self.notices.len() < NOTICES_MAX {
            self.notices.push(text.to_string());
        }
    }
}

impl Session {
    pub(super) fn begin_transfer(&mut self, out: &mut Vec<Output>) {
        print::line(out, "Waiting for a program on this line (make provision). C-c three times leaves.");
        self.transfer.lines = Some(Lines::default());
        self.transfer.interrupts = 0;
    }

    pub(super) fn transfer_byte(&mut self, byte: u8, out: &mut Vec<Output>) {
        self.transfer.interrupts = if byte == 0x03 { self.transfer.interrupts.saturating_add(1) } else { 0 };
        if self.transfer.interrupts >= LEAVE {
            return self.end_transfer(out);
        }
        let Some(message) = self.transfer.lines.as_mut().and_then(|lines| lines.feed(byte)) else { return };
        let Some(candidate) = self.candidate.as_mut() else { return self.end_transfer(out) };
        let candidate = &mut **candidate;
        let (running, tree, edit) = (&candidate.running, &mut candidate.tree, &mut candidate.edit);
        let answer = self.transfer.depot.answer(
            message,
            || text::set_lines(running),
            |pushed| {
                let (parsed, errors) = text::parse_tree(pushed);
                if let Some(first) = errors.first() {
                    let more = errors.len().saturating_sub(1);
                    return Err(if more == 0 {
                        first.to_string()
                    } else {
                        format!("{first} (and {more} more)")
                    });
                }
                bind::to_config(&parsed).map_err(|e| e.to_string())?;
                *tree = parsed;
                edit.clear();
                Ok(())
            },
        );
        let Some(answer) = answer else { return };
        print::raw(out, &answer.emit());
        if answer == Message::Quit {
            self.end_transfer(out);
        }
    }

    fn end_transfer(&mut self, out: &mut Vec<Output>) {
        self.transfer.lines = None;
        print::line(out, "");
        for text in core::mem::take(&mut self.transfer.notices) {
            self.say(out, &text);
        }
        self.prompt(out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::transfer::{Action, Pull, Push};
    use crate::director::protocol::{Reply, Request};
    use crate::store::Generation;

    /// Types bytes; gives what was written.
    fn typed(session: &mut Session, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        session.input(bytes, &mut out);
        let mut written = Vec::new();
        while !out.is_empty() {
            let mut next = Vec::new();
            for output in out {
                match output {
                    Output::Write(bytes) => written.extend(bytes),
                    Output::Request(request) if *request == Request::Config => {
                        let config = crate::cli::parse_set_lines("set pool old forward nat\n").unwrap();
                        session.reply(Reply::Config { generation: Generation(1), config }, &mut next);
                    }
                    Output::Request(request) => {
                        assert_eq!(*request, Request::Status, "a transfer asks nothing of the director");
                    }
                    Output::ShowLog { .. }
                    | Output::DirectPower(_)
                    | Output::RestartDirector
                    | Output::Salt
                    | Output::Logout => panic!("a transfer does nothing else"),
                }
            }
            out = next;
        }
        written
    }

    fn console() -> Session {
        let mut session = Session::new(None);
        typed(&mut session, b"configure\rtransfer\r");
        session
    }

    fn exchange(
        session: &mut Session,
        first: Action,
        mut take: impl FnMut(Message) -> Action,
    ) -> Result<(), String> {
        let (mut lines, mut action) = (Lines::default(), first);
        loop {
            let written = match action {
                Action::Send(bytes) => typed(session, &bytes),
                Action::Done => return Ok(()),
                Action::Failed(why) => return Err(why),
                Action::Wait => panic!("a clean line answers at once"),
            };
            action = Action::Wait;
            for message in written.iter().filter_map(|byte| lines.feed(*byte)) {
                action = take(message);
            }
        }
    }

    fn push(session: &mut Session, text: &str) -> Result<(), String> {
        let mut push = Push::new(text).unwrap();
        let first = push.ask();
        exchange(session, first, |message| push.take(message))
    }

    #[test]
    fn a_pushed_configuration_is_the_candidate_and_nothing_is_committed() {
        let mut session = console();
        push(&mut session, "set pool new forward nat\n").unwrap();
        typed(&mut session, &Message::Quit.emit());
        let shown = String::from_utf8(typed(&mut session, b"compare\r")).unwrap();
        assert!(shown.contains("- set pool old") && shown.contains("+ set pool new"), "{shown}");
    }

    #[test]
    fn a_pull_gives_the_running_configuration_whatever_the_candidate_is() {
        let mut session = console();
        push(&mut session, "set pool new forward nat\n").unwrap();
        let mut pull = Pull::new();
        let first = pull.ask();
        exchange(&mut session, first, |message| pull.take(message)).unwrap();
        let got = pull.into_text().unwrap();
        assert!(got.contains("set pool old") && !got.contains("new"), "{got}");
    }

    #[test]
    fn a_wrong_configuration_is_refused_with_its_line_and_the_candidate_stays() {
        let mut session = console();
        let why = push(&mut session, "set pool new forward nat\nset pool new weight\n").unwrap_err();
        assert!(why.contains("line 2"), "{why}");
        typed(&mut session, b"\x03\x03\x03");
        let shown = String::from_utf8(typed(&mut session, b"compare\r")).unwrap();
        assert!(shown.contains("no changes"), "{shown}");
    }

    #[test]
    fn what_is_said_during_a_transfer_is_shown_when_it_ends() {
        let mut session = console();
        let mut out = Vec::new();
        session.reply(Reply::Notice("Commit 2 was confirmed.".to_string()), &mut out);
        assert!(!out.iter().any(|o| matches!(o, Output::Write(_))), "{out:?}");
        let shown = String::from_utf8(typed(&mut session, b"\x03\x03\x03")).unwrap();
        assert!(shown.ends_with("\r\nCommit 2 was confirmed.\r\ndirector# "), "{shown}");
    }

    #[test]
    fn one_interrupt_is_noise_and_three_are_a_person() {
        let mut session = console();
        assert_eq!(typed(&mut session, b"\x03show version\r\x03\x03x\r"), b"");
        let shown = typed(&mut session, b"\x03\x03\x03");
        assert!(shown.ends_with(b"director# "));
    }
}

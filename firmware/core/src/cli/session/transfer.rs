//! A program on the line pushes or pulls a configuration ([`super::super::transfer`]). No echo and no editing meanwhile.

use super::super::grammar::{CONFIGURE, RUN, parse};
use super::super::text::load::{Form, read};
use super::super::text::secrets::{any_sealed, settle};
use super::super::transfer::{Depot, Lines, Message, said};
use super::super::tree::Tree;
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
    /// Blocks belong to an upgrade, not to a configuration.
    uploading: bool,
    /// What was to be said meanwhile: the program on the line would take it for noise.
    notices: Vec<String>,
    /// The command that was run last.
    command: Option<Command>,
}

/// A command of a program on the line, and what it said so far.
#[derive(Debug)]
struct Command {
    id: u64,
    said: Vec<u8>,
    done: bool,
    /// The question that is not answered yet: from which byte on.
    asked: Option<usize>,
}

/// Bytes kept of what a command says. Chosen: 10,000 servers as JSON.
const SAID_BYTES: usize = 4 * 1024 * 1024;

impl Transfer {
    /// Whether a command of a program is being run.
    pub(super) fn running(&self) -> bool {
        self.command.as_ref().is_some_and(|command| !command.done)
    }

    pub(super) fn active(&self) -> bool {
        self.lines.is_some()
    }

    /// Counts C-c in a row; true when it is a person who wants to leave.
    pub(super) fn interrupted(&mut self, byte: u8) -> bool {
        self.interrupts = if byte == 0x03 { self.interrupts.saturating_add(1) } else { 0 };
        self.interrupts >= LEAVE
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
        self.say(
            out,
            "Waiting for director-provision, run on the machine at the other end. C-c three times leaves.",
        );
        self.transfer.lines = Some(Lines::default());
        self.transfer.interrupts = 0;
    }

    pub(super) fn transfer_byte(&mut self, byte: u8, out: &mut Vec<Output>) {
        if self.transfer.interrupted(byte) {
            return self.end_transfer(out);
        }
        let Some(message) = self.transfer.lines.as_mut().and_then(|lines| lines.feed(byte)) else { return };
        if let Message::Run { id, offset, command } = message {
            return self.run_for_program(id, offset, &command, out);
        }
        match message {
            Message::Offer { .. } => {
                self.transfer.uploading = true;
                return self.upload(message, out);
            }
            Message::Data { .. } | Message::End(_) if self.transfer.uploading => {
                return self.upload(message, out);
            }
            Message::Push { .. } => self.transfer.uploading = false,
            Message::Hello
            | Message::Version(_)
            | Message::Data { .. }
            | Message::Have(_)
            | Message::End(_)
            | Message::Taken(_)
            | Message::Refused(_)
            | Message::Get(_)
            | Message::Block { .. }
            | Message::Run { .. }
            | Message::Quit => {}
        }
        let Some(candidate) = self.candidate.as_mut() else { return self.end_transfer(out) };
        let candidate = &mut **candidate;
        let (running, tree, edit) = (&candidate.running, &mut candidate.tree, &mut candidate.edit);
        let answer = self.transfer.depot.answer(
            message,
            || text::set_lines(running),
            |pushed| {
                let parsed = read(&Tree::default(), pushed, Form::of(pushed));
                let mut parsed = parsed.map_err(|wrong| match wrong.errors.first() {
                    Some(first) if wrong.count() > 1 => {
                        format!("{first} (and {} more)", wrong.count().saturating_sub(1))
                    }
                    Some(first) => first.to_string(),
                    None => String::new(),
                })?;
                if any_sealed(&parsed) {
                    return Err(
                        "its secrets are sealed: load it at the console, which asks for the passphrase"
                            .to_string(),
                    );
                }
                // What is left out stays as it is on the box.
                settle(&mut parsed, tree, true, None)?;
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

    /// Runs a command unless it was run already, and answers when it has ended; while it has not, the program's questions
    /// wait like everything that is typed.
    fn run_for_program(&mut self, id: u64, offset: usize, line: &str, out: &mut Vec<Output>) {
        if self.transfer.command.as_ref().is_none_or(|command| command.id != id) {
            self.transfer.command = Some(Command { id, said: Vec::new(), done: false, asked: None });
            self.capture(out, |session, out| session.execute_for_program(line, out));
        }
        if let Some(command) = &mut self.transfer.command {
            command.asked = Some(offset);
        }
        self.answer_program(out);
    }

    /// Answers when the command has ended, also because the director went away.
    fn answer_program(&mut self, out: &mut Vec<Output>) {
        if !self.waiting()
            && let Some(command) = &mut self.transfer.command
            && let Some(offset) = command.asked.take()
        {
            command.done = true;
            print::raw(out, &said(&command.said, offset).emit());
        }
    }

    fn execute_for_program(&mut self, line: &str, out: &mut Vec<Output>) {
        let first = line.split_whitespace().next().unwrap_or_default();
        let table = if RUN.iter().any(|c| c.word == first) { RUN } else { CONFIGURE };
        match parse(table, line, &[]) {
            Ok(None) => {}
            Ok(Some(parsed)) if !parsed.action.by_program() => {
                print::line(out, "Refused: this needs somebody at the console.");
            }
            Ok(Some(parsed)) => self.act(parsed, out),
            Err(fault) => self.say(out, &fault.message),
        }
    }

    /// Keeps what is printed meanwhile for the program whose command it is; does nothing else when there is none.
    pub(super) fn capture(&mut self, out: &mut Vec<Output>, act: impl FnOnce(&mut Self, &mut Vec<Output>)) {
        if !self.transfer.running() {
            return act(self, out);
        }
        let mut inner = Vec::new();
        act(self, &mut inner);
        if let Some(question) = self.question.take() {
            let text = question.text();
            self.say(&mut inner, &format!("{text}n (a program cannot answer: do it at the console)"));
        }
        let Some(command) = &mut self.transfer.command else { return };
        for output in inner {
            match output {
                Output::Write(bytes) => {
                    let room = SAID_BYTES.saturating_sub(command.said.len()).min(bytes.len());
                    command.said.extend_from_slice(bytes.get(..room).unwrap_or_default());
                }
                Output::Request(_)
                | Output::ShowLog { .. }
                | Output::ShowConnections(_)
                | Output::DirectPower(_)
                | Output::RestartDirector
                | Output::ShowHardware
                | Output::Salt
                | Output::Verify { .. }
                | Output::Hash(_)
                | Output::WrongPasswords(_)
                | Output::Logout => out.push(output),
            }
        }
        self.answer_program(out);
    }

    /// Leaves the mode, also when the answer to a program's command is still awaited.
    pub(super) fn end_transfer(&mut self, out: &mut Vec<Output>) {
        self.transfer.lines = None;
        self.transfer.command = None;
        print::line(out, "");
        for text in core::mem::take(&mut self.transfer.notices) {
            self.say(out, &text);
        }
        if self.waiting() { self.abandon(out) } else { self.prompt(out) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::transfer::{Action, Pull, Push, Run};
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
                    Output::ShowConnections(_)
                    | Output::ShowLog { .. }
                    | Output::DirectPower(_)
                    | Output::RestartDirector
                    | Output::ShowHardware
                    | Output::Verify { .. }
                    | Output::Hash(_)
                    | Output::WrongPasswords(_)
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

    fn run(session: &mut Session, id: u64, command: &str) -> String {
        let mut run = Run::new(id, command).unwrap();
        let first = run.ask();
        exchange(session, first, |message| run.take(message)).unwrap();
        run.into_text().unwrap()
    }

    #[test]
    fn a_program_runs_commands_of_both_modes_and_gets_exactly_what_they_say() {
        let mut session = console();
        push(&mut session, "set pool new forward nat\n").unwrap();
        assert_eq!(run(&mut session, 1, "compare"), "- set pool old\r\n+ set pool new\r\n");
        assert_eq!(run(&mut session, 2, "show configuration | set"), "set pool old\r\n");
        assert!(run(&mut session, 3, "shwo").contains("not known here"));
        assert!(run(&mut session, 4, "exit").contains("somebody at the console"));
        assert!(run(&mut session, 5, "reboot").contains("somebody at the console"));
        assert!(run(&mut session, 6, "help | more").contains("after a complete show command"));
        // Long output is never held by a pager.
        typed(&mut session, &Message::Quit.emit());
        typed(&mut session, b"terminal length 4\rtransfer\r");
        assert!(run(&mut session, 7, "run help").lines().count() <= 4);
        assert!(run(&mut session, 8, "show defaults").lines().count() > 20);
    }

    #[test]
    fn a_command_that_is_asked_for_again_is_not_run_again() {
        let mut session = console();
        let ask = Message::Run { id: 9, offset: 0, command: String::from("set pool twice fall 4") }.emit();
        typed(&mut session, &ask);
        let other = Message::Run { id: 10, offset: 0, command: String::from("delete pool twice") }.emit();
        let first = typed(&mut session, &other);
        assert_eq!(typed(&mut session, &other), first);
        // Run twice, it would say that there is nothing to delete.
        assert!(String::from_utf8(first).unwrap().contains(":B 0 0 "));
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
    fn three_interrupts_leave_also_while_a_command_is_awaited_and_one_does_not_give_it_up() {
        let mut session = console();
        let ask = Message::Run { id: 9, offset: 0, command: String::from("run show log") }.emit();
        let mut out = Vec::new();
        session.input(&ask, &mut out);
        assert!(out.iter().any(|o| matches!(o, Output::ShowLog { .. })), "{out:?}");
        assert_eq!(typed(&mut session, b"\x03\x03x"), b"");
        let left = String::from_utf8(typed(&mut session, b"\x03\x03\x03\r# left\r")).unwrap();
        assert!(left.contains("Not waiting any longer."), "{left}");
        assert!(left.ends_with("director# # left\r\ndirector# "), "{left}");
    }

    #[test]
    fn one_interrupt_is_noise_and_three_are_a_person() {
        let mut session = console();
        assert_eq!(typed(&mut session, b"\x03show version\r\x03\x03x\r"), b"");
        let shown = typed(&mut session, b"\x03\x03\x03");
        assert!(shown.ends_with(b"director# "));
    }
}

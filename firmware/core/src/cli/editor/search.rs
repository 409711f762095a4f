//! C-r: looks through the history while the text to look for is typed.

use super::keys::Key;
use super::{Editor, Event};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// Longest text to look for. Chosen: it stays visible beside the line it found.
const PATTERN_BYTES: usize = 20;

/// A search under way.
#[derive(Debug)]
pub(super) struct Search {
    pattern: String,
    /// How many lines back the shown match is; 0 is none yet.
    at: usize,
    /// What C-g and C-c bring back.
    line: Box<str>,
    prompt: Box<str>,
}

impl Editor {
    pub(super) fn search_begin(&mut self) {
        let prompt = core::mem::take(&mut self.prompt);
        self.search = Some(Search { pattern: String::new(), at: 0, line: self.line().into(), prompt });
        self.search_prompt();
    }

    /// Keeps the prompt that comes back after the search, or shows it now.
    pub(super) fn place_prompt(&mut self, prompt: Box<str>) {
        match &mut self.search {
            Some(search) => search.prompt = prompt,
            None => self.prompt = prompt,
        }
    }

    fn search_prompt(&mut self) {
        if let Some(search) = &self.search {
            let text = format!("(search {}) ", search.pattern);
            self.prompt = text.chars().take(self.width / 2).collect::<String>().into();
        }
    }

    /// Keys of a search; any other key ends it and does its work on the line that was found.
    pub(super) fn press_in_search(&mut self, key: Key, out: &mut Vec<u8>) -> Option<Event> {
        let Some(search) = &mut self.search else { return self.press(key, out) };
        match key {
            Key::Char(b) | Key::Literal(b) => {
                if search.pattern.len() >= PATTERN_BYTES {
                    out.push(0x07);
                    return None;
                }
                search.pattern.push(char::from(b));
                let from = search.at.max(1);
                self.look(from, out);
            }
            Key::Search => {
                let from = search.at.saturating_add(1);
                self.look(from, out);
            }
            Key::Backspace => {
                search.pattern.pop();
                search.at = 0;
                self.look(1, out);
            }
            Key::Cancel | Key::Interrupt => {
                let line = search.line.clone();
                self.replace(&line);
                self.search_end();
            }
            Key::Position(..) | Key::Redraw => return self.press(key, out),
            Key::Tab
            | Key::Enter
            | Key::DeleteOrEnd
            | Key::Delete
            | Key::Left
            | Key::Right
            | Key::WordLeft
            | Key::WordRight
            | Key::Home
            | Key::End
            | Key::Up
            | Key::Down
            | Key::KillToEnd
            | Key::KillToStart
            | Key::KillWord
            | Key::KillWordRight
            | Key::Yank => {
                self.search_end();
                return self.press(key, out);
            }
        }
        None
    }

    /// Shows the newest line that contains the text, `from` lines back or older.
    fn look(&mut self, from: usize, out: &mut Vec<u8>) {
        let Some(search) = &mut self.search else { return };
        let older = self.history.iter().rev().enumerate().skip(from.saturating_sub(1));
        let mut older = older.map(|(i, line)| (i.saturating_add(1), &**line));
        let found = older.find(|(_, line)| line.contains(search.pattern.as_str()));
        match found {
            Some((at, line)) if !search.pattern.is_empty() => {
                search.at = at;
                let line: Box<str> = line.into();
                self.replace(&line);
            }
            Some(_) => {}
            None => out.push(0x07),
        }
        self.search_prompt();
    }

    fn replace(&mut self, text: &str) {
        self.line.clear();
        // Lines of the history fit: they were lines once.
        text.bytes().for_each(|b| _ = self.line.push(b));
        self.cursor = self.line.len();
        self.offset = 0;
        self.overflow = false;
    }

    fn search_end(&mut self) {
        if let Some(search) = self.search.take() {
            self.prompt = search.prompt;
        }
    }
}

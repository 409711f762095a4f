//! Line editor for a serial line: bytes in, bytes out, no I/O and no terminal database.
//!
//! The line is shown in one row and scrolls sideways. What the terminal shows is remembered, and only what differs is
//! sent: at 9600 baud every byte takes a millisecond. Used sequences: CR, BS, ESC `[` n C, ESC `[` n D, ESC `[` K
//! (ECMA-48; every terminal and emulator has them). The last column is left free, because terminals disagree on
//! what happens after it.
//!
//! Only printable ASCII gets into the line. Control bytes end a broken escape sequence and then do their work, so no
//! garbage can swallow an Enter.

pub(super) mod keys;
mod search;

use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;
use keys::{Key, Keys};

/// Longest line in bytes. Chosen: the longest exported `set` line is below 600.
pub const LINE_BYTES: usize = 1024;
/// Lines remembered. Chosen: what somebody may want back within one visit.
pub const HISTORY: usize = 64;
/// Columns when nobody said otherwise.
pub const WIDTH: usize = 80;

/// What a byte led to, besides changes on the screen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// Enter: the line. It is in the history now, and the editor is empty.
    Line(Box<str>),
    /// Enter after more than [`LINE_BYTES`] bytes: the line is thrown away, because half a command is another command.
    TooLong,
    /// Tab.
    Complete,
    /// `?`.
    Help,
    /// C-c: the line is thrown away.
    Interrupt,
    /// C-d on an empty line.
    End,
    /// The terminal said where its cursor is; after a move to the far corner that is its size.
    Size {
        /// From 1.
        rows: u16,
        /// From 1.
        columns: u16,
    },
}

/// The editor.
#[derive(Debug)]
pub struct Editor {
    keys: Keys,
    line: heapless::Vec<u8, LINE_BYTES>,
    cursor: usize,
    overflow: bool,
    killed: heapless::Vec<u8, LINE_BYTES>,
    history: heapless::Deque<Box<str>, HISTORY>,
    /// How many lines back the shown one is; 0 is the line being written.
    back: usize,
    search: Option<search::Search>,
    draft: Box<str>,
    prompt: Box<str>,
    width: usize,
    /// First shown byte of the line.
    offset: usize,
    /// What the row shows, and where the terminal's cursor stands.
    shown: Vec<u8>,
    column: usize,
}

impl Default for Editor {
    fn default() -> Self {
        Self {
            keys: Keys::default(),
            line: heapless::Vec::new(),
            cursor: 0,
            overflow: false,
            killed: heapless::Vec::new(),
            history: heapless::Deque::new(),
            back: 0,
            search: None,
            draft: Box::default(),
            prompt: Box::default(),
            width: WIDTH,
            offset: 0,
            shown: Vec::new(),
            column: 0,
        }
    }
}

impl Editor {
    /// An empty line.
    pub fn new() -> Self {
        Self::default()
    }

    /// Columns of the terminal, 20 to 512.
    pub fn set_width(&mut self, width: usize) {
        self.width = width.clamp(20, 512);
    }

    /// The line so far.
    pub fn line(&self) -> &str {
        core::str::from_utf8(&self.line).unwrap_or_default()
    }

    /// The line up to the cursor.
    pub fn before_cursor(&self) -> &str {
        self.line.get(..self.cursor).and_then(|b| core::str::from_utf8(b).ok()).unwrap_or_default()
    }

    /// Shows prompt and line in a fresh row.
    pub fn show(&mut self, prompt: &str, out: &mut Vec<u8>) {
        let prompt = prompt.chars().take(self.width / 2).collect::<alloc::string::String>().into();
        self.place_prompt(prompt);
        self.shown.clear();
        self.column = 0;
        self.paint(out);
    }

    /// Clears the row, so that something else can be printed; [`Self::show`] brings it back.
    pub fn hide(&mut self, out: &mut Vec<u8>) {
        if !self.shown.is_empty() || self.column > 0 {
            out.extend_from_slice(b"\r\x1b[K");
        }
        self.shown.clear();
        self.column = 0;
    }

    /// Leaves the row as it is and goes to the next.
    pub fn leave(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"\r\n");
        self.shown.clear();
        self.column = 0;
    }

    /// Throws the line away.
    pub fn clear(&mut self) {
        self.line.clear();
        self.cursor = 0;
        self.offset = 0;
        self.overflow = false;
        self.back = 0;
    }

    /// Inserts text at the cursor, as completion does.
    pub fn insert(&mut self, text: &str, out: &mut Vec<u8>) {
        text.bytes().filter(|b| matches!(b, b' '..=b'~')).for_each(|b| self.put(b, out));
        self.paint(out);
    }

    /// Takes one byte.
    pub fn feed(&mut self, byte: u8, out: &mut Vec<u8>) -> Option<Event> {
        let key = self.keys.feed(byte)?;
        let event = self.press_in_search(key, out);
        if event.is_none() {
            self.paint(out);
        }
        event
    }

    fn press(&mut self, key: Key, out: &mut Vec<u8>) -> Option<Event> {
        let end = self.line.len();
        match key {
            Key::Char(b'?') => return Some(Event::Help),
            Key::Char(b) | Key::Literal(b) => self.put(b, out),
            Key::Tab => return Some(Event::Complete),
            Key::Enter => return Some(self.enter(out)),
            Key::Interrupt => {
                self.clear();
                return Some(Event::Interrupt);
            }
            Key::DeleteOrEnd if end == 0 => return Some(Event::End),
            Key::DeleteOrEnd | Key::Delete => self.cut(self.cursor, self.cursor.saturating_add(1)),
            Key::Backspace => self.cut(self.cursor.saturating_sub(1), self.cursor),
            Key::Left => self.cursor = self.cursor.saturating_sub(1),
            Key::Right => self.cursor = self.cursor.saturating_add(1).min(end),
            Key::WordLeft => self.cursor = self.word_start(),
            Key::WordRight => self.cursor = self.word_end(),
            Key::Home => self.cursor = 0,
            Key::End => self.cursor = end,
            Key::Up => self.recall(self.back.saturating_add(1)),
            Key::Down => self.recall(self.back.saturating_sub(1)),
            Key::KillToEnd => self.kill(self.cursor, end),
            Key::KillToStart => self.kill(0, self.cursor),
            Key::KillWord => self.kill(self.word_start(), self.cursor),
            Key::KillWordRight => self.kill(self.cursor, self.word_end()),
            Key::Yank => {
                let killed = self.killed.clone();
                killed.iter().for_each(|b| self.put(*b, out));
            }
            Key::Search => self.search_begin(),
            Key::Cancel => {}
            Key::Position(rows, columns) => return Some(Event::Size { rows, columns }),
            Key::Redraw => {
                out.extend_from_slice(b"\x1b[H\x1b[2J");
                self.shown.clear();
                self.column = 0;
            }
        }
        None
    }

    fn put(&mut self, byte: u8, out: &mut Vec<u8>) {
        if self.line.insert(self.cursor, byte).is_ok() {
            self.cursor = self.cursor.saturating_add(1);
        } else {
            if !self.overflow {
                out.push(0x07);
            }
            self.overflow = true;
        }
    }

    fn enter(&mut self, out: &mut Vec<u8>) -> Event {
        self.cursor = self.line.len();
        if self.prompt.len().saturating_add(self.line.len()) < self.width {
            self.paint(out);
        } else {
            // What was entered stays readable as a whole, here and in a capture of the session.
            out.push(b'\r');
            out.extend_from_slice(self.prompt.as_bytes());
            out.extend_from_slice(&self.line);
        }
        let overflow = self.overflow;
        let line: Box<str> = self.line().into();
        self.clear();
        if overflow { Event::TooLong } else { Event::Line(line) }
    }

    /// Remembers a line, unless it is empty or the one before.
    pub fn remember(&mut self, line: &str) {
        if line.trim().is_empty() || self.history.back().is_some_and(|last| &**last == line) {
            return;
        }
        if self.history.is_full() {
            self.history.pop_front();
        }
        // There is room: one was just taken out of a full ring.
        let full = self.history.push_back(line.into());
        debug_assert!(full.is_ok());
    }

    fn recall(&mut self, back: usize) {
        let back = back.min(self.history.len());
        if back == self.back {
            return;
        }
        if self.back == 0 {
            self.draft = self.line().into();
        }
        let text: Box<str> = match self.history.iter().rev().nth(back.wrapping_sub(1)) {
            Some(line) if back > 0 => line.clone(),
            Some(_) | None => core::mem::take(&mut self.draft),
        };
        self.back = back;
        self.line.clear();
        text.bytes().for_each(|b| _ = self.line.push(b));
        self.cursor = self.line.len();
        self.offset = 0;
        self.overflow = false;
    }

    fn cut(&mut self, from: usize, to: usize) {
        let to = to.min(self.line.len());
        for _ in from..to {
            self.line.remove(from);
        }
        if self.cursor > from {
            self.cursor = from.max(self.cursor.saturating_sub(to.saturating_sub(from)));
        }
    }

    fn kill(&mut self, from: usize, to: usize) {
        if from < to {
            self.killed =
                self.line.get(from..to).and_then(|b| heapless::Vec::from_slice(b).ok()).unwrap_or_default();
            self.cut(from, to);
        }
    }

    fn word_start(&self) -> usize {
        let before = self.line.get(..self.cursor).unwrap_or_default();
        let blanks = before.iter().rev().take_while(|b| **b == b' ').count();
        let word = before.iter().rev().skip(blanks).take_while(|b| **b != b' ').count();
        self.cursor.saturating_sub(blanks).saturating_sub(word)
    }

    fn word_end(&self) -> usize {
        let after = self.line.get(self.cursor..).unwrap_or_default();
        let blanks = after.iter().take_while(|b| **b == b' ').count();
        let word = after.iter().skip(blanks).take_while(|b| **b != b' ').count();
        self.cursor.saturating_add(blanks).saturating_add(word)
    }

    /// Brings the row to what it should show, sending only the difference.
    fn paint(&mut self, out: &mut Vec<u8>) {
        let (row, column) = self.layout();
        let same = self.shown.iter().zip(&row).take_while(|(a, b)| a == b).count();
        if same < row.len() || same < self.shown.len() {
            self.go(same, out);
            out.extend_from_slice(row.get(same..).unwrap_or_default());
            self.column = row.len();
            if row.len() < self.shown.len() {
                out.extend_from_slice(b"\x1b[K");
            }
            self.shown = row;
        }
        self.go(column, out);
    }

    /// The row that should be shown and where the cursor stands in it. `<` and `>` mark hidden parts.
    fn layout(&mut self) -> (Vec<u8>, usize) {
        let room = self.width.saturating_sub(1).saturating_sub(self.prompt.len()).max(4);
        let len = self.line.len();
        if len < room {
            self.offset = 0;
        } else if self.cursor <= self.offset
            || self.cursor >= self.offset.saturating_add(room).saturating_sub(1)
        {
            // Half a window at a time, so that a long paste does not repaint the row for every byte.
            self.offset = self.cursor.saturating_sub(room / 2);
        }
        let end = self.offset.saturating_add(room).min(len);
        let mut window: Vec<u8> = self.line.get(self.offset..end).unwrap_or_default().to_vec();
        if self.offset > 0
            && let Some(first) = window.first_mut()
        {
            *first = b'<';
        }
        if end < len
            && let Some(last) = window.last_mut()
        {
            *last = b'>';
        }
        let mut row = self.prompt.as_bytes().to_vec();
        row.extend_from_slice(&window);
        (row, self.prompt.len().saturating_add(self.cursor.saturating_sub(self.offset)))
    }

    fn go(&mut self, column: usize, out: &mut Vec<u8>) {
        if column == self.column {
            return;
        }
        if column == 0 {
            out.push(b'\r');
        } else if column < self.column {
            let by = self.column.saturating_sub(column);
            if by <= 3 {
                out.extend(core::iter::repeat_n(0x08, by));
            } else {
                out.extend_from_slice(format!("\x1b[{by}D").as_bytes());
            }
        } else {
            let by = column.saturating_sub(self.column);
            out.extend_from_slice(format!("\x1b[{by}C").as_bytes());
        }
        self.column = column;
    }
}

#[cfg(test)]
mod tests;

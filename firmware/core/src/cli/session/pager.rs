//! Long output, a screen at a time.
//!
//! It stops by itself only when there is reason to believe that somebody looks: the terminal answered the question for
//! its size, or its length was set; and nothing has been typed ahead, because those bytes are commands and not answers
//! to the pager. So a script, which does neither, is never stopped.

use super::super::grammar::{Pipe, Terminal};
use super::{Output, Session, print};
use crate::model::Millis;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;

/// Rows when nobody said otherwise.
const ROWS: usize = 24;
/// Sizes a terminal may claim.
const ROWS_LEAST: usize = 4;
const ROWS_MOST: usize = 512;
/// Columns below which a claim is not believed: a function key with a modifier looks like a small one.
const COLUMNS_LEAST: u16 = 20;
const MORE: &[u8] = b"--more-- (Space, Enter, q) ";

/// What is known of the terminal's height.
#[derive(Debug)]
pub(super) struct Screen {
    rows: usize,
    /// Whether long output stops by itself.
    stops: bool,
    /// The terminal was asked for its size and has not answered.
    asked: bool,
    /// More bytes came together with the one that is processed.
    pub(super) pasting: bool,
}

impl Default for Screen {
    fn default() -> Self {
        Self { rows: ROWS, stops: false, asked: false, pasting: false }
    }
}

/// What is not shown yet.
#[derive(Debug)]
pub(super) struct Pager {
    lines: VecDeque<String>,
}

impl Session {
    /// Asks the terminal for its size: the cursor goes to the far corner and is asked where it is. The answer may come
    /// whenever it likes, or never; nobody waits. The row after it is a fresh one.
    pub fn probe(&mut self, out: &mut Vec<Output>) {
        self.screen.asked = true;
        print::raw(out, b"\x1b[999;999H\x1b[6n\r\n");
    }

    pub(super) fn learn_size(&mut self, rows: u16, columns: u16, out: &mut Vec<Output>) {
        if !core::mem::take(&mut self.screen.asked) || columns < COLUMNS_LEAST {
            return;
        }
        let rows = usize::from(rows).clamp(ROWS_LEAST, ROWS_MOST);
        self.screen.rows = rows;
        self.screen.stops = true;
        let mut screen = Vec::new();
        self.editor.hide(&mut screen);
        self.set_width(usize::from(columns));
        print::raw(out, &screen);
        self.prompt(out);
    }

    pub(super) fn set_terminal(&mut self, setting: Terminal, args: &[String], out: &mut Vec<Output>) {
        let Some(value) = args.first().and_then(|text| text.parse::<u32>().ok()) else { return };
        let size = usize::try_from(value).unwrap_or(ROWS);
        match setting {
            Terminal::Length => {
                self.screen.asked = false;
                self.screen.stops = size > 0;
                self.screen.rows = if size == 0 { ROWS } else { size.clamp(ROWS_LEAST, ROWS_MOST) };
            }
            Terminal::Width => self.set_width(size),
            Terminal::Idle => {
                self.clock.idle = Millis::from_secs(value.saturating_mul(60));
                if value == 0 {
                    print::line(out, "This session does not end by itself: type exit when you leave.");
                }
            }
        }
    }

    /// Prints lines, or the first screen of them.
    pub(super) fn page(&mut self, lines: Vec<String>, pipes: &[Pipe], out: &mut Vec<Output>) {
        let alone = !self.screen.pasting && self.typed_ahead.is_empty();
        let stops = match pipes.last() {
            Some(Pipe::More) => true,
            Some(Pipe::NoMore) => false,
            Some(_) | None => self.screen.stops && alone,
        };
        if !stops || self.transfer.active() || lines.len() < self.screen.rows {
            lines.iter().for_each(|line| print::line(out, line));
            return;
        }
        self.pager = Some(Pager { lines: lines.into() });
        self.turn(self.screen.rows.saturating_sub(1), out);
    }

    /// Shows so many rows more.
    fn turn(&mut self, rows: usize, out: &mut Vec<Output>) {
        let Some(pager) = &mut self.pager else { return };
        let mut left = rows;
        while let Some(line) = pager.lines.front() {
            let needs = line.len().div_ceil(self.width).max(1);
            // A line longer than the screen is shown anyway.
            if needs > left && left < rows {
                break;
            }
            print::line(out, line);
            pager.lines.pop_front();
            left = left.saturating_sub(needs);
            if left == 0 {
                break;
            }
        }
        if pager.lines.is_empty() {
            self.pager = None;
        } else {
            print::raw(out, MORE);
        }
    }

    pub(super) fn pager_key(&mut self, byte: u8, out: &mut Vec<Output>) {
        let rows = match byte {
            b' ' => self.screen.rows.saturating_sub(1),
            b'\r' | b'\n' => 1,
            b'q' | b'Q' | 0x03 => {
                self.hide_more(out);
                self.pager = None;
                return self.prompt(out);
            }
            _ => return print::raw(out, b"\x07"),
        };
        self.hide_more(out);
        self.turn(rows, out);
        // Does nothing while the pager is there.
        self.prompt(out);
    }

    pub(super) fn hide_more(&self, out: &mut Vec<Output>) {
        if self.pager.is_some() {
            print::raw(out, b"\r\x1b[K");
        }
    }

    pub(super) fn show_more(&self, out: &mut Vec<Output>) {
        if self.pager.is_some() {
            print::raw(out, MORE);
        }
    }
}

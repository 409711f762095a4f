//! What the tests of this module share.

pub(crate) mod status;

use super::tree::Tree;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// The five-node cluster of the design.
pub(crate) const FIVE_NODES: &str = include_str!("../../../../tests/golden/cli/five-nodes.typed");

/// A tree of `set` lines without errors.
pub(crate) fn tree(text: &str) -> Tree {
    let (tree, errors) = super::text::parse_tree(text);
    assert_eq!(errors, Vec::new());
    tree
}

/// A terminal as far as the editor uses one: rows of ASCII, CR, LF, BS, BEL, and the sequences C, D, K, H, J.
#[derive(Debug)]
pub(crate) struct Terminal {
    screen: Vec<Vec<u8>>,
    row: usize,
    pub(crate) column: usize,
    width: usize,
    sequence: Option<Vec<u8>>,
    wraps: bool,
}

impl Terminal {
    pub(crate) fn new(width: usize) -> Self {
        Self { screen: Vec::from([Vec::new()]), row: 0, column: 0, width, sequence: None, wraps: false }
    }

    /// One that goes on in the next row, for what is printed rather than edited.
    pub(crate) fn wrapping(width: usize) -> Self {
        Self { wraps: true, ..Self::new(width) }
    }

    pub(crate) fn rows(&self) -> usize {
        self.screen.len()
    }

    pub(crate) fn row_of_cursor(&self) -> String {
        let mut row = self.screen[self.row].clone();
        if row.len() < self.column {
            row.resize(self.column, b' ');
        }
        String::from_utf8(row).unwrap()
    }

    /// Everything on the screen, blanks at line ends removed.
    pub(crate) fn text(&self) -> String {
        let rows: Vec<String> = self
            .screen
            .iter()
            .map(|row| String::from_utf8(row.clone()).unwrap().trim_end().to_string())
            .collect();
        rows.join("\n")
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if let Some(mut sequence) = self.sequence.take() {
                sequence.push(*byte);
                if sequence.len() > 1 && (b'@'..=b'~').contains(byte) {
                    self.execute(&sequence);
                } else {
                    self.sequence = Some(sequence);
                }
                continue;
            }
            match byte {
                b'\r' => self.column = 0,
                b'\n' => {
                    self.row += 1;
                    if self.row == self.screen.len() {
                        self.screen.push(Vec::new());
                    }
                }
                0x08 => self.column = self.column.checked_sub(1).expect("backspace at the left edge"),
                0x07 => {}
                0x1b => self.sequence = Some(Vec::new()),
                b' '..=b'~' => self.print(*byte),
                other => panic!("unexpected byte {other:#x}"),
            }
        }
    }

    fn print(&mut self, byte: u8) {
        if self.column == self.width && self.wraps {
            self.write(b"\r\n");
        }
        assert!(self.column < self.width, "wrote beyond the right edge: {}", self.row_of_cursor());
        let row = &mut self.screen[self.row];
        if row.len() <= self.column {
            row.resize(self.column + 1, b' ');
        }
        row[self.column] = byte;
        self.column += 1;
    }

    fn execute(&mut self, sequence: &[u8]) {
        let text = core::str::from_utf8(sequence).unwrap();
        let number = text[1..text.len() - 1].parse().unwrap_or(1);
        match text.chars().last().unwrap() {
            'C' => self.column += number,
            'D' => self.column = self.column.checked_sub(number).expect("moved beyond the left edge"),
            'K' => {
                let column = self.column;
                self.screen[self.row].truncate(column);
            }
            'H' => (self.row, self.column) = (0, 0),
            'J' => self.screen = Vec::from([Vec::new()]),
            other => panic!("unexpected sequence {other:?}"),
        }
        assert!(self.column < self.width);
    }
}

/// The path that these words name.
pub(crate) fn path(line: &str) -> Vec<super::tree::Step> {
    super::path::walk(&[], super::path::Mode::Show, &super::words::tokens(line, false), line.len())
        .unwrap()
        .path
}

//! Reading a whole text of either form: `set` and `delete` lines, or the tree with braces.
//!
//! ```text
//! set pool web forward nat         pool web {
//! set pool web server rs1              forward nat
//!                                      server rs1 { }
//!                                  }
//! ```
//! In braces a line is one statement. `;` may end one, `{` opens what it names, `}` closes it, and a line that starts with
//! `#` is a comment. A value that one of these signs would change is put in double quotes, which is all that they do: no value
//! has a blank.

use super::super::path::{Mode, walk};
use super::super::tree::{Change, Step, Tree};
use super::super::value::Value;
use super::super::words::{Fault, Token, tokens};
use super::{LineError, pick_set};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// Errors told of one text; the others are counted. Chosen: two screens.
pub const ERRORS_MAX: usize = 48;

/// How a text is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// `set` and `delete` lines.
    Set,
    /// The tree with braces.
    Braces,
}

impl Form {
    /// The form of a text, by its first word.
    pub fn of(text: &str) -> Self {
        let mut words = text.lines().filter_map(|line| tokens(line, false).first().map(|word| word.text));
        match words.find(|word| !word.starts_with('#')) {
            None | Some("set" | "delete") => Self::Set,
            Some(_) => Self::Braces,
        }
    }
}

/// What was wrong with a text: the first errors, and how many more there are.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Wrong {
    /// At most [`ERRORS_MAX`].
    pub errors: Vec<LineError>,
    /// Errors beyond those.
    pub more: usize,
}

impl Wrong {
    pub(crate) fn add(&mut self, line: usize, column: usize, message: String) {
        if self.errors.len() < ERRORS_MAX {
            let (line, column) = (line.saturating_add(1), column.saturating_add(1));
            self.errors.push(LineError { line, column, message });
        } else {
            self.more = self.more.saturating_add(1);
        }
    }

    /// How many.
    #[must_use]
    pub fn count(&self) -> usize {
        self.errors.len().saturating_add(self.more)
    }
}

/// Does what a text says to a tree, all of it or nothing. Secrets in it may still be sealed or left out.
pub(crate) fn read(onto: &Tree, text: &str, form: Form) -> Result<Tree, Wrong> {
    let mut tree = onto.clone();
    let wrong = match form {
        Form::Set => set_lines(&mut tree, text),
        Form::Braces => Braces::default().read(&mut tree, text),
    };
    if wrong.errors.is_empty() { Ok(tree) } else { Err(wrong) }
}

fn set_lines(tree: &mut Tree, text: &str) -> Wrong {
    let mut wrong = Wrong::default();
    for (number, line) in text.lines().enumerate() {
        let words = tokens(line, false);
        let Some((first, rest)) = words.split_first() else { continue };
        let result = match first.text {
            word if word.starts_with('#') => continue,
            "delete" => delete(tree, *first, rest, line.trim_end().len()),
            _ => pick_set(*first)
                .and_then(|()| walk(&[], Mode::Load, rest, line.trim_end().len()))
                .and_then(|walked| apply(tree, walked.changes, *first)),
        };
        if let Err(fault) = result {
            wrong.add(number, fault.column, fault.message);
        }
    }
    wrong
}

fn delete(tree: &mut Tree, first: Token<'_>, rest: &[Token<'_>], end: usize) -> Result<(), Fault> {
    let walked = walk(&[], Mode::Delete, rest, end)?;
    if tree.remove(&walked.path, walked.value.as_ref()) {
        return Ok(());
    }
    Err(Fault::incomplete(first.column, String::from("nothing to delete: it is not set")))
}

fn apply(tree: &mut Tree, changes: Vec<Change>, first: Token<'_>) -> Result<(), Fault> {
    tree.apply(changes).map_err(|why| Fault::incomplete(first.column, why))
}

/// A value as it stands between braces.
pub(crate) fn braced(value: &Value) -> String {
    let text = value.to_string();
    let sign = matches!(text.as_str(), "{" | "}" | "{}") || text.ends_with(';') || text.starts_with('"');
    if sign { format!("\"{text}\"") } else { text }
}

fn unquoted(text: &str) -> Option<&str> {
    text.strip_prefix('"')?.strip_suffix('"')
}

/// The reader of braces: where it is.
#[derive(Debug, Default)]
struct Braces<'a> {
    wrong: Wrong,
    /// What is open: its place and the line that opened it.
    open: Vec<(Vec<Step>, usize)>,
    /// Opened inside something that is wrong already.
    skipped: usize,
    statement: Vec<Token<'a>>,
    line: usize,
}

impl<'a> Braces<'a> {
    fn read(mut self, tree: &mut Tree, text: &'a str) -> Wrong {
        for (number, line) in text.lines().enumerate() {
            self.line = number;
            let words = tokens(line, false);
            if words.first().is_some_and(|first| first.text.starts_with('#')) {
                continue;
            }
            for word in words {
                self.word(word, tree);
            }
            self.end(tree);
        }
        let missing = self.open.len().saturating_add(self.skipped);
        if missing > 0 {
            let opened = self.open.last().map_or(self.line, |(_, line)| *line);
            self.wrong.add(
                opened,
                0,
                format!("what opens here is not closed: {missing} \"}}\" missing at the end"),
            );
        }
        self.wrong
    }

    fn word(&mut self, word: Token<'a>, tree: &mut Tree) {
        match word.text {
            "{" => self.opens(word, tree),
            "}" => self.closes(word, tree),
            "{}" => {
                self.opens(word, tree);
                self.closes(word, tree);
            }
            ";" => self.end(tree),
            text => {
                let (text, ends) = match (unquoted(text), text.strip_suffix(';')) {
                    (None, Some(bare)) => (bare, true),
                    (_, _) => (text, false),
                };
                let (text, shift) = unquoted(text).map_or((text, 0), |inner| (inner, 1));
                self.statement.push(Token { text, column: word.column.saturating_add(shift) });
                if ends {
                    self.end(tree);
                }
            }
        }
    }

    fn place(&self) -> Vec<Step> {
        self.open.last().map(|(path, _)| path.clone()).unwrap_or_default()
    }

    /// The end of a statement.
    fn end(&mut self, tree: &mut Tree) {
        let words = core::mem::take(&mut self.statement);
        let Some(first) = words.first() else { return };
        if self.skipped > 0 {
            return;
        }
        let end = words.last().map_or(0, |last| last.column.saturating_add(last.text.len()));
        let result = walk(&self.place(), Mode::Load, &words, end)
            .and_then(|walked| apply(tree, walked.changes, *first));
        if let Err(fault) = result {
            self.wrong.add(self.line, fault.column, fault.message);
        }
    }

    fn opens(&mut self, brace: Token<'a>, tree: &mut Tree) {
        let words = core::mem::take(&mut self.statement);
        if self.skipped > 0 {
            self.skipped = self.skipped.saturating_add(1);
            return;
        }
        let place = self.place();
        let result = match words.first() {
            None => Err(Fault::incomplete(brace.column, String::from("nothing is named before this \"{\""))),
            Some(first) => self.enter(&place, *first, &words, brace, tree),
        };
        match result {
            Ok(path) => self.open.push((path, self.line)),
            Err(fault) => {
                self.wrong.add(self.line, fault.column, fault.message);
                // What is inside cannot be judged.
                self.skipped = 1;
            }
        }
    }

    fn enter(
        &self,
        place: &[Step],
        first: Token<'a>,
        words: &[Token<'a>],
        brace: Token<'a>,
        tree: &mut Tree,
    ) -> Result<Vec<Step>, Fault> {
        let path = walk(place, Mode::Edit, words, brace.column)?.path;
        // What exists by its name alone.
        if let Ok(walked) = walk(place, Mode::Load, words, brace.column) {
            apply(tree, walked.changes, first)?;
        }
        Ok(path)
    }

    fn closes(&mut self, brace: Token<'a>, tree: &mut Tree) {
        self.end(tree);
        if self.skipped > 0 {
            self.skipped = self.skipped.saturating_sub(1);
        } else if self.open.pop().is_none() {
            self.wrong.add(self.line, brace.column, String::from("this \"}\" closes nothing"));
        }
    }
}

#[cfg(test)]
mod tests;

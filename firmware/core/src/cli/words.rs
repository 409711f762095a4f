//! Words of a line: where they stand, which one is meant, and which one was probably meant.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// A word and where it starts, in bytes from the start of the line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Token<'a> {
    pub(crate) text: &'a str,
    pub(crate) column: usize,
}

/// Splits at blanks. With `pipes`, every `|` is a word of its own even without blanks around it.
pub(crate) fn tokens(line: &str, pipes: bool) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    let mut start: Option<usize> = None;
    for (at, c) in line.char_indices() {
        let bar = pipes && c == '|';
        if c.is_ascii_whitespace() || bar {
            push(line, start.take(), at, &mut found);
            if bar {
                push(line, Some(at), at.saturating_add(1), &mut found);
            }
        } else if start.is_none() {
            start = Some(at);
        }
    }
    push(line, start, line.len(), &mut found);
    found
}

fn push<'a>(line: &'a str, start: Option<usize>, end: usize, found: &mut Vec<Token<'a>>) {
    if let Some(column) = start
        && let Some(text) = line.get(column..end)
    {
        found.push(Token { text, column });
    }
}

/// Something in a table that is named by a word.
pub(crate) trait Worded {
    fn word(&self) -> &'static str;
    fn help(&self) -> &'static str;
    /// Whether it must be typed in full.
    fn whole(&self) -> bool {
        false
    }
}

/// Which entry a word means.
#[derive(Debug)]
pub(crate) enum Found<T: 'static> {
    One(usize, &'static T),
    None,
    Many(Vec<&'static str>),
}

/// An exact match wins; else a prefix that fits one entry only.
pub(crate) fn find<T: Worded>(table: &'static [T], text: &str) -> Found<T> {
    if let Some((i, item)) = table.iter().enumerate().find(|(_, item)| item.word() == text) {
        return Found::One(i, item);
    }
    let shortened = |item: &T| !text.is_empty() && !item.whole() && item.word().starts_with(text);
    let mut fits = table.iter().enumerate().filter(|(_, item)| shortened(item));
    match (fits.next(), fits.next()) {
        (None, _) => Found::None,
        (Some((i, item)), None) => Found::One(i, item),
        (Some(_), Some(_)) => {
            Found::Many(table.iter().filter(|item| shortened(item)).map(Worded::word).collect())
        }
    }
}

/// What is wrong with a line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum FaultKind {
    /// No word of the table fits.
    NoMatch,
    /// Several do.
    Ambiguous,
    /// The line ends too early.
    Incomplete,
    /// A value is not allowed.
    BadValue,
}

/// What is wrong with a line, where, and the fix in words.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Fault {
    pub(crate) kind: FaultKind,
    /// Bytes from the start of the line.
    pub(crate) column: usize,
    pub(crate) message: String,
}

impl Fault {
    pub(crate) fn bad(token: Token<'_>, why: &str) -> Self {
        let message = format!("{}: {why}", quoted(token.text));
        Self { kind: FaultKind::BadValue, column: token.column, message }
    }

    /// A value that the named thing does not take.
    pub(crate) fn value(name: &str, token: Token<'_>, why: &str) -> Self {
        let message = format!("{name} {}: {why}", quoted(token.text));
        Self { kind: FaultKind::BadValue, column: token.column, message }
    }

    pub(crate) fn incomplete(column: usize, message: String) -> Self {
        Self { kind: FaultKind::Incomplete, column, message }
    }
}

/// Finds a word of a table, or says what is wrong with it.
pub(crate) fn pick<T: Worded>(table: &'static [T], token: Token<'_>) -> Result<(usize, &'static T), Fault> {
    let column = token.column;
    match find(table, token.text) {
        Found::One(i, item) => Ok((i, item)),
        Found::None => {
            let all: Vec<&str> = table.iter().map(Worded::word).collect();
            let message =
                format!("{} is not known here: {}", quoted(token.text), suggestion(token.text, &all));
            Err(Fault { kind: FaultKind::NoMatch, column, message })
        }
        Found::Many(words) => {
            let message = format!("{} can be {}: type more letters", quoted(token.text), either(&words));
            Err(Fault { kind: FaultKind::Ambiguous, column, message })
        }
    }
}

/// The word `set` at the start of a line of configuration text.
pub(crate) fn pick_set(token: Token<'_>) -> Result<(), Fault> {
    if token.text == "set" {
        return Ok(());
    }
    let message = format!("a line starts with \"set\", not with {}", quoted(token.text));
    Err(Fault { kind: FaultKind::NoMatch, column: token.column, message })
}

/// `did you mean ...?`, or what is possible.
pub(crate) fn suggestion(text: &str, all: &[&str]) -> String {
    match nearest(text, all) {
        Some(word) => format!("did you mean \"{word}\"?"),
        None if all.is_empty() => String::from("nothing can follow"),
        None => format!("use {}", either(all)),
    }
}

/// Longest word that is compared letter by letter. Chosen: the longest name.
const COMPARED_BYTES: usize = 32;
/// Most names that one message lists. Chosen: three lines of a terminal.
const LISTED: usize = 12;

/// `a, b or c`, shortened when there are many.
pub(crate) fn either(words: &[&str]) -> String {
    let mut text = String::new();
    let shown = words.len().min(LISTED);
    for (i, word) in words.iter().take(shown).enumerate() {
        if i > 0 {
            text.push_str(if i.saturating_add(1) == words.len() { " or " } else { ", " });
        }
        text.push_str(word);
    }
    if words.len() > shown {
        text.push_str(", ... (? lists all)");
    }
    text
}

/// Quotes a word as it was typed, shortened, so that a message stays on its line.
pub(crate) fn quoted(text: &str) -> String {
    const SHOWN: usize = 40;
    if text.chars().count() <= SHOWN {
        return format!("\"{text}\"");
    }
    let start: String = text.chars().take(SHOWN).collect();
    format!("\"{start}...\"")
}

/// The word with the fewest typing errors: at most two, and fewer than half of the letters.
pub(crate) fn nearest<'a>(text: &str, all: &[&'a str]) -> Option<&'a str> {
    if text.len() > COMPARED_BYTES {
        return None;
    }
    let limit = 2_usize.min(text.len().saturating_sub(1) / 2).max(usize::from(text.len() > 2));
    let scored = all.iter().map(|word| (distance(text, word), *word)).filter(|(d, _)| *d <= limit);
    scored.min_by_key(|(d, _)| *d).map(|(_, word)| word)
}

/// Edits between two words: insert, remove, replace, swap of neighbours (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    if b.len() > COMPARED_BYTES || a.len().abs_diff(b.len()) > 2 {
        return usize::MAX;
    }
    let (a, b): (Vec<u8>, Vec<u8>) = (a.bytes().collect(), b.bytes().collect());
    let width = b.len().saturating_add(1);
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..width).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row: Vec<usize> = Vec::with_capacity(width);
        row.push(i.saturating_add(1));
        for (j, y) in b.iter().enumerate() {
            let cell = |row: &[usize], at: usize| row.get(at).copied().unwrap_or(usize::MAX);
            let replace = cell(&above, j).saturating_add(usize::from(x != y));
            let remove = cell(&above, j.saturating_add(1)).saturating_add(1);
            let insert = cell(&row, j).saturating_add(1);
            let mut best = replace.min(remove).min(insert);
            let swapped =
                i > 0 && j > 0 && b.get(j.wrapping_sub(1)) == Some(x) && a.get(i.wrapping_sub(1)) == Some(y);
            if swapped {
                best = best.min(cell(&before, j.wrapping_sub(1)).saturating_add(1));
            }
            row.push(best);
        }
        before = core::mem::replace(&mut above, row);
    }
    above.last().copied().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_know_their_columns_and_a_bar_stands_alone_when_asked() {
        let words: Vec<(&str, usize)> =
            tokens("  show a|b ", true).iter().map(|t| (t.text, t.column)).collect();
        assert_eq!(words, [("show", 2), ("a", 7), ("|", 8), ("b", 9)]);
        assert_eq!(tokens("path /a|b", false).len(), 2);
        assert_eq!(tokens(" \t ", true), []);
    }

    #[test]
    fn a_typing_error_finds_its_word_and_nonsense_finds_none() {
        let all = ["service", "pool", "real-server", "masquerade"];
        for (typed, meant) in [
            ("sevice", Some("service")),
            ("pol", Some("pool")),
            ("opol", Some("pool")),
            ("xyz", None),
            ("", None),
        ] {
            assert_eq!(nearest(typed, &all), meant, "{typed}");
        }
    }
}

//! Walks the words of a line through the table: the one place that knows how configuration words follow each other.

use super::schema::{CONFIG, Item, Kind};
use super::tree::{Change, Step, item_at};
use super::value::{Type, Value};
use super::words::{Fault, FaultKind, Token, Worded, either, pick, quoted, suggestion};
use crate::model::text::REDACTED;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// What the line is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mode {
    /// Assign; several leaves on one line.
    Set,
    /// As `Set`, of a whole text: a secret may be sealed or left out.
    Load,
    /// Remove one thing of any depth.
    Delete,
    /// Look at one thing of any depth.
    Show,
    /// Go to a branch or list entry.
    Edit,
}

impl Mode {
    fn sets(self) -> bool {
        matches!(self, Self::Set | Self::Load)
    }
}

/// What may come next.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Expect {
    /// A word of this level.
    Words(&'static [Item]),
    /// The key of a list, or the value of a leaf or leaf-list.
    Value(&'static Item),
    /// Nothing.
    End,
}

/// Where the words led.
#[derive(Debug)]
pub(crate) struct Walk {
    /// What was named last, from the root.
    pub(crate) path: Vec<Step>,
    /// The value named after a leaf, except in `set`.
    pub(crate) value: Option<Value>,
    /// Assignments of a `set` line.
    pub(crate) changes: Vec<Change>,
    /// What may come next.
    pub(crate) expect: Expect,
    /// Whether the line may end here.
    pub(crate) complete: bool,
    /// Whether any word was taken.
    moved: bool,
}

/// Words of the level that a path leads to.
pub(crate) fn level(path: &[Step]) -> &'static [Item] {
    let mut items = CONFIG;
    for step in path {
        if let Step::Word(index) = step {
            items = item_at(items, *index).map(Item::items).unwrap_or_default();
        }
    }
    items
}

/// Walks words; the result may be incomplete, which [`walk`] refuses and completion wants.
pub(crate) fn advance(from: &[Step], mode: Mode, words: &[Token<'_>]) -> Result<Walk, Fault> {
    let mut walk = Walk {
        path: from.to_vec(),
        value: None,
        changes: Vec::new(),
        expect: Expect::Words(level(from)),
        complete: mode == Mode::Show,
        moved: !words.is_empty(),
    };
    // Where the words of the current level hang; leaves of a `set` line return to it.
    let mut base = walk.path.clone();
    for token in words {
        match walk.expect {
            Expect::Words(items) => take_word(&mut walk, &mut base, mode, items, *token)?,
            Expect::Value(item) => take_value(&mut walk, &mut base, mode, item, *token)?,
            Expect::End => {
                let message = format!("{} is too much: the line is complete before it", quoted(token.text));
                return Err(Fault { kind: FaultKind::NoMatch, column: token.column, message });
            }
        }
    }
    if mode.sets() && walk.complete && walk.changes.is_empty() {
        walk.changes.push(Change { path: base, value: None });
    }
    Ok(walk)
}

fn take_word(
    walk: &mut Walk,
    base: &mut Vec<Step>,
    mode: Mode,
    items: &'static [Item],
    token: Token<'_>,
) -> Result<(), Fault> {
    if items.is_empty() {
        let message = format!("{}: nothing can follow here", quoted(token.text));
        return Err(Fault { kind: FaultKind::NoMatch, column: token.column, message });
    }
    let (index, item) = pick(items, token).map_err(|fault| elsewhere(fault, base, items, token))?;
    let Ok(index) = u8::try_from(index) else { return Err(Fault::bad(token, "not in the table")) };
    walk.path.clone_from(base);
    walk.path.push(Step::Word(index));
    match &item.kind {
        Kind::Branch { items, presence } => {
            base.clone_from(&walk.path);
            walk.expect = Expect::Words(items);
            walk.complete = !mode.sets() || *presence;
        }
        Kind::List { .. } => {
            walk.expect = Expect::Value(item);
            walk.complete = matches!(mode, Mode::Delete | Mode::Show);
        }
        Kind::Leaf { .. } | Kind::Values { .. } => {
            if mode == Mode::Edit {
                return Err(Fault::bad(token, "this is a single value; change it with set"));
            }
            walk.expect = if mode == Mode::Show { Expect::End } else { Expect::Value(item) };
            walk.complete = !mode.sets();
        }
    }
    Ok(())
}

fn take_value(
    walk: &mut Walk,
    base: &mut Vec<Step>,
    mode: Mode,
    item: &'static Item,
    token: Token<'_>,
) -> Result<(), Fault> {
    let Some(kind) = item.value_type() else { return Err(Fault::bad(token, "no value goes here")) };
    let held = if mode == Mode::Load { kind.held(token.text) } else { None };
    let value = match held {
        Some(held) => held,
        None => kind.parse(token.text).map_err(|why| {
            // What was meant to be a secret is not repeated.
            let secret = matches!(kind, Type::Secret | Type::Hash);
            let shown = if secret { Token { text: REDACTED, ..token } } else { token };
            Fault::value(item.word, shown, &why)
        })?,
    };
    walk.complete = true;
    match &item.kind {
        Kind::Branch { .. } | Kind::List { .. } => {
            walk.path.push(Step::Key(value));
            base.clone_from(&walk.path);
            walk.expect = Expect::Words(item.items());
        }
        Kind::Leaf { .. } | Kind::Values { .. } => {
            if mode.sets() {
                walk.changes.push(Change { path: walk.path.clone(), value: Some(value) });
                walk.expect = Expect::Words(level(base));
            } else {
                walk.value = Some(value);
                walk.expect = Expect::End;
            }
        }
    }
    Ok(())
}

/// A word that fits one level up is most often two lines written as one.
fn elsewhere(mut fault: Fault, base: &[Step], items: &'static [Item], token: Token<'_>) -> Fault {
    if fault.kind != FaultKind::NoMatch {
        return fault;
    }
    let words: Vec<&str> = items.iter().map(Worded::word).collect();
    let mut outer = base;
    while let Some((_, rest)) = outer.split_last() {
        outer = rest;
        // A path that ends at a list's word, before its key, is no place for words.
        if !ends_at_list(outer) && level(outer).iter().any(|i| i.word == token.text) {
            let place = super::text::path_text(outer);
            let place = if place.is_empty() {
                String::from("starts a new line")
            } else {
                format!("belongs to \"{place}\": start a new line for it")
            };
            fault.message = format!("{} {place}, or use {}", quoted(token.text), either(&words));
            return fault;
        }
    }
    fault.message = format!("{} is not known here: {}", quoted(token.text), suggestion(token.text, &words));
    fault
}

fn ends_at_list(path: &[Step]) -> bool {
    let Some((Step::Word(index), outer)) = path.split_last() else { return false };
    item_at(level(outer), *index).is_some_and(|i| matches!(i.kind, Kind::List { .. }))
}

/// Walks words that must make a whole line. `end` is the column after the last one.
pub(crate) fn walk(from: &[Step], mode: Mode, words: &[Token<'_>], end: usize) -> Result<Walk, Fault> {
    let walked = advance(from, mode, words)?;
    finish(&walked, mode, end)?;
    Ok(walked)
}

/// Says what is missing when a line ends too early. `end` is the column after the last word.
pub(crate) fn finish(walked: &Walk, mode: Mode, end: usize) -> Result<(), Fault> {
    if walked.complete && (walked.moved || mode == Mode::Show) {
        return Ok(());
    }
    let message = match walked.expect {
        Expect::Value(item) => format!("{} needs a value: {}", item.word, item.allowed()),
        Expect::Words(items) => {
            let words: Vec<&str> = items.iter().map(Worded::word).collect();
            format!("more must follow: {}", either(&words))
        }
        Expect::End => String::from("more must follow"),
    };
    Err(Fault::incomplete(end, message))
}

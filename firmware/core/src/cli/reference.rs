//! The table of the configuration as a document, and its defaults as lines.

use super::schema::{CONFIG, Item, Kind};
use super::value::{Choice, Type};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Write as _;

const HEAD: &str = "# Configuration reference

Made from the table that also drives the console: do not edit. `UPDATE_EXPECT=1 cargo test -p director-core reference`
writes it again.

A line `set PATH VALUE` sets a value, `delete PATH` takes it back to its default. Words in capital letters stand for a
name or key of your choice. Times need a unit: `ms`, `s`, `m`, `h`, `d`, or several (`1m30s`). \"several\" means that the
line may be given more than once. `show defaults` prints the defaults on the console.
";

/// The whole configuration as Markdown: one section for each word of the top level.
#[must_use]
pub fn markdown() -> String {
    let mut out = String::from(HEAD);
    for item in CONFIG {
        let path = path_with_key("", item);
        // Writing to a String cannot fail, here and below.
        _ = write!(out, "\n## `{}`\n\n{}.\n", item.word, item.help);
        if let Kind::List { max, key_help, key, .. } = &item.kind {
            _ = writeln!(out, "`{}`: {}, {}; up to {max}.", key_word(item), lower(key_help), key.allowed());
        }
        out.push_str("\n| path | type | range | unit | default | meaning |\n|---|---|---|---|---|---|\n");
        let mut choices = Vec::new();
        rows(item.items(), &path, &mut out, &mut choices);
        if item.items().is_empty() {
            row(item, item.word, &mut out, &mut choices);
        }
        for (path, words) in choices {
            _ = write!(out, "\n`{path}`:\n\n");
            words.iter().for_each(|c| _ = writeln!(out, "- `{}`: {}", c.word, cell(c.help)));
        }
    }
    out
}

/// Every leaf that has a default, as the line that would set it.
#[must_use]
pub fn defaults() -> Vec<String> {
    let mut out = Vec::new();
    default_lines(CONFIG, "", &mut out);
    out
}

fn default_lines(items: &'static [Item], path: &str, out: &mut Vec<String>) {
    for item in items {
        let path = path_with_key(path, item);
        if let Kind::Leaf { default: Some(default), .. } = &item.kind {
            out.push(format!("{path} {default}"));
        }
        default_lines(item.items(), &path, out);
    }
}

type Choices = Vec<(String, &'static [Choice])>;

fn rows(items: &'static [Item], path: &str, out: &mut String, choices: &mut Choices) {
    for item in items {
        let path = path_with_key(path, item);
        row(item, &path, out, choices);
        rows(item.items(), &path, out, choices);
    }
}

fn row(item: &'static Item, path: &str, out: &mut String, choices: &mut Choices) {
    let (kind, range, default) = match &item.kind {
        // Plain branches say nothing that their leaves do not.
        Kind::Branch { presence: false, .. } => return,
        Kind::Branch { presence: true, .. } => ("switch".to_string(), String::new(), "absent".to_string()),
        Kind::List { key, key_help, max, .. } => {
            let range = format!("{} ({}), up to {max}", lower(key_help), key.allowed());
            (format!("list of {}", key.kind_name()), range, "none".to_string())
        }
        Kind::Leaf { value, default } => {
            let default = default.map_or("unset".to_string(), |d| format!("`{d}`"));
            (value.kind_name().to_string(), value.allowed(), default)
        }
        Kind::Values { value, max } => {
            let range = format!("{}; up to {max}", value.allowed());
            (format!("{}, several", value.kind_name()), range, "none".to_string())
        }
    };
    // Units of times stand in the range already; nothing else has one beside the item's own.
    let unit = if matches!(item.value_type(), Some(Type::Span { .. })) { "time" } else { item.unit };
    let help = cell(item.help);
    let range = cell(&range);
    _ = writeln!(out, "| `{path}` | {kind} | {range} | {unit} | {default} | {help} |");
    let choice = match (&item.kind, item.value_type()) {
        (Kind::Leaf { .. } | Kind::Values { .. } | Kind::List { .. }, Some(Type::Choice(words))) => words,
        (_, _) => return,
    };
    if !is_switch(choice) {
        choices.push((path.to_string(), choice));
    }
}

/// `on` and `off` need no list of their own.
fn is_switch(words: &[Choice]) -> bool {
    matches!(words, [Choice { word: "on", .. }, Choice { word: "off", .. }])
}

fn path_with_key(path: &str, item: &Item) -> String {
    let space = if path.is_empty() { "" } else { " " };
    match item.kind {
        Kind::List { .. } => format!("{path}{space}{} {}", item.word, key_word(item)),
        Kind::Branch { .. } | Kind::Leaf { .. } | Kind::Values { .. } => {
            format!("{path}{space}{}", item.word)
        }
    }
}

fn key_word(item: &Item) -> &'static str {
    match item.value_type() {
        Some(Type::Network) => "NETWORK",
        Some(Type::Choice(_)) => "WORD",
        Some(Type::Ip | Type::Cidr) => "ADDRESS",
        Some(Type::Number { .. }) => "NUMBER",
        Some(_) | None => "NAME",
    }
}

fn lower(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|c| c.to_lowercase().collect::<String>() + chars.as_str()).unwrap_or_default()
}

/// Text inside a table: a bar would end the cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

#[cfg(test)]
mod tests;

//! Text forms of the configuration: `set` lines, braces, differences, JSON; and reading `set` lines.

use super::bind;
use super::json::Json;
use super::path::{Mode, walk};
use super::schema::{CONFIG, Item, Kind};
use super::tree::{Branch, Found, Node, Step, Tree, item_at};
use super::value::Value;
use super::words::{pick_set, tokens};
use crate::model::Config;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::fmt::Write as _;

pub mod load;
pub(crate) mod secrets;

/// Something wrong with one line of configuration text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LineError {
    /// Number of the line, from 1.
    pub line: usize,
    /// Column of the offending word, from 1.
    pub column: usize,
    /// What is wrong, and the fix.
    pub message: String,
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.message)
    }
}

/// Reads `set` lines; blank lines and lines that start with `#` are skipped. All errors are reported at once.
pub fn parse_set_lines(text: &str) -> Result<Config, Vec<LineError>> {
    let (tree, mut errors) = parse_tree(text);
    if errors.is_empty() {
        match bind::to_config(&tree) {
            Ok(config) => return Ok(config),
            Err(e) => errors.push(LineError { line: 1, column: 1, message: e.to_string() }),
        }
    }
    Err(errors)
}

/// Reads a text of either form, by its first word. Secrets that are sealed or left out are not set.
pub fn parse_text(text: &str) -> Result<Config, load::Wrong> {
    let mut tree = load::read(&Tree::default(), text, load::Form::of(text))?;
    let settled = secrets::settle(&mut tree, &Tree::default(), true, None);
    settled.and_then(|_| bind::to_config(&tree).map_err(|e| e.to_string())).map_err(|why| {
        let mut wrong = load::Wrong::default();
        wrong.add(0, 0, why);
        wrong
    })
}

/// The configuration with braces; what equals its default is left out, and a secret is asterisks.
pub fn export_braces(config: &Config) -> String {
    let mut out = String::new();
    for line in braces(&bind::to_tree(config), &[]) {
        out.push_str(&line);
        out.push('\n');
    }
    out
}

pub(crate) fn parse_tree(text: &str) -> (Tree, Vec<LineError>) {
    let mut tree = Tree::default();
    let mut errors = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let words = tokens(line, false);
        let Some((first, rest)) = words.split_first() else { continue };
        if first.text.starts_with('#') {
            continue;
        }
        let result = pick_set(*first)
            .and_then(|()| walk(&[], Mode::Set, rest, line.trim_end().len()))
            .map_err(|fault| (fault.column, fault.message))
            .and_then(|walked| tree.apply(walked.changes).map_err(|why| (first.column, why)));
        if let Err((column, message)) = result {
            let (line, column) = (number.saturating_add(1), column.saturating_add(1));
            errors.push(LineError { line, column, message });
        }
    }
    (tree, errors)
}

/// The configuration as `set` lines in canonical order; what equals its default is left out.
pub fn export_set_lines(config: &Config) -> String {
    set_lines(&bind::to_tree(config))
}

/// What this firmware would refuse if it were typed: values of a stored configuration that another version allowed, or a
/// limit that came since. Empty for whatever this version committed.
pub fn refused_values(config: &Config) -> Vec<String> {
    match parse_set_lines(&export_set_lines(config)) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.into_iter().map(|error| error.message).collect(),
    }
}

/// A tree as `set` lines.
pub fn set_lines(tree: &Tree) -> String {
    let mut out = String::new();
    lines(CONFIG, tree.root(), "set", &mut |line| {
        out.push_str(line);
        out.push('\n');
    });
    out
}

/// What lies under a path as `set` lines from the root.
pub(crate) fn set_lines_at(tree: &Tree, path: &[Step]) -> Vec<String> {
    let mut out = Vec::new();
    let prefix = format!("set {}", path_text(path));
    let prefix = prefix.trim_end();
    let items = super::path::level(path);
    match tree.find(path) {
        None => {}
        Some(Found::Branch(branch)) => {
            let before = out.len();
            lines(items, branch, prefix, &mut |line| out.push(line.to_string()));
            if out.len() == before && !path.is_empty() {
                out.push(prefix.to_string());
            }
        }
        Some(Found::List(entries)) => {
            list_lines(items, entries, prefix, &mut |line| out.push(line.to_string()));
        }
        Some(Found::Leaf(value)) => out.push(format!("{prefix} {value}")),
        Some(Found::Values(values)) => out.extend(values.iter().map(|v| format!("{prefix} {v}"))),
    }
    out
}

/// The type of the value that a path leads to.
fn type_at(path: &[Step]) -> Option<super::value::Type> {
    let (Step::Word(index), outer) = path.split_last()? else { return None };
    item_at(super::path::level(outer), *index)?.value_type()
}

/// A path as it is typed.
pub(crate) fn path_text(path: &[Step]) -> String {
    let mut items = CONFIG;
    let mut out = String::new();
    for step in path {
        if !out.is_empty() {
            out.push(' ');
        }
        match step {
            Step::Word(index) => {
                let Some(item) = item_at(items, *index) else { return out };
                out.push_str(item.word);
                items = item.items();
            }
            // Writing to a String cannot fail.
            Step::Key(key) => _ = write!(out, "{key}"),
        }
    }
    out
}

fn lines(items: &'static [Item], branch: &Branch, prefix: &str, out: &mut dyn FnMut(&str)) {
    let mut joined = String::new();
    for item in set_items(items, branch) {
        match item {
            (item, Node::Leaf(value)) if item.joined => _ = write!(joined, " {} {value}", item.word),
            (item, Node::Values(values)) if item.joined => {
                values.iter().for_each(|value| _ = write!(joined, " {} {value}", item.word));
            }
            _ => {}
        }
    }
    if !joined.is_empty() {
        out(&format!("{prefix}{joined}"));
    }
    for (item, node) in set_items(items, branch) {
        let deeper = format!("{prefix} {}", item.word);
        match node {
            // An export leaves secrets out, and says so.
            Node::Leaf(super::value::Value::Secret(_)) => out(&format!("# {deeper}: secret, not exported")),
            Node::Leaf(value) if !item.joined => out(&format!("{deeper} {value}")),
            Node::Values(values) if !item.joined => values.iter().for_each(|v| out(&format!("{deeper} {v}"))),
            Node::Leaf(_) | Node::Values(_) => {}
            Node::Branch(child) if matches!(item.kind, Kind::Branch { presence: true, .. }) => {
                named_lines(item.items(), child, &deeper, out);
            }
            Node::Branch(child) => lines(item.items(), child, &deeper, out),
            Node::List(entries) => list_lines(item.items(), entries, &deeper, out),
        }
    }
}

fn list_lines(
    items: &'static [Item],
    entries: &BTreeMap<Value, Branch>,
    prefix: &str,
    out: &mut dyn FnMut(&str),
) {
    for (key, entry) in entries {
        named_lines(items, entry, &format!("{prefix} {key}"), out);
    }
}

/// What exists by its name, also when nothing but a secret that is left out is in it.
fn named_lines(items: &'static [Item], branch: &Branch, prefix: &str, out: &mut dyn FnMut(&str)) {
    let mut named = false;
    lines(items, branch, prefix, &mut |line| {
        named |= !line.starts_with('#');
        out(line);
    });
    if !named {
        out(prefix);
    }
}

fn set_items<'a>(
    items: &'static [Item],
    branch: &'a Branch,
) -> impl Iterator<Item = (&'static Item, &'a Node)> + use<'a> {
    items.iter().enumerate().filter_map(|(i, item)| Some((item, branch.get(u8::try_from(i).ok()?)?)))
}

/// What lies under a path, with braces.
pub(crate) fn braces(tree: &Tree, path: &[Step]) -> Vec<String> {
    let mut out = Vec::new();
    let items = super::path::level(path);
    match tree.find(path) {
        None => {}
        Some(Found::Branch(branch)) => brace_branch(items, branch, 0, &mut out),
        Some(Found::List(entries)) => {
            let word = match path.split_last() {
                Some((Step::Word(i), outer)) => {
                    item_at(super::path::level(outer), *i).map_or("", |item| item.word)
                }
                Some((Step::Key(_), _)) | None => "",
            };
            brace_list(word, items, entries, 0, &mut out);
        }
        Some(Found::Leaf(value)) => out.push(value.to_string()),
        Some(Found::Values(values)) => out.extend(values.iter().map(ToString::to_string)),
    }
    out
}

fn brace_branch(items: &'static [Item], branch: &Branch, depth: usize, out: &mut Vec<String>) {
    for (item, node) in set_items(items, branch) {
        let word = item.word;
        match node {
            Node::Leaf(value) => out.push(indented(depth, &format!("{word} {}", load::braced(value)))),
            Node::Values(values) => {
                let line = |value| indented(depth, &format!("{word} {}", load::braced(value)));
                out.extend(values.iter().map(line));
            }
            Node::Branch(child) => brace_block(word, item.items(), child, depth, out),
            Node::List(entries) => brace_list(word, item.items(), entries, depth, out),
        }
    }
}

fn brace_list(
    word: &str,
    items: &'static [Item],
    entries: &BTreeMap<Value, Branch>,
    depth: usize,
    out: &mut Vec<String>,
) {
    for (key, entry) in entries {
        brace_block(&format!("{word} {}", load::braced(key)), items, entry, depth, out);
    }
}

fn brace_block(head: &str, items: &'static [Item], branch: &Branch, depth: usize, out: &mut Vec<String>) {
    if branch.is_empty() {
        out.push(indented(depth, &format!("{head} {{ }}")));
        return;
    }
    out.push(indented(depth, &format!("{head} {{")));
    brace_branch(items, branch, depth.saturating_add(1), out);
    out.push(indented(depth, "}"));
}

fn indented(depth: usize, text: &str) -> String {
    format!("{:width$}{text}", "", width = depth.saturating_mul(4))
}

/// The differences that lead from one tree to another, as `- set` and `+ set` lines.
pub(crate) fn difference(from: &Tree, to: &Tree) -> Vec<String> {
    let mut out = Vec::new();
    branch_difference(CONFIG, from.root(), to.root(), "set", &mut out);
    out
}

fn branch_difference(items: &'static [Item], a: &Branch, b: &Branch, prefix: &str, out: &mut Vec<String>) {
    for (i, item) in items.iter().enumerate() {
        let Ok(index) = u8::try_from(i) else { return };
        let (a, b) = (a.get(index), b.get(index));
        if a == b {
            continue;
        }
        let prefix = format!("{prefix} {}", item.word);
        match &item.kind {
            Kind::Leaf { .. } | Kind::Values { .. } => {
                let (a, b) = (scalars(a), scalars(b));
                out.extend(a.iter().filter(|v| !b.contains(v)).map(|v| format!("- {prefix} {v}")));
                out.extend(b.iter().filter(|v| !a.contains(v)).map(|v| format!("+ {prefix} {v}")));
            }
            Kind::Branch { items, .. } => match (a, b) {
                (Some(Node::Branch(a)), Some(Node::Branch(b))) => {
                    branch_difference(items, a, b, &prefix, out)
                }
                (a, b) => {
                    one_sided(items, as_branch(a), '-', &prefix, out);
                    one_sided(items, as_branch(b), '+', &prefix, out);
                }
            },
            Kind::List { items, .. } => {
                let (none_a, none_b) = (BTreeMap::new(), BTreeMap::new());
                let (a, b) = (as_list(a).unwrap_or(&none_a), as_list(b).unwrap_or(&none_b));
                for (key, entry) in a {
                    let prefix = format!("{prefix} {key}");
                    match b.get(key) {
                        Some(other) => branch_difference(items, entry, other, &prefix, out),
                        None => one_sided(items, Some(entry), '-', &prefix, out),
                    }
                }
                for (key, entry) in b.iter().filter(|(key, _)| !a.contains_key(*key)) {
                    one_sided(items, Some(entry), '+', &format!("{prefix} {key}"), out);
                }
            }
        }
    }
}

fn scalars(node: Option<&Node>) -> Vec<&Value> {
    match node {
        Some(Node::Leaf(value)) => Vec::from([value]),
        Some(Node::Values(values)) => values.iter().collect(),
        Some(Node::Branch(_) | Node::List(_)) | None => Vec::new(),
    }
}

fn as_branch(node: Option<&Node>) -> Option<&Branch> {
    if let Some(Node::Branch(branch)) = node { Some(branch) } else { None }
}

fn as_list(node: Option<&Node>) -> Option<&BTreeMap<Value, Branch>> {
    if let Some(Node::List(entries)) = node { Some(entries) } else { None }
}

fn one_sided(
    items: &'static [Item],
    branch: Option<&Branch>,
    sign: char,
    prefix: &str,
    out: &mut Vec<String>,
) {
    match branch {
        None => {}
        Some(branch) if branch.is_empty() => out.push(format!("{sign} {prefix}")),
        Some(branch) => lines(items, branch, prefix, &mut |line| out.push(format!("{sign} {line}"))),
    }
}

/// What lies under a path as JSON.
pub(crate) fn json(tree: &Tree, path: &[Step]) -> String {
    let mut json = Json::new();
    let items = super::path::level(path);
    match tree.find(path) {
        None => json.null(),
        Some(Found::Branch(branch)) => json_branch(items, branch, &mut json),
        Some(Found::List(entries)) => json_list(items, entries, &mut json),
        Some(Found::Leaf(value)) => json_value(value, &mut json),
        Some(Found::Values(values)) => json.array(|json| values.iter().for_each(|v| json_value(v, json))),
    }
    json.finish()
}

fn json_branch(items: &'static [Item], branch: &Branch, json: &mut Json) {
    json.object(|json| {
        for (item, node) in set_items(items, branch) {
            json.key(&item.json_key());
            match node {
                Node::Leaf(value) => json_value(value, json),
                Node::Values(values) => json.array(|json| values.iter().for_each(|v| json_value(v, json))),
                Node::Branch(child) => json_branch(item.items(), child, json),
                Node::List(entries) => json_list(item.items(), entries, json),
            }
        }
    });
}

fn json_list(items: &'static [Item], entries: &BTreeMap<Value, Branch>, json: &mut Json) {
    json.object(|json| {
        for (key, entry) in entries {
            json.key(&key.to_string());
            json_branch(items, entry, json);
        }
    });
}

fn json_value(value: &Value, json: &mut Json) {
    match value {
        Value::Number(n) => json.number(u64::from(*n)),
        Value::Span(span) => json.number(u64::from(span.get())),
        Value::Word("on") => json.boolean(true),
        Value::Word("off") => json.boolean(false),
        // A secret prints as asterisks.
        Value::Secret(_)
        | Value::Held(_)
        | Value::Word(_)
        | Value::Text(_)
        | Value::Cidr(_)
        | Value::Ip(_)
        | Value::Ports(..) => {
            json.string(&value.to_string());
        }
    }
}

#[cfg(test)]
mod tests;

//! What can come next at the cursor: for `?` with help, for Tab as words to insert.

use super::grammar::{self, Arg, Command, Expect, Point};
use super::path::{self, Mode, Walk};
use super::schema::{Item, Kind};
use super::tree::{Found as At, Step, Tree};
use super::value::Type;
use super::words::{self, Fault, Found, Token, Worded};
use crate::director::status::{ServiceStatus, Status};
use crate::gather::Gather as _;
use crate::model::Name;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// One possibility.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Candidate {
    /// The word, or a placeholder such as `<port>`.
    pub(crate) text: String,
    pub(crate) help: String,
    /// Whether Tab may insert it.
    pub(crate) literal: bool,
}

/// Where names that exist are found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Names<'a> {
    pub(crate) tree: Option<&'a Tree>,
    pub(crate) status: Option<&'a Status>,
}

/// All possibilities at the end of a text.
#[derive(Debug)]
pub(crate) struct Completion<'a> {
    /// The word that is being typed; empty after a blank.
    pub(crate) partial: &'a str,
    /// Possibilities that fit it, placeholders included.
    pub(crate) candidates: Vec<Candidate>,
    /// Whether free text is being typed, in which `?` is a character.
    pub(crate) free_text: bool,
}

/// Finds what can come at the end of `line`. A fault in an earlier word is returned as it would be on Enter.
pub(crate) fn complete<'a>(
    table: &'static [Command],
    line: &'a str,
    edit: &[Step],
    names: Names<'_>,
) -> Result<Completion<'a>, Fault> {
    let typed = grammar::words(table, line);
    let (done, partial): (&[Token<'_>], &str) = match typed.split_last() {
        Some((last, done)) if last.text != "|" && line.ends_with(last.text) => (done, last.text),
        Some(_) | None => (&typed, ""),
    };
    let point = grammar::advance(table, done, edit)?;
    let mut all = Vec::new();
    let free_text = collect(&point, names, &mut all);
    let fits = |c: &Candidate| if c.literal { c.text.starts_with(partial) } else { c.text.starts_with('<') };
    all.retain(fits);
    // A word that cannot be shortened does not stand in the way of one that can.
    if let Expect::Commands(table) = &point.expect
        && let Found::One(_, meant) = words::find(table, partial)
    {
        let whole = |text: &str| table.iter().any(|c| c.whole() && c.word != meant.word && c.word == text);
        all.retain(|c| !whole(&c.text));
    }
    // "Enter" is a possibility only where no word has been begun.
    if partial.is_empty() && ends(&point) {
        all.push(Candidate { text: String::from("Enter"), help: String::from("Do it"), literal: false });
    }
    Ok(Completion { partial, candidates: all, free_text: free_text && !partial.is_empty() })
}

fn ends(point: &Point) -> bool {
    let walked = match (&point.walk, &point.expect) {
        (Some(walk), Expect::Path(mode)) => path::finish(walk, *mode, 0).is_ok(),
        (_, _) => true,
    };
    let ends =
        !matches!(point.expect, Expect::Filter(_) | Expect::Text | Expect::Args([Arg::Terminal(_), ..]));
    let whole = !matches!(point.expect, Expect::Args([Arg::ServerAction, ..])) || server_ends(&point.args);
    let missing =
        matches!(point.expect, Expect::Args([Arg::Back | Arg::Comment | Arg::OfService | Arg::ServerOf, ..]))
            && point.args.is_empty()
            && point.action != Some(grammar::Action::Compare);
    point.action.is_some() && walked && ends && whole && !missing
}

fn word(text: &str, help: &str) -> Candidate {
    Candidate { text: text.to_string(), help: help.to_string(), literal: true }
}

fn collect(point: &Point, names: Names<'_>, all: &mut Vec<Candidate>) -> bool {
    match &point.expect {
        Expect::Commands(words) => all.extend(words.iter().map(|c| word(c.word, c.help))),
        Expect::Args(args) => {
            if let Some(arg) = args.first() {
                arg_candidates(*arg, &point.args, names, all);
            }
        }
        Expect::Filter(filters) => all.extend(filters.iter().map(|f| word(f.word(), f.help()))),
        Expect::Text => {
            let help = String::from("Text to look for, in capitals or not");
            all.push(Candidate { text: String::from("<text>"), help, literal: false });
            return true;
        }
        Expect::Path(mode) => {
            if let Some(walk) = &point.walk {
                return path_candidates(walk, *mode, names, all);
            }
        }
    }
    let may_filter = point.action.is_some_and(|a| !grammar::filters(a).is_empty());
    if may_filter && !matches!(point.expect, Expect::Filter(_)) {
        all.push(word("|", "Filter what is shown"));
    }
    false
}

fn arg_candidates(arg: Arg, before: &[String], names: Names<'_>, all: &mut Vec<Candidate>) {
    let mut found: BTreeSet<String> = BTreeSet::new();
    if let Some(status) = names.status {
        let in_pool = |pool: &str| before.last().is_none_or(|p| p == pool);
        match arg {
            Arg::Service | Arg::OfService => found.extend(status.services.iter().map(|s| s.name.to_string())),
            Arg::Pool => found.extend(status.servers.iter().map(|s| s.pool.to_string())),
            Arg::Server => found.extend(
                status.servers.iter().filter(|s| in_pool(s.pool.as_str())).map(|s| s.name.to_string()),
            ),
            Arg::ServerOf => {
                let of = |s: &&ServiceStatus| before.last().is_some_and(|name| name == s.name.as_str());
                let pools: BTreeSet<&Name> = status.services.iter().filter(of).map(|s| &s.pool).gather();
                let servers = status.servers.iter().filter(|s| pools.contains(&s.pool));
                found.extend(servers.map(|s| s.name.to_string()));
            }
            Arg::Count
            | Arg::Back
            | Arg::BackOrRescue
            | Arg::Window
            | Arg::Comment
            | Arg::Url
            | Arg::Terminal(_) => {}
            Arg::ServerAction => return server_words(status, before, all),
        }
    }
    let help = arg.help().to_string();
    if found.is_empty() {
        all.push(Candidate { text: arg.placeholder().to_string(), help, literal: false });
    } else {
        all.extend(found.into_iter().map(|text| Candidate { text, help: help.clone(), literal: true }));
    }
}

/// What can follow in `server NAME [in POOL] ACTION [for TIME]`.
fn server_words(status: &Status, before: &[String], all: &mut Vec<Candidate>) {
    let open =
        |text: &str, help: &str| Candidate { text: text.to_string(), help: help.to_string(), literal: false };
    let before: Vec<&str> = before.iter().map(String::as_str).collect();
    match before.as_slice() {
        [] => {
            let names: BTreeSet<String> = status.servers.iter().map(|s| s.name.to_string()).gather();
            all.extend(names.iter().map(|name| word(name, "Server")));
            if names.is_empty() {
                all.push(open("<server>", "There is none yet: a service's pool names its servers"));
            }
        }
        [name, "in"] => {
            let pools: BTreeSet<String> = status
                .servers
                .iter()
                .filter(|s| s.name.as_str() == *name)
                .map(|s| s.pool.to_string())
                .gather();
            all.extend(pools.iter().map(|pool| word(pool, "Only in this pool")));
            if pools.is_empty() {
                all.push(open("<pool>", "No pool has a server of this name"));
            }
        }
        [_] | [_, "in", _] => {
            if before.len() == 1 {
                all.push(word("in", "Only in one pool; without it in every pool that has the server"));
            }
            all.push(word("disable", "No connection at all: those it has end"));
            all.push(word("drain", "No new connections; those it has go on"));
            all.push(word("enable", "As configured again"));
            all.push(word("weight", "Another share of the connections"));
        }
        [_, "weight"] | [_, "in", _, "weight"] => {
            all.push(open("<weight>", &format!("0 to {}", crate::model::limits::WEIGHT_MAX)));
        }
        [.., "for"] => all.push(open("<time>", "How long, for example 30m or 2h; then as configured again")),
        [.., "for", _] | [.., "enable"] => {}
        [.., "drain" | "disable"] | [.., "weight", _] => {
            all.push(word("for", "Only for a time; without it until enable"));
        }
        _ => {}
    }
}

/// Whether `server ...` is complete.
fn server_ends(before: &[String]) -> bool {
    let before: Vec<&str> = before.iter().map(String::as_str).collect();
    let rest = match before.as_slice() {
        [_, "in", _, rest @ ..] | [_, rest @ ..] => rest,
        [] => &[],
    };
    matches!(
        rest,
        ["enable"]
            | ["drain" | "disable"]
            | ["drain" | "disable", "for", _]
            | ["weight", _]
            | ["weight", _, "for", _]
    )
}

/// Candidates inside a configuration path; says whether free text comes next.
fn path_candidates(walk: &Walk, mode: Mode, names: Names<'_>, all: &mut Vec<Candidate>) -> bool {
    match walk.expect {
        path::Expect::Words(items) => {
            let inside = |item: &&Item| mode != Mode::Edit || !item.items().is_empty();
            all.extend(items.iter().filter(inside).map(|i| word(i.word, i.help)));
        }
        path::Expect::Value(item) => return value_candidates(item, walk, mode, names, all),
        path::Expect::End => {}
    }
    if mode == Mode::Show {
        all.push(word("|", "Filter what is shown"));
    }
    false
}

fn value_candidates(
    item: &'static Item,
    walk: &Walk,
    mode: Mode,
    names: Names<'_>,
    all: &mut Vec<Candidate>,
) -> bool {
    let Some(kind) = item.value_type() else { return false };
    let help = match &item.kind {
        Kind::List { key_help, .. } => *key_help,
        Kind::Branch { .. } | Kind::Leaf { .. } | Kind::Values { .. } => item.help,
    };
    let there = names.tree.and_then(|t| t.find(&walk.path));
    if mode == Mode::Set {
        if let Type::Choice(choices) = kind {
            all.extend(choices.iter().map(|c| word(c.word, c.help)));
            return false;
        }
        let mut known: BTreeSet<String> = match (kind, names.tree) {
            (Type::Refer(list), Some(tree)) => tree.names(list).into_iter().gather(),
            (_, _) => BTreeSet::new(),
        };
        if let Some(At::List(entries)) = there {
            known.extend(entries.keys().map(ToString::to_string));
        }
        all.extend(known.iter().map(|name| word(name, help)));
        let help = format!("{help} ({})", item.allowed());
        all.push(Candidate { text: placeholder(&item.kind, kind), help, literal: false });
        return matches!(kind, Type::Text | Type::Target);
    }
    match there {
        Some(At::List(entries)) => all.extend(entries.keys().map(|k| word(&k.to_string(), help))),
        Some(At::Leaf(value)) => all.push(word(&value.to_string(), help)),
        Some(At::Values(values)) => all.extend(values.iter().map(|v| word(&v.to_string(), help))),
        Some(At::Branch(_)) | None => {}
    }
    if mode == Mode::Show && walk.complete {
        all.push(word("|", "Filter what is shown"));
    }
    false
}

fn placeholder(item: &Kind, kind: Type) -> String {
    match (item, kind) {
        (Kind::List { .. }, Type::Name) => String::from("<new-name>"),
        // The angle bracket marks a placeholder.
        (_, kind) => kind.placeholder().to_string(),
    }
}

/// The longest text that all literal candidates start with.
pub(crate) fn common_prefix(candidates: &[&Candidate]) -> String {
    let Some((first, rest)) = candidates.split_first() else { return String::new() };
    let shared =
        |other: &Candidate| first.text.bytes().zip(other.text.bytes()).take_while(|(a, b)| a == b).count();
    let length = rest.iter().map(|c| shared(c)).min().unwrap_or(first.text.len());
    first.text.get(..length).unwrap_or_default().to_string()
}

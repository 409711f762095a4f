//! What can come next at the cursor: for `?` with help, for Tab as words to insert.

use super::grammar::{self, Arg, Command, Expect, Point};
use super::path::{self, Mode, Walk};
use super::schema::{Item, Kind};
use super::show::realserver::System;
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
    if partial.is_empty() && ends(&point, names) {
        all.push(Candidate { text: String::from("Enter"), help: String::from("Do it"), literal: false });
    }
    Ok(Completion { partial, candidates: all, free_text: free_text && !partial.is_empty() })
}

fn ends(point: &Point, names: Names<'_>) -> bool {
    let walked = match (&point.walk, &point.expect) {
        (Some(walk), Expect::Path(mode)) => path::finish(walk, *mode, 0).is_ok(),
        (_, _) => true,
    };
    let ends =
        !matches!(point.expect, Expect::Filter(_) | Expect::Text | Expect::Args([Arg::Terminal(_), ..]));
    let whole = !matches!(point.expect, Expect::Args([Arg::ServerAction, ..])) || server_ends(&point.args);
    let missing = matches!(
        point.expect,
        Expect::Args([
            Arg::Back | Arg::BackOrRescue | Arg::Ping | Arg::Comment | Arg::OfService | Arg::ForService,
            ..
        ])
    ) && point.args.is_empty()
        && point.action != Some(grammar::Action::Compare);
    // `why server SERVICE` wants one of its servers.
    let of_service = matches!(point.expect, Expect::Args([Arg::ServerOf, ..]))
        && names.status.is_some_and(|status| {
            status.services.iter().any(|s| point.args.last().is_some_and(|name| name == s.name.as_str()))
        });
    let whole = whole && !(matches!(point.expect, Expect::Args([Arg::Ping, ..])) && point.args.len() == 2);
    let pairs =
        !matches!(point.expect, Expect::Args([Arg::Connections, ..])) || point.args.len().is_multiple_of(2);
    point.action.is_some() && walked && ends && whole && pairs && !missing && !of_service
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
    let may_filter = ends(point, names) && point.action.is_some_and(|a| !grammar::filters(a).is_empty());
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
            Arg::Service | Arg::ForService => {
                found.extend(status.services.iter().map(|s| s.name.to_string()))
            }
            Arg::OfService => {
                all.extend(service_candidates(status));
                all.extend(server_candidates(status));
                if !all.is_empty() {
                    return;
                }
            }
            Arg::Pool => found.extend(status.servers.iter().map(|s| s.pool.to_string())),
            Arg::Server => found.extend(
                status.servers.iter().filter(|s| in_pool(s.pool.as_str())).map(|s| s.name.to_string()),
            ),
            Arg::ServerOf => {
                let of = |s: &&ServiceStatus| before.last().is_some_and(|name| name == s.name.as_str());
                let pools: BTreeSet<&Name> = status.services.iter().filter(of).map(|s| &s.pool).gather();
                let servers = status.servers.iter().filter(|s| pools.contains(&s.pool));
                found.extend(servers.map(|s| s.name.to_string()));
                // The first word was a server, and no service has that name.
                if found.is_empty() {
                    return;
                }
            }
            Arg::System => {
                return all.extend(System::ALL.iter().map(|(_, text, help)| word(text, help)));
            }
            Arg::Ping => return ping_words(before, all),
            Arg::Connections => return connection_words(status, before, all),
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

fn distinct<'a>(names: impl Iterator<Item = &'a Name>, help: &'static str) -> Vec<Candidate> {
    let names: BTreeSet<&Name> = names.collect();
    names.into_iter().map(|name| word(name.as_str(), help)).collect()
}

fn service_candidates(status: &Status) -> Vec<Candidate> {
    distinct(status.services.iter().map(|s| &s.name), "Service, and then one of its servers")
}

fn server_candidates(status: &Status) -> Vec<Candidate> {
    let services: BTreeSet<&Name> = status.services.iter().map(|s| &s.name).collect();
    let servers = status.servers.iter().map(|s| &s.name).filter(|name| !services.contains(name));
    distinct(servers, "Server, when it has one service only")
}

/// What can follow in `server NAME [in POOL] ACTION [for TIME] [persistent]`.
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
        [first] if misplaced(first, status) => {
            all.push(open("<server>", "The name comes before that: server rs1 drain"));
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
        [.., "persistent"] => {}
        [.., "for", _] | [.., "enable"] => all.push(word("persistent", PERSISTENT)),
        [.., "drain" | "disable"] | [.., "weight", _] => {
            all.push(word("for", "Only for a time; without it until enable"));
            all.push(word("persistent", PERSISTENT));
        }
        _ => {}
    }
}

const PERSISTENT: &str = "Also after a reboot; without it until one";

/// What can follow in `ping ADDRESS [count N]`.
fn ping_words(before: &[String], all: &mut Vec<Candidate>) {
    let open =
        |text: &str, help: &str| Candidate { text: text.to_string(), help: help.to_string(), literal: false };
    match before {
        [] => all.push(open("<address>", "IPv4 or IPv6 address")),
        [_] => all.push(word("count", "How many; default 5")),
        [_, _] => all.push(open("<number>", "1 to 1000")),
        _ => {}
    }
}

/// What can follow in `show connections`.
fn connection_words(status: &Status, before: &[String], all: &mut Vec<Candidate>) {
    const KEYS: [(&str, &str); 5] = [
        ("client", "Of this address or network"),
        ("limit", "How many at most; default 100"),
        ("server", "To this real server"),
        ("service", "Of this service"),
        ("state", "In this state"),
    ];
    let open =
        |text: &str, help: &str| Candidate { text: text.to_string(), help: help.to_string(), literal: false };
    if before.len().is_multiple_of(2) {
        let used = |key: &str| before.iter().step_by(2).any(|word| word == key);
        return all.extend(KEYS.iter().filter(|(key, _)| !used(key)).map(|(key, help)| word(key, help)));
    }
    match before.last().map_or("", String::as_str) {
        "client" => all.push(open("<address>", "Such as 192.0.2.7 or 192.0.2.0/24")),
        "limit" => all.push(open("<number>", "1 to 1000")),
        "server" => all.extend(distinct(status.servers.iter().map(|s| &s.name), "Real server")),
        "service" => all.extend(distinct(status.services.iter().map(|s| &s.name), "Service")),
        "state" => all.extend(STATES.iter().map(|state| word(state, "State"))),
        _ => {}
    }
}

/// States of TCP that one looks for (`ip_vs_proto_tcp.c`), as typed.
const STATES: [&str; 9] = [
    "close",
    "close_wait",
    "established",
    "fin_wait",
    "last_ack",
    "none",
    "syn_recv",
    "syn_sent",
    "time_wait",
];

/// Whether the first word after `server` is an action, and the name was forgotten.
fn misplaced(word: &str, status: &Status) -> bool {
    SERVER_ACTIONS.contains(&word) && !status.servers.iter().any(|s| s.name.as_str() == word)
}

/// Words that stand after the name of a server.
pub(crate) const SERVER_ACTIONS: [&str; 4] = ["disable", "drain", "enable", "weight"];

/// Whether `server ...` is complete.
fn server_ends(before: &[String]) -> bool {
    let before: Vec<&str> = before.iter().map(String::as_str).collect();
    let rest = match before.as_slice() {
        [_, "in", _, rest @ ..] | [_, rest @ ..] => rest,
        [] => &[],
    };
    let rest = match rest {
        [rest @ .., "persistent"] => rest,
        rest => rest,
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
            // No setting but a dialogue of the session, which sets the hash.
            if mode == Mode::Set && items.iter().any(|i| i.word == "password-hash") {
                all.push(word("password", "Asks for a new console password, and does not show it"));
            }
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

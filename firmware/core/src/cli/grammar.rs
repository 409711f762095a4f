//! What can be typed in each mode: two static trees, and the walk through them that parsing and completion share.

mod action;
mod args;
mod help;
mod ipvs;
mod pipes;
mod small;

pub(crate) use action::{Action, Terminal, Upgrade, View};
pub(crate) use args::{Arg, LOG_LINES_MAX};

use super::path::{self, Mode, Walk};
use super::session::{ExportHow, Load};
use super::show::ipvs::Columns;
use super::text::load::Form;
use super::tree::Step;
use super::words::{Fault, FaultKind, Found, Token, Worded, either, find, pick, quoted, tokens};
use crate::director::protocol::{ClusterAction, Power};
use crate::store::identity::Role;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use args::BACK_MAX;
use ipvs::IPVS;
use pipes::{Filter, FilterKind};
pub(crate) use pipes::{Pipe, filters};
pub(crate) use small::LIMITED;
use small::{DOCTOR, HELP, PING, RESCUE, RESTART, TERMINAL, UPGRADE};

/// A word of a command tree.
#[derive(Debug)]
pub(crate) struct Command {
    pub(crate) word: &'static str,
    pub(crate) help: &'static str,
    pub(crate) next: Next,
}

/// What follows it.
#[derive(Debug)]
pub(crate) enum Next {
    /// Another word must follow.
    Words(&'static [Command]),
    /// As `Do` without arguments; its word cannot be shortened.
    Whole(Action),
    /// Arguments may follow.
    Do(Action, &'static [Arg]),
    /// Another word may follow.
    DoOr(Action, &'static [Command]),
    /// A path of the configuration.
    Path(Action, Mode),
}

impl Worded for Command {
    fn word(&self) -> &'static str {
        self.word
    }
    fn help(&self) -> &'static str {
        self.help
    }
    fn whole(&self) -> bool {
        matches!(self.next, Next::Whole(_))
    }
}

const fn command(word: &'static str, help: &'static str, next: Next) -> Command {
    Command { word, help, next }
}

/// Operational mode.
pub(crate) static OPERATIONAL: &[Command] = &[
    command("cluster", "Change who is active, and which box of the pair this is", Next::Words(CLUSTER)),
    command("configure", "Change the configuration", Next::Do(Action::Configure, &[])),
    command("confirm", "Keep the commit that is on trial", Next::Whole(Action::Confirm)),
    DOCTOR,
    EXPORT_COMMAND,
    command("exit", "Leave the console", Next::Do(Action::Exit, &[])),
    command(
        "factory-reset",
        "Overwrite the configuration, its history and every secret, and start over",
        Next::Do(Action::FactoryReset, &[]),
    ),
    HELP,
    PING,
    command("poweroff", "Switch the machine off", Next::Do(Action::Power(Power::Off), &[])),
    command("reboot", "Start the machine again", Next::Do(Action::Power(Power::Reboot), &[])),
    command("rescue", "A configuration to fall back on", Next::Words(RESCUE)),
    command("restart", "Start a part of the firmware again", Next::Words(RESTART)),
    command(
        "server",
        "Drain, disable, enable or weigh a server now",
        Next::Do(Action::Server, &[Arg::ServerAction]),
    ),
    command(
        "setup",
        "From an empty box to a working service in a dozen questions",
        Next::Do(Action::Setup, &[]),
    ),
    command("show", "Show how things are", Next::Words(SHOW)),
    command("terminal", "Size of this terminal, and when its session ends", Next::Words(TERMINAL)),
    command("upgrade", "Take another version of the firmware, and try it", Next::Words(UPGRADE)),
    command("why", "Why something is as it is", Next::Words(WHY)),
];

static CLUSTER: &[Command] = &[
    command(
        "announce",
        "Tell the neighbours again that the floating addresses are here",
        Next::Do(Action::Cluster(ClusterAction::Announce), &[]),
    ),
    command("configuration", "Make two different configurations one", Next::Words(CLUSTER_CONFIGURATION)),
    command("identity", "Which box of the pair this is: reboots", Next::Words(IDENTITY)),
    command(
        "standby",
        "Hand the floating addresses to the peer, until takeover",
        Next::Do(Action::Cluster(ClusterAction::Standby), &[]),
    ),
    command(
        "takeover",
        "Take the floating addresses from the peer",
        Next::Do(Action::Cluster(ClusterAction::Takeover), &[]),
    ),
];
static IDENTITY: &[Command] = &[
    command("backup", "The second box: node backup", Next::Do(Action::Identity(Role::Backup), &[])),
    command("primary", "The first box: node primary", Next::Do(Action::Identity(Role::Primary), &[])),
];
static CLUSTER_CONFIGURATION: &[Command] = &[
    command(
        "give",
        "The peer runs this box's configuration",
        Next::Do(Action::Cluster(ClusterAction::Give), &[]),
    ),
    command(
        "take",
        "This box runs the peer's configuration",
        Next::Do(Action::Cluster(ClusterAction::Take), &[]),
    ),
];
static WHY: &[Command] = &[command(
    "server",
    "State, changes, last answers and kernel entries of a server",
    Next::Do(Action::Why, &[Arg::OfService, Arg::ServerOf]),
)];

static SHOW: &[Command] = &[
    command("addresses", "Addresses of this box", Next::Do(Action::View(View::Addresses), &[])),
    command("alarms", "What is wrong now", Next::Do(Action::View(View::Alarms), &[])),
    command("checks", "Checks that run, and how they went", Next::Do(Action::Checks, &[])),
    command("cluster", "The pair: roles, why, paths", Next::Do(Action::View(View::Cluster), &[])),
    command("commits", "Commits in flash, with time and comment", Next::Do(Action::Commits, &[])),
    command(
        "configuration",
        "The running configuration",
        Next::DoOr(
            Action::Running,
            &[command(
                "commit",
                "The one of a number of commits ago",
                Next::Do(Action::ShowCommit, &[Arg::Back]),
            )],
        ),
    ),
    command(
        "connections",
        "Connections in the kernel, as ipvsadm -Lnc prints them",
        Next::Do(Action::Connections, &[Arg::Connections]),
    ),
    command("defaults", "Values that count when none is set", Next::Do(Action::Defaults, &[])),
    command("flash", "What lies in flash, and how often it was written", Next::Do(Action::Flash, &[])),
    command(
        "hardware",
        "What this box is made of, and what is wrong with it",
        Next::Do(Action::Hardware, &[]),
    ),
    command("interfaces", "Network devices and their roles", Next::Do(Action::View(View::Interfaces), &[])),
    command(
        "ipvs",
        "The kernel's table, as ipvsadm -Ln prints it",
        Next::DoOr(Action::View(View::Ipvs(Columns::Plain)), IPVS),
    ),
    command("log", "The newest log lines", Next::Do(Action::Log, &[Arg::Count])),
    command(
        "realserver-setup",
        "What to type on the real servers of a service",
        Next::Do(Action::RealServerSetup, &[Arg::ForService, Arg::System]),
    ),
    command("rescue", "The rescue configuration", Next::Do(Action::ShowRescue, &[])),
    command(
        "servers",
        "Real servers by pool",
        Next::Do(Action::View(View::Servers), &[Arg::Pool, Arg::Server]),
    ),
    command("services", "Virtual services", Next::Do(Action::View(View::Services), &[Arg::Service])),
    command("time", "The clock, and who sets it", Next::Do(Action::View(View::Time), &[])),
    command("upgrade", "Both systems, and how an upgrade goes", Next::Do(Action::ShowUpgrade, &[])),
    command("version", "Firmware, node and running generation", Next::Do(Action::View(View::Version), &[])),
];

const fn export(form: Form, sealed: bool) -> Action {
    Action::Export(ExportHow { form, sealed })
}

const EXPORT_COMMAND: Command = command(
    "export",
    "Print the configuration so that load can read it",
    Next::DoOr(export(Form::Set, false), EXPORT),
);

static EXPORT: &[Command] = &[
    command("braces", "The tree with braces", Next::DoOr(export(Form::Braces, false), EXPORT_BRACES)),
    command("passphrase", SEAL, Next::Do(export(Form::Set, true), &[])),
    ipvs::SAVE,
    command("set", "As set lines", Next::DoOr(export(Form::Set, false), EXPORT_SET)),
];
static EXPORT_BRACES: &[Command] = &[command("passphrase", SEAL, Next::Do(export(Form::Braces, true), &[]))];
static EXPORT_SET: &[Command] = &[command("passphrase", SEAL, Next::Do(export(Form::Set, true), &[]))];
const SEAL: &str = "With its secrets, sealed with a passphrase that is asked for";

static LOAD: &[Command] = &[
    command("braces", "Braces, added to the candidate", Next::Do(Action::Load(Load::Braces), &[])),
    command("merge", "Either form, added to the candidate", Next::Do(Action::Load(Load::Merge), &[])),
    command(
        "override",
        "Either form, in place of the candidate",
        Next::Do(Action::Load(Load::Override), &[]),
    ),
    command("set", "Lines of set and delete, added to the candidate", Next::Do(Action::Load(Load::Set), &[])),
];

/// What `run` takes: everything operational that does not change the mode.
pub(crate) static RUN: &[Command] = &[
    command("cluster", "Change who is active, and which box of the pair this is", Next::Words(CLUSTER)),
    DOCTOR,
    PING,
    command("poweroff", "Switch the machine off", Next::Do(Action::Power(Power::Off), &[])),
    command("reboot", "Start the machine again", Next::Do(Action::Power(Power::Reboot), &[])),
    command("rescue", "A configuration to fall back on", Next::Words(RESCUE)),
    command("restart", "Start a part of the firmware again", Next::Words(RESTART)),
    command(
        "server",
        "Drain, disable, enable or weigh a server now",
        Next::Do(Action::Server, &[Arg::ServerAction]),
    ),
    command("show", "Show how things are", Next::Words(SHOW)),
    command("terminal", "Size of this terminal, and when its session ends", Next::Words(TERMINAL)),
    command("upgrade", "Take another version of the firmware, and try it", Next::Words(UPGRADE)),
    command("why", "Why something is as it is", Next::Words(WHY)),
];

/// Configure mode.
pub(crate) static CONFIGURE: &[Command] = &[
    command(
        "commit",
        "Make the candidate the running configuration",
        Next::DoOr(
            Action::Commit,
            &[
                command("check", "Only say what it would do", Next::Do(Action::Check, &[])),
                command("comment", "Say what it is for", Next::Do(Action::CommitComment, &[Arg::Comment])),
                command(
                    "confirmed",
                    "Go back unless confirmed in time",
                    Next::Do(Action::CommitConfirmed, &[Arg::Window, Arg::Comment]),
                ),
                command(
                    "force",
                    "Do not ask, whatever it costs (check says what)",
                    Next::Do(Action::CommitForce, &[]),
                ),
                command(
                    "local",
                    "On this box alone, while the peer is not there",
                    Next::Do(Action::CommitLocal, &[]),
                ),
            ],
        ),
    ),
    command("compare", "What the candidate changes", Next::Do(Action::Compare, &[Arg::Back])),
    command("confirm", "Keep the commit that is on trial", Next::Do(Action::Confirm, &[])),
    command("delete", "Remove something from the candidate", Next::Path(Action::Delete, Mode::Delete)),
    command("discard", "Throw all changes away", Next::Do(Action::Discard, &[])),
    command("edit", "Go to a part of the configuration", Next::Path(Action::Edit, Mode::Edit)),
    EXPORT_COMMAND,
    command("exit", "Back to the top, or leave configure mode", Next::Do(Action::Exit, &[])),
    HELP,
    command("load", "Paste a configuration into the candidate", Next::Words(LOAD)),
    command(
        "rollback",
        "Make an earlier commit the candidate",
        Next::Do(Action::Rollback, &[Arg::BackOrRescue]),
    ),
    command("run", "Run an operational command", Next::Words(RUN)),
    command("set", "Set values in the candidate", Next::Path(Action::Set, Mode::Set)),
    command("show", "Show the candidate", Next::Path(Action::Candidate, Mode::Show)),
    command("top", "Back to the top of the configuration", Next::Do(Action::Top, &[])),
    command(
        "transfer",
        "Let director-provision on this line push or pull a configuration",
        Next::Do(Action::Transfer, &[]),
    ),
    command("up", "One level up", Next::Do(Action::Up, &[])),
];

/// Most filters of one line. Chosen: more than anybody chains.
const PIPES: usize = 8;

/// What may come next on a line.
#[derive(Debug)]
pub(crate) enum Expect {
    Commands(&'static [Command]),
    Args(&'static [Arg]),
    Path(Mode),
    /// The name of a filter.
    Filter(&'static [Filter]),
    /// The text of `match`.
    Text,
}

/// Where the words of a line led.
#[derive(Debug)]
pub(crate) struct Point {
    /// What would be done if the line ended here.
    pub(crate) action: Option<Action>,
    pub(crate) args: Vec<String>,
    pub(crate) walk: Option<Walk>,
    pub(crate) pipes: Vec<Pipe>,
    pub(crate) expect: Expect,
}

/// A whole line, understood.
#[derive(Debug)]
pub(crate) struct Parsed {
    pub(crate) action: Action,
    pub(crate) args: Vec<String>,
    pub(crate) walk: Option<Walk>,
    pub(crate) pipes: Vec<Pipe>,
}

/// Words of a line. In lines that set values, `|` is part of a word.
pub(crate) fn words<'a>(table: &'static [Command], line: &'a str) -> Vec<Token<'a>> {
    let plain = tokens(line, false);
    let sets = plain.first().is_some_and(|first| match find(table, first.text) {
        Found::One(_, c) => matches!(c.next, Next::Path(Action::Set | Action::Delete | Action::Edit, _)),
        Found::None | Found::Many(_) => false,
    });
    if sets { plain } else { tokens(line, true) }
}

/// Walks the words of a line that may be unfinished.
pub(crate) fn advance(table: &'static [Command], words: &[Token<'_>], edit: &[Step]) -> Result<Point, Fault> {
    let mut point = Point {
        action: None,
        args: Vec::new(),
        walk: None,
        pipes: Vec::new(),
        expect: Expect::Commands(table),
    };
    let mut rest = words;
    while let Some((token, after)) = rest.split_first() {
        rest = after;
        if token.text == "|" && !matches!(point.expect, Expect::Path(Mode::Set | Mode::Delete | Mode::Edit)) {
            start_filter(&mut point, *token)?;
            continue;
        }
        match point.expect {
            Expect::Commands(table) => {
                let (_, command) = pick(table, *token)?;
                point.action = None;
                match &command.next {
                    Next::Words(words) => point.expect = Expect::Commands(words),
                    Next::Whole(action) => {
                        point.action = Some(*action);
                        point.expect = Expect::Args(&[]);
                    }
                    Next::Do(action, args) => {
                        point.action = Some(*action);
                        point.expect = Expect::Args(args);
                    }
                    Next::DoOr(action, words) => {
                        point.action = Some(*action);
                        point.expect = Expect::Commands(words);
                    }
                    Next::Path(action, mode) => {
                        point.action = Some(*action);
                        point.expect = Expect::Path(*mode);
                        // The path takes all words up to a filter.
                        let bar =
                            if *mode == Mode::Show { rest.iter().position(|t| t.text == "|") } else { None };
                        let (path, after) =
                            rest.split_at_checked(bar.unwrap_or(rest.len())).unwrap_or((rest, &[]));
                        point.walk = Some(path::advance(edit, *mode, path)?);
                        rest = after;
                    }
                }
            }
            Expect::Args(args) => point.expect = Expect::Args(take_arg(&mut point.args, args, *token)?),
            Expect::Filter(filters) => take_filter(&mut point, filters, *token)?,
            Expect::Text => take_text(&mut point, *token),
            Expect::Path(_) => {
                return Err(Fault::bad(*token, "is too much here"));
            }
        }
    }
    Ok(point)
}

fn take_arg(
    args: &mut Vec<String>,
    expected: &'static [Arg],
    token: Token<'_>,
) -> Result<&'static [Arg], Fault> {
    let Some((arg, more)) = expected.split_first() else {
        let message = format!("{} is too much: the line is complete before it", quoted(token.text));
        return Err(Fault { kind: FaultKind::NoMatch, column: token.column, message });
    };
    if *arg == Arg::Count {
        let count = token.text.parse::<u32>().ok().filter(|n| (1..=LOG_LINES_MAX).contains(n));
        if count.is_none() {
            return Err(Fault::value("number of lines", token, &format!("must be 1 to {LOG_LINES_MAX}")));
        }
    }
    let rescue = *arg == Arg::BackOrRescue && token.text == "rescue";
    if matches!(arg, Arg::Back | Arg::BackOrRescue)
        && !rescue
        && !token.text.parse::<u8>().is_ok_and(|n| n <= BACK_MAX)
    {
        return Err(Fault::value("number of commits ago", token, &format!("must be 0 to {BACK_MAX}")));
    }
    if let Arg::Terminal(setting) = arg {
        let (min, max) = setting.range();
        if !token.text.parse::<u32>().is_ok_and(|n| (min..=max).contains(&n)) {
            return Err(Fault::value("number", token, &format!("must be {min} to {max}")));
        }
    }
    let word = if *arg == Arg::System { args::system(token)? } else { token.text };
    args.push(word.to_string());
    // These take all words that follow.
    Ok(if matches!(arg, Arg::Comment | Arg::ServerAction | Arg::Connections | Arg::Ping) {
        expected
    } else {
        more
    })
}

fn start_filter(point: &mut Point, token: Token<'_>) -> Result<(), Fault> {
    let allowed = point.action.map(filters).unwrap_or_default();
    if allowed.is_empty() {
        let message = String::from("\"|\" goes after a complete show command only");
        return Err(Fault { kind: FaultKind::NoMatch, column: token.column, message });
    }
    if matches!(point.expect, Expect::Filter(_))
        || matches!(point.pipes.last(), Some(Pipe::Match(text)) if text.is_empty())
    {
        let words: Vec<&str> = allowed.iter().map(Worded::word).collect();
        return Err(Fault::incomplete(token.column, format!("before this \"|\" comes {}", either(&words))));
    }
    if point.pipes.len() >= PIPES {
        return Err(Fault::bad(token, "too many filters"));
    }
    point.expect = Expect::Filter(allowed);
    Ok(())
}

fn take_filter(point: &mut Point, allowed: &'static [Filter], token: Token<'_>) -> Result<(), Fault> {
    let (_, filter) = pick(allowed, token)?;
    if matches!(point.pipes.last(), Some(Pipe::More | Pipe::NoMore)) {
        return Err(Fault::bad(token, "comes too late: more and no-more are the last filter"));
    }
    let first = point.pipes.is_empty();
    point.expect = Expect::Args(&[]);
    point.pipes.push(match filter.kind {
        FilterKind::Count => Pipe::Count,
        FilterKind::Match => {
            point.expect = Expect::Text;
            Pipe::Match(String::new())
        }
        FilterKind::More => Pipe::More,
        FilterKind::NoMore => Pipe::NoMore,
        FilterKind::Json if first => Pipe::Json,
        FilterKind::Set if first => Pipe::Set,
        FilterKind::Json | FilterKind::Set => {
            return Err(Fault::bad(token, "must be the first filter"));
        }
    });
    Ok(())
}

fn take_text(point: &mut Point, token: Token<'_>) {
    if let Some(Pipe::Match(text)) = point.pipes.last_mut() {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(token.text);
    }
}

/// Understands a whole line; `None` for a blank line or a comment.
pub(crate) fn parse(table: &'static [Command], line: &str, edit: &[Step]) -> Result<Option<Parsed>, Fault> {
    let words = words(table, line);
    if words.first().is_none_or(|first| first.text.starts_with('#')) {
        return Ok(None);
    }
    let point = advance(table, &words, edit)?;
    let end = line.trim_end().len().saturating_add(1);
    if let Some(walk) = &point.walk
        && point.pipes.is_empty()
        && let Expect::Path(mode) = point.expect
    {
        path::finish(walk, mode, end)?;
    }
    let missing = match &point.expect {
        Expect::Args([arg @ Arg::Terminal(_), ..]) => arg.placeholder().to_string(),
        Expect::Commands(words) if point.action.is_none() => {
            either(&words.iter().map(Worded::word).collect::<Vec<_>>())
        }
        Expect::Filter(filters) => either(&filters.iter().map(Worded::word).collect::<Vec<_>>()),
        Expect::Text if matches!(point.pipes.last(), Some(Pipe::Match(text)) if text.is_empty()) => {
            String::from("the text to look for")
        }
        Expect::Args([arg, ..])
            if arg.required() && point.args.is_empty() && point.action != Some(Action::Compare) =>
        {
            arg.help().to_string()
        }
        Expect::Commands(_) | Expect::Args(_) | Expect::Path(_) | Expect::Text => String::new(),
    };
    match point.action {
        Some(action) if missing.is_empty() => {
            Ok(Some(Parsed { action, args: point.args, walk: point.walk, pipes: point.pipes }))
        }
        Some(_) | None => Err(Fault::incomplete(end, format!("more must follow: {missing}"))),
    }
}

#[cfg(test)]
mod tests;

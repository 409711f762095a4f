//! Arguments of operational commands: what they name, and their bounds.

use super::super::words::{Fault, FaultKind, Token, quoted};
use super::Terminal;
use crate::cli::show::realserver::System;
use alloc::format;

impl Terminal {
    /// Least and most.
    pub(crate) fn range(self) -> (u32, u32) {
        match self {
            Self::Length => (0, 512),
            Self::Width => (40, 512),
            Self::Idle => (0, 1440),
        }
    }
}

/// What an argument of an operational command names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Arg {
    Service,
    Pool,
    /// Of the pool before it.
    Server,
    /// Whose server is meant, or a server that has one service only.
    OfService,
    /// Of the service before it.
    ServerOf,
    /// Whose servers are to be set up.
    ForService,
    /// What runs on them.
    System,
    /// Which connections.
    Connections,
    /// Lines of the log.
    Count,
    /// A number of commits ago.
    Back,
    /// The same, or `rescue`.
    BackOrRescue,
    /// Time to confirm.
    Window,
    /// A server and what to do to it.
    ServerAction,
    /// An address and how often.
    Ping,
    /// Everything up to the end of the line.
    Comment,
    /// Where a file lies.
    Url,
    Terminal(Terminal),
}

/// Most lines that `show log` prints at once. Chosen: a minute at 115200 baud.
pub(crate) const LOG_LINES_MAX: u32 = 5000;

/// Furthest commit that can be asked for. There are as many slots, less the running one.
pub(super) const BACK_MAX: u8 = crate::store::layout::SLOTS - 1;

impl Arg {
    /// Whether the line is not complete without it.
    pub(super) fn required(self) -> bool {
        matches!(
            self,
            Self::Back
                | Self::BackOrRescue
                | Self::Comment
                | Self::ServerAction
                | Self::Ping
                | Self::OfService
                | Self::Url
                | Self::ForService
        )
    }

    pub(crate) fn placeholder(self) -> &'static str {
        match self {
            Self::Service | Self::ForService => "<service>",
            Self::System => "linux|windows|freebsd",
            Self::Connections => "[service|server|client|state|limit <value>]",
            Self::OfService => "[<service>] <server>",
            Self::Pool => "<pool>",
            Self::Server | Self::ServerOf => "<server>",
            Self::Count => "<lines>",
            Self::Back => "<commits ago>",
            Self::BackOrRescue => "<commits ago>|rescue",
            Self::Window => "<minutes>",
            Self::ServerAction => {
                "<server> [in <pool>] drain|disable|enable|weight <n> [for <time>] [persistent]"
            }
            Self::Ping => "<address> [count <n>]",
            Self::Comment => "<comment>",
            Self::Url => "http://<address>[:<port>]/<path>",
            Self::Terminal(Terminal::Length) => "<rows>",
            Self::Terminal(Terminal::Width) => "<columns>",
            Self::Terminal(Terminal::Idle) => "<minutes>",
        }
    }

    pub(crate) fn help(self) -> &'static str {
        match self {
            Self::Service => "Only this service, with its counters",
            Self::Pool => "Only the servers of this pool",
            Self::Server => "Only this server, with its counters",
            Self::ForService => "The service that they serve",
            Self::System => "What runs on the servers; default linux",
            Self::Connections => "Only some connections",
            Self::OfService => "A server, after its service if it has several",
            Self::ServerOf => "The server",
            Self::Back => "A number of commits ago, 0 to 15: see show commits",
            Self::BackOrRescue => "A number of commits ago, 0 to 15, or the rescue configuration",
            Self::ServerAction => "a server and what to do with it, as in server rs1 drain",
            Self::Ping => "an IP address, as in ping 192.0.2.254",
            Self::Window => "Minutes to confirm, or a time such as 30s; default 10",
            Self::Comment => "A comment, up to the end of the line",
            Self::Url => "Where the .upgrade file lies, the server by its IP address",
            Self::Count => "How many lines, 1 to 5000; default 40",
            Self::Terminal(Terminal::Length) => "0 to 512; 0 never stops",
            Self::Terminal(Terminal::Width) => "40 to 512",
            Self::Terminal(Terminal::Idle) => "0 to 1440; 0 never ends the session",
        }
    }
}

/// The whole word for a system that was begun.
pub(super) fn system(token: Token<'_>) -> Result<&'static str, Fault> {
    let begun = token.text.to_ascii_lowercase();
    let found = System::ALL.iter().find(|(_, word, _)| word.starts_with(&begun));
    let unknown = || Fault {
        kind: FaultKind::NoMatch,
        column: token.column,
        message: format!("{} is not known here: use linux, windows or freebsd", quoted(token.text)),
    };
    found.map(|(_, word, _)| *word).ok_or_else(unknown)
}

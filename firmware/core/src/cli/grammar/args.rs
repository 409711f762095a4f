//! Arguments of operational commands: what they name, and their bounds.

use super::Terminal;

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
    /// Whose server is meant.
    OfService,
    /// Of the service before it.
    ServerOf,
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
                | Self::OfService
                | Self::ServerOf
                | Self::Url
        )
    }

    pub(crate) fn placeholder(self) -> &'static str {
        match self {
            Self::Service | Self::OfService => "<service>",
            Self::Pool => "<pool>",
            Self::Server | Self::ServerOf => "<server>",
            Self::Count => "<lines>",
            Self::Back => "<number>",
            Self::BackOrRescue => "<number>|rescue",
            Self::Window => "<minutes>",
            Self::ServerAction => "<server> [in <pool>] drain|disable|enable|weight <n> [for <time>]",
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
            Self::OfService => "The service that it serves",
            Self::ServerOf => "The server",
            Self::Back => "A number of commits ago, 0 to 15: see show commits",
            Self::BackOrRescue => "A number of commits ago, 0 to 15, or the rescue configuration",
            Self::ServerAction => "What to do, without editing the configuration",
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

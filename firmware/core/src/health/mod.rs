//! Which real servers are usable: the verdict machine, the schedule of probes, and the probe dialogues.
//!
//! Two levels. A *probe* is one question to one address and port at one interval; it runs once, however many
//! pools use the answer ([`schedule`]). A *verdict* belongs to one real server in one pool and is fed by its
//! probe under the pool's rise, fall, dead time and reentry ([`verdict`]). [`Health`] joins them:
//!
//! ```text
//! Config --configure--> targets --> probes --Output::Probe--> shell
//!                          |           ^                        |
//!                          v           +---------probed---------+
//!                       verdicts <-----+
//!                          |
//!                          +--> Output::Changed, usable()
//! ```
//!
//! Nothing here trusts the shell: a run that nobody answered ends by itself, and an answer that comes late or
//! twice changes nothing.

mod checkpoint;
pub mod client;
pub mod dialogue;
mod engine;
pub mod handshake;
pub mod http;
pub mod load;
pub mod schedule;
mod seat;
mod shared;
pub mod standing;
mod targets;
pub mod verdict;
mod words;

pub use checkpoint::Checkpoint;
pub(crate) use dialogue::mix;
pub use engine::{ALARMS_MAX, Health, STALL_US, STEPS_PER_CALL};
pub use seat::{RAMP_STEPS, TRANSITIONS_KEPT};
pub use shared::Shared;
pub use standing::Standing;
pub(crate) use targets::{asked_by_stream, beside};

use crate::model::check::{Check, LoadMonitor};
use crate::model::config::HttpCheck;
use crate::model::{Millis, Mono, Name};
use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;
use core::net::{IpAddr, SocketAddr};
use serde::{Deserialize, Serialize};

/// One run of one probe, rising; never reused, so that a late answer cannot be taken for another's.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
pub struct ProbeId(pub u64);

/// What to ask whom.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct ProbeSpec {
    /// Address and port.
    pub target: SocketAddr,
    /// The server whose hardware address the packets go to, when the target is a virtual address that this box may hold
    /// itself.
    pub at: Option<IpAddr>,
    /// Address it is asked from. Absent: what the route says.
    pub source: Option<IpAddr>,
    /// The question.
    pub kind: ProbeKind,
}

/// The question.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum ProbeKind {
    /// Complete a TCP handshake.
    Tcp,
    /// HTTP GET. Boxed: its texts are half a kilobyte, and most probes of a large site are TCP.
    Http(Box<HttpCheck>),
    /// A named check, one copy for all servers that are asked it. Its address and port are those of the target.
    Named(Shared<Check>),
    /// A source of load.
    Load(Shared<LoadMonitor>),
}

/// Why a run of a probe was not good, in words an operator understands.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Failure {
    /// The server was asked and did not give a good answer: `connection refused`, `status 500, wanted 200-299`.
    Server(String),
    /// The server could not be asked, for a reason of our own: `out of file descriptors`. Says nothing about the
    /// server, so no verdict moves; it is an alarm instead.
    NotAsked(String),
}

impl From<&str> for Failure {
    fn from(words: &str) -> Self {
        Self::Server(words.into())
    }
}

impl From<String> for Failure {
    fn from(words: String) -> Self {
        Self::Server(words)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(words) => f.write_str(words),
            Self::NotAsked(words) => write!(f, "not asked: {words}"),
        }
    }
}

/// How a run of a probe ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ProbeOutcome {
    /// Good, or why not.
    pub result: Result<(), Failure>,
    /// Microseconds from start to end.
    pub took_us: u32,
    /// What was said, where something was: see [`dialogue::Dialogue::transcript`].
    pub transcript: Option<Box<str>>,
    /// What was learned beside the verdict.
    pub learned: Learned,
}

/// What a run learned beside its verdict.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Learned {
    /// Seconds from the end of the run until the server's certificate ends; negative when that is past. Absent without a
    /// certificate, and when nobody knows the time.
    pub certificate_left_s: Option<i64>,
    /// What a source of load said.
    pub load: Option<load::Said>,
}

/// The verdict on a server in one pool.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum State {
    /// Not known yet: takes no connections.
    Unknown,
    /// Usable.
    Up,
    /// Not usable.
    Down,
    /// Answers again; used when it has stayed good until the given time.
    Reentering {
        /// When it may be used.
        until: Mono,
    },
}

/// A verdict with its grounds, as `show servers` prints it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Verdict {
    /// The state; with several checked ports the worst of them.
    pub state: State,
    /// When it was entered.
    pub since: Mono,
    /// The rule that decided and the last answer, in words: `connection refused (3 of 3 failures)`.
    pub reason: String,
    /// When the check last ended; `None` while it never did, and without a check.
    pub checked: Option<Mono>,
    /// Microseconds the last good check took.
    pub took_us: Option<u32>,
}

/// A change of a verdict that is past.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Transition {
    /// When.
    pub at: Mono,
    /// State before.
    pub from: State,
    /// State then.
    pub to: State,
    /// Why, in words.
    pub reason: String,
}

/// A check that runs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CheckStatus {
    /// Whom it asks.
    pub target: SocketAddr,
    /// What, in a word.
    pub question: String,
    /// Time between two starts.
    pub interval: Millis,
    /// Hard end of a run.
    pub timeout: Millis,
    /// Servers in pools that its answers count for.
    pub users: u32,
    /// When it last ended.
    pub finished: Option<Mono>,
    /// Microseconds of the last good run.
    pub took_us: Option<u32>,
    /// Failures in a row.
    pub failures: u32,
    /// What is wrong with the checking itself, in words.
    pub trouble: Option<String>,
    /// Seconds until the server's certificate ends.
    pub certificate_left_s: Option<i64>,
    /// What was said in the last failed run, or in the last one: lines that begin with `>` or `<`. Absent where there is
    /// nothing to say, and in the list of all.
    pub transcript: Option<String>,
}

/// What [`Health`] wants done or known.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Output {
    /// Run one probe and report its end through [`Health::probed`], once, at the deadline at the latest.
    Probe {
        /// Which run.
        id: ProbeId,
        /// What to ask whom.
        spec: ProbeSpec,
        /// Hard end.
        deadline: Mono,
    },
    /// A verdict changed.
    Changed {
        /// Pool.
        pool: Name,
        /// Real server.
        server: Name,
        /// The port that was checked.
        port: u16,
        /// State before.
        from: State,
        /// State now.
        to: State,
        /// Why, in words.
        reason: String,
    },
    /// Something beside a verdict changed that moves weights or servers.
    Noted {
        /// For the log; empty: not worth a line.
        text: String,
        /// Whether it is for the worse.
        bad: bool,
    },
}

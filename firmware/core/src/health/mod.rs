//! Which real servers are usable: the verdict machine, the schedule of probes, and the probe dialogues.
//!
//! Identical probes of one address run once, whatever the number of pools that use the answer.

use crate::model::Mono;
use crate::model::config::HttpCheck;
use alloc::string::String;
use core::net::SocketAddr;
use serde::{Deserialize, Serialize};

/// One run of one probe, rising; never reused, so that a late answer cannot be taken for another's.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
pub struct ProbeId(pub u64);

/// What to ask whom.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct ProbeSpec {
    /// Address and port.
    pub target: SocketAddr,
    /// The question.
    pub kind: ProbeKind,
}

/// The question.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum ProbeKind {
    /// Complete a TCP handshake.
    Tcp,
    /// HTTP GET.
    Http(HttpCheck),
}

/// How a probe ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ProbeOutcome {
    /// Good, or why not, in words an operator understands: `connection refused`, `status 500`.
    pub result: Result<(), String>,
    /// Microseconds from start to end.
    pub took_us: u32,
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

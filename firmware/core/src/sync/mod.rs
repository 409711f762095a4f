//! What the two directors of a pair say to each other beside heartbeats: configurations, what operators did to servers,
//! and when a connection table was sent. One TCP connection carries it; [`session`] seals every frame.
//!
//! ```text
//!  coordinator                                   participant
//!      │ Propose (number, what it is based on) ─────> │ checks it, stores it as tentative, applies it: on trial
//!      │ <───────────────────────────────────── Ready │
//!      │ stores, applies, marks its record good: decided
//!      │ Keep ──────────────────────────────────────> │ marks its record good
//!      │ <────────────────────────────────────── Kept │
//!      │ answers its console
//! ```
//!
//! Until the coordinator's record is good, a lost connection, a refusal or a failure makes both run what they ran
//! before. From then on the configuration holds, and a participant that was lost gets it when it is back.
//!
//! Messages are postcard. A newer firmware adds variants at the end; what cannot be read is skipped.

pub mod session;

use crate::model::{Millis, Name};
use crate::overrides::Forced;
use crate::store::Generation;
use crate::upgrade::rollout::Rollout;
use crate::wire::heartbeat::Running;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Most bytes of a message: a configuration that fills a flash slot, and what goes with it.
pub const MESSAGE_MAX: usize = 1024 * 1024 + 64 * 1024;
/// Longest reason that is taken from a peer and shown. Chosen: some lines of a terminal.
const REASON_MAX: usize = 480;

/// How things stand on one box.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct State {
    /// Newest configuration schema that it reads and writes.
    pub schema: u16,
    /// Highest generation that it has seen.
    pub newest: Generation,
    /// What it runs.
    pub running: Running,
    /// Nothing is under way or on trial there.
    pub settled: bool,
}

/// A configuration for the other box.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Proposal {
    /// Its number on both.
    pub generation: Generation,
    /// What the receiver must be running.
    pub base: Running,
    /// Schema of `commit`.
    pub schema: u16,
    /// A [`crate::store::Commit`], encoded.
    pub commit: Vec<u8>,
    /// How long it stays on trial without a [`Message::Keep`].
    pub window: Millis,
}

/// An override on its way: time is what is left of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Override {
    /// Which server.
    pub server: Name,
    /// In one pool; in all of them without.
    pub pool: Option<Name>,
    /// What.
    pub forced: Forced,
    /// Time left; for ever without.
    pub left: Option<Millis>,
    /// Kept over a reboot.
    pub persistent: bool,
}

/// One message. Appended to, never reordered.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Message {
    /// First, and whenever it changes.
    State(State),
    /// Run this, on trial.
    Propose(Proposal),
    /// It runs here, on trial.
    Ready(Generation),
    /// Not done, or taken back.
    Refused {
        /// Which.
        generation: Generation,
        /// Why, one sentence.
        reason: String,
    },
    /// Keep what is on trial: it is decided.
    Keep(Generation),
    /// It is good in flash.
    Kept(Generation),
    /// Go back to what ran before.
    Drop(Generation),
    /// Propose what you run.
    Give,
    /// What operators did to servers.
    Overrides {
        /// Rises with every change.
        version: u64,
        /// All of it.
        list: Vec<Override>,
    },
    /// Send your connection table; the receiving daemon runs.
    WantTable,
    /// It was sent: so many connections.
    TableSent(u32),
    /// How the upgrade of both boxes stands: whenever that changes, and first.
    Rollout(Rollout),
    /// A bundle goes from one box to the other.
    Bundle(Bundle),
}

/// A bundle on its way. Appended to, never reordered.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Bundle {
    /// The sender has one of so many bytes; the digest tells it from others.
    Offer {
        /// Bytes.
        length: u64,
        /// Of its front.
        sha256: [u8; 32],
    },
    /// The receiver has so many bytes of it.
    Have(u64),
    /// The next ones.
    Block {
        /// Where they belong.
        offset: u64,
        /// At most [`crate::director::upgrading::BLOCK_MAX`].
        bytes: Vec<u8>,
    },
    /// That was all.
    End {
        /// As offered.
        sha256: [u8; 32],
    },
    /// It is in the receiver's other slot, whole.
    Taken,
    /// The receiver does not take it, and why.
    Refused(String),
}

impl Message {
    /// As it travels.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        // Serialising to memory has no way to fail for this type.
        postcard::to_allocvec(self).unwrap_or_default()
    }

    /// What some authentic bytes say; `None`: nothing that this firmware knows.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        match postcard::take_from_bytes(bytes) {
            Ok((Self::Refused { generation, reason }, [])) => {
                Some(Self::Refused { generation, reason: shown(&reason) })
            }
            Ok((Self::Bundle(Bundle::Refused(reason)), [])) => {
                Some(Self::Bundle(Bundle::Refused(shown(&reason))))
            }
            Ok((Self::Rollout(rollout), [])) => Some(Self::Rollout(Rollout {
                version: shown(&rollout.version),
                failed: rollout.failed.as_deref().map(shown),
                ..rollout
            })),
            Ok((message, [])) => Some(message),
            Ok(_) | Err(_) => None,
        }
    }
}

/// What a peer says, fit for a terminal.
fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(REASON_MAX).collect()
}

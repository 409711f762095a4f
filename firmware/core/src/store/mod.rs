//! Which bytes of the flash count.

pub mod identity;
pub mod record;

use crate::model::Config;
use core::fmt;
use serde::{Deserialize, Serialize};

/// Number of a committed configuration, rising by one; 0 is the factory configuration, which is never stored.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
pub struct Generation(pub u64);

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// What one slot holds: a configuration and where it came from. Schema version 1.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Commit {
    /// The configuration.
    pub config: Config,
    /// Wall-clock seconds since 1970 when it was committed; 0 when the clock was not set.
    pub at_unix_s: u64,
}

/// Why the flash did not take or give a record.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum StoreError {
    /// There is no flash partition.
    NoDevice,
    /// The device refused: what was tried, and errno's text.
    Device {
        /// `read`, `write` or `sync`.
        action: heapless::String<16>,
        /// The device's words.
        message: heapless::String<96>,
    },
    /// What was read back is not what was written.
    ReadBack,
    /// The payload does not fit a slot.
    TooLarge {
        /// Bytes to store.
        bytes: u32,
        /// Bytes that fit.
        max: u32,
    },
    /// No slot holds this generation.
    NoSuchGeneration(Generation),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoDevice => f.write_str("no flash partition was found"),
            Self::Device { action, message } => write!(f, "the flash refused to {action}: {message}"),
            Self::ReadBack => f.write_str("the flash gave back other bytes than were written"),
            Self::TooLarge { bytes, max } => {
                write!(f, "the configuration needs {bytes} bytes, a flash slot holds {max}")
            }
            Self::NoSuchGeneration(g) => write!(f, "no flash slot holds generation {g}"),
        }
    }
}

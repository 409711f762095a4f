//! Which bytes of the flash count.
//!
//! [`layout`] says where things lie, [`record`] what a slot's header looks like, [`blob`] how a configuration
//! becomes bytes. [`slots`] writes and chooses configurations, [`identity`] keeps what differs between the two
//! boxes of a pair, [`superblock`] marks the partition as ours. All of it works on a [`device::Device`], which
//! may lose power after any byte: whatever happens, what is found afterwards is the old or the new committed
//! configuration. Everything here blocks for as long as the device does, so it runs off the main loop.

pub mod blob;
pub mod comment;
pub mod device;
mod fixed;
pub mod identity;
pub mod kept;
pub mod layout;
pub mod record;
pub mod rescue;
pub mod reset;
pub mod slots;
pub mod superblock;
pub mod usage;
mod v1;

pub use comment::Comment;

#[cfg(test)]
#[expect(clippy::as_conversions, reason = "test data; the numbers are small")]
pub(crate) mod tests;

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

/// What one slot holds: a configuration and where it came from. Schema version 2.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Commit {
    /// Wall-clock seconds since 1970 when it was committed; 0 when the clock was not set.
    pub at_unix_s: u64,
    /// What the operator said about it.
    pub comment: Comment,
    /// The configuration.
    pub config: Config,
}

/// Why the flash did not take or give a record.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum StoreError {
    /// There is no flash partition.
    NoDevice,
    /// The device refused: what was tried, and errno's text.
    Device {
        /// `read`, `write`, `seek` or `sync`.
        action: heapless::String<16>,
        /// The device's words.
        message: heapless::String<72>,
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
    /// There is nothing to store: the configuration could not be encoded.
    Empty,
    /// The device is smaller than the layout.
    TooSmall {
        /// Bytes of the device.
        bytes: u64,
        /// Bytes needed.
        min: u64,
    },
    /// No slot holds this generation.
    NoSuchGeneration(Generation),
    /// Not that many commits are stored before the running one.
    NoSuchRollback {
        /// How many back were asked for.
        back: u8,
        /// How many there are.
        stored: u8,
    },
    /// A committed record of this or a higher generation exists, so that the new one would not count.
    OldGeneration {
        /// The number asked for.
        wanted: Generation,
        /// The highest committed one.
        newest: Generation,
    },
    /// No rescue configuration is stored.
    NoRescue,
    /// The record is there, but its bytes are not what was written.
    Damaged(Generation),
    /// The record is intact, but this firmware cannot read its schema or contents.
    Undecodable {
        /// Its generation.
        generation: Generation,
        /// Its schema version.
        schema: u16,
    },
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
            Self::Empty => f.write_str("the configuration could not be encoded for the flash"),
            Self::TooSmall { bytes, min } => {
                write!(f, "the flash partition has {bytes} bytes, at least {min} are needed")
            }
            Self::NoSuchGeneration(g) => write!(f, "no flash slot holds generation {g}"),
            Self::NoRescue => {
                f.write_str("no rescue configuration is stored: \"rescue save\" keeps the running one")
            }
            Self::NoSuchRollback { stored: 0, .. } => {
                f.write_str("no commit older than the running one is stored")
            }
            Self::NoSuchRollback { back, stored } => {
                write!(f, "there is no commit {back} back: 1 to {stored} are stored (show commits)")
            }
            Self::OldGeneration { wanted, newest } => {
                write!(f, "generation {wanted} is not newer than generation {newest} in flash")
            }
            Self::Damaged(g) => write!(f, "generation {g} is damaged in flash"),
            Self::Undecodable { generation, schema } => {
                write!(f, "generation {generation} is in schema {schema}, which this firmware cannot read")
            }
        }
    }
}

impl core::error::Error for StoreError {}

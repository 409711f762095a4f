//! How a commit becomes bytes: postcard, with the schema version in the record's header.
//!
//! Postcard stores no names and no types, so any change to [`Commit`] or to what it contains (a field added,
//! removed or moved, a variant anywhere but at the end) is a new schema version: freeze the present types in a
//! module of their own, keep decoding them here for ever, and convert. The golden files in `tests/golden/flash`
//! fail when the encoding changes without one.

use super::{Commit, layout::PAYLOAD_MAX, v1};
use crate::model::Config;
use alloc::vec::Vec;
use core::fmt;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

/// Schema version that [`encode`] writes.
pub const SCHEMA: u16 = 2;

/// Why bytes are not a commit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DecodeError {
    /// Written by a firmware with a newer schema.
    Schema(u16),
    /// More bytes than a slot holds.
    TooLarge,
    /// Not an encoding of this schema, or a value in it is out of range.
    Malformed,
    /// Bytes are left over.
    Remainder(usize),
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Schema(found) => {
                write!(f, "it is in schema {found}, this firmware reads up to schema {SCHEMA}")
            }
            Self::TooLarge => f.write_str("it is larger than a flash slot"),
            Self::Malformed => f.write_str("its contents do not follow its schema"),
            Self::Remainder(bytes) => write!(f, "{bytes} bytes follow its end"),
        }
    }
}

impl core::error::Error for DecodeError {}

/// The payload of a slot. It may be larger than a slot: saving it says so.
///
/// Postcard refuses only sequences of unknown length and full buffers, and there are neither; should it refuse
/// all the same, the result is empty, which [`super::slots::save`] does not take.
#[must_use]
pub fn encode(commit: &Commit) -> Vec<u8> {
    postcard::to_allocvec(commit).unwrap_or_default()
}

/// Identifies a configuration: first bytes of the SHA-256 of its encoding.
#[must_use]
pub fn hash(config: &Config) -> u64 {
    // Serialising to memory has no way to fail for this type.
    let encoded = postcard::to_allocvec(config).unwrap_or_default();
    let digest: [u8; 32] = Sha256::digest(encoded).into();
    digest.first_chunk::<8>().map_or(0, |first| u64::from_be_bytes(*first))
}

/// Reads a payload of the given schema. Allocates no more than what the bytes really contain.
pub fn decode(schema: u16, payload: &[u8]) -> Result<Commit, DecodeError> {
    if u32::try_from(payload.len()).map_or(true, |n| n > PAYLOAD_MAX) {
        return Err(DecodeError::TooLarge);
    }
    match schema {
        1 => whole::<v1::Commit>(payload).map(Commit::from),
        2 => whole(payload),
        found => Err(DecodeError::Schema(found)),
    }
}

/// A value that is encoded by all of the bytes.
fn whole<T: DeserializeOwned>(payload: &[u8]) -> Result<T, DecodeError> {
    match postcard::take_from_bytes(payload) {
        Ok((value, [])) => Ok(value),
        Ok((_, rest)) => Err(DecodeError::Remainder(rest.len())),
        Err(_) => Err(DecodeError::Malformed),
    }
}

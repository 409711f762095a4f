//! What operators did to servers and marked persistent. Two copies, written in turn and far apart, so that a power cut
//! leaves the old or the new list. Record version 1: a header sector, then the payload from the next 4 KiB on; integers
//! little-endian:
//!
//! ```text
//!    0  magic "DIRKEPT\0"
//!    8  u16 record version
//!   12  u32 payload bytes
//!   16  u64 sequence: rises with each write, the higher valid copy counts
//!   24  SHA-256 of the payload
//!   56  zero
//!  480  SHA-256 of bytes 0..480
//! ```
//!
//! The payload is the list in postcard.

use super::StoreError;
use super::device::{Device, read_at, sync, write_at};
use super::fixed::{bytes, put};
use super::layout::{self, SECTOR};
use crate::overrides::{Kept, OVERRIDES_MAX};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use sha2::{Digest, Sha256};

const MAGIC: [u8; 8] = *b"DIRKEPT\0";
const VERSION: u16 = 1;
/// Bytes of the longest list. Chosen: [`OVERRIDES_MAX`] entries of two longest names each.
pub const PAYLOAD_MAX: usize = 160 * 1024;

mod field {
    use core::ops::Range;
    pub(super) const MAGIC: Range<usize> = 0..8;
    pub(super) const VERSION: Range<usize> = 8..10;
    pub(super) const LENGTH: Range<usize> = 12..16;
    pub(super) const SEQUENCE: Range<usize> = 16..24;
    pub(super) const PAYLOAD: Range<usize> = 24..56;
    pub(super) const SHA256: Range<usize> = 480..512;
}

enum Copy {
    Blank,
    Damaged,
    Intact { sequence: u64, kept: Vec<Kept> },
}

/// Reads the list. Never fails: without an intact copy it is empty, and the sentences say what is damaged.
pub fn load<D: Device>(dev: &mut D) -> (Vec<Kept>, Vec<String>) {
    let mut warnings = Vec::new();
    let mut newest: Option<(u64, Vec<Kept>)> = None;
    for (name, at) in ["A", "B"].into_iter().zip(layout::KEPT_AT) {
        match look(dev, at) {
            Ok(Copy::Blank) => {}
            Ok(Copy::Damaged) => {
                warnings.push(format!("copy {name} of the list of persistent server actions is damaged"));
            }
            Err(e) => warnings.push(format!("copy {name} of the list of persistent server actions: {e}")),
            Ok(Copy::Intact { sequence, kept }) => {
                if newest.as_ref().is_none_or(|(s, _)| sequence > *s) {
                    newest = Some((sequence, kept));
                }
            }
        }
    }
    (newest.map(|(_, kept)| kept).unwrap_or_default(), warnings)
}

/// Writes the list over the older or damaged copy and reads it back. After an error or a power cut the newer copy is as
/// it was.
pub fn save<D: Device>(dev: &mut D, kept: &[Kept]) -> Result<(), StoreError> {
    let payload = postcard::to_allocvec(kept).map_err(|_| StoreError::Empty)?;
    let size = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
    if payload.len() > PAYLOAD_MAX {
        return Err(StoreError::TooLarge { bytes: size(payload.len()), max: size(PAYLOAD_MAX) });
    }
    let [a, b] = layout::KEPT_AT;
    let sequence = |copy| match copy {
        Ok(Copy::Intact { sequence, .. }) => sequence,
        Ok(Copy::Blank | Copy::Damaged) | Err(_) => 0,
    };
    let (in_a, in_b) = (sequence(look(dev, a)), sequence(look(dev, b)));
    let at = if in_a <= in_b { a } else { b };
    // The old header goes first: it must not count with a part of the new payload, whatever its digest.
    write_at(dev, at, &[0; SECTOR])?;
    sync(dev)?;
    let mut padded = payload.clone();
    padded.resize(payload.len().next_multiple_of(SECTOR), 0);
    write_at(dev, at + layout::BLOCK_BYTES, &padded)?;
    sync(dev)?;
    let mut header = [0; SECTOR];
    put(&mut header, field::MAGIC, &MAGIC);
    put(&mut header, field::VERSION, &VERSION.to_le_bytes());
    put(&mut header, field::LENGTH, &size(payload.len()).to_le_bytes());
    put(&mut header, field::SEQUENCE, &in_a.max(in_b).saturating_add(1).to_le_bytes());
    put(&mut header, field::PAYLOAD, &Sha256::digest(&payload));
    let sum = digest(&header);
    put(&mut header, field::SHA256, &sum);
    write_at(dev, at, &header)?;
    sync(dev)?;
    match look(dev, at)? {
        Copy::Intact { kept: back, .. } if back == kept => Ok(()),
        Copy::Blank | Copy::Damaged | Copy::Intact { .. } => Err(StoreError::ReadBack),
    }
}

/// A copy, for [`super::usage`].
pub(super) fn found<D: Device>(dev: &mut D, at: u64) -> Result<Option<super::usage::Found>, String> {
    match look(dev, at) {
        Ok(Copy::Blank) => Ok(None),
        Ok(Copy::Damaged) => Err("header and payload do not fit together".to_string()),
        Ok(Copy::Intact { sequence, kept }) => {
            let used = postcard::to_allocvec(&kept).map_or(0, |payload| payload.len());
            Ok(Some(super::usage::Found { used: u64::try_from(used).unwrap_or(0), number: sequence }))
        }
        Err(error) => Err(error.to_string()),
    }
}

fn look<D: Device>(dev: &mut D, at: u64) -> Result<Copy, StoreError> {
    let mut header = [0; SECTOR];
    read_at(dev, at, &mut header)?;
    if header.iter().all(|b| *b == 0) || header.iter().all(|b| *b == 0xFF) {
        return Ok(Copy::Blank);
    }
    let whole = bytes(&header, field::MAGIC) == MAGIC && bytes(&header, field::SHA256) == digest(&header);
    let length = usize::try_from(u32::from_le_bytes(bytes(&header, field::LENGTH))).unwrap_or(usize::MAX);
    if !whole || u16::from_le_bytes(bytes(&header, field::VERSION)) != VERSION || length > PAYLOAD_MAX {
        return Ok(Copy::Damaged);
    }
    let mut payload = alloc::vec![0; length];
    read_at(dev, at + layout::BLOCK_BYTES, &mut payload)?;
    let sum: [u8; 32] = Sha256::digest(&payload).into();
    if sum != bytes(&header, field::PAYLOAD) {
        return Ok(Copy::Damaged);
    }
    let sequence = u64::from_le_bytes(bytes(&header, field::SEQUENCE));
    Ok(match postcard::from_bytes::<Vec<Kept>>(&payload) {
        Ok(kept) if kept.len() <= OVERRIDES_MAX => Copy::Intact { sequence, kept },
        Ok(_) | Err(_) => Copy::Damaged,
    })
}

fn digest(header: &[u8; SECTOR]) -> [u8; 32] {
    Sha256::digest(header.get(..field::SHA256.start).unwrap_or_default()).into()
}

//! The mark by which the partition is recognised. Written by the image tool, twice: in the first 4 KiB of the
//! partition and in the last. Integers little-endian:
//!
//! ```text
//!     0  magic "DIRFLASH"
//!     8  u16 layout version, then 6 zero bytes
//!    16  u64 bytes of the partition: the last copy counts only where the partition ends, so that a whole disk
//!        that ends with our partition is not taken for it
//!    24  zero
//!  4064  SHA-256 of bytes 0..4064
//! ```

use super::StoreError;
use super::device::{Device, read_at, size, sync, write_at};
use super::fixed::{bytes, put};
use super::layout::{self, BLOCK};
use core::fmt;
use sha2::{Digest, Sha256};

const MAGIC: [u8; 8] = *b"DIRFLASH";

mod field {
    use core::ops::Range;
    pub(super) const MAGIC: Range<usize> = 0..8;
    pub(super) const VERSION: Range<usize> = 8..10;
    pub(super) const BYTES: Range<usize> = 16..24;
    pub(super) const SHA256: Range<usize> = 4064..4096;
}

/// What [`check`] found on a partition of ours.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Found {
    /// Whether the copy at the start is intact.
    pub first: bool,
    /// Whether the copy at the end is.
    pub last: bool,
}

/// Why a device is not our partition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SuperblockError {
    /// Neither copy is ours.
    Foreign,
    /// Ours, with a layout that this firmware does not know.
    Version(u16),
    /// Ours, but smaller than the layout, or unreadable.
    Store(StoreError),
}

impl fmt::Display for SuperblockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign => f.write_str("not a partition of this firmware"),
            Self::Version(found) => {
                write!(f, "flash layout {found} is not known, this firmware uses layout {}", layout::VERSION)
            }
            Self::Store(e) => fmt::Display::fmt(e, f),
        }
    }
}

impl core::error::Error for SuperblockError {}

/// Writes both copies, the first one last. Touches nothing else, so it also repairs a damaged copy.
pub fn write<D: Device>(dev: &mut D) -> Result<(), StoreError> {
    let size = sized(dev)?;
    let block = emit(size);
    write_at(dev, size - layout::BLOCK_BYTES, &block)?;
    sync(dev)?;
    write_at(dev, layout::SUPERBLOCK_AT, &block)?;
    sync(dev)
}

/// Whether the device is our partition. Reads 8 KiB.
pub fn check<D: Device>(dev: &mut D) -> Result<Found, SuperblockError> {
    let size = size(dev).map_err(SuperblockError::Store)?;
    let first = look(dev, layout::SUPERBLOCK_AT);
    let end = size.checked_sub(layout::BLOCK_BYTES);
    let last = end.and_then(|at| look(dev, at)).filter(|s| s.bytes == size);
    let Some(version) = first.as_ref().or(last.as_ref()).map(|s| s.version) else {
        return Err(SuperblockError::Foreign);
    };
    if version != layout::VERSION {
        return Err(SuperblockError::Version(version));
    }
    sized(dev).map_err(SuperblockError::Store)?;
    Ok(Found { first: first.is_some(), last: last.is_some() })
}

/// The device's size, when it is large enough.
fn sized<D: Device>(dev: &mut D) -> Result<u64, StoreError> {
    let bytes = size(dev)?;
    let min = layout::PARTITION_MIN;
    if bytes < min { Err(StoreError::TooSmall { bytes, min }) } else { Ok(bytes) }
}

struct Superblock {
    version: u16,
    bytes: u64,
}

fn look<D: Device>(dev: &mut D, at: u64) -> Option<Superblock> {
    let mut block = [0; BLOCK];
    read_at(dev, at, &mut block).ok()?;
    let ours = bytes(&block, field::MAGIC) == MAGIC && bytes(&block, field::SHA256) == digest(&block);
    ours.then(|| Superblock {
        version: u16::from_le_bytes(bytes(&block, field::VERSION)),
        bytes: u64::from_le_bytes(bytes(&block, field::BYTES)),
    })
}

fn emit(size: u64) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    put(&mut block, field::MAGIC, &MAGIC);
    put(&mut block, field::VERSION, &layout::VERSION.to_le_bytes());
    put(&mut block, field::BYTES, &size.to_le_bytes());
    let sum = digest(&block);
    put(&mut block, field::SHA256, &sum);
    block
}

fn digest(block: &[u8; BLOCK]) -> [u8; 32] {
    Sha256::digest(block.get(..field::SHA256.start).unwrap_or_default()).into()
}

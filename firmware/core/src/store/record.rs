//! The header of a slot record. Header version 1, one sector, integers little-endian:
//!
//! ```text
//!    0  magic "DIRSLOT\0"
//!    8  u16 header version      10  u16 schema version of the payload
//!   12  u32 payload bytes       16  u64 generation
//!   24  state: 'T' tentative, 'G' good; then 7 zero bytes
//!   32  SHA-256 of the payload
//!   64  zero
//!  508  u32 CRC-32 (IEEE) of bytes 0..508
//! ```
//!
//! Before a slot is used again its header is zeroed, so a header torn while being written is a mixture of zeros
//! and the new one: the magic stands first and the checksum last, so no such mixture is valid. Changing the state
//! changes one byte and the checksum; a CRC-32 finds every such burst of up to 32 bits, so a torn change
//! is an invalid header, never another state.

use super::device::{Device, read_at, sync, write_at};
use super::fixed::{bytes, put};
use super::layout::{BLOCK, BLOCK_BYTES, PAYLOAD_MAX, SECTOR};
use super::{Generation, StoreError};
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Whether a record may be booted from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum SlotState {
    /// Written, not yet confirmed: never booted from.
    Tentative,
    /// Committed.
    Good,
}

/// Version of the layout above.
pub const HEADER_VERSION: u16 = 1;

/// Bytes read back at a time.
const READ_BACK: usize = BLOCK;

const MAGIC: [u8; 8] = *b"DIRSLOT\0";

mod field {
    use core::ops::Range;
    pub(super) const MAGIC: Range<usize> = 0..8;
    pub(super) const VERSION: Range<usize> = 8..10;
    pub(super) const SCHEMA: Range<usize> = 10..12;
    pub(super) const LENGTH: Range<usize> = 12..16;
    pub(super) const GENERATION: Range<usize> = 16..24;
    pub(super) const STATE: Range<usize> = 24..25;
    pub(super) const SHA256: Range<usize> = 32..64;
    pub(super) const CRC: Range<usize> = 508..512;
}

/// What a header says. One in hand was written as a whole.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Header {
    /// Schema version of the payload.
    pub schema: u16,
    /// Bytes of the payload, 1 to [`PAYLOAD_MAX`].
    pub length: u32,
    /// Number of the configuration, at least 1.
    pub generation: Generation,
    /// Whether it may be booted from.
    pub state: SlotState,
    /// Digest of the payload.
    pub sha256: [u8; 32],
}

/// Why a sector is not a header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HeaderError {
    /// Never written or erased: all zeros or all ones.
    Blank,
    /// Torn or damaged.
    Damaged,
    /// Intact, of a version that this firmware does not know.
    Version(u16),
}

impl Header {
    /// Reads a header sector.
    pub fn parse(sector: &[u8; SECTOR]) -> Result<Self, HeaderError> {
        if sector.iter().all(|b| *b == 0) || sector.iter().all(|b| *b == 0xFF) {
            return Err(HeaderError::Blank);
        }
        let crc = u32::from_le_bytes(bytes(sector, field::CRC));
        if bytes(sector, field::MAGIC) != MAGIC || crc != checksum(sector) {
            return Err(HeaderError::Damaged);
        }
        let version = u16::from_le_bytes(bytes(sector, field::VERSION));
        if version != HEADER_VERSION {
            return Err(HeaderError::Version(version));
        }
        let state = match bytes(sector, field::STATE) {
            [b'T'] => SlotState::Tentative,
            [b'G'] => SlotState::Good,
            _ => return Err(HeaderError::Damaged),
        };
        let header = Self {
            schema: u16::from_le_bytes(bytes(sector, field::SCHEMA)),
            length: u32::from_le_bytes(bytes(sector, field::LENGTH)),
            generation: Generation(u64::from_le_bytes(bytes(sector, field::GENERATION))),
            state,
            sha256: bytes(sector, field::SHA256),
        };
        let sane = (1..=PAYLOAD_MAX).contains(&header.length) && header.generation > Generation(0);
        if sane { Ok(header) } else { Err(HeaderError::Damaged) }
    }

    /// The sector that [`Header::parse`] reads.
    #[must_use]
    pub fn emit(&self) -> [u8; SECTOR] {
        let mut sector = [0; SECTOR];
        put(&mut sector, field::MAGIC, &MAGIC);
        put(&mut sector, field::VERSION, &HEADER_VERSION.to_le_bytes());
        put(&mut sector, field::SCHEMA, &self.schema.to_le_bytes());
        put(&mut sector, field::LENGTH, &self.length.to_le_bytes());
        put(&mut sector, field::GENERATION, &self.generation.0.to_le_bytes());
        let state = match self.state {
            SlotState::Tentative => b'T',
            SlotState::Good => b'G',
        };
        put(&mut sector, field::STATE, &[state]);
        put(&mut sector, field::SHA256, &self.sha256);
        let crc = checksum(&sector);
        put(&mut sector, field::CRC, &crc.to_le_bytes());
        sector
    }
}

fn checksum(sector: &[u8; SECTOR]) -> u32 {
    crc32fast::hash(sector.get(..field::CRC.start).unwrap_or_default())
}

/// The payload at `at`, when its digest is right.
pub(super) fn read_payload<D: Device>(dev: &mut D, at: u64, header: &Header) -> Result<Vec<u8>, StoreError> {
    let damaged = StoreError::Damaged(header.generation);
    let length = usize::try_from(header.length).map_err(|_| damaged.clone())?;
    let mut payload = alloc::vec![0; length];
    read_at(dev, at, &mut payload)?;
    if digest(&payload) == header.sha256 { Ok(payload) } else { Err(damaged) }
}

pub(super) fn digest(payload: &[u8]) -> [u8; 32] {
    Sha256::digest(payload).into()
}

/// Makes a header at `at` no header.
pub(super) fn erase<D: Device>(dev: &mut D, at: u64) -> Result<(), StoreError> {
    write_at(dev, at, &[0; SECTOR])?;
    sync(dev)
}

/// Writes a payload and reads it back. Writes whole sectors, the last one filled up with zeros, so that the device never has to read first.
pub(super) fn write_payload<D: Device>(dev: &mut D, at: u64, payload: &[u8]) -> Result<(), StoreError> {
    let whole = payload.len() - payload.len() % SECTOR;
    let (body, tail) = payload.split_at_checked(whole).unwrap_or((payload, &[]));
    write_at(dev, at, body)?;
    if !tail.is_empty() {
        let mut sector = [0; SECTOR];
        put(&mut sector, 0..tail.len(), tail);
        write_at(dev, at + u64::try_from(whole).unwrap_or(0), &sector)?;
    }
    sync(dev)?;
    let mut offset = at;
    for chunk in payload.chunks(READ_BACK) {
        let mut buffer = [0; READ_BACK];
        let back = buffer.get_mut(..chunk.len()).unwrap_or_default();
        read_at(dev, offset, back)?;
        if back != chunk {
            return Err(StoreError::ReadBack);
        }
        offset += BLOCK_BYTES;
    }
    Ok(())
}

/// Writes a header and reads it back.
pub(super) fn write_header<D: Device>(dev: &mut D, at: u64, header: &Header) -> Result<(), StoreError> {
    let sector = header.emit();
    write_at(dev, at, &sector)?;
    sync(dev)?;
    let mut back = [0; SECTOR];
    read_at(dev, at, &mut back)?;
    if back == sector { Ok(()) } else { Err(StoreError::ReadBack) }
}

//! Which box this is: the one thing that is not the same on both nodes, kept in a record of its own that is never
//! synced. Two copies, written in turn, so that a power cut always leaves one. Record version 1, one sector,
//! integers little-endian:
//!
//! ```text
//!    0  magic "DIRIDENT"
//!    8  u16 record version
//!   10  role: 'P' primary, 'B' backup; then 1 zero byte
//!   12  u32 boots
//!   16  u64 sequence: rises with each write, the higher valid copy counts
//!   24  device key, 32 bytes
//!   56  zero
//!  480  SHA-256 of bytes 0..480
//! ```

use super::StoreError;
use super::device::{Device, read_at, sync, write_at};
use super::fixed::{bytes, put};
use super::layout::{self, SECTOR};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Which node of the pair.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
pub enum Role {
    /// `node primary`.
    #[default]
    Primary,
    /// `node backup`.
    Backup,
}

impl Role {
    /// The other node.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Primary => Self::Backup,
            Self::Backup => Self::Primary,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Primary => "primary",
            Self::Backup => "backup",
        })
    }
}

/// What is fixed to this box. The default is what a box without a record is.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Identity {
    /// Which node it is.
    pub role: Role,
    /// Boots counted so far. A hint only: it is lost with the flash.
    pub boots: u32,
    /// Secret of this box, random; all zeros until one was made. Never shown.
    pub device_key: [u8; 32],
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = if self.device_key == [0; 32] { "none" } else { "hidden" };
        f.debug_struct("Identity")
            .field("role", &self.role)
            .field("boots", &self.boots)
            .field("device_key", &format_args!("{key}"))
            .finish()
    }
}

/// What [`load`] found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Loaded {
    /// The newest intact copy, or the default.
    pub identity: Identity,
    /// Whether there was an intact copy.
    pub found: bool,
    /// Sentences for the console.
    pub warnings: Vec<String>,
}

const MAGIC: [u8; 8] = *b"DIRIDENT";
const VERSION: u16 = 1;

mod field {
    use core::ops::Range;
    pub(super) const MAGIC: Range<usize> = 0..8;
    pub(super) const VERSION: Range<usize> = 8..10;
    pub(super) const ROLE: Range<usize> = 10..11;
    pub(super) const BOOTS: Range<usize> = 12..16;
    pub(super) const SEQUENCE: Range<usize> = 16..24;
    pub(super) const KEY: Range<usize> = 24..56;
    pub(super) const SHA256: Range<usize> = 480..512;
}

/// One copy, read.
enum Copy {
    Blank,
    Damaged,
    Unreadable(StoreError),
    Intact { sequence: u64, identity: Identity },
}

/// Reads the identity. Never fails: without an intact copy the box is the primary, with no boots and no key.
pub fn load<D: Device>(dev: &mut D) -> Loaded {
    let mut warnings = Vec::new();
    let mut newest: Option<(u64, Identity)> = None;
    for (name, at) in ["A", "B"].into_iter().zip(layout::IDENTITY_AT) {
        match look(dev, at) {
            Copy::Blank => {}
            Copy::Damaged => warnings.push(format!("copy {name} of the identity record is damaged")),
            Copy::Unreadable(e) => warnings.push(format!("copy {name} of the identity record: {e}")),
            Copy::Intact { sequence, identity } => {
                if newest.as_ref().is_none_or(|(s, _)| sequence > *s) {
                    newest = Some((sequence, identity));
                }
            }
        }
    }
    let found = newest.is_some();
    if !found {
        warnings.push("the flash does not say which node this is; taking it for the primary".to_string());
    }
    Loaded { identity: newest.map(|(_, identity)| identity).unwrap_or_default(), found, warnings }
}

/// Writes the identity over the older or damaged copy and reads it back. After an error or a power cut the newer
/// copy is as it was.
pub fn save<D: Device>(dev: &mut D, identity: &Identity) -> Result<(), StoreError> {
    let [a, b] = layout::IDENTITY_AT;
    let sequence = |copy| match copy {
        Copy::Intact { sequence, .. } => sequence,
        Copy::Blank | Copy::Damaged | Copy::Unreadable(_) => 0,
    };
    let (in_a, in_b) = (sequence(look(dev, a)), sequence(look(dev, b)));
    let at = if in_a <= in_b { a } else { b };
    let sector = emit(identity, in_a.max(in_b).saturating_add(1));
    write_at(dev, at, &sector)?;
    sync(dev)?;
    let mut back = [0; SECTOR];
    read_at(dev, at, &mut back)?;
    if back == sector { Ok(()) } else { Err(StoreError::ReadBack) }
}

/// Says which node this box is from now on. Boots and device key stay. After an error or a power cut it is one or the other.
pub fn assign<D: Device>(dev: &mut D, role: Role) -> Result<(), StoreError> {
    let identity = load(dev).identity;
    save(dev, &Identity { role, ..identity })
}

/// A copy, for [`super::usage`].
pub(super) fn found<D: Device>(dev: &mut D, at: u64) -> Result<Option<super::usage::Found>, String> {
    match look(dev, at) {
        Copy::Blank => Ok(None),
        Copy::Damaged => Err("not an identity record".to_string()),
        Copy::Unreadable(error) => Err(error.to_string()),
        Copy::Intact { sequence, .. } => {
            Ok(Some(super::usage::Found { used: layout::SECTOR_BYTES, number: sequence }))
        }
    }
}

fn look<D: Device>(dev: &mut D, at: u64) -> Copy {
    let mut sector = [0; SECTOR];
    if let Err(e) = read_at(dev, at, &mut sector) {
        return Copy::Unreadable(e);
    }
    if sector.iter().all(|b| *b == 0) || sector.iter().all(|b| *b == 0xFF) {
        return Copy::Blank;
    }
    parse(&sector).map_or(Copy::Damaged, |(sequence, identity)| Copy::Intact { sequence, identity })
}

fn parse(sector: &[u8; SECTOR]) -> Option<(u64, Identity)> {
    let version = u16::from_le_bytes(bytes(sector, field::VERSION));
    let whole = bytes(sector, field::MAGIC) == MAGIC && bytes(sector, field::SHA256) == digest(sector);
    if !whole || version != VERSION {
        return None;
    }
    let role = match bytes(sector, field::ROLE) {
        [b'P'] => Role::Primary,
        [b'B'] => Role::Backup,
        _ => return None,
    };
    let boots = u32::from_le_bytes(bytes(sector, field::BOOTS));
    let sequence = u64::from_le_bytes(bytes(sector, field::SEQUENCE));
    Some((sequence, Identity { role, boots, device_key: bytes(sector, field::KEY) }))
}

fn emit(identity: &Identity, sequence: u64) -> [u8; SECTOR] {
    let mut sector = [0; SECTOR];
    put(&mut sector, field::MAGIC, &MAGIC);
    put(&mut sector, field::VERSION, &VERSION.to_le_bytes());
    let role = match identity.role {
        Role::Primary => b'P',
        Role::Backup => b'B',
    };
    put(&mut sector, field::ROLE, &[role]);
    put(&mut sector, field::BOOTS, &identity.boots.to_le_bytes());
    put(&mut sector, field::SEQUENCE, &sequence.to_le_bytes());
    put(&mut sector, field::KEY, &identity.device_key);
    let sum = digest(&sector);
    put(&mut sector, field::SHA256, &sum);
    sector
}

fn digest(sector: &[u8; SECTOR]) -> [u8; 32] {
    Sha256::digest(sector.get(..field::SHA256.start).unwrap_or_default()).into()
}

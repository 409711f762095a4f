//! An upgrade as one file: what it is, who vouches for it, and the parts of a system slot.
//!
//! ```text
//!   512 bytes   head: lines `name=value`, filled with `#`
//! 1 536 bytes   trailer of the slot, which has the checksums of both parts
//!   512 bytes   Ed25519 signature over all of the above, then zeros
//!   ...         kernel, then initramfs, as the trailer says
//! ```
//! So everything that decides whether an upgrade is taken comes first and is signed, and nothing is written before.

use super::layout::{INITRAMFS_AT, TRAILER_AT};
use super::trailer::{self, Part, Trailer};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use ed25519_compact::{PublicKey, Signature};

/// Bytes of the head.
pub const HEAD: usize = 512;
/// Bytes that are signed.
pub const SIGNED: usize = HEAD + trailer::BYTES;
/// Bytes before the kernel.
pub const FRONT: usize = SIGNED + 512;
/// First line of a head.
const MAGIC: &str = "# Director upgrade 1\n";
/// Bytes of a public key.
pub const KEY: usize = 32;

/// Whether these are the first bytes of a bundle.
pub(super) fn is_head(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC.as_bytes())
}

/// Three numbers, compared from the first one on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Version([u32; 3]);

impl core::str::FromStr for Version {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut numbers = [0; 3];
        let mut parts = text.split('.');
        for number in &mut numbers {
            let part = parts.next().filter(|p| p.bytes().all(|b| b.is_ascii_digit())).ok_or(())?;
            *number = part.parse().map_err(|_| ())?;
        }
        if parts.next().is_some() { Err(()) } else { Ok(Self(numbers)) }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self([major, minor, patch]) = self;
        write!(f, "{major}.{minor}.{patch}")
    }
}

/// Why an upgrade is not taken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Refused {
    /// It does not begin like one.
    Foreign,
    /// Nobody we trust signed it, or it was changed since.
    Signature,
    /// For other hardware.
    Board(String),
    /// Older than what runs.
    Older(Version),
    /// What runs is too old for it.
    TooOld {
        /// The least it needs.
        needs: Version,
    },
    /// Larger than a slot.
    TooLarge,
    /// It ended early.
    Truncated {
        /// Bytes that came.
        have: u64,
        /// Bytes it should have.
        of: u64,
    },
    /// More came than it should have.
    TooLong,
    /// What was written does not have the signed checksum.
    Checksum,
    /// The disk.
    Store(crate::store::StoreError),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign => f.write_str("this is no upgrade: use the .upgrade file, not the disk image"),
            Self::Signature => {
                f.write_str("its signature is wrong: it was changed, or signed with another key")
            }
            Self::Board(board) => write!(f, "it is for board {board}"),
            Self::Older(version) => write!(f, "it holds version {version}, which is older than what runs"),
            Self::TooOld { needs } => write!(f, "install version {needs} first"),
            Self::TooLarge => f.write_str("it is larger than a system slot"),
            Self::Truncated { have, of } => write!(f, "it ended after {have} of {of} bytes: send it again"),
            Self::TooLong => f.write_str("it goes on after its end: it was damaged, send it again"),
            Self::Checksum => f.write_str("what arrived on the disk has another checksum: send it again"),
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for Refused {}

impl From<crate::store::StoreError> for Refused {
    fn from(error: crate::store::StoreError) -> Self {
        Self::Store(error)
    }
}

/// What this box takes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rules {
    /// Who may sign.
    pub key: [u8; KEY],
    /// What hardware this is.
    pub board: String,
    /// What runs.
    pub running: Version,
}

/// What a bundle says of itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Front {
    /// For which hardware.
    pub board: String,
    /// What it installs.
    pub version: Version,
    /// The oldest version that may install it.
    pub needs: Version,
    /// The slot's trailer.
    pub trailer: Trailer,
}

impl Front {
    /// The bytes to be signed; `None` when something does not fit or would end a line early.
    #[must_use]
    pub fn encode(&self) -> Option<Vec<u8>> {
        let sound = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        if self.board.is_empty() || !self.board.bytes().all(sound) {
            return None;
        }
        let text =
            alloc::format!("{MAGIC}board={}\nversion={}\nneeds={}\n", self.board, self.version, self.needs);
        let padding = HEAD.checked_sub(text.len())?;
        let mut bytes = text.into_bytes();
        bytes.extend(core::iter::repeat_n(b'#', padding));
        bytes.extend(self.trailer.encode()?);
        Some(bytes)
    }

    /// Reads the first [`FRONT`] bytes of a bundle, and refuses what must not be installed here. The signature comes first:
    /// nothing else of a forged bundle is looked at.
    pub fn check(bytes: &[u8], rules: &Rules) -> Result<Self, Refused> {
        if !is_head(bytes) {
            return Err(Refused::Foreign);
        }
        let (Some(signed), Some(signature)) =
            (bytes.get(..SIGNED), bytes.get(SIGNED..SIGNED + Signature::BYTES))
        else {
            return Err(Refused::Signature);
        };
        let key = PublicKey::from_slice(&rules.key).map_err(|_| Refused::Signature)?;
        let signature = Signature::from_slice(signature).map_err(|_| Refused::Signature)?;
        key.verify(signed, &signature).map_err(|_| Refused::Signature)?;
        let front = Self::decode(signed).ok_or(Refused::Foreign)?;
        if front.board != rules.board {
            return Err(Refused::Board(front.board));
        }
        if front.version < rules.running {
            return Err(Refused::Older(front.version));
        }
        if rules.running < front.needs {
            return Err(Refused::TooOld { needs: front.needs });
        }
        let [kernel, initramfs] = front.trailer.parts;
        if kernel.bytes > INITRAMFS_AT || initramfs.bytes > TRAILER_AT.saturating_sub(INITRAMFS_AT) {
            return Err(Refused::TooLarge);
        }
        Ok(front)
    }

    fn decode(signed: &[u8]) -> Option<Self> {
        let head = signed.get(..HEAD)?.strip_prefix(MAGIC.as_bytes())?;
        let text = core::str::from_utf8(head).ok()?;
        let value = |name: &str| {
            text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('=')).map(ToString::to_string)
        };
        Some(Self {
            board: value("board")?,
            version: value("version")?.parse().ok()?,
            needs: value("needs")?.parse().ok()?,
            trailer: Trailer::decode(signed.get(HEAD..)?)?,
        })
    }

    /// Bytes of the whole bundle.
    #[must_use]
    pub fn length(&self) -> u64 {
        let front = u64::try_from(FRONT).unwrap_or(u64::MAX);
        self.trailer.parts.iter().fold(front, |sum, part: &Part| sum.saturating_add(part.bytes))
    }
}

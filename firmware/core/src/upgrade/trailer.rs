//! The end of a slot: how long its parts are, and their checksums, in the two forms that the boot loader reads.
//!
//! ```text
//! 1 024 bytes   environment block: version, kernel=SECTORS, initramfs=SECTORS, cmdline
//!   512 bytes   list for `hashsum`: one line for each part and one for the block above, filled with spaces in front
//! ```

use super::environment::{self, value};
use super::layout::{INITRAMFS_AT, SECTOR, TRAILER_AT};
use core::fmt::Write as _;
use sha2::{Digest as _, Sha256};

/// Bytes of a trailer.
pub const BYTES: usize = environment::BYTES + LIST;
/// Bytes of the checksum list.
const LIST: usize = 512;
/// Longest command line. Chosen: it fits the block beside the other fields, twice over.
pub const CMDLINE_MAX: usize = 400;

/// One part of a slot: where it is and what it must contain, in whole sectors.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Part {
    /// First byte in the slot.
    pub at: u64,
    /// Bytes, a multiple of a sector.
    pub bytes: u64,
    /// SHA-256 of those bytes.
    pub digest: [u8; 32],
}

/// What a trailer says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trailer {
    /// Version of the firmware, as people write it.
    pub version: alloc::string::String,
    /// Command line of the kernel.
    pub cmdline: alloc::string::String,
    /// Kernel, then initramfs.
    pub parts: [Part; 2],
}

impl Trailer {
    /// The bytes; `None` when something is too long or would end a line early.
    #[must_use]
    pub fn encode(&self) -> Option<[u8; BYTES]> {
        let sound = |text: &str| {
            text.len() <= CMDLINE_MAX && text.bytes().all(|b| matches!(b, b' '..=b'~') && b != b'\\')
        };
        let [kernel, initramfs] = self.parts;
        if !sound(&self.version) || !sound(&self.cmdline) || initramfs.at != INITRAMFS_AT || kernel.at != 0 {
            return None;
        }
        let lines = alloc::format!(
            "version={}\nkernel={}\ninitramfs={}\ncmdline={}\n",
            self.version,
            kernel.bytes / SECTOR,
            initramfs.bytes / SECTOR,
            self.cmdline
        );
        let block = environment::signed(&lines);
        let own = Part { at: TRAILER_AT, bytes: 1024, digest: Sha256::digest(block).into() };
        let mut list = alloc::string::String::new();
        for part in [kernel, initramfs, own] {
            for byte in part.digest {
                write!(list, "{byte:02x}").ok()?;
            }
            writeln!(list, "  {}+{}", part.at / SECTOR, part.bytes / SECTOR).ok()?;
        }
        let padding = LIST.checked_sub(list.len())?;
        let mut bytes = [b' '; BYTES];
        for (to, from) in bytes.iter_mut().zip(block) {
            *to = from;
        }
        for (to, from) in bytes.iter_mut().skip(environment::BYTES + padding).zip(list.bytes()) {
            *to = from;
        }
        Some(bytes)
    }

    /// Reads a trailer; `None` when it is none, or its own checksum does not hold.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let block = bytes.get(..environment::BYTES)?;
        let list = core::str::from_utf8(bytes.get(environment::BYTES..BYTES)?).ok()?;
        let mut lines = list.trim_start_matches(' ').lines().map(part);
        let parts = [lines.next()??, lines.next()??];
        let own = lines.next()??;
        let digest: [u8; 32] = Sha256::digest(block).into();
        if own.digest != digest || lines.next().is_some() {
            return None;
        }
        let sectors = |name: &str| value(block, name)?.parse::<u64>().ok()?.checked_mul(SECTOR);
        let [kernel, initramfs] = parts;
        if sectors("kernel")? != kernel.bytes || sectors("initramfs")? != initramfs.bytes {
            return None;
        }
        let found = Self {
            version: value(block, "version")?.into(),
            cmdline: value(block, "cmdline")?.into(),
            parts,
        };
        // Only the canonical form: two spellings of a number would be two trailers that say the same.
        (found.encode()?.as_slice() == bytes.get(..BYTES)?).then_some(found)
    }
}

/// A line of the list.
fn part(line: &str) -> Option<Part> {
    let (hex, place) = line.split_once("  ")?;
    let (at, sectors) = place.split_once('+')?;
    let bytes = |text: &str| text.parse::<u64>().ok()?.checked_mul(SECTOR);
    Some(Part { at: bytes(at)?, bytes: bytes(sectors)?, digest: digest(hex)? })
}

/// A SHA-256 from lower-case hex.
pub(super) fn digest(hex: &str) -> Option<[u8; 32]> {
    let mut digest = [0; 32];
    if hex.len() != 64 || hex.bytes().any(|b| !matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    for (place, byte) in digest.iter_mut().enumerate() {
        *byte = u8::from_str_radix(hex.get(2 * place..2 * place + 2)?, 16).ok()?;
    }
    Some(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trailer() -> Trailer {
        Trailer {
            version: "1.2.3".into(),
            cmdline: "console=ttyS0,115200 quiet".into(),
            parts: [
                Part { at: 0, bytes: 5_000_192, digest: [0xab; 32] },
                Part { at: INITRAMFS_AT, bytes: 1_024, digest: [7; 32] },
            ],
        }
    }

    #[test]
    fn what_was_encoded_is_decoded() {
        assert_eq!(Trailer::decode(&trailer().encode().unwrap()), Some(trailer()));
    }

    #[test]
    fn each_flipped_bit_of_what_counts_is_noticed() {
        let bytes = trailer().encode().unwrap();
        for at in 0..BYTES {
            let mut damaged = bytes;
            damaged[at] ^= 1;
            assert_ne!(Trailer::decode(&damaged), Some(trailer()), "byte {at}");
        }
    }

    #[test]
    fn a_word_that_would_add_a_line_is_refused() {
        assert_eq!(Trailer { cmdline: "quiet\ngood=b".into(), ..trailer() }.encode(), None);
    }
}

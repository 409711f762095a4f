//! The content of a system slot: kernel, initramfs and the trailer that vouches for both.

use anyhow::{Context, Result, bail};
use director_core::upgrade::layout::{INITRAMFS_AT, TRAILER_AT};
use director_core::upgrade::trailer::{Part, Trailer};
use sha2::{Digest, Sha256};

const SECTOR: usize = 512;

/// What is written into a slot: pieces in order, each with its place, in whole sectors.
#[derive(Debug)]
pub struct System {
    /// First byte in the slot, and content.
    pub pieces: Vec<(u64, Vec<u8>)>,
}

impl System {
    /// Puts the parts together.
    pub fn new(version: &str, cmdline: &str, kernel: &[u8], initramfs: &[u8]) -> Result<Self> {
        for (name, part, room) in
            [("kernel", kernel, INITRAMFS_AT), ("initramfs", initramfs, TRAILER_AT - INITRAMFS_AT)]
        {
            if u64::try_from(part.len())? > room {
                bail!("the {name} has {} bytes, its place in a slot {room}", part.len());
            }
        }
        let whole = |part: &[u8]| {
            let mut part = part.to_vec();
            part.resize(part.len().next_multiple_of(SECTOR), 0);
            part
        };
        let (kernel, initramfs) = (whole(kernel), whole(initramfs));
        let part = |at, bytes: &[u8]| Part {
            at,
            bytes: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
            digest: Sha256::digest(bytes).into(),
        };
        let trailer = Trailer {
            version: version.to_owned(),
            cmdline: cmdline.to_owned(),
            parts: [part(0, &kernel), part(INITRAMFS_AT, &initramfs)],
        };
        let trailer = trailer.encode().context("version or command line do not fit a slot's trailer")?;
        Ok(Self { pieces: vec![(0, kernel), (INITRAMFS_AT, initramfs), (TRAILER_AT, trailer.to_vec())] })
    }
}

//! Back to factory state: configurations, their history, the rescue configuration, overrides and events are
//! overwritten; superblock, identity (with its boot counter) and upgrade state stay.
//!
//! One sector is the order. Before it is on the medium everything is as it was; afterwards the box is to be wiped, and
//! what a power cut keeps from being wiped is wiped at the next start, before a configuration is looked for. So the
//! old configuration never runs again once a part of it is gone. The order is, integers little-endian:
//!
//! ```text
//!    0  magic "DIRRESET"
//!    8  zero
//!  480  SHA-256 of bytes 0..480
//! ```

use super::StoreError;
use super::device::{Device, read_at, sync, write_at};
use super::fixed::put;
use super::layout::{self, BLOCK, BLOCK_BYTES, SECTOR};
use super::record;

const MAGIC: [u8; 8] = *b"DIRRESET";

/// Writes the order. After an error nothing has changed, or the order is there: [`pending`] tells.
pub fn order<D: Device>(dev: &mut D) -> Result<(), StoreError> {
    write_at(dev, layout::RESET_AT, &sector())?;
    sync(dev)?;
    if pending(dev) { Ok(()) } else { Err(StoreError::ReadBack) }
}

/// Whether there is an order that was not carried out to its end.
pub fn pending<D: Device>(dev: &mut D) -> bool {
    let mut found = [0; SECTOR];
    read_at(dev, layout::RESET_AT, &mut found).is_ok() && found == sector()
}

/// Carries the order out, and takes it away. Until that succeeds nothing may be stored. Wipes all it can even when the
/// device refuses a part.
pub fn finish<D: Device>(dev: &mut D) -> Result<(), StoreError> {
    let wiped = layout::RESET_REGIONS.map(|(at, bytes)| wipe(dev, at, bytes));
    wiped.into_iter().collect::<Result<(), StoreError>>()?;
    record::erase(dev, layout::RESET_AT)
}

/// Overwrites what is not zero. `at` and `bytes` are whole blocks. What is zero already is only read, so that a wipe that is
/// cut again and again still comes to its end.
pub(super) fn wipe<D: Device>(dev: &mut D, at: u64, bytes: u64) -> Result<(), StoreError> {
    let end = at.saturating_add(bytes);
    let mut block = [0; BLOCK];
    let mut here = at;
    while here < end {
        // What cannot be read may be readable again later.
        let blank = read_at(dev, here, &mut block).is_ok() && block.iter().all(|b| *b == 0);
        if !blank {
            write_at(dev, here, &[0; BLOCK])?;
        }
        here = here.saturating_add(BLOCK_BYTES);
    }
    sync(dev)
}

fn sector() -> [u8; SECTOR] {
    let mut sector = [0; SECTOR];
    put(&mut sector, 0..8, &MAGIC);
    let sum = record::digest(sector.get(..480).unwrap_or_default());
    put(&mut sector, 480..512, &sum);
    sector
}

//! A block device that loses power, tears sectors, forgets and reorders what was not synced, takes neighbouring
//! erase blocks with it, and has sectors that cannot be read.
//!
//! A run of the code under test is recorded once, as a list of writes and syncs. What the medium holds after a cut
//! at any byte of it is then computed from the list: the code cannot see a cut before it happens, so this is the
//! same as running it anew for each cut.

use crate::store::device::Device;
use crate::store::layout::{MIB, PARTITION_MIN};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cmp::Ordering;
use embedded_io::{ErrorKind, ErrorType, SeekFrom};

pub(crate) const SECTOR: usize = 512;

/// What is on the medium: sectors that are not all zero.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Medium {
    sectors: BTreeMap<u64, Sector>,
}

/// Shared between media that are mostly the same, and compared by address first: there are many to compare.
#[derive(Clone, Debug)]
struct Sector(Rc<[u8; SECTOR]>);

impl Ord for Sector {
    fn cmp(&self, other: &Self) -> Ordering {
        if Rc::ptr_eq(&self.0, &other.0) { Ordering::Equal } else { self.0.cmp(&other.0) }
    }
}

impl PartialOrd for Sector {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Sector {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Sector {}

impl Medium {
    pub(crate) fn sector(&self, sector: u64) -> [u8; SECTOR] {
        self.sectors.get(&sector).map_or([0; SECTOR], |s| *s.0)
    }

    pub(crate) fn set(&mut self, sector: u64, bytes: [u8; SECTOR]) {
        if bytes == [0; SECTOR] {
            self.sectors.remove(&sector);
        } else {
            self.sectors.insert(sector, Sector(Rc::new(bytes)));
        }
    }

    pub(crate) fn flip(&mut self, at: u64, mask: u8) {
        let (sector, offset) = place(at);
        let mut bytes = self.sector(sector);
        bytes[offset] ^= mask;
        self.set(sector, bytes);
    }

    /// Everything from byte `from` to byte `to` is zero, as after a medium that ends early was replaced.
    pub(crate) fn truncate(&mut self, from: u64, to: u64) {
        let (first, offset) = place(from);
        let mut bytes = self.sector(first);
        bytes[offset..].fill(0);
        self.set(first, bytes);
        self.sectors.retain(|s, _| *s <= first || *s >= to / 512);
    }

    fn put(&mut self, at: u64, bytes: &[u8]) {
        let (sector, offset) = place(at);
        assert_eq!(offset, 0, "the store writes whole sectors");
        for (i, part) in bytes.chunks(SECTOR).enumerate() {
            let mut new = self.sector(sector + i as u64);
            new[..part.len()].copy_from_slice(part);
            self.set(sector + i as u64, new);
        }
    }

    /// An erase block after its program operation was interrupted: garbage where something was, since the rest reads
    /// as zeros or ones anyway, and in its first sector even so.
    fn lose(&mut self, block: u64, erase_block: u64, garbage: &Sector) {
        let per_block = erase_block / 512;
        let range = block * per_block..(block + 1) * per_block;
        self.sectors.range_mut(range.clone()).for_each(|(_, s)| *s = garbage.clone());
        self.sectors.insert(range.start, garbage.clone());
    }
}

fn place(at: u64) -> (u64, usize) {
    (at / 512, (at % 512) as usize)
}

/// Garbage, the same for the same seed.
pub(crate) fn noise(seed: u64) -> [u8; SECTOR] {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    core::array::from_fn(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    })
}

#[derive(Clone, Debug)]
enum Step {
    Write { at: u64, bytes: Vec<u8> },
    Sync,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Fault(pub(crate) &'static str);

impl core::fmt::Display for Fault {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.0)
    }
}

impl core::error::Error for Fault {}

impl embedded_io::Error for Fault {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Other
    }
}

/// A device over a [`Medium`] that works until its power is cut, apart from bad sectors.
#[derive(Clone, Debug)]
pub(crate) struct ModelFlash {
    pub(crate) medium: Medium,
    start: Medium,
    log: Vec<Step>,
    position: u64,
    pub(crate) size: u64,
    pub(crate) unreadable: BTreeSet<u64>,
    /// Sectors that refuse writes.
    pub(crate) unwritable: BTreeSet<u64>,
    /// Sectors that take writes and forget them.
    pub(crate) forgetful: BTreeSet<u64>,
    pub(crate) sync_fails: bool,
}

impl ModelFlash {
    pub(crate) fn on(medium: Medium) -> Self {
        Self {
            start: medium.clone(),
            medium,
            log: Vec::new(),
            position: 0,
            size: PARTITION_MIN,
            unreadable: BTreeSet::new(),
            unwritable: BTreeSet::new(),
            forgetful: BTreeSet::new(),
            sync_fails: false,
        }
    }

    pub(crate) fn empty() -> Self {
        Self::on(Medium::default())
    }

    /// Every medium that a power cut during the recorded run can leave, without doubles, each with whether the
    /// number of steps in `done` were complete by then.
    pub(crate) fn cuts(&self, done: usize, erase_blocks: &[u64]) -> Vec<(Medium, bool)> {
        let mut found = BTreeSet::new();
        // What is on the medium for sure, and what was written since the last sync.
        let mut durable = self.start.clone();
        let mut unsynced: Vec<(u64, Vec<u8>)> = Vec::new();
        for (index, step) in self.log.iter().enumerate() {
            let complete = index >= done;
            match step {
                Step::Sync => {
                    for (at, bytes) in unsynced.drain(..) {
                        durable.put(at, &bytes);
                    }
                }
                Step::Write { at, bytes } => {
                    for medium in torn(&durable, &unsynced, *at, bytes, erase_blocks) {
                        found.insert((medium, complete));
                    }
                    unsynced.extend(sectors(*at, bytes));
                }
            }
            for medium in forgotten(&durable, &unsynced) {
                found.insert((medium, index + 1 >= done));
            }
        }
        found.insert((self.medium.clone(), self.log.len() >= done));
        found.into_iter().collect()
    }

    /// Steps recorded so far.
    pub(crate) fn steps(&self) -> usize {
        self.log.len()
    }
}

fn sectors(at: u64, bytes: &[u8]) -> Vec<(u64, Vec<u8>)> {
    assert_eq!(at % 512, 0, "the store writes whole sectors");
    assert_eq!(bytes.len() % 512, 0, "the store writes whole sectors");
    bytes.chunks(512).enumerate().map(|(i, chunk)| (at + i as u64 * 512, chunk.to_vec())).collect()
}

/// What a cut within one write leaves, everything before it having arrived: the bytes up to the cut, byte by byte; the sector as
/// garbage; the erase block, or one beside it, lost.
fn torn(
    durable: &Medium,
    unsynced: &[(u64, Vec<u8>)],
    at: u64,
    bytes: &[u8],
    erase_blocks: &[u64],
) -> Vec<Medium> {
    let mut all = Vec::new();
    let mut medium = durable.clone();
    for (at, bytes) in unsynced {
        medium.put(*at, bytes);
    }
    let garbage = Sector(Rc::new(noise(at)));
    for (at, sector) in sectors(at, bytes) {
        let header = at % MIB == 0;
        let old = medium.sector(at / 512);
        for cut in (0..512).filter(|cut| header || *cut == 0 || *cut == 256) {
            // A byte that stays as it was makes no other medium.
            if header && cut > 0 && sector[cut - 1] == old[cut - 1] {
                continue;
            }
            let mut partial = medium.clone();
            partial.put(at, &sector[..cut]);
            all.push(partial);
        }
        let mut torn = medium.clone();
        torn.sectors.insert(at / 512, garbage.clone());
        all.push(torn);
        for erase_block in erase_blocks.iter().copied() {
            let own = at / erase_block;
            let before = own.saturating_sub(1);
            for lost in [&[before][..], &[own + 1], &[own], &[before, own, own + 1]] {
                let mut broken = medium.clone();
                lost.iter().for_each(|block| broken.lose(*block, erase_block, &garbage));
                all.push(broken);
            }
        }
        medium.put(at, &sector);
    }
    all
}

/// What a cut leaves of writes that were not synced: none, each alone, all but each, every second.
fn forgotten(durable: &Medium, unsynced: &[(u64, Vec<u8>)]) -> Vec<Medium> {
    let keep = |which: &dyn Fn(usize) -> bool| {
        let mut medium = durable.clone();
        for (_, (at, bytes)) in unsynced.iter().enumerate().filter(|(i, _)| which(*i)) {
            medium.put(*at, bytes);
        }
        medium
    };
    let mut all = alloc::vec![keep(&|_| false), keep(&|i| i % 2 == 0), keep(&|i| i % 2 == 1)];
    // The first and last sectors are as good as any for single ones; all of them for small writes.
    for one in (0..unsynced.len()).filter(|i| *i < 16 || *i + 2 > unsynced.len()) {
        all.push(keep(&|i| i == one));
        all.push(keep(&|i| i != one));
    }
    all
}

impl ErrorType for ModelFlash {
    type Error = Fault;
}

impl embedded_io::Seek for ModelFlash {
    fn seek(&mut self, pos: SeekFrom) -> Result<u64, Fault> {
        self.position = match pos {
            SeekFrom::Start(at) => at,
            SeekFrom::End(back) => self.size.checked_add_signed(back).ok_or(Fault("bad seek"))?,
            SeekFrom::Current(by) => self.position.checked_add_signed(by).ok_or(Fault("bad seek"))?,
        };
        Ok(self.position)
    }
}

impl embedded_io::Read for ModelFlash {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, Fault> {
        let (sector, offset) = place(self.position);
        if self.position >= self.size || buf.is_empty() {
            return Ok(0);
        }
        if self.unreadable.contains(&sector) {
            return Err(Fault("Input/output error"));
        }
        let bytes = self.medium.sector(sector);
        let left = usize::try_from(self.size - self.position).unwrap_or(usize::MAX);
        let count = buf.len().min(SECTOR - offset).min(left);
        buf[..count].copy_from_slice(&bytes[offset..offset + count]);
        self.position += count as u64;
        Ok(count)
    }
}

impl embedded_io::Write for ModelFlash {
    fn write(&mut self, buf: &[u8]) -> Result<usize, Fault> {
        // Short writes, as a device may do them.
        let count = buf.len().min(8 * SECTOR);
        let first = self.position / 512;
        let touched = first..first + (count / SECTOR) as u64;
        if touched.clone().any(|s| self.unwritable.contains(&s)) {
            return Err(Fault("Input/output error"));
        }
        let bytes = &buf[..count];
        self.log.push(Step::Write { at: self.position, bytes: bytes.to_vec() });
        for (at, sector) in sectors(self.position, bytes) {
            if !self.forgetful.contains(&(at / 512)) {
                self.medium.set(at / 512, sector.try_into().unwrap());
            }
        }
        self.position += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> Result<(), Fault> {
        Ok(())
    }
}

impl Device for ModelFlash {
    fn sync(&mut self) -> Result<(), Fault> {
        if self.sync_fails {
            return Err(Fault("Input/output error"));
        }
        self.log.push(Step::Sync);
        Ok(())
    }
}

//! A block device in memory that is zero where nothing was written.

use director_core::store::device::Device;
use director_core::store::layout::{PARTITION_MIN, SECTOR, SECTOR_BYTES};
use embedded_io::{ErrorType, Read, Seek, SeekFrom, Write};
use std::collections::BTreeMap;
use std::convert::Infallible;

/// The device; its size is the smallest partition.
#[derive(Clone, Default, Debug)]
pub(crate) struct Memory {
    sectors: BTreeMap<u64, [u8; SECTOR]>,
    at: u64,
}

impl Memory {
    /// Bytes at an offset, without moving the position.
    pub(crate) fn peek(&self, at: u64, length: usize) -> Vec<u8> {
        let mut copy = Self { sectors: self.sectors.clone(), at };
        let mut out = vec![0; length];
        copy.read_exact(&mut out).expect("inside the device");
        out
    }

    pub(crate) fn poke(&mut self, at: u64, bytes: &[u8]) {
        self.at = at;
        self.write_all(bytes).expect("inside the device");
    }

    /// The sector at the position, the offset in it, and how many of `wanted` bytes it and the device hold.
    fn here(&self, wanted: usize) -> (u64, usize, usize) {
        let offset = usize::try_from(self.at % SECTOR_BYTES).unwrap_or_default();
        let left = usize::try_from(PARTITION_MIN.saturating_sub(self.at)).unwrap_or_default();
        (self.at / SECTOR_BYTES, offset, wanted.min(SECTOR - offset).min(left))
    }

    fn advance(&mut self, count: usize) -> usize {
        self.at += u64::try_from(count).unwrap_or_default();
        count
    }
}

impl ErrorType for Memory {
    type Error = Infallible;
}

impl Read for Memory {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, Infallible> {
        let (sector, offset, count) = self.here(buf.len());
        match self.sectors.get(&sector) {
            Some(bytes) => buf[..count].copy_from_slice(&bytes[offset..offset + count]),
            None => buf[..count].fill(0),
        }
        Ok(self.advance(count))
    }
}

impl Write for Memory {
    fn write(&mut self, buf: &[u8]) -> Result<usize, Infallible> {
        let (sector, offset, count) = self.here(buf.len());
        if count > 0 {
            let bytes = self.sectors.entry(sector).or_insert([0; SECTOR]);
            bytes[offset..offset + count].copy_from_slice(&buf[..count]);
        }
        Ok(self.advance(count))
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

impl Seek for Memory {
    fn seek(&mut self, to: SeekFrom) -> Result<u64, Infallible> {
        self.at = match to {
            SeekFrom::Start(at) => at,
            SeekFrom::End(by) => PARTITION_MIN.saturating_add_signed(by),
            SeekFrom::Current(by) => self.at.saturating_add_signed(by),
        };
        Ok(self.at)
    }
}

impl Device for Memory {
    fn sync(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

//! The disk: an MBR with boot, two system slots and data.
//!
//! ```text
//! sector      0   partition table, disk id "DRCT"
//!         1   boot loader's core
//!         2 048   p1 0xEF  16 MiB  boot: FAT16 with the UEFI program and the environment
//!        34 816   p2 0xDA  16 MiB  system slot A: kernel, initramfs and trailer, all raw
//!        67 584   p3 0xDA  16 MiB  system slot B: as A; empty on a new disk
//!       100 352   p4 0xDA  32 MiB  data, or what the disk has: regions of director_core::store
//! ```
//! Raw slots, because an upgrade then is a plain write to a partition and cannot break a file system.

use crate::fat;
use crate::files;
use crate::grub::Loader;
use crate::seed::{self, Seed};
use crate::slot::System;
use anyhow::{Context, Result, bail, ensure};
use director_core::upgrade::environment::{Environment, Slot};
use director_core::upgrade::layout::{BOOT_AT as START, BOOT_BYTES, SLOTS_AT};
pub use director_core::upgrade::layout::{DATA_AT, SLOT_BYTES};
use mbrman::{BOOT_ACTIVE, BOOT_INACTIVE, CHS, MBR, MBRPartitionEntry};
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

const MIB: u64 = 1 << 20;

/// Bytes of a sector.
const SECTOR: u64 = 512;

/// Bytes of the smallest data partition.
const DATA_BYTES_MIN: u64 = 32 * MIB;

/// Bytes of the smallest disk.
pub const SIZE_MIN: u64 = DATA_AT + DATA_BYTES_MIN;

/// Bytes of the largest disk: what 32-bit sector numbers reach.
pub const SIZE_MAX: u64 = (1 << 32) * SECTOR;

/// Fixed, so that an image is the same each time it is assembled.
const DISK_ID: [u8; 4] = *b"DRCT";

/// Types of a partition: EFI system, and data that no file system driver should touch.
const TYPE_BOOT: u8 = 0xef;
const TYPE_RAW: u8 = 0xda;

/// What goes onto a disk.
#[derive(Debug)]
pub struct Disk<'a> {
    /// Bytes of the whole, [`SIZE_MIN`] to [`SIZE_MAX`], a multiple of 1 MiB; the data partition takes what is left.
    pub size: u64,
    /// What slot A holds.
    pub system: &'a System,
    /// The boot loader; none leaves its places empty, for a machine that is handed its kernel.
    pub loader: Option<&'a Loader>,
    /// What the data partition holds.
    pub seed: &'a Seed,
}

impl Disk<'_> {
    /// Writes the image as a sparse file, replacing the one that is there.
    pub fn write(&self, out: &Path) -> Result<()> {
        self.check()?;
        if let Some(folder) = out.parent() {
            fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
        }
        let new = files::beside(out);
        self.fill(&new)
            .and_then(|()| fs::rename(&new, out).context("rename the finished image"))
            .inspect_err(|_| drop(fs::remove_file(&new)))
            .with_context(|| format!("write {}", out.display()))
    }

    fn check(&self) -> Result<()> {
        if !(SIZE_MIN..=SIZE_MAX).contains(&self.size) || !self.size.is_multiple_of(MIB) {
            bail!("a disk has {} to {} MiB, in whole MiB", SIZE_MIN / MIB, SIZE_MAX / MIB);
        }
        if let Some(loader) = self.loader {
            let room = usize::try_from(START - SECTOR)?;
            ensure!(
                loader.core.len() <= room,
                "the boot loader has {} bytes, its place {room}",
                loader.core.len()
            );
        }
        Ok(())
    }

    fn fill(&self, path: &Path) -> Result<()> {
        let mut file = File::options().read(true).write(true).create(true).truncate(true).open(path)?;
        file.set_len(self.size)?;
        write_table(&mut file, self.size)?;
        let mut put =
            |at: u64, content: &[u8]| file.seek(SeekFrom::Start(at)).and_then(|_| file.write_all(content));
        if let Some(Loader { sector, core, efi }) = self.loader {
            put(0, sector)?;
            put(SECTOR, core)?;
            let environment = Environment::settled(Slot::A).encode();
            put_sparse(START, &fat::boot_partition(efi, [&environment, &environment])?, &mut put)?;
        }
        for (at, content) in &self.system.pieces {
            put(SLOTS_AT[0] + at, content)?;
        }
        let data = Window::new(&mut file, DATA_AT, self.size - DATA_AT);
        seed::plant(self.seed, data).context("data partition")?;
        file.sync_all().context("sync")
    }
}

/// Writes what is not zero, page by page.
fn put_sparse(at: u64, content: &[u8], put: &mut impl FnMut(u64, &[u8]) -> io::Result<()>) -> io::Result<()> {
    const PAGE: usize = 4096;
    (at..)
        .step_by(PAGE)
        .zip(content.chunks(PAGE))
        .filter(|(_, page)| page.iter().any(|b| *b != 0))
        .try_for_each(|(at, page)| put(at, page))
}

fn write_table(file: &mut File, size: u64) -> Result<()> {
    let sector = u32::try_from(SECTOR)?;
    let mut table = MBR::new_from(file, sector, DISK_ID).context("new partition table")?;
    let parts = [
        (BOOT_ACTIVE, TYPE_BOOT, BOOT_BYTES),
        (BOOT_INACTIVE, TYPE_RAW, SLOT_BYTES),
        (BOOT_INACTIVE, TYPE_RAW, SLOT_BYTES),
        (BOOT_INACTIVE, TYPE_RAW, size - DATA_AT),
    ];
    let mut at = START;
    for (number, (boot, sys, length)) in (1..).zip(parts) {
        let entry = table.get_mut(number).context("a partition table has four entries")?;
        *entry = MBRPartitionEntry {
            boot,
            first_chs: CHS::empty(),
            sys,
            last_chs: CHS::empty(),
            starting_lba: u32::try_from(at / SECTOR)?,
            sectors: u32::try_from(length / SECTOR)?,
        };
        at += length;
    }
    table.write_into(file).context("write the partition table")
}

/// One partition of a disk image, as if it were a device of its own: nothing outside can be reached.
#[derive(Debug)]
pub struct Window<'a> {
    file: &'a mut File,
    start: u64,
    length: u64,
    position: u64,
}

impl<'a> Window<'a> {
    /// The `length` bytes of `file` from `start` on.
    pub fn new(file: &'a mut File, start: u64, length: u64) -> Self {
        Self { file, start, length, position: 0 }
    }

    /// Bytes of the partition.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Waits until the bytes are on the disk.
    pub fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// How many of `wanted` bytes are still inside, with the file at the right place.
    fn reach(&mut self, wanted: usize) -> io::Result<usize> {
        let left = self.length.saturating_sub(self.position);
        self.file.seek(SeekFrom::Start(self.start + self.position))?;
        Ok(usize::try_from(left).unwrap_or(usize::MAX).min(wanted))
    }

    fn advance(&mut self, count: usize) -> usize {
        self.position = self.position.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        count
    }
}

impl Read for Window<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let reach = self.reach(buffer.len())?;
        let read = self.file.read(buffer.get_mut(..reach).unwrap_or_default())?;
        Ok(self.advance(read))
    }
}

impl Write for Window<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let reach = self.reach(buffer.len())?;
        let written = self.file.write(buffer.get(..reach).unwrap_or_default())?;
        Ok(self.advance(written))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Seek for Window<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.length.checked_add_signed(by),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
        };
        let target = target.filter(|at| *at <= self.length);
        self.position = target.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Folder;
    use director_core::upgrade::layout::{INITRAMFS_AT, TRAILER_AT};
    use std::os::unix::fs::MetadataExt;
    use std::sync::LazyLock;

    const EMPTY: Seed = Seed { role: None, config: None };

    static SYSTEM: LazyLock<System> =
        LazyLock::new(|| System::new("1.2.3", "quiet", b"kernel", b"initramfs").unwrap());

    fn disk(size: u64) -> Disk<'static> {
        Disk { size, system: &SYSTEM, loader: None, seed: &EMPTY }
    }

    #[test]
    fn partitions_are_where_the_drawing_says() {
        let folder = Folder::new();
        let path = folder.join("disk.img");
        disk(SIZE_MIN).write(&path).unwrap();
        let table = MBR::read_from(&mut File::open(&path).unwrap(), 512).unwrap();
        let found: Vec<_> =
            table.iter().map(|(_, p)| (p.starting_lba, p.sectors, p.sys, p.is_active())).collect();
        assert_eq!(
            found,
            [
                (2_048, 32_768, TYPE_BOOT, true),
                (34_816, 32_768, TYPE_RAW, false),
                (67_584, 32_768, TYPE_RAW, false),
                (100_352, 65_536, TYPE_RAW, false),
            ]
        );
        assert_eq!(fs::metadata(&path).unwrap().len(), 81 * MIB);
    }

    #[test]
    fn slot_a_holds_kernel_and_initramfs_and_the_rest_is_empty_and_takes_no_room() {
        let folder = Folder::new();
        let path = folder.join("disk.img");
        disk(SIZE_MIN).write(&path).unwrap();
        let bytes = fs::read(&path).unwrap();
        let slot = usize::try_from(34_816 * SECTOR).unwrap();
        let initramfs = slot + usize::try_from(INITRAMFS_AT).unwrap();
        assert!(bytes[slot..].starts_with(b"kernel\0"));
        assert!(bytes[initramfs..].starts_with(b"initramfs\0"));
        let data = usize::try_from(DATA_AT).unwrap();
        let trailer = slot + usize::try_from(TRAILER_AT).unwrap();
        assert!(bytes[trailer..].starts_with(b"# GRUB Environment Block\nversion=1.2.3\n"));
        assert!(bytes[trailer + 4096..data].iter().all(|b| *b == 0));
        assert!(fs::metadata(&path).unwrap().blocks() * 512 < MIB);
    }

    #[test]
    fn the_same_parts_give_the_same_bytes_and_nothing_is_left_beside() {
        let folder = Folder::new();
        let (one, two) = (folder.join("one"), folder.join("two"));
        disk(SIZE_MIN).write(&one).unwrap();
        disk(SIZE_MIN).write(&two).unwrap();
        disk(SIZE_MIN).write(&two).unwrap();
        assert!(fs::read(&one).unwrap() == fs::read(&two).unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_larger_disk_has_a_larger_data_partition() {
        let folder = Folder::new();
        let path = folder.join("disk.img");
        disk(256 * MIB).write(&path).unwrap();
        let table = MBR::read_from(&mut File::open(&path).unwrap(), 512).unwrap();
        assert_eq!(u64::from(table[4].sectors) * SECTOR, 256 * MIB - DATA_AT);
    }

    #[test]
    fn what_does_not_fit_is_refused_before_anything_is_written() {
        let folder = Folder::new();
        let path = folder.join("disk.img");
        let loader = Loader { core: vec![1; 1 << 20], ..Loader::default() };
        for bad in [
            disk(SIZE_MIN - MIB),
            disk(SIZE_MIN + 1),
            disk(SIZE_MAX + MIB),
            Disk { loader: Some(&loader), ..disk(SIZE_MIN) },
        ] {
            assert!(bad.write(&path).is_err());
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_window_ends_where_the_partition_ends() {
        let folder = Folder::new();
        let path = folder.join("file");
        fs::write(&path, b"0123456789").unwrap();
        let mut file = File::options().read(true).write(true).open(&path).unwrap();
        let mut window = Window::new(&mut file, 2, 4);
        let mut text = String::new();
        window.read_to_string(&mut text).unwrap();
        assert_eq!(text, "2345");
        assert!(window.seek(SeekFrom::Start(5)).is_err());
        window.seek(SeekFrom::End(-1)).unwrap();
        assert!(window.write_all(b"ab").is_err());
        assert_eq!(fs::read(&path).unwrap(), b"01234a6789");
    }
}

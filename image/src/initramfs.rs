//! The root file system: one program, one device node, five mount points.

use anyhow::{Context, Result, bail};
use cpio::newc::{Builder, Entry, ModeFileType, Reader, trailer};
use std::fmt;
use std::io::{Cursor, Read};

/// Permission bits of the program.
const PROGRAM_MODE: u32 = 0o755;

/// The node that the kernel opens as standard input and output of PID 1: character device 5:1
/// (Linux `Documentation/admin-guide/devices.txt`).
const CONSOLE: (u32, u32) = (5, 1);

/// Mount points and their permission bits.
const MOUNT_POINTS: [(&str, u32); 5] =
    [("dev", 0o755), ("proc", 0o755), ("run", 0o755), ("sys", 0o755), ("tmp", 0o1777)];

/// The bits of a mode that say what a file is (`S_IFMT`).
const TYPE_MASK: u32 = 0o170_000;

/// zstd's level. Chosen: the best that needs no window above 8 MiB, which the kernel's decoder refuses.
const LEVEL: i32 = 19;

/// First bytes of a zstd frame (RFC 8878 section 3.1.1).
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Bytes an archive may unpack to when it is listed: far above what the budget allows.
const UNPACKED_MAX: u64 = 64 << 20;

/// Packs `/init`. The same program gives the same bytes.
pub fn pack(program: &[u8]) -> Result<Vec<u8>> {
    if !program.starts_with(b"\x7fELF") {
        bail!("the program is not an ELF file");
    }
    // The type after the mode: the crate's `mode` sets both.
    let mut entries: Vec<(&str, Builder, &[u8])> = vec![
        (
            "dev/console",
            Builder::new("dev/console")
                .mode(0o600)
                .set_mode_file_type(ModeFileType::Char)
                .rdev_major(CONSOLE.0)
                .rdev_minor(CONSOLE.1),
            &[],
        ),
        ("init", Builder::new("init").mode(PROGRAM_MODE).set_mode_file_type(ModeFileType::Regular), program),
    ];
    for (name, mode) in MOUNT_POINTS {
        let folder = Builder::new(name).mode(mode).set_mode_file_type(ModeFileType::Directory).nlink(2);
        entries.push((name, folder, &[]));
    }
    // By name: a folder sorts before what is in it.
    entries.sort_by_key(|(name, ..)| *name);
    let mut archive = Vec::new();
    for (number, (name, entry, content)) in (1..).zip(entries) {
        let size = u32::try_from(content.len()).context("the program is larger than 4 GiB")?;
        let mut writer = entry.ino(number).mtime(0).uid(0).gid(0).write(&mut archive, size);
        std::io::copy(&mut &*content, &mut writer).with_context(|| format!("pack {name}"))?;
        writer.finish().with_context(|| format!("pack {name}"))?;
    }
    trailer(&mut archive).context("end the archive")?;
    Ok(archive)
}

/// Compresses an archive into one frame with a checksum.
pub fn compress(archive: &[u8]) -> Result<Vec<u8>> {
    let mut packer = zstd::bulk::Compressor::new(LEVEL).context("start zstd")?;
    packer.include_checksum(true).context("ask zstd for a checksum")?;
    packer.compress(archive).context("compress the initramfs")
}

/// One file of an initramfs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listed {
    /// Full path.
    pub path: String,
    /// What it is.
    pub kind: Kind,
    /// Permission bits.
    pub mode: u32,
}

/// What a file is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// With this many bytes.
    File(u32),
    /// A folder.
    Folder,
    /// A device node, major and minor.
    Device(u32, u32),
    /// What this image never has: a link, a pipe, a socket.
    Other,
}

impl Listed {
    /// Whether this can be executed.
    pub fn is_program(&self) -> bool {
        matches!(self.kind, Kind::File(_)) && self.mode & 0o111 != 0
    }
}

impl fmt::Display for Listed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (letter, size) = match self.kind {
            Kind::File(bytes) => ('-', bytes.to_string()),
            Kind::Folder => ('d', "-".to_owned()),
            Kind::Device(major, minor) => ('c', format!("{major}:{minor}")),
            Kind::Other => ('?', "-".to_owned()),
        };
        write!(f, "{letter}{:04o} {size:>9} {}", self.mode, self.path)
    }
}

/// What is in an initramfs, compressed or not, in the order of the archive.
pub fn list(bytes: &[u8]) -> Result<Vec<Listed>> {
    let mut archive = Vec::new();
    if bytes.starts_with(&ZSTD_MAGIC) {
        let unpack = zstd::stream::read::Decoder::new(bytes).context("start zstd")?;
        unpack.take(UNPACKED_MAX).read_to_end(&mut archive).context("unpack the initramfs")?;
    } else {
        archive.extend_from_slice(bytes);
    }
    let mut files = Vec::new();
    let mut rest = Cursor::new(archive);
    loop {
        let reader = Reader::new(rest).context("read the archive")?;
        let entry = reader.entry();
        if entry.is_trailer() {
            return Ok(files);
        }
        let kind = kind(entry);
        files.push(Listed { path: format!("/{}", entry.name()), kind, mode: entry.mode() & 0o7777 });
        rest = reader.finish().context("read the archive")?;
    }
}

fn kind(entry: &Entry) -> Kind {
    let is = |kind: ModeFileType| entry.mode() & TYPE_MASK == u32::from(kind);
    if is(ModeFileType::Regular) {
        Kind::File(entry.file_size())
    } else if is(ModeFileType::Directory) {
        Kind::Folder
    } else if is(ModeFileType::Char) || is(ModeFileType::Block) {
        Kind::Device(entry.rdev_major(), entry.rdev_minor())
    } else {
        Kind::Other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program() -> Vec<u8> {
        let mut bytes = b"\x7fELF".to_vec();
        bytes.extend((0..100_000_u32).flat_map(|n| n.wrapping_mul(n).to_le_bytes()));
        bytes
    }

    #[test]
    fn the_same_program_gives_the_same_bytes() {
        let (one, two) = (pack(&program()).unwrap(), pack(&program()).unwrap());
        assert!(one == two);
        assert!(compress(&one).unwrap() == compress(&two).unwrap());
    }

    #[test]
    fn it_holds_one_program_the_console_and_empty_mount_points() {
        let archive = pack(&program()).unwrap();
        let listing: Vec<String> = list(&archive).unwrap().iter().map(Listed::to_string).collect();
        assert_eq!(
            listing,
            [
                "d0755         - /dev",
                "c0600       5:1 /dev/console",
                "-0755    400004 /init",
                "d0755         - /proc",
                "d0755         - /run",
                "d0755         - /sys",
                "d1777         - /tmp",
            ]
        );
        let programs = list(&archive).unwrap().into_iter().filter(Listed::is_program).count();
        assert_eq!(programs, 1);
    }

    #[test]
    fn compressed_and_plain_archives_list_alike() {
        let archive = pack(&program()).unwrap();
        let compressed = compress(&archive).unwrap();
        assert!(compressed.len() < archive.len());
        assert_eq!(list(&compressed).unwrap(), list(&archive).unwrap());
    }

    #[test]
    fn what_is_not_a_program_or_not_an_archive_is_refused() {
        assert!(pack(b"#!/bin/sh\n").is_err());
        assert!(list(b"").is_err());
        assert!(list(b"not an archive at all, whatever it is; but long enough to hold the header of one entry, which is 110 bytes").is_err());
        let archive = pack(&program()).unwrap();
        assert!(list(&archive[..archive.len() / 2]).is_err());
    }
}

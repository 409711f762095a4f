//! The boot loader: Debian's GRUB modules, linked with our script into two programs, one for BIOS and one for UEFI.

use crate::files;
use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Modules of both programs: nothing is loaded from a disk.
const MODULES: [&str; 17] = [
    "part_msdos",
    "fat",
    "memdisk",
    "tar",
    "normal",
    "configfile",
    "linux",
    "echo",
    "test",
    "loadenv",
    "serial",
    "terminal",
    "regexp",
    "hashsum",
    "gcry_sha256",
    "reboot",
    "sleep",
];

/// Where Debian puts GRUB's modules, a folder for each format.
const MODULES_FOLDER: &str = "/usr/lib/grub";

/// Names another folder of that kind: Buildroot builds its own.
const MODULES_VARIABLE: &str = "DIRECTOR_GRUB";

/// Where on a BIOS disk the boot sector's own bytes end and the partition table's begin.
const BOOT_CODE: usize = 440;

/// The boot loader, ready to be written.
#[derive(Clone, Default, Debug)]
pub struct Loader {
    /// Code of sector 0, before the partition table.
    pub sector: Vec<u8>,
    /// What follows from sector 1 on.
    pub core: Vec<u8>,
    /// `EFI/BOOT/BOOTX64.EFI`.
    pub efi: Vec<u8>,
}

impl Loader {
    /// Links both programs around the scripts in `board`, in a folder beside `work`.
    pub fn build(board: &Path, work: &Path) -> Result<Self> {
        let folder = files::beside(work);
        fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
        let made = link(board, &folder);
        fs::remove_dir_all(&folder).ok();
        made
    }
}

fn link(board: &Path, folder: &Path) -> Result<Loader> {
    let script = read(&board.join("grub.cfg"))?;
    let disk = folder.join("script.tar");
    fs::write(&disk, archive("grub.cfg", &script)?).context("write the script's archive")?;
    let modules = std::env::var_os(MODULES_VARIABLE).map_or_else(|| MODULES_FOLDER.into(), PathBuf::from);
    let make = |format: &str, more: &str| {
        let out = folder.join(format);
        let mut command = Command::new("grub-mkimage");
        command.arg("--directory").arg(modules.join(format));
        command.args(["--format", format, "--prefix", "(,msdos1)/", "--output"]).arg(&out);
        command.arg("--config").arg(board.join("grub-early.cfg")).arg("--memdisk").arg(&disk);
        command.args(MODULES).args(more.split_ascii_whitespace());
        let ended = command.output().context("grub-mkimage: `make setup` installs grub-common")?;
        if !ended.status.success() {
            bail!("grub-mkimage --format {format}: {}", String::from_utf8_lossy(&ended.stderr).trim());
        }
        read(&out)
    };
    let sector = read(&modules.join("i386-pc/boot.img"))?;
    ensure!(sector.len() == 512, "GRUB's boot.img is not one sector");
    let sector = sector.get(..BOOT_CODE).context("boot.img is short")?.to_vec();
    Ok(Loader { sector, core: make("i386-pc", "biosdisk")?, efi: make("x86_64-efi", "")? })
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("read {}: `make setup` installs GRUB's packages", path.display()))
}

/// A tar archive of one file, without owner or time.
fn archive(name: &str, content: &[u8]) -> Result<Vec<u8>> {
    const RECORD: usize = 512;
    let mut header = [0u8; RECORD];
    let mut put = |at: usize, text: &[u8]| {
        for (to, from) in header.iter_mut().skip(at).zip(text) {
            *to = *from;
        }
    };
    put(0, name.as_bytes());
    for (at, number) in [(100, b"0000644"), (108, b"0000000"), (116, b"0000000")] {
        put(at, number);
    }
    put(124, format!("{:011o}\0", content.len()).as_bytes());
    put(136, b"00000000000");
    // The field of the checksum counts as spaces in the checksum.
    put(148, b"        0");
    put(257, b"ustar");
    put(263, b"00");
    let sum: u32 = header.iter().map(|b| u32::from(*b)).sum();
    for (to, from) in header.iter_mut().skip(148).zip(format!("{sum:06o}\0 ").bytes()) {
        *to = from;
    }
    let mut archive = [header.as_slice(), content].concat();
    archive.resize(archive.len().next_multiple_of(RECORD) + 2 * RECORD, 0);
    Ok(archive)
}

#[cfg(test)]
mod tests {
    use super::*;
    use director_core::upgrade::layout;

    fn board() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../board/x86_64")
    }

    #[test]
    fn the_same_script_gives_the_same_programs() {
        let folder = crate::testing::Folder::new();
        let (one, two) = (
            Loader::build(&board(), &folder.join("one")).unwrap(),
            Loader::build(&board(), &folder.join("two")).unwrap(),
        );
        assert!(one.core == two.core && one.efi == two.efi);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left");
    }

    #[test]
    fn the_script_reads_the_sectors_where_the_layout_puts_things() {
        let script = fs::read_to_string(board().join("grub.cfg")).unwrap();
        let trailer = layout::TRAILER_AT / layout::SECTOR;
        for place in [
            format!("{trailer}+2"),
            format!("{}+1", trailer + 2),
            format!("{}+$", layout::INITRAMFS_AT / layout::SECTOR),
        ] {
            assert!(script.contains(&place), "{place}");
        }
    }

    #[test]
    fn the_script_is_one_that_grub_can_parse() {
        let ended = Command::new("grub-script-check").arg(board().join("grub.cfg")).output().unwrap();
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    }
}

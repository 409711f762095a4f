//! Writes a finished image to a whole disk: refuses disks that something uses, and reads back what it wrote.

use crate::disk::SIZE_MIN;
use crate::say::Progress;
use anyhow::{Context, Result, bail, ensure};
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

const MIB: u64 = 1 << 20;
/// Bytes at the end of a disk that hold a copy of the data partition's superblock, with room.
const TAIL: u64 = MIB;
/// Bytes copied at a time.
const CHUNK: usize = 1 << 20;

/// A disk that may be written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Target {
    /// Its kernel name.
    pub name: String,
    /// What the maker calls it.
    pub model: String,
    /// Bytes, in whole MiB.
    pub size: u64,
    /// The kernel says that it can be pulled out.
    pub removable: bool,
    /// Its partitions, which will be lost: name and MiB.
    pub partitions: Vec<(String, u64)>,
}

impl Target {
    /// What must be typed before it is written: its name, twice for a disk that is built in.
    #[must_use]
    pub fn word(&self) -> String {
        if self.removable { self.name.clone() } else { format!("{0} {0}", self.name) }
    }

    /// What will be lost, in words.
    #[must_use]
    pub fn losses(&self) -> String {
        let Self { name, model, size, removable, partitions } = self;
        let parts: Vec<String> =
            partitions.iter().map(|(part, mib)| format!("{part} with {mib} MiB")).collect();
        let parts = if parts.is_empty() { "no partitions".to_owned() } else { parts.join(", ") };
        let fixed = if *removable { "" } else { " It is NOT removable: is it the disk of this machine?" };
        format!("{name}: {model}, {} MiB, {parts}. EVERYTHING ON IT WILL BE LOST.{fixed}", size / MIB)
    }
}

/// Looks at a disk, and refuses everything that should not be overwritten.
pub fn inspect(device: &Path) -> Result<Target> {
    let device = device.canonicalize().with_context(|| format!("look for {}", device.display()))?;
    ensure!(
        fs::metadata(&device)?.file_type().is_block_device(),
        "{} is not a disk; to write an image into a file: make image",
        device.display()
    );
    let name = device.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mounts = fs::read_to_string("/proc/mounts").context("read /proc/mounts")?;
    let swaps = fs::read_to_string("/proc/swaps").unwrap_or_default();
    check(&name, Path::new("/sys/block"), &format!("{mounts}\n{swaps}"))
}

/// `used` has lines that begin with a device that is in use.
fn check(name: &str, class: &Path, used: &str) -> Result<Target> {
    let folder = class.join(name);
    ensure!(folder.is_dir(), "{name} is a partition: give the whole disk, as lsblk shows it");
    let value = |file: &str| fs::read_to_string(folder.join(file)).unwrap_or_default().trim().to_owned();
    ensure!(value("ro") != "1", "{name} is write-protected");
    let inside = fs::read_dir(&folder)?.filter_map(Result::ok).map(|e| e.file_name());
    let parts = inside.map(|n| n.to_string_lossy().into_owned()).filter(|n| n.starts_with(name));
    let mut parts: Vec<String> = parts.collect();
    parts.sort();
    for part in parts.iter().chain([&name.to_owned()]) {
        let path = format!("/dev/{part}");
        if let Some(line) = used.lines().find(|line| line.split_whitespace().next() == Some(&path)) {
            let place = line.split_whitespace().nth(1).unwrap_or_default();
            bail!("{path} is in use ({place}): unmount it first, or is it the wrong disk?");
        }
        let own = if part == name { folder.clone() } else { folder.join(part) };
        if let Some(Ok(holder)) = fs::read_dir(own.join("holders")).ok().and_then(|mut all| all.next()) {
            bail!("{path} is in use by {}: is it the wrong disk?", holder.file_name().to_string_lossy());
        }
    }
    let sectors: u64 = value("size").parse().with_context(|| format!("size of {name}"))?;
    let size = sectors.saturating_mul(512) / MIB * MIB;
    ensure!(size >= SIZE_MIN, "{name} has {} MiB, the least is {}", size / MIB, SIZE_MIN / MIB);
    let mib = |part: &String| value(&format!("{part}/size")).parse::<u64>().unwrap_or(0) / (MIB / 512);
    Ok(Target {
        name: name.to_owned(),
        model: value("device/model"),
        size,
        removable: value("removable") == "1",
        partitions: parts.iter().map(|part| (part.clone(), mib(part))).collect(),
    })
}

/// Copies what an image holds to a disk of the same size, and reads it back from the medium. Between its beginning and its
/// end lies only unused room of the data partition.
pub fn write(image: &mut File, disk: &mut File, size: u64) -> Result<()> {
    let ranges = [(0, SIZE_MIN), (size.saturating_sub(TAIL).max(SIZE_MIN), size)];
    let steps = ranges.iter().map(|(from, to)| (to - from).div_ceil(MIB)).sum::<u64>();
    let mut progress = Progress::start("flash", usize::try_from(steps * 2)?);
    let mut each = |what: &str, act: &mut dyn FnMut(u64, &[u8]) -> Result<()>| -> Result<()> {
        for (from, to) in ranges {
            image.seek(SeekFrom::Start(from))?;
            let mut at = from;
            while at < to {
                let mut chunk = vec![0; CHUNK.min(usize::try_from(to - at)?)];
                image.read_exact(&mut chunk).context("read the image")?;
                act(at, &chunk)?;
                progress.step(what);
                at += u64::try_from(chunk.len())?;
            }
        }
        Ok(())
    };
    each("written", &mut |at, chunk| {
        disk.seek(SeekFrom::Start(at))?;
        disk.write_all(chunk).with_context(|| format!("write at {} MiB", at / MIB))
    })?;
    disk.sync_all().context("sync")?;
    // Without this the page cache would be compared with itself. Length 0 means to the end.
    posix_fadvise(&*disk, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED)?;
    each("read back", &mut |at, chunk| {
        let mut found = vec![0; chunk.len()];
        disk.seek(SeekFrom::Start(at))?;
        disk.read_exact(&mut found).with_context(|| format!("read back at {} MiB", at / MIB))?;
        ensure!(found == chunk, "the disk does not hold what was written at {} MiB: replace it", at / MIB);
        Ok(())
    })?;
    progress.end();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Folder;
    use std::path::PathBuf;

    /// A disk `sdx` with one partition, as sysfs shows it.
    fn class(sectors: u64) -> (Folder, PathBuf) {
        let folder = Folder::new();
        let class = folder.join("block");
        fs::create_dir_all(class.join("sdx/sdx1/holders")).unwrap();
        fs::create_dir_all(class.join("sdx/device")).unwrap();
        fs::write(class.join("sdx/size"), format!("{sectors}\n")).unwrap();
        fs::write(class.join("sdx/ro"), "0\n").unwrap();
        fs::write(class.join("sdx/removable"), "1\n").unwrap();
        fs::write(class.join("sdx/sdx1/size"), "204800\n").unwrap();
        fs::write(class.join("sdx/device/model"), "Stick   \n").unwrap();
        (folder, class)
    }

    fn refusal(class: &Path, name: &str, used: &str) -> String {
        check(name, class, used).unwrap_err().to_string()
    }

    #[test]
    fn a_whole_disk_that_nobody_uses_is_taken_in_whole_mib() {
        let (_folder, class) = class(262_145);
        let partitions = vec![("sdx1".to_owned(), 100)];
        let want = Target {
            name: "sdx".into(),
            model: "Stick".into(),
            size: 128 * MIB,
            removable: true,
            partitions,
        };
        assert_eq!(check("sdx", &class, "/dev/sdxy / ext4\n/dev/sda1 /\n").unwrap(), want);
    }

    #[test]
    fn what_will_be_lost_is_said_and_a_disk_that_is_built_in_must_be_named_twice() {
        let (_folder, class) = class(262_144);
        let stick = check("sdx", &class, "").unwrap();
        assert_eq!(stick.word(), "sdx");
        assert_eq!(stick.losses(), "sdx: Stick, 128 MiB, sdx1 with 100 MiB. EVERYTHING ON IT WILL BE LOST.");
        fs::write(class.join("sdx/removable"), "0\n").unwrap();
        let fixed = check("sdx", &class, "").unwrap();
        assert_eq!(fixed.word(), "sdx sdx");
        assert!(fixed.losses().contains("NOT removable"));
    }

    #[test]
    fn a_disk_in_use_a_partition_and_a_small_one_are_refused() {
        let (_folder, class) = class(262_144);
        assert!(refusal(&class, "sdx1", "").contains("give the whole disk"));
        assert!(refusal(&class, "sdx", "/dev/sdx1 /home ext4 rw\n").contains("in use (/home)"));
        assert!(refusal(&class, "sdx", "/dev/sdx partition 100\n").contains("in use"));
        fs::write(class.join("sdx/sdx1/holders/dm-0"), "").unwrap();
        assert!(refusal(&class, "sdx", "").contains("in use by dm-0"));
        fs::remove_file(class.join("sdx/sdx1/holders/dm-0")).unwrap();
        fs::write(class.join("sdx/ro"), "1\n").unwrap();
        assert!(refusal(&class, "sdx", "").contains("write-protected"));
        fs::write(class.join("sdx/ro"), "0\n").unwrap();
        fs::write(class.join("sdx/size"), "2048\n").unwrap();
        assert!(refusal(&class, "sdx", "").contains("has 1 MiB"));
    }

    #[test]
    fn a_file_is_not_a_disk() {
        let folder = Folder::new();
        let path = folder.join("file");
        fs::write(&path, "").unwrap();
        assert!(inspect(&path).unwrap_err().to_string().contains("is not a disk"));
    }

    #[test]
    fn beginning_and_end_of_the_image_are_on_the_disk() {
        let folder = Folder::new();
        let size = SIZE_MIN + 8 * MIB;
        let open = |name: &str| {
            let path = folder.join(name);
            let file = File::options().read(true).write(true).create(true).truncate(true).open(path).unwrap();
            file.set_len(size).unwrap();
            file
        };
        let (mut image, mut disk) = (open("image"), open("disk"));
        for at in [0, SIZE_MIN - 4, size - 4] {
            image.seek(SeekFrom::Start(at)).unwrap();
            image.write_all(b"here").unwrap();
        }
        write(&mut image, &mut disk, size).unwrap();
        for at in [0, SIZE_MIN - 4, size - 4] {
            let mut found = [0; 4];
            disk.seek(SeekFrom::Start(at)).unwrap();
            disk.read_exact(&mut found).unwrap();
            assert_eq!(&found, b"here");
        }
    }
}

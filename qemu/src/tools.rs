//! Programs of this machine inside guests: a second archive behind the initramfs (the kernel unpacks one after the
//! other), with a shell on ttyS3 that the harness types into. The product's own archive stays as it is.
//!
//! Two ways to start, chosen on the kernel's command line. A director runs `/lab/start`: it puts the shell into the
//! background and becomes the product's `/init`, still PID 1. A helper machine runs `/lab/world`, and the shell is PID 1.

use anyhow::{Context as _, Result, bail};
use cpio::newc::{Builder, ModeFileType, trailer};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Shell and small programs of every guest that has tools.
const BUSYBOX: &str = "/bin/busybox";
/// Character device 4:67, ttyS3 (Linux `Documentation/admin-guide/devices.txt`).
const TTY: (u32, u32) = (4, 67);
/// Character device 1:3. The shell opens it for what it puts into the background, before anything is mounted.
const NULL: (u32, u32) = (1, 3);
/// Ends the answer to one line of the shell; its status stands between the two.
pub(crate) const ENDS: (&str, &str) = ("[[status ", "]]");

/// Reads one line after the other, runs it, and says how it ended.
const AGENT: &str = r#"/lab/busybox stty raw -echo
export PATH=/usr/sbin:/usr/bin:/sbin:/bin:/lab/bin
echo "[[ready]]"
while read -r line; do
  eval "$line" </dev/null 2>&1
  echo "[[status $?]]"
done
"#;

const START: &str = r"/lab/busybox sh /lab/agent </lab/tty >/lab/tty 2>/lab/tty &
exec /init
";

const WORLD: &str = r"/lab/busybox mount -t proc proc /proc
/lab/busybox mount -t sysfs sysfs /sys
/lab/busybox mount -t devtmpfs devtmpfs /dev
/lab/busybox mount -t tmpfs tmpfs /run
/lab/busybox mount -t tmpfs tmpfs /tmp
/lab/busybox ip link set lo up
exec /lab/busybox sh /lab/agent </lab/tty >/lab/tty 2>/lab/tty
";

/// Accounts that servers want to find.
const PASSWD: &str =
    "root:x:0:0:root:/root:/bin/sh\nftp:x:100:100:ftp:/srv:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n";
const GROUP: &str = "root:x:0:\nftp:x:100:\nnogroup:x:65534:\n";

/// Which script a guest starts with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Start {
    /// The product, with the shell beside it.
    Director,
    /// The shell alone.
    World,
}

impl Start {
    /// What is added to the kernel's command line; what follows `--` are arguments of the first program.
    pub(crate) const fn append(self) -> &'static str {
        match self {
            Self::Director => "rdinit=/lab/busybox -- sh /lab/start",
            Self::World => "rdinit=/lab/busybox -- sh /lab/world",
        }
    }
}

/// What a guest carries.
#[derive(Clone, Debug, Default)]
pub struct Tools {
    programs: BTreeMap<String, PathBuf>,
    files: BTreeMap<String, Vec<u8>>,
}

impl Tools {
    /// Programs by their full paths, each with its libraries, beside busybox.
    #[must_use]
    pub fn new<'a>(programs: impl IntoIterator<Item = &'a str>) -> Self {
        let programs = programs.into_iter().map(|path| (path.to_owned(), PathBuf::from(path)));
        Self { programs: programs.collect(), files: BTreeMap::new() }
    }

    /// And a program of this machine under another path.
    #[must_use]
    pub fn program(mut self, in_guest: &str, path: &Path) -> Self {
        self.programs.insert(in_guest.to_owned(), path.to_owned());
        self
    }

    /// And a file, by its full path in the guest.
    #[must_use]
    pub fn file(mut self, path: &str, content: impl Into<Vec<u8>>) -> Self {
        self.files.insert(path.to_owned(), content.into());
        self
    }

    /// Writes the initramfs of a guest: `product`, and behind it this.
    pub(crate) fn write(&self, product: &Path, to: &Path) -> Result<()> {
        let mut bytes = fs::read(product).with_context(|| format!("cannot read {}", product.display()))?;
        // The kernel looks for the next archive on a multiple of 4 bytes, and skips zeros.
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes.extend(self.archive()?);
        fs::write(to, bytes).with_context(|| format!("cannot write {}", to.display()))
    }

    fn archive(&self) -> Result<Vec<u8>> {
        let mut files: BTreeMap<String, (u32, Vec<u8>)> = BTreeMap::new();
        let mut add = |path: &str, mode: u32, content: Vec<u8>| {
            files.insert(path.trim_start_matches('/').to_owned(), (mode, content));
        };
        let read = |path: &Path| fs::read(path).with_context(|| format!("cannot read {}", path.display()));
        add("lab/busybox", 0o755, read(Path::new(BUSYBOX))?);
        add("bin/sh", 0o755, read(Path::new(BUSYBOX))?);
        for (path, text) in [("lab/agent", AGENT), ("lab/start", START), ("lab/world", WORLD)] {
            add(path, 0o644, text.into());
        }
        add("etc/passwd", 0o644, PASSWD.into());
        add("etc/group", 0o644, GROUP.into());
        let busybox = (BUSYBOX.to_owned(), PathBuf::from(BUSYBOX));
        for (in_guest, program) in self.programs.iter().chain([(&busybox.0, &busybox.1)]) {
            for library in libraries(program)? {
                add(&library.to_string_lossy(), 0o755, read(&library)?);
            }
            add(in_guest, 0o755, read(program)?);
        }
        for (path, content) in &self.files {
            add(path, 0o644, content.clone());
        }
        pack(&files)
    }
}

fn pack(files: &BTreeMap<String, (u32, Vec<u8>)>) -> Result<Vec<u8>> {
    let mut archive = Vec::new();
    let mut number = 1;
    let mut put = |archive: &mut Vec<u8>, entry: Builder, content: &[u8]| -> Result<()> {
        let size = u32::try_from(content.len()).context("a file of more than 4 GiB")?;
        number += 1;
        let mut writer = entry.ino(number).mtime(0).uid(0).gid(0).write(&mut *archive, size);
        std::io::copy(&mut &*content, &mut writer).context("pack")?;
        writer.finish().context("pack").map(|_| ())
    };
    let mut folders: BTreeSet<&Path> = BTreeSet::from([
        Path::new("dev"),
        Path::new("lab/bin"),
        Path::new("root"),
        Path::new("srv"),
        Path::new("var/log"),
    ]);
    folders.extend(files.keys().filter_map(|path| Path::new(path).parent()));
    let all: BTreeSet<&Path> = folders.iter().flat_map(|folder| folder.ancestors()).collect();
    for folder in all.into_iter().filter(|folder| !folder.as_os_str().is_empty()) {
        let entry = Builder::new(&folder.to_string_lossy()).mode(0o755);
        put(&mut archive, entry.set_mode_file_type(ModeFileType::Directory).nlink(2), &[])?;
    }
    for (path, (mode, content)) in files {
        let entry = Builder::new(path).mode(*mode).set_mode_file_type(ModeFileType::Regular);
        put(&mut archive, entry, content)?;
    }
    for (name, (major, minor)) in [("lab/tty", TTY), ("dev/null", NULL)] {
        let node = Builder::new(name).mode(0o600).set_mode_file_type(ModeFileType::Char);
        put(&mut archive, node.rdev_major(major).rdev_minor(minor), &[])?;
    }
    for applet in applets()?.lines() {
        let link = Builder::new(&format!("lab/bin/{applet}")).mode(0o777);
        put(&mut archive, link.set_mode_file_type(ModeFileType::Symlink), b"/lab/busybox")?;
    }
    trailer(&mut archive).context("end the archive")?;
    Ok(archive)
}

/// The names of the programs that busybox is.
fn applets() -> Result<String> {
    let output =
        Command::new(BUSYBOX).arg("--list").output().with_context(|| format!("cannot start {BUSYBOX}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The libraries of a program, the dynamic linker among them, as the linker of this machine finds them.
fn libraries(program: &Path) -> Result<BTreeSet<PathBuf>> {
    let output = Command::new("ldd").arg(program).output().context("cannot start ldd")?;
    let said = String::from_utf8_lossy(&output.stdout);
    if said.contains("not found") {
        bail!("{}: {said}", program.display());
    }
    // `libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x...)`, `/lib64/ld-linux-x86-64.so.2 (0x...)`; a static program
    // has none.
    let path = |line: &str| line.split_whitespace().find(|word| word.starts_with('/')).map(PathBuf::from);
    Ok(said.lines().filter_map(path).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_comes_with_its_dynamic_linker_and_its_c_library() {
        let found = libraries(Path::new("/bin/ls")).unwrap();
        let has = |part: &str| found.iter().any(|path| path.to_string_lossy().contains(part));
        assert!(has("ld-linux") && has("libc.so"), "{found:?}");
    }

    #[test]
    fn an_archive_has_its_folders_before_what_is_in_them() {
        let files = BTreeMap::from([("a/b/c".to_owned(), (0o644, b"x".to_vec()))]);
        let archive = pack(&files).unwrap();
        let at = |name: &[u8]| archive.windows(name.len()).position(|window| window == name);
        assert!(at(b"a\0") < at(b"a/b\0") && at(b"a/b\0") < at(b"a/b/c\0"));
        assert_eq!(archive.len() % 4, 0);
    }
}

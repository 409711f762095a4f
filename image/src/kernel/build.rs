//! Runs kbuild: unpack, configure, check the configuration, compile.

use super::cache::Kernel;
use super::config;
use crate::files;
use crate::say::{Progress, say};
use anyhow::{Context, Result, bail};
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Which objects were counted the last time is in the work folder; this is for the first time (linux 6.1.192).
const OBJECTS_ESTIMATE: usize = 2473;

/// Lines of the compiler's messages that a failed build shows.
const TAIL_LINES: usize = 40;

/// What goes into the banner of `uname -a` and `/proc/version`, in place of who built it where and when.
pub(super) const BANNER: [(&str, &str); 4] = [
    ("KBUILD_BUILD_TIMESTAMP", "1970-01-01 00:00:00 UTC"),
    ("KBUILD_BUILD_USER", "director"),
    ("KBUILD_BUILD_HOST", "director"),
    ("KBUILD_BUILD_VERSION", "1"),
];

/// A source tree and its objects.
#[derive(Debug)]
pub(super) struct Work {
    source: PathBuf,
    objects: PathBuf,
    errors: PathBuf,
    count: PathBuf,
}

impl Work {
    /// Unpacks `tarball` below `folder`, unless the source of this digest is there already; then its objects are kept,
    /// and a changed fragment compiles only what it concerns.
    pub(super) fn open(folder: &Path, tarball: &Path, digest: &str) -> Result<Self> {
        let work = Self {
            source: folder.join("source"),
            objects: folder.join("objects"),
            errors: folder.join("errors.log"),
            count: folder.join("count"),
        };
        let stamp = work.source.join(".director-source");
        if fs::read_to_string(&stamp).is_ok_and(|found| found == digest) {
            return Ok(work);
        }
        if folder.exists() {
            fs::remove_dir_all(folder).with_context(|| format!("remove {}", folder.display()))?;
        }
        let new = folder.join("source.new");
        fs::create_dir_all(&new).with_context(|| format!("create {}", new.display()))?;
        say(format!("kernel: unpacking {} (about half a minute, once)", tarball.display()));
        let mut tar = tool("tar");
        tar.arg("-xf").arg(tarball).args(["--strip-components=1", "--no-same-owner", "-C"]).arg(&new);
        run(tar, "unpack the kernel source")?;
        if !new.join("scripts/kconfig/merge_config.sh").exists() {
            bail!("{} does not hold a Linux source tree", tarball.display());
        }
        fs::write(new.join(".director-source"), digest)?;
        fs::rename(&new, &work.source).with_context(|| format!("create {}", work.source.display()))?;
        Ok(work)
    }

    /// Lays `fragment` over tinyconfig, completes it, and checks that every symbol survived.
    pub(super) fn configure(&self, fragment: &str) -> Result<()> {
        let wanted = config::parse(fragment).context("kernel fragment")?;
        fs::create_dir_all(&self.objects).with_context(|| format!("create {}", self.objects.display()))?;
        let asked = self.objects.join("director.fragment");
        fs::write(&asked, fragment)?;
        let result = self.objects.join(".config");
        self.make_quietly("tinyconfig")?;
        let mut merge = tool("sh");
        merge.current_dir(&self.source).arg("scripts/kconfig/merge_config.sh").args(["-m", "-O"]);
        merge.arg(&self.objects).arg(&result).arg(&asked);
        run(merge, "merge the kernel fragment")?;
        self.make_quietly("olddefconfig")?;
        config::compare(&wanted, &fs::read_to_string(&result)?)
    }

    /// Compiles.
    pub(super) fn compile(&self) -> Result<Kernel> {
        let estimate = fs::read_to_string(&self.count).ok().and_then(|text| text.trim().parse().ok());
        let mut progress = Progress::start("kernel", estimate.unwrap_or(OBJECTS_ESTIMATE));
        let jobs = std::thread::available_parallelism().map_or(1, usize::from);
        let mut make = self.make("bzImage");
        make.arg(format!("-j{jobs}")).stdout(Stdio::piped()).stderr(File::create(&self.errors)?);
        let mut child = make.spawn().context("start make")?;
        let output = child.stdout.take().context("make has no output")?;
        let mut compiled = 0;
        for line in BufReader::new(output).lines() {
            let line = line.context("read make's output")?;
            // "  CC      net/core/dev.o": kbuild's one line for one file.
            let Some((command, file)) = line.trim_start().split_once(' ') else { continue };
            if line.starts_with("  ") {
                compiled += usize::from(command == "CC");
                progress.step(file.trim());
            }
        }
        let (steps, took) = progress.end();
        if !child.wait().context("wait for make")?.success() {
            let errors = String::from_utf8_lossy(&fs::read(&self.errors)?).into_owned();
            let lines: Vec<&str> = errors.lines().collect();
            for line in lines.iter().skip(lines.len().saturating_sub(TAIL_LINES)) {
                say(line);
            }
            bail!("the kernel did not build; all messages are in {}", self.errors.display());
        }
        if estimate.is_none_or(|before| steps > before) {
            fs::write(&self.count, steps.to_string())?;
        }
        say(format!("kernel: {compiled} files compiled in {} s", took.as_secs()));
        Ok(Kernel {
            image: fs::read(self.objects.join("arch/x86/boot/bzImage"))?,
            config: fs::read(self.objects.join(".config"))?,
        })
    }

    fn make(&self, target: &str) -> Command {
        let mut make = tool("make");
        make.arg("-C").arg(&self.source).arg(format!("O={}", self.objects.display())).arg(target);
        make.args(["ARCH=x86_64", "KBUILD_VERBOSE=0"]);
        make
    }

    fn make_quietly(&self, target: &str) -> Result<()> {
        run(self.make(target), &format!("make {target}"))
    }
}

/// A program with an environment of its own: what the user, cargo or an outer make have set must not change the bytes.
fn tool(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("LC_ALL", "C").env("TZ", "UTC").envs(BANNER).stdin(Stdio::null());
    for name in ["PATH", "HOME", "TMPDIR"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command
}

/// Runs a short step; what it said is shown when it failed.
fn run(mut command: Command, what: &str) -> Result<()> {
    let output = command.output().with_context(|| format!("{what}: start {command:?}"))?;
    if !output.status.success() {
        say(String::from_utf8_lossy(&output.stdout));
        say(String::from_utf8_lossy(&output.stderr));
        bail!("{what}: {}", output.status);
    }
    Ok(())
}

/// The compiler and the linker, as they name themselves: another one makes another kernel.
pub(super) fn toolchain() -> Result<String> {
    let mut text = String::new();
    for program in ["gcc", "ld"] {
        let output = tool(program).arg("--version").output().with_context(|| format!("start {program}"))?;
        let first = String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().to_owned();
        if !output.status.success() || first.is_empty() {
            bail!("{program} --version: {}", output.status);
        }
        text.push_str(&first);
        text.push('\n');
    }
    Ok(text)
}

/// A source digest of a tarball.
pub(super) fn source_digest(tarball: &Path) -> Result<String> {
    files::digest_file(tarball)
}

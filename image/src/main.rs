//! `director-image`: the command line of the image builder. `make` calls it; see `make help`.

use anyhow::{Context, Result};
use clap::{Parser, Subcommand, ValueEnum};
use director_core::store::identity::Role;
use director_image::disk::{Disk, SIZE_MIN};
use director_image::grub::Loader;
use director_image::report::Sizes;
use director_image::say::say;
use director_image::seed::Seed;
use director_image::slot::System;
use director_image::{files, initramfs, kernel};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

const MIB: u64 = 1 << 20;

#[derive(Debug, Parser)]
#[command(about, version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Build the kernel, or take it from the cache
    Kernel {
        /// Symbols that are laid over tinyconfig
        #[arg(long, default_value_os_t = tree().join("board/x86_64/kernel.fragment"))]
        fragment: PathBuf,
        /// Where bzImage goes; its configuration goes beside it as kernel.config
        #[arg(long, default_value_os_t = built("bzImage"))]
        out: PathBuf,
        /// Only see whether every symbol survives olddefconfig
        #[arg(long)]
        check: bool,
    },
    /// Pack the initramfs around the program
    Initramfs {
        /// The static program
        #[arg(long)]
        program: PathBuf,
        /// Where the program is kept for those who want to look at it
        #[arg(long, default_value_os_t = built("director"))]
        keep: PathBuf,
        /// Where the initramfs goes
        #[arg(long, default_value_os_t = built("initramfs.cpio.zst"))]
        out: PathBuf,
    },
    /// List what an initramfs holds
    Ls {
        /// The initramfs
        #[arg(default_value_os_t = built("initramfs.cpio.zst"))]
        file: PathBuf,
    },
    /// Assemble the disk
    Disk {
        /// Where the image goes
        #[arg(long, default_value_os_t = built("director-x86_64.img"))]
        out: PathBuf,
        /// The kernel
        #[arg(long, default_value_os_t = built("bzImage"))]
        kernel: PathBuf,
        /// The initramfs
        #[arg(long, default_value_os_t = built("initramfs.cpio.zst"))]
        initramfs: PathBuf,
        /// Folder of the boot loader's scripts and the kernel's command line
        #[arg(long, default_value_os_t = tree().join("board/x86_64"))]
        board: PathBuf,
        /// Leave out the boot loader: for a machine that is handed its kernel
        #[arg(long)]
        no_loader: bool,
        /// Bytes of the disk in MiB
        #[arg(long, default_value_t = SIZE_MIN / MIB)]
        size: u64,
        /// Which node of the pair the box is
        #[arg(long)]
        role: Option<RoleName>,
        /// `set` lines that the box comes up with
        #[arg(long)]
        config: Option<PathBuf>,
    },
    /// Print the sizes, and fail when one is over its budget
    Report {
        /// The static program
        #[arg(long, default_value_os_t = built("director"))]
        program: PathBuf,
        /// The kernel
        #[arg(long, default_value_os_t = built("bzImage"))]
        kernel: PathBuf,
        /// The initramfs
        #[arg(long, default_value_os_t = built("initramfs.cpio.zst"))]
        initramfs: PathBuf,
        /// Where the table goes
        #[arg(long, default_value_os_t = built("sizes.md"))]
        out: PathBuf,
    },
}

/// The work tree that this was compiled in. Defaults lie there whatever folder this is called from: the lab calls it
/// from the folder of a test.
fn tree() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here)
}

fn built(name: &str) -> PathBuf {
    tree().join("build").join(name)
}

/// A path as people write it: from the current folder.
fn short(path: &Path) -> String {
    let current = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(current).unwrap_or(path).display().to_string()
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum RoleName {
    Primary,
    Backup,
}

impl From<RoleName> for Role {
    fn from(name: RoleName) -> Self {
        match name {
            RoleName::Primary => Self::Primary,
            RoleName::Backup => Self::Backup,
        }
    }
}

fn main() -> Result<()> {
    match Arguments::parse().command {
        Command::Kernel { fragment, out: _, check: true } => kernel::check(&fragment),
        Command::Kernel { fragment, out, check: false } => build_kernel(&fragment, &out),
        Command::Initramfs { program, keep, out } => pack(&program, &keep, &out),
        Command::Ls { file } => print(&listing(&file)?),
        Command::Disk { out, kernel, initramfs, board, no_loader, size, role, config } => {
            let config =
                config.map(|path| read(&path).and_then(|b| Ok(String::from_utf8(b)?))).transpose()?;
            let seed = Seed { role: role.map(Role::from), config };
            let cmdline = fs::read_to_string(board.join("cmdline")).context("read the board's cmdline")?;
            let system =
                System::new(env!("CARGO_PKG_VERSION"), cmdline.trim(), &read(&kernel)?, &read(&initramfs)?)?;
            let loader = if no_loader { None } else { Some(Loader::build(&board, &out)?) };
            let size = size.saturating_mul(MIB);
            Disk { size, system: &system, loader: loader.as_ref(), seed: &seed }.write(&out)?;
            say(format!("disk: {}, {} MiB", short(&out), size / MIB));
            Ok(())
        }
        Command::Report { program, kernel, initramfs, out } => {
            let sizes =
                Sizes { binary: size(&program)?, initramfs: size(&initramfs)?, kernel: size(&kernel)? };
            files::install(&out, sizes.table().as_bytes())?;
            print(&sizes.table())?;
            sizes.check()
        }
    }
}

fn build_kernel(fragment: &Path, out: &Path) -> Result<()> {
    let kernel = kernel::kernel(fragment)?;
    files::install(&out.with_file_name("kernel.config"), &kernel.config)?;
    let news = if files::install(out, &kernel.image)? { "" } else { " (unchanged)" };
    say(format!("kernel: {}, {} bytes{news}", short(out), kernel.image.len()));
    Ok(())
}

fn pack(program: &Path, keep: &Path, out: &Path) -> Result<()> {
    let program = read(program)?;
    let archive = initramfs::pack(&program)?;
    let packed = initramfs::compress(&archive)?;
    files::install(keep, &program)?;
    let news = if files::install(out, &packed)? { "" } else { " (unchanged)" };
    say(format!("initramfs: {}, {} bytes of {}{news}", short(out), packed.len(), archive.len()));
    Ok(())
}

fn listing(file: &Path) -> Result<String> {
    let files = initramfs::list(&read(file)?).with_context(|| format!("list {}", file.display()))?;
    let programs = files.iter().filter(|file| file.is_program()).count();
    let lines: String = files.iter().map(|file| format!("{file}\n")).collect();
    Ok(format!(
        "{lines}{} entries, {programs} program{}\n",
        files.len(),
        if programs == 1 { "" } else { "s" }
    ))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("read {}", path.display()))
}

fn size(path: &Path) -> Result<u64> {
    Ok(fs::metadata(path).with_context(|| format!("look at {}", path.display()))?.len())
}

fn print(text: &str) -> Result<()> {
    std::io::stdout().write_all(text.as_bytes()).context("write to standard output")
}

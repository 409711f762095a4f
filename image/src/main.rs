//! `director-image`: the command line of the image builder. `make` calls it; see `make help`.

use anyhow::{Context, Result, ensure};
use clap::{Parser, Subcommand, ValueEnum};
use director_core::store::identity::Role;
use director_core::upgrade::trust;
use director_image::disk::{Disk, SIZE_MIN};
use director_image::flash::Target;
use director_image::grub::Loader;
use director_image::manifest::{self, Entry};
use director_image::report::Sizes;
use director_image::say::say;
use director_image::seed::Seed;
use director_image::slot::System;
use director_image::{bundle, files, flash, initramfs, kernel};
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
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
    /// See whether a kernel was configured with every symbol of the fragment
    Symbols {
        /// Symbols that were asked for
        #[arg(long, default_value_os_t = tree().join("board/x86_64/kernel.fragment"))]
        fragment: PathBuf,
        /// The configuration of a kernel
        #[arg(long)]
        config: PathBuf,
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
    /// Write the firmware to a whole disk, and read it back
    Flash {
        /// The disk, such as /dev/sdb
        #[arg(long)]
        device: PathBuf,
        /// The kernel
        #[arg(long, default_value_os_t = built("bzImage"))]
        kernel: PathBuf,
        /// The initramfs
        #[arg(long, default_value_os_t = built("initramfs.cpio.zst"))]
        initramfs: PathBuf,
        /// Folder of the boot loader's scripts and the kernel's command line
        #[arg(long, default_value_os_t = tree().join("board/x86_64"))]
        board: PathBuf,
        /// Which node of the pair the box is
        #[arg(long)]
        role: Option<RoleName>,
        /// `set` lines that the box comes up with
        #[arg(long)]
        config: Option<PathBuf>,
        /// Do not ask: the name of the disk again, such as sdb
        #[arg(long)]
        yes: Option<String>,
    },
    /// Make a key that signs upgrades, and print its public half
    Key {
        /// Where it goes; a file that is there is not replaced
        out: PathBuf,
    },
    /// Make a signed upgrade of the kernel and the initramfs
    Bundle {
        /// The key
        #[arg(long)]
        key: PathBuf,
        /// The oldest version that takes it
        #[arg(long, default_value = "0.1.0")]
        needs: String,
        /// The kernel
        #[arg(long, default_value_os_t = built("bzImage"))]
        kernel: PathBuf,
        /// The initramfs
        #[arg(long, default_value_os_t = built("initramfs.cpio.zst"))]
        initramfs: PathBuf,
        /// Folder of the kernel's command line; its name is that of the board
        #[arg(long, default_value_os_t = tree().join("board/x86_64"))]
        board: PathBuf,
        /// Where it goes
        #[arg(long, default_value_os_t = built("director-x86_64.upgrade"))]
        out: PathBuf,
    },
    /// Compress the image, and write beside it what is in it: manifest, checksums, list of parts
    Manifest {
        /// The image
        #[arg(long, default_value_os_t = built("director-x86_64.img"))]
        image: PathBuf,
        /// The static program
        #[arg(long, default_value_os_t = built("director"))]
        program: PathBuf,
        /// The kernel
        #[arg(long, default_value_os_t = built("bzImage"))]
        kernel: PathBuf,
        /// The initramfs
        #[arg(long, default_value_os_t = built("initramfs.cpio.zst"))]
        initramfs: PathBuf,
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
        Command::Symbols { fragment, config } => kernel::compare(&fragment, &config),
        Command::Kernel { fragment, out, check: false } => build_kernel(&fragment, &out),
        Command::Initramfs { program, keep, out } => pack(&program, &keep, &out),
        Command::Ls { file } => print(&listing(&file)?),
        Command::Disk { out, kernel, initramfs, board, no_loader, size, role, config } => {
            let seed = seed(role, config)?;
            let system = system(&board, &kernel, &initramfs)?;
            let loader = if no_loader { None } else { Some(Loader::build(&board, &out)?) };
            let size = size.saturating_mul(MIB);
            Disk { size, system: &system, loader: loader.as_ref(), seed: &seed }.write(&out)?;
            say(format!("disk: {}, {} MiB", short(&out), size / MIB));
            Ok(())
        }
        Command::Flash { device, kernel, initramfs, board, role, config, yes } => {
            let target = flash::inspect(&device)?;
            confirm(&target, yes)?;
            let (seed, system) = (seed(role, config)?, system(&board, &kernel, &initramfs)?);
            let out = built(&format!("flash-{}.img", target.name));
            let loader = Loader::build(&board, &out)?;
            let disk = Disk { size: target.size, system: &system, loader: Some(&loader), seed: &seed };
            disk.write(&out)?;
            let written = write_disk(&out, &device, target.size);
            fs::remove_file(&out).context("remove the image")?;
            written?;
            say(format!("{}: written and read back, {} MiB", device.display(), target.size / MIB));
            Ok(())
        }
        Command::Key { out } => print(&format!("{}\n", bundle::make_key(&out)?)),
        Command::Bundle { key, needs, kernel, initramfs, board, out } => {
            let name = board.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let system = system(&board, &kernel, &initramfs)?;
            let bytes = bundle::bundle(&system, &name, &needs, &bundle::read_key(&key)?)?;
            files::install(&out, &bytes)?;
            say(format!("upgrade: {}, {} bytes", short(&out), bytes.len()));
            Ok(())
        }
        Command::Manifest { image, program, kernel, initramfs } => {
            describe(&image, &program, &kernel, &initramfs)
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

fn seed(role: Option<RoleName>, config: Option<PathBuf>) -> Result<Seed> {
    let config = config.map(|path| read(&path).and_then(|b| Ok(String::from_utf8(b)?))).transpose()?;
    Ok(Seed { role: role.map(Role::from), config })
}

fn system(board: &Path, kernel: &Path, initramfs: &Path) -> Result<System> {
    let cmdline = fs::read_to_string(board.join("cmdline")).context("read the board's cmdline")?;
    System::new(env!("CARGO_PKG_VERSION"), cmdline.trim(), &read(kernel)?, &read(initramfs)?)
}

/// The compressed image and what is said of it, beside the image.
fn describe(image: &Path, program: &Path, kernel: &Path, initramfs: &Path) -> Result<()> {
    let beside = |more: &str| PathBuf::from(format!("{}{more}", image.display()));
    let packed = beside(".zst");
    files::install(&packed, &initramfs::compress(&read(image)?)?)?;
    let version = env!("CARGO_PKG_VERSION");
    let running = manifest::kernel_version(&read(kernel)?)?;
    let parts = beside(".cdx.json");
    files::install(&parts, manifest::parts(tree(), version, &running)?.as_bytes())?;
    let entries = [
        Entry::of(image, "disk image")?,
        Entry::of(&packed, "disk image, compressed by zstd")?,
        Entry::of(kernel, "kernel")?,
        Entry::of(initramfs, "initramfs")?,
        Entry::of(program, "program, also in the initramfs")?,
        Entry::of(&parts, "list of parts, CycloneDX")?,
    ];
    let text = manifest::manifest(version, &running, trust::BOARD, &entries)?;
    files::install(&beside(".json"), text.as_bytes())?;
    files::install(&beside(".sha256"), manifest::checksums(&entries).as_bytes())?;
    say(format!("manifest: {}, with .zst, .sha256 and .cdx.json beside it", short(&beside(".json"))));
    if trust::published() {
        say(
            "upgrades: signed with the development key, which is public; board/x86_64/upgrade.pub names another",
        );
    }
    Ok(())
}

/// Everything on the disk will be lost: its name must be typed, or given.
fn confirm(target: &Target, yes: Option<String>) -> Result<()> {
    let word = target.word();
    let typed = match yes {
        Some(name) => name,
        None => {
            print(&format!("{}\nType {word} to go on: ", target.losses()))?;
            std::io::stdout().flush().context("write to standard output")?;
            let mut line = String::new();
            std::io::stdin().read_line(&mut line).context("read the answer")?;
            line
        }
    };
    ensure!(typed.trim() == word, "nothing was written: the answer was not {word}");
    Ok(())
}

fn write_disk(image: &Path, device: &Path, size: u64) -> Result<()> {
    let mut image = File::open(image).context("open the image")?;
    let mut options = File::options();
    // Exclusive: the kernel refuses a disk that was mounted since it was looked at.
    let options = options.read(true).write(true).custom_flags(nix::fcntl::OFlag::O_EXCL.bits());
    let mut disk = options.open(device).with_context(|| format!("open {}", device.display()))?;
    flash::write(&mut image, &mut disk, size)
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

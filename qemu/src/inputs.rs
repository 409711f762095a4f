//! What the lab boots: kernel, initramfs, disk images. All from `build/`, or from where the environment says.

use crate::hub::Hub;
use crate::process::Program;
use crate::run_folder::build_folder;
use crate::scenario::{BringUp, Role};
use crate::vm::Firmware;
use anyhow::{Context as _, Result, bail};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use std::{env, io};

/// Size of a blank disk, used where no image tool is at hand and no configuration is needed on the disk.
const BLANK_DISK_BYTES: u64 = 64 << 20;
/// How long the image tool may take for one disk.
const DISK_LIMIT: Duration = Duration::from_secs(60);

/// `LAB_KERNEL` or `build/bzImage`.
pub(crate) fn kernel() -> Result<PathBuf> {
    existing(from_env("LAB_KERNEL").unwrap_or_else(|| build_folder().join("bzImage")))
}

/// `LAB_INITRAMFS` or the newest `build/initramfs.cpio*`.
pub(crate) fn initramfs() -> Result<PathBuf> {
    if let Some(path) = from_env("LAB_INITRAMFS") {
        return existing(path);
    }
    let mut newest: Option<(SystemTime, PathBuf)> = None;
    for entry in fs::read_dir(build_folder()).into_iter().flatten().flatten() {
        if !entry.file_name().to_string_lossy().starts_with("initramfs.cpio") {
            continue;
        }
        let changed = entry.metadata().and_then(|data| data.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
        if newest.as_ref().is_none_or(|(other, _)| changed > *other) {
            newest = Some((changed, entry.path()));
        }
    }
    newest.map(|(_, path)| path).with_context(|| missing(&build_folder().join("initramfs.cpio*")))
}

/// The command line of a lab kernel: quiet console on ttyS0, kernel log on ttyS2. `LAB_APPEND` adds to it.
pub(crate) fn append() -> String {
    let more = env::var("LAB_APPEND").unwrap_or_default();
    format!("console=ttyS0,115200 quiet panic=1 lockdown=confidentiality director.kmsg=ttyS2 {more}")
        .trim_end()
        .to_owned()
}

/// Makes the flash disk of one director.
pub(crate) fn disk(
    hub: &Arc<Hub>,
    folder: &Path,
    firmware: Firmware,
    (role, config, bring_up): (Role, &str, BringUp),
) -> Result<PathBuf> {
    let out = folder.join("disk.img");
    let Some(tool) = image_tool() else {
        if bring_up == BringUp::Preloaded {
            bail!("director-image is not built, and the disk needs a configuration: `make image` builds it");
        }
        File::create(&out)
            .and_then(|file| file.set_len(BLANK_DISK_BYTES))
            .context("cannot make a blank disk")?;
        return Ok(out);
    };
    let role = match role {
        Role::Primary => "primary",
        Role::Backup => "backup",
    };
    let mut argv = vec![
        tool.to_string_lossy().into_owned(),
        "disk".into(),
        "--out".into(),
        out.to_string_lossy().into_owned(),
        "--role".into(),
        role.into(),
    ];
    if firmware == Firmware::None {
        argv.push("--no-loader".into());
    }
    if bring_up == BringUp::Preloaded {
        let set = folder.join("preloaded.set");
        fs::write(&set, config).context("cannot write the configuration")?;
        argv.extend(["--config".into(), set.to_string_lossy().into_owned()]);
    }
    let ended = Program::new("director-image", argv).spawn(hub)?.wait(DISK_LIMIT)?;
    if !ended.status.success() {
        bail!("director-image disk: {}: {}{}", ended.status, ended.stdout, ended.stderr);
    }
    Ok(out)
}

/// `LAB_IMAGE_TOOL`, or the program beside this one (test programs lie one folder deeper).
fn image_tool() -> Option<PathBuf> {
    if let Some(path) = from_env("LAB_IMAGE_TOOL") {
        return Some(path);
    }
    let exe = env::current_exe().ok()?;
    let beside = exe.ancestors().skip(1).take(2).map(|folder| folder.join("director-image"));
    // A soak runs in a profile of its own, and the tool does not.
    beside.chain([build_folder().join("target/debug/director-image")]).find(|path| path.is_file())
}

fn from_env(name: &str) -> Option<PathBuf> {
    env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

fn existing(path: PathBuf) -> Result<PathBuf> {
    match path.canonicalize() {
        Ok(path) => Ok(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => bail!(missing(&path)),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

fn missing(path: &Path) -> String {
    format!("{} is missing: `make image` builds it", path.display())
}

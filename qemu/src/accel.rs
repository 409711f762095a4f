//! Which accelerator works here, and fastest. A device node says nothing: `/dev/kvm` can exist and hang.

use crate::clock;
use crate::hub::Hub;
use crate::process::Program;
use anyhow::{Context as _, Result, bail};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{env, fs};

/// The emulator.
pub const QEMU: &str = "qemu-system-x86_64";
/// All that are tried, the portable one first.
const CANDIDATES: [&str; 2] = ["tcg", "kvm"];
/// A guest of a few instructions that has not ended by then is not worth waiting for (TCG takes 0.3 s).
const PROBE_LIMIT: Duration = Duration::from_secs(4);
/// What `isa-debug-exit` makes of the value 0x10: (0x10 << 1) | 1.
const ENDED_ITSELF: i32 = 33;

/// `LAB_ACCEL`, the cached answer, or the fastest of the accelerators that ran a tiny guest to its end.
///
/// # Errors
/// When none did.
pub fn choose(hub: &Arc<Hub>, scratch: &Path) -> Result<String> {
    if let Some(forced) = env::var("LAB_ACCEL").ok().filter(|value| !value.is_empty()) {
        return Ok(forced);
    }
    let key = cache_key(hub)?;
    let cache = cache_file();
    if let Some(path) = &cache
        && let Some((cached_key, accel)) =
            fs::read_to_string(path).ok().as_deref().and_then(|t| t.split_once('\n'))
        && cached_key == key
        && CANDIDATES.contains(&accel.trim())
    {
        return Ok(accel.trim().to_owned());
    }
    let image = scratch.join("probe.img");
    fs::write(&image, boot_sector()).context("cannot write the boot sector")?;
    let mut best: Option<(Duration, &str)> = None;
    for accel in CANDIDATES {
        let outcome = probe(hub, &image, accel);
        hub.line("lab", "accel", &format!("{accel}: {outcome:?}"));
        if let Ok(took) = outcome
            && best.is_none_or(|(fastest, _)| took < fastest)
        {
            best = Some((took, accel));
        }
    }
    let Some((_, accel)) = best else {
        bail!("{QEMU} runs no guest here under any of {CANDIDATES:?}; its words are in the timeline")
    };
    if let Some(path) = cache
        && let Some(folder) = path.parent()
    {
        // Without a cache the probe is only repeated.
        fs::create_dir_all(folder).and_then(|()| fs::write(&path, format!("{key}\n{accel}\n"))).ok();
    }
    Ok(accel.to_owned())
}

/// Time from start to end of the tiny guest.
///
/// # Errors
/// When it did not end by itself in time.
pub fn probe(hub: &Arc<Hub>, image: &Path, accel: &str) -> Result<Duration> {
    let drive = format!("file={},format=raw,if=ide,readonly=off", image.display());
    let argv = [
        QEMU,
        "-nodefaults",
        "-no-user-config",
        "-no-reboot",
        "-display",
        "none",
        "-vga",
        "none",
        "-machine",
        "pc",
        "-m",
        "16",
        "-accel",
        accel,
        "-drive",
        &drive,
        "-device",
        "isa-debug-exit",
    ];
    let start = clock::now();
    let ended = Program::new("probe", argv).spawn(hub)?.wait(PROBE_LIMIT)?;
    let took = clock::now().duration_since(start);
    if ended.status.code() != Some(ENDED_ITSELF) {
        bail!("{}: {}", ended.status, ended.stderr.trim());
    }
    Ok(took)
}

/// A boot sector that writes 0x10 to the port of `isa-debug-exit`.
#[must_use]
pub fn boot_sector() -> [u8; 512] {
    // mov dx, 0x501; mov al, 0x10; out dx, al; cli; hlt
    let code = [0xba, 0x01, 0x05, 0xb0, 0x10, 0xee, 0xfa, 0xf4];
    let mut sector = [0; 512];
    for (to, from) in sector.iter_mut().zip(code) {
        *to = from;
    }
    for (to, from) in sector.iter_mut().skip(510).zip([0x55, 0xaa]) {
        *to = from;
    }
    sector
}

/// The emulator, the kernel and the permissions that the answer depends on.
fn cache_key(hub: &Arc<Hub>) -> Result<String> {
    let version = Program::new("qemu", [QEMU, "--version"]).quiet().spawn(hub)?.wait(PROBE_LIMIT)?;
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let kvm = fs::OpenOptions::new().read(true).write(true).open("/dev/kvm").is_ok();
    Ok(format!("{} {} kvm={kvm}", version.stdout.lines().next().unwrap_or_default(), release.trim()))
}

fn cache_file() -> Option<PathBuf> {
    let base = env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")))?;
    Some(base.join("director-lab").join("accelerator"))
}

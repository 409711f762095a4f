//! The phases that PID 1 does itself, in the order of [`director_core::init::phase::BOOT`].

use super::face::Face;
use crate::platform::selfcheck::WALL_CLOCK_MIN_S;
use crate::platform::watchdog::Watchdog;
use crate::platform::{clock, loopback};
use director_core::init::cmdline::Options;
use director_core::init::limits;
use director_core::init::phase::{BOOT, Line, Phase};
use director_core::upgrade::running::Running;
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use std::fs;
use std::io::{self, ErrorKind, Read};

/// What the boot found.
#[derive(Debug)]
pub(super) struct Booted {
    pub(super) watchdog: Option<Watchdog>,
    /// Whether the kernel log is copied to a line.
    pub(super) relay: bool,
    /// What the boot loader started.
    pub(super) system: Option<Running>,
}

struct Mount {
    kind: &'static str,
    target: &'static str,
    flags: MsFlags,
    /// Sizes are bounds, not reservations. Chosen: `/run` holds checkpoints and traces, `/tmp` an upgrade in transit.
    options: &'static str,
}

const SAFE: MsFlags = MsFlags::MS_NOSUID.union(MsFlags::MS_NODEV).union(MsFlags::MS_NOEXEC);

const MOUNTS: [Mount; 5] = [
    Mount { kind: "proc", target: "/proc", flags: SAFE, options: "" },
    Mount { kind: "sysfs", target: "/sys", flags: SAFE, options: "" },
    Mount {
        kind: "devtmpfs",
        target: "/dev",
        flags: MsFlags::MS_NOSUID.union(MsFlags::MS_NOEXEC),
        options: "mode=0755",
    },
    Mount { kind: "tmpfs", target: "/run", flags: SAFE, options: "mode=0755,size=8m" },
    Mount { kind: "tmpfs", target: "/tmp", flags: SAFE, options: "mode=1777,size=16m" },
];

/// Does them all, a line for each. `None` when a fatal one failed.
pub(super) fn run(face: &mut Face) -> Option<Booted> {
    let mut booted = Booted { watchdog: None, relay: false, system: None };
    for spec in BOOT {
        let start = clock::now();
        let result = match spec.phase {
            Phase::Mounts => mounts(),
            Phase::Kmsg => kmsg(&mut booted),
            Phase::Clock => wall_clock(),
            Phase::Watchdog => watchdog(&mut booted),
            Phase::Loopback => loopback::up().map_err(|e| format!("lo: {e}")),
            // From here on the supervisor decides.
            Phase::Director | Phase::Console => break,
        };
        if spec.phase == Phase::Mounts {
            face.reopen();
        }
        let problem = result.as_ref().err().map(String::as_str);
        let line = Line { phase: spec.phase, took: super::since(start), problem };
        face.phase(&line);
        if line.fatal() {
            return None;
        }
    }
    Some(booted)
}

fn mounts() -> Result<(), String> {
    for row in MOUNTS {
        match fs::create_dir(row.target) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                return Err(format!("{}: {error}", row.target));
            }
            Ok(()) | Err(_) => {}
        }
        match mount(Some(row.kind), row.target, Some(row.kind), row.flags, Some(row.options)) {
            // EBUSY: it is mounted there (the kernel can mount /dev itself).
            Ok(()) | Err(Errno::EBUSY) => {}
            Err(error) => return Err(format!("{}: {error}", row.target)),
        }
    }
    Ok(())
}

/// The log takes all our lines; the command line says whether it is copied somewhere.
fn kmsg(booted: &mut Booted) -> Result<(), String> {
    let options = read_options().map_err(|e| format!("/proc/cmdline: {e}"))?;
    booted.relay = options.kmsg.is_some();
    booted.system = options.running;
    set("/proc/sys/kernel/printk_devkmsg", "on\n")?;
    // The mount points are there, and nothing else is ever written to the root.
    let flags = MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(None::<&str>, "/", None::<&str>, flags, None::<&str>)
        .map_err(|e| format!("read-only root: {e}"))?;
    if options.misread {
        return Err(
            "director.console= or director.kmsg= on the kernel command line not understood".to_owned()
        );
    }
    Ok(())
}

/// Our words on the kernel command line.
pub(crate) fn read_options() -> io::Result<Options> {
    let mut text = String::new();
    let limit = u64::try_from(limits::CMDLINE_BYTES).unwrap_or(u64::MAX);
    fs::File::open("/proc/cmdline")?.take(limit).read_to_string(&mut text)?;
    Ok(Options::parse(&text))
}

fn wall_clock() -> Result<(), String> {
    if clock::unix_s() >= WALL_CLOCK_MIN_S { Ok(()) } else { Err("the wall clock is not set".to_owned()) }
}

fn watchdog(booted: &mut Booted) -> Result<(), String> {
    let wanted = limits::WATCHDOG_TIMEOUT_S;
    let (watchdog, granted) = Watchdog::arm(wanted).map_err(|e| format!("/dev/watchdog: {e}"))?;
    booted.watchdog = Some(watchdog);
    match granted {
        Some(seconds) if seconds == wanted => Ok(()),
        Some(seconds) => Err(format!("its time-out is {seconds} s, not {wanted} s")),
        None => Err("its time-out is fixed".to_owned()),
    }
}

/// Nothing below an emergency is printed on the console from here on; a panic raises the level itself.
pub(super) fn quieten_kernel() -> Result<(), String> {
    set("/proc/sys/kernel/printk", "1 4 1 7\n")
}

fn set(path: &str, value: &str) -> Result<(), String> {
    fs::write(path, value).map_err(|e| format!("{path}: {e}"))
}

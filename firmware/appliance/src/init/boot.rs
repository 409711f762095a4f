//! The boot phases that PID 1 does itself, in the order of [`director_core::init::phase::BOOT`].

use crate::platform::watchdog::Watchdog;
use crate::platform::{clock, kmsg};
use director_core::director::Level;
use director_core::init::Phase;
use director_core::init::cmdline::Options;
use director_core::init::limits::WATCHDOG_TIMEOUT_S;
use director_core::init::phase::{Line, Spec};
use director_core::model::Millis;
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use std::fs;
use std::io::{self, Write as _};
use std::os::fd::AsRawFd as _;

/// 2026-01-01: a clock before it was never set.
const PLAUSIBLE_UNIX_S: u64 = 1_767_225_600;

/// What the phases found.
#[derive(Debug)]
pub(super) struct Booted {
    /// The armed watchdog.
    pub(super) watchdog: Option<Watchdog>,
    /// Whether the kernel log is to be copied to a line.
    pub(super) relay: bool,
}

/// Goes through the phases. `None`: a fatal one failed.
pub(super) fn boot() -> Option<Booted> {
    if !phase(Phase::Mounts, || mounts().map(|()| None)) {
        return None;
    }
    phase(Phase::Kmsg, || fs::write("/proc/sys/kernel/printk_devkmsg", "on\n").map(|()| None));
    phase(Phase::Clock, || Ok(clock_problem()));
    let mut watchdog = None;
    phase(Phase::Watchdog, || {
        let armed = Watchdog::arm(WATCHDOG_TIMEOUT_S)?;
        let words = match &armed {
            None => Some("none on this box".to_owned()),
            Some((_, seconds)) if *seconds != WATCHDOG_TIMEOUT_S => {
                Some(format!("its time-out is {seconds} s"))
            }
            Some(_) => None,
        };
        watchdog = armed.map(|(watchdog, _)| watchdog);
        Ok(words)
    });
    phase(Phase::Loopback, || loopback().map(|()| None));
    // A stray keyboard must not reboot a director.
    let _refused = nix::sys::reboot::set_cad_enabled(false).is_err();
    let options = Options::parse(&fs::read_to_string("/proc/cmdline").unwrap_or_default());
    if options.misread {
        kmsg::log(Level::Warning, "a director.* word of the kernel command line was not understood");
    }
    Some(Booted { watchdog, relay: options.kmsg.is_some() })
}

/// Runs one phase and prints its line. False when it was fatal.
fn phase(phase: Phase, act: impl FnOnce() -> io::Result<Option<String>>) -> bool {
    let began = clock::now();
    let problem = act().unwrap_or_else(|error| Some(error.to_string()));
    let took = Millis::new(u32::try_from(clock::now().micros_since(began) / 1000).unwrap_or(u32::MAX));
    let line = Line { phase, took, problem: problem.as_deref() };
    say(&line);
    !line.fatal()
}

/// Prints a boot line on the console, and logs one with a problem.
pub(super) fn say(line: &Line<'_>) {
    if let Some(problem) = line.problem {
        kmsg::log(Level::Warning, &format!("boot phase {}: {problem}", Spec::of(line.phase).name));
    }
    // Standard output of PID 1 is /dev/console. A console that cannot be written has nobody to tell.
    let _lost = writeln!(io::stdout(), "{line}\r").is_err();
}

/// Nothing of the kernel appears on the console any more but a panic, which raises the level itself.
pub(super) fn quieten() -> io::Result<()> {
    // console_loglevel, default, minimum, boot default (Documentation/admin-guide/sysctl/kernel.rst).
    fs::write("/proc/sys/kernel/printk", "1 4 1 4\n")
}

fn mounts() -> io::Result<()> {
    let safe = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC | MsFlags::MS_NODEV;
    let memory = Some("mode=0755,size=16m");
    let all: [(&str, &str, MsFlags, Option<&str>); 5] = [
        ("proc", "/proc", safe, None),
        ("sysfs", "/sys", safe, None),
        // NODEV would make the device nodes useless.
        ("devtmpfs", "/dev", MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC, None),
        ("tmpfs", "/run", safe, memory),
        ("tmpfs", "/tmp", safe, Some("mode=1777,size=16m")),
    ];
    for (kind, place, flags, options) in all {
        match mount(Some(kind), place, Some(kind), flags, options) {
            // The kernel mounted it already (CONFIG_DEVTMPFS_MOUNT).
            Ok(()) | Err(Errno::EBUSY) => {}
            Err(errno) => return Err(io::Error::other(format!("{place}: {}", errno.desc()))),
        }
    }
    Ok(())
}

fn clock_problem() -> Option<String> {
    (clock::unix_s() < PLAUSIBLE_UNIX_S).then(|| "the wall clock is not set; times are since boot".to_owned())
}

mod ioctl {
    #![expect(unsafe_code, reason = "device flags are set by ioctl(2); netlink is not there yet")]
    nix::ioctl_write_ptr_bad!(set_flags, libc::SIOCSIFFLAGS, libc::ifreq);

    /// Sets the flags of a device.
    pub(super) fn flags(fd: libc::c_int, request: &libc::ifreq) -> nix::Result<()> {
        // SAFETY: the kernel reads one ifreq at the address, which lives until the call returns.
        unsafe { set_flags(fd, request) }.map(drop)
    }

    /// A request about `lo` with these flags.
    pub(super) fn loopback(flags: libc::c_short) -> libc::ifreq {
        // SAFETY: all zero bytes are a valid ifreq: an empty name and a union of numbers.
        let mut request: libc::ifreq = unsafe { core::mem::zeroed() };
        for (to, from) in request.ifr_name.iter_mut().zip(*b"lo") {
            *to = libc::c_char::from_ne_bytes([from]);
        }
        request.ifr_ifru.ifru_flags = flags;
        request
    }
}

/// Brings the loopback device up.
fn loopback() -> io::Result<()> {
    let socket = socket(AddressFamily::Inet, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    let up = i16::try_from(libc::IFF_UP | libc::IFF_RUNNING).unwrap_or(1);
    ioctl::flags(socket.as_raw_fd(), &ioctl::loopback(up)).map_err(io::Error::from)
}

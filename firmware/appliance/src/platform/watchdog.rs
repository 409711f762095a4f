//! The hardware watchdog (Documentation/watchdog/watchdog-api.rst): not fed for its time-out, it resets the box.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd as _;

const DEVICE: &str = "/dev/watchdog";

mod ioctl {
    #![expect(unsafe_code, reason = "the only way to a watchdog is ioctl(2)")]
    // include/uapi/linux/watchdog.h: WATCHDOG_IOCTL_BASE 'W'; 5 is KEEPALIVE, 6 SETTIMEOUT.
    nix::ioctl_read!(keepalive, b'W', 5, libc::c_int);
    nix::ioctl_readwrite!(set_timeout, b'W', 6, libc::c_int);

    /// Sets the time-out in seconds; gives the one that the hardware took.
    pub(super) fn timeout(fd: libc::c_int, mut seconds: libc::c_int) -> nix::Result<libc::c_int> {
        // SAFETY: the kernel reads and writes one int at the address, which lives until the call returns.
        unsafe { set_timeout(fd, &raw mut seconds) }?;
        Ok(seconds)
    }

    /// Feeds.
    pub(super) fn feed(fd: libc::c_int) -> nix::Result<()> {
        let mut unused = 0;
        // SAFETY: the kernel ignores the argument of KEEPALIVE; the address is valid all the same.
        unsafe { keepalive(fd, &raw mut unused) }.map(drop)
    }
}

/// An armed watchdog. Closing it without the magic letter leaves it armed: a dead PID 1 must not disarm it.
#[derive(Debug)]
pub(crate) struct Watchdog {
    device: File,
}

impl Watchdog {
    /// Arms it. `None`: this box has none.
    pub(crate) fn arm(timeout_s: u32) -> io::Result<Option<(Self, u32)>> {
        let device = match OpenOptions::new().write(true).open(DEVICE) {
            Ok(device) => device,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let wanted = i32::try_from(timeout_s).unwrap_or(i32::MAX);
        let took = ioctl::timeout(device.as_raw_fd(), wanted).map_err(io::Error::from)?;
        Ok(Some((Self { device }, u32::try_from(took).unwrap_or(0))))
    }

    /// Feeds it.
    pub(crate) fn feed(&self) {
        // A watchdog that cannot be fed resets the box; there is nothing else to do.
        let _refused = ioctl::feed(self.device.as_raw_fd()).is_err();
    }
}

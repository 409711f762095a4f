//! The hardware watchdog: resets the box when it is not fed.
#![expect(unsafe_code, reason = "WDIOC_SETTIMEOUT has no safe wrapper")]

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsRawFd;

/// The first watchdog that the kernel found; hardware is registered before the software one.
const DEVICE: &str = "/dev/watchdog";

nix::ioctl_readwrite!(
    /// linux/watchdog.h: `_IOWR('W', 6, int)`, seconds in, seconds granted out.
    set_timeout, b'W', 6, libc::c_int
);

/// An armed watchdog. Dropping it does not disarm it: the magic `V` is never written.
#[derive(Debug)]
pub(crate) struct Watchdog {
    device: File,
}

impl Watchdog {
    /// Opens and thereby arms the watchdog, asks for a time-out of `seconds`, and gives the one granted (`None`:
    /// the chip has a fixed one).
    pub(crate) fn arm(seconds: u32) -> io::Result<(Self, Option<u32>)> {
        let watchdog = Self { device: OpenOptions::new().write(true).open(DEVICE)? };
        let granted = watchdog.set(seconds);
        Ok((watchdog, granted))
    }

    /// Asks for a time-out and gives the one granted (`None`: the chip has a fixed one).
    pub(crate) fn set(&self, seconds: u32) -> Option<u32> {
        let mut timeout = libc::c_int::try_from(seconds).unwrap_or(libc::c_int::MAX);
        // SAFETY: the kernel reads and writes one live int.
        let granted = unsafe { set_timeout(self.device.as_raw_fd(), &raw mut timeout) };
        granted.ok().and_then(|_| u32::try_from(timeout).ok())
    }

    /// Starts the time-out anew.
    pub(crate) fn feed(&mut self) -> io::Result<()> {
        // Any byte but 'V' (Documentation/watchdog/watchdog-api.rst).
        self.device.write_all(&[0])
    }
}

//! The one clock, and the wall clock beside it.
#![expect(unsafe_code, reason = "RTC_SET_TIME has no safe wrapper")]

use director_core::model::Mono;
use director_core::model::date::Date;
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime, clock_settime};
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;

/// Microseconds since boot, suspended time included.
pub(crate) fn now() -> Mono {
    // The call fails only for a clock that the kernel does not have; CLOCK_BOOTTIME came with Linux 2.6.39.
    let Ok(time) = clock_gettime(ClockId::CLOCK_BOOTTIME) else { return Mono::ZERO };
    let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
    let micros = u64::try_from(time.tv_nsec()).unwrap_or(0) / 1000;
    Mono::from_micros(seconds.saturating_mul(1_000_000).saturating_add(micros))
}

/// Seconds since 1970 as the wall clock has them; for display only, it may be wrong by decades.
pub(crate) fn unix_s() -> u64 {
    let time = clock_gettime(ClockId::CLOCK_REALTIME).map(|t| t.tv_sec()).unwrap_or(0);
    u64::try_from(time).unwrap_or(0)
}

/// Microseconds since 1970 when the machine was started, by the wall clock of now.
pub(crate) fn booted_unix_us() -> u64 {
    let Ok(time) = clock_gettime(ClockId::CLOCK_REALTIME) else { return 0 };
    let micros = u64::try_from(time.tv_nsec()).unwrap_or(0) / 1000;
    let unix_us = u64::try_from(time.tv_sec()).unwrap_or(0).saturating_mul(1_000_000).saturating_add(micros);
    unix_us.saturating_sub(now().micros())
}

/// Sets the wall clock to so many microseconds after 1970.
pub(crate) fn set_unix_us(unix_us: u64) -> io::Result<()> {
    let out_of_range = |_| io::Error::from(io::ErrorKind::InvalidInput);
    let seconds = i64::try_from(unix_us / 1_000_000).map_err(out_of_range)?;
    let nanos = i64::try_from(unix_us % 1_000_000 * 1000).map_err(out_of_range)?;
    clock_settime(ClockId::CLOCK_REALTIME, TimeSpec::new(seconds, nanos)).map_err(io::Error::from)
}

/// The clock on the board, which the kernel reads when it starts (`CONFIG_RTC_HCTOSYS_DEVICE`).
const RTC: &str = "/dev/rtc0";

/// linux/rtc.h: `struct rtc_time`.
#[repr(C)]
struct RtcTime {
    second: libc::c_int,
    minute: libc::c_int,
    hour: libc::c_int,
    day: libc::c_int,
    /// From 0.
    month: libc::c_int,
    /// From 1900.
    year: libc::c_int,
    /// Not looked at, like the two after it.
    weekday: libc::c_int,
    day_of_year: libc::c_int,
    summer: libc::c_int,
}

nix::ioctl_write_ptr!(
    /// linux/rtc.h: `_IOW('p', 0x0a, struct rtc_time)`.
    set_rtc_time, b'p', 0x0a, RtcTime
);

/// Sets the clock on the board to so many seconds after 1970.
pub(crate) fn set_rtc(unix_s: u64) -> io::Result<()> {
    let date = Date::of(unix_s);
    let int = |n: u64| libc::c_int::try_from(n).unwrap_or(0);
    let time = RtcTime {
        second: int(date.second),
        minute: int(date.minute),
        hour: int(date.hour),
        day: int(date.day),
        month: int(date.month.saturating_sub(1)),
        year: int(date.year.saturating_sub(1900)),
        weekday: 0,
        day_of_year: 0,
        summer: 0,
    };
    let device = File::open(RTC)?;
    // SAFETY: the kernel reads one live struct of the layout it declares.
    unsafe { set_rtc_time(device.as_raw_fd(), &raw const time) }.map(|_| ()).map_err(io::Error::from)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_clock_of_decisions_never_goes_back() {
        let first = super::now();
        assert!(super::now() >= first && first > director_core::model::Mono::ZERO);
    }
}

//! The one clock.

use director_core::model::Mono;
use nix::time::{ClockId, clock_gettime};

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

#[cfg(test)]
mod tests {
    #[test]
    fn the_clock_of_decisions_never_goes_back() {
        let first = super::now();
        assert!(super::now() >= first && first > director_core::model::Mono::ZERO);
    }
}

//! Time as the firmware knows it: a monotonic instant and a configured span.

use core::fmt;
use core::str::FromStr;
use serde::{Deserialize, Serialize};

/// An instant: microseconds since boot (`CLOCK_BOOTTIME`). Never wall-clock, never goes back, and a
/// restarted director continues on the same scale.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
pub struct Mono(u64);

impl Mono {
    /// The instant of boot.
    pub const ZERO: Self = Self(0);

    /// From microseconds since boot.
    pub const fn from_micros(us: u64) -> Self {
        Self(us)
    }

    /// From milliseconds since boot; saturates.
    pub const fn from_millis(ms: u64) -> Self {
        Self(ms.saturating_mul(1000))
    }

    /// Microseconds since boot.
    pub const fn micros(self) -> u64 {
        self.0
    }

    /// Whole milliseconds since boot.
    pub const fn millis(self) -> u64 {
        self.0 / 1000
    }

    /// The instant `span` later; saturates at the end of time (584,000 years).
    #[must_use]
    pub fn after(self, span: Millis) -> Self {
        Self(self.0.saturating_add(u64::from(span.get()).saturating_mul(1000)))
    }

    /// Microseconds from `earlier` to `self`, zero when `earlier` is later.
    pub const fn micros_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Mono {
    /// Seconds since boot with milliseconds, as the kernel log prints them: `12.345`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.millis();
        write!(f, "{}.{:03}", ms / 1000, ms % 1000)
    }
}

/// A configured span in milliseconds, 0 to about 49 days. Written with a unit: `500ms`, `2s`, `3m`, `1h`, `2d`;
/// parts may be joined (`1m30s`). A bare number is refused, because the systems we replace disagree on its unit.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
pub struct Millis(u32);

impl Millis {
    /// A span of `ms` milliseconds.
    pub const fn new(ms: u32) -> Self {
        Self(ms)
    }

    /// A span of whole seconds; saturates.
    pub const fn from_secs(s: u32) -> Self {
        Self(s.saturating_mul(1000))
    }

    /// Milliseconds.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The sum, saturating.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

/// Units from large to small, as accepted and printed.
const UNITS: [(&str, u32); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0s");
        }
        let mut rest = self.0;
        for (unit, ms) in UNITS {
            // Seconds and milliseconds are not joined: 1500ms reads better than 1s500ms.
            if unit == "s" && !rest.is_multiple_of(ms) {
                continue;
            }
            if rest >= ms {
                write!(f, "{}{unit}", rest / ms)?;
                rest %= ms;
            }
        }
        Ok(())
    }
}

/// Why a text is not a span.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SpanError {
    /// Digits without a unit.
    NoUnit,
    /// Not digits followed by d, h, m, s or ms.
    Malformed,
    /// Longer than 49 days.
    TooLong,
}

impl fmt::Display for SpanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoUnit => "a time needs a unit: ms, s, m, h or d (for example 10s)",
            Self::Malformed => "not a time: write for example 500ms, 10s, 3m or 1m30s",
            Self::TooLong => "longer than 49 days",
        })
    }
}

impl FromStr for Millis {
    type Err = SpanError;

    fn from_str(text: &str) -> Result<Self, SpanError> {
        let mut rest = text;
        let mut total: u32 = 0;
        let mut parts = 0_usize;
        while !rest.is_empty() && parts < UNITS.len() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or(SpanError::NoUnit)?;
            let (number, tail) = rest.split_at_checked(digits).ok_or(SpanError::Malformed)?;
            let unit_len = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
            let (unit, next) = tail.split_at_checked(unit_len).ok_or(SpanError::Malformed)?;
            let (_, ms) = UNITS.iter().find(|(u, _)| *u == unit).ok_or(SpanError::Malformed)?;
            if number.is_empty() {
                return Err(SpanError::Malformed);
            }
            let count: u32 = number.parse().map_err(|_| SpanError::TooLong)?;
            let part = count.checked_mul(*ms).ok_or(SpanError::TooLong)?;
            total = total.checked_add(part).ok_or(SpanError::TooLong)?;
            rest = next;
            parts += 1;
        }
        if parts == 0 || !rest.is_empty() {
            return Err(SpanError::Malformed);
        }
        Ok(Self(total))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn a_span_prints_as_it_is_written() {
        for text in ["0s", "1ms", "500ms", "1500ms", "10s", "3m", "1m30s", "1h", "2d", "1d1h1m1s"] {
            assert_eq!(text.parse::<Millis>().map(|m| m.to_string()), Ok(text.to_string()));
        }
    }

    #[test]
    fn a_span_without_unit_or_with_garbage_is_refused_with_the_fix() {
        assert_eq!("10".parse::<Millis>(), Err(SpanError::NoUnit));
        for text in ["", "s", "10 s", "-1s", "10x", "1.5s", "10sm"] {
            assert!(text.parse::<Millis>().is_err(), "{text}");
        }
        assert_eq!("60d".parse::<Millis>(), Err(SpanError::TooLong));
        assert_eq!("99999999999s".parse::<Millis>(), Err(SpanError::TooLong));
    }
}

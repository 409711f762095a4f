//! The one place of the lab that reads a clock.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The monotonic clock.
#[must_use]
pub(crate) fn now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "this module is the lab's clock")]
    Instant::now()
}

/// Seconds since 1970, for the names of run folders.
#[must_use]
pub(crate) fn unix_seconds() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "this module is the lab's clock")]
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// An instant after which something is given up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(Instant);

impl Deadline {
    /// `span` from now.
    #[must_use]
    pub(crate) fn after(span: Duration) -> Self {
        Self(now() + span)
    }

    /// What is left, `None` when it passed.
    #[must_use]
    pub(crate) fn left(self) -> Option<Duration> {
        self.0.checked_duration_since(now()).filter(|left| !left.is_zero())
    }
}

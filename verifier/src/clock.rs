//! The clocks, and the system's is read in one place.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// A moment by both clocks: one may stand still while the machine is suspended, the other be set.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// The time by the clock that cannot be set.
    pub instant: Instant,
    /// Seconds since the Unix epoch.
    pub unix: i64,
}

impl Now {
    /// Reads both.
    pub fn read() -> Self {
        Self { instant: Instant::now(), unix: unix_seconds() }
    }
}

/// Seconds since the Unix epoch (RFC 7519 section 2, `NumericDate`).
#[allow(clippy::disallowed_methods, reason = "the one place that reads the system clock")]
pub fn unix_seconds() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

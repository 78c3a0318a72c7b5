//! Time as a value. The clock is read once, at the edge, and travels inwards as `now: Timestamp`;
//! nothing below the edge reads a clock.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// A moment in whole seconds since the Unix epoch, UTC (RFC 7519 section 2, `NumericDate`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The moment `seconds` after the Unix epoch.
    pub const fn from_unix(seconds: i64) -> Self {
        Self(seconds)
    }

    /// Seconds since the Unix epoch.
    pub const fn as_unix(self) -> i64 {
        self.0
    }

    /// This moment moved forward by `duration`, whole seconds, never overflowing.
    pub const fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(saturating_seconds(duration)))
    }

    /// This moment moved back by `duration`, whole seconds, never overflowing.
    pub const fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(saturating_seconds(duration)))
    }

    /// How long after `earlier` this is; zero if it is not later.
    pub const fn since(self, earlier: Self) -> Duration {
        let seconds = self.0.saturating_sub(earlier.0);
        Duration::from_secs(if seconds > 0 { seconds as u64 } else { 0 })
    }

    /// Parses RFC 3339, a date alone, or the notation of databases: a space for the `T`, an offset
    /// of hours alone, or no offset, which means UTC. From 1970 on; fractions of a second are
    /// dropped.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.len() == 10 {
            return Self::parse(&format!("{text}T00:00:00"));
        }
        let (moment, rest) = text.split_at_checked("1970-01-01T00:00:00".len())?;
        let offset = match rest.strip_prefix('.') {
            Some(fraction) => fraction.trim_start_matches(|c: char| c.is_ascii_digit()),
            None => rest,
        };
        let moment = humantime::parse_rfc3339_weak(moment).ok()?;
        let seconds = moment.duration_since(UNIX_EPOCH).ok()?.as_secs() as i64;
        let moment = Self(seconds - seconds_east(offset.trim_start())?);
        (moment.0 >= 0).then_some(moment)
    }
}

/// Parses an offset from UTC: `Z`, `+hh`, `+hhmm`, `+hh:mm`, or none.
fn seconds_east(offset: &str) -> Option<i64> {
    if ["", "Z", "z"].contains(&offset) {
        return Some(0);
    }
    let sign = if offset.starts_with('-') { -1 } else { 1 };
    let digits = offset.strip_prefix(['+', '-'])?.replacen(':', "", 1);
    if ![2, 4].contains(&digits.len()) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (hours, minutes) = digits.split_at(2);
    let (hours, minutes): (i64, i64) = (hours.parse().ok()?, minutes.parse().unwrap_or(0));
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

const fn saturating_seconds(duration: Duration) -> i64 {
    let seconds = duration.as_secs();
    if seconds > i64::MAX as u64 { i64::MAX } else { seconds as i64 }
}

/// RFC 3339 in UTC, such as `2026-01-31T09:30:00Z`; the form of every time shown to people.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // humantime formats the years 1970 to 9999; Signet makes no date outside of them.
        let seconds = self.0.clamp(0, 253_402_300_799) as u64;
        let time = UNIX_EPOCH + Duration::from_secs(seconds);
        humantime::format_rfc3339_seconds(time).fmt(f)
    }
}

/// The source of `now`: the clock of the system.
#[derive(Clone, Debug)]
pub struct Clock {
    /// The file that says how far ahead tests have set this clock.
    #[cfg(debug_assertions)]
    file: Option<std::path::PathBuf>,
}

impl Clock {
    /// The system's clock.
    pub fn system() -> Self {
        Self {
            #[cfg(debug_assertions)]
            file: super::debug::clock_file(),
        }
    }

    /// The present moment.
    pub fn now(&self) -> Timestamp {
        Timestamp::from_unix(0).plus(self.since_epoch())
    }

    /// The present moment in fractions of a second, to compare clocks. A system clock before 1970
    /// counts as 1970: tokens then fail to verify.
    #[allow(clippy::disallowed_methods, reason = "the one place that reads the system clock")]
    pub fn since_epoch(&self) -> Duration {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        #[cfg(debug_assertions)]
        if let Some(file) = &self.file {
            return now + Duration::from_secs(super::debug::seconds_ahead(file));
        }
        now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates_and_never_goes_negative() {
        let t = Timestamp::from_unix(100);
        assert_eq!(t.plus(Duration::from_secs(5)).as_unix(), 105);
        assert_eq!(t.since(Timestamp::from_unix(40)), Duration::from_secs(60));
        assert_eq!(t.since(Timestamp::from_unix(140)), Duration::ZERO);
        assert_eq!(Timestamp::from_unix(i64::MAX).plus(Duration::MAX).as_unix(), i64::MAX);
    }

    #[test]
    fn shows_rfc_3339() {
        assert_eq!(Timestamp::from_unix(0).to_string(), "1970-01-01T00:00:00Z");
        assert_eq!(Timestamp::from_unix(1_764_547_200).to_string(), "2025-12-01T00:00:00Z");
        assert_eq!(Timestamp::from_unix(i64::MAX).to_string(), "9999-12-31T23:59:59Z");
    }

    #[test]
    fn reads_what_it_shows_and_what_databases_print() {
        let noon = Timestamp::from_unix(1_764_590_400);
        for text in [
            "2025-12-01T12:00:00Z",
            " 2025-12-01T12:00:00.987654Z\n",
            "2025-12-01 12:00:00",
            "2025-12-01 12:00:00.5",
            "2025-12-01 14:00:00.123+02",
            "2025-12-01 14:00:00 +0200",
            "2025-12-01T06:30:00-05:30",
        ] {
            assert_eq!(Timestamp::parse(text), Some(noon), "{text}");
        }
        assert_eq!(Timestamp::parse(&noon.to_string()), Some(noon));
        assert_eq!(Timestamp::parse("2025-12-01"), Some(Timestamp::from_unix(1_764_547_200)));
        for text in [
            "",
            "today",
            "2025-02-30",
            "1969-12-31T23:59:59Z",
            "1970-01-01T00:00:00+01",
            "2025-12-01T12:00:00+",
            "2025-12-01T12:00:00++5",
            "2025-12-01T12:00:00+24:00",
            "2025-12-01T12:00:00+05:60",
            "2025-12-01T12:00:00 CET",
            "2025-12-01T12:00",
            "1764590400",
            "20251201T120000Z",
            "2025-12-01T12:00:0\u{660}",
            "\u{660}\u{660}\u{660}\u{660}\u{660}",
        ] {
            assert_eq!(Timestamp::parse(text), None, "{text}");
        }
    }
}

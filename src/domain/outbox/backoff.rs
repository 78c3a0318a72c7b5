//! The wait before another delivery: 5 seconds, doubled by each failure up to an hour, and shortened
//! at random so that messages which failed together are not tried again together.

use std::time::Duration;

const MIN_SECONDS: u64 = 5;
const MAX_SECONDS: u64 = 3600;

/// The wait after attempt number `attempt`, which counts from 1; `chance` shortens it by up to a
/// quarter.
pub fn after(attempt: i64, chance: u8) -> Duration {
    let doublings = attempt.clamp(1, 20) - 1;
    let seconds = (MIN_SECONDS << doublings).min(MAX_SECONDS);
    Duration::from_secs(seconds - seconds * u64::from(chance) / 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_from_five_seconds_to_an_hour() {
        let whole: Vec<_> = (1..=12).map(|attempt| after(attempt, 0).as_secs()).collect();
        assert_eq!(whole, [5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600]);
        assert_eq!(after(i64::MAX, 0).as_secs(), 3600);
        assert_eq!(after(0, 0).as_secs(), 5);
        assert_eq!(after(20, 255).as_secs(), 2704);
        assert!((1..20).all(|attempt| after(attempt, 255) >= after(attempt, 0) * 3 / 4));
    }
}

//! When a letter that could not be delivered is tried again: 5 seconds later, then twice as long
//! each time, up to an hour. A little by chance, so that what failed together does not return
//! together.

use std::time::Duration;

const FIRST: u64 = 5;
const LONGEST: u64 = 3600;

/// How long to wait after attempt number `attempt`, from 1 on; `chance` takes up to a quarter off.
pub fn after(attempt: i64, chance: u8) -> Duration {
    let doublings = attempt.clamp(1, 20) - 1;
    let seconds = (FIRST << doublings).min(LONGEST);
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

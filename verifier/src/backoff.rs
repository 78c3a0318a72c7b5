//! The wait before the next attempt, randomised so that many verifiers do not come at the same
//! time.

use std::time::Duration;

/// Waits that grow twofold, from `base` to `most`.
pub struct Backoff {
    base: Duration,
    most: Duration,
    failures: u32,
}

impl Backoff {
    /// Nothing failed yet.
    pub fn new(base: Duration, most: Duration) -> Self {
        Self { base, most, failures: 0 }
    }

    /// The wait after one more failure: between half of it and all.
    pub fn next(&mut self) -> Duration {
        let factor = 1u32.checked_shl(self.failures).unwrap_or(u32::MAX);
        self.failures = self.failures.saturating_add(1);
        let wait = self.base.saturating_mul(factor).min(self.most);
        wait.mul_f64(0.5 + 0.5 * random())
    }

    /// Starts again from the base.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// Begins with another wait from now on, where the server asked for one.
    pub fn set_base(&mut self, base: Duration) {
        self.base = base.min(self.most);
    }
}

/// A little less than `period`, so that verifiers that began together drift apart.
pub fn jittered(period: Duration) -> Duration {
    period.mul_f64(0.9 + 0.1 * random())
}

/// From 0 to 1. Without randomness it is 1, which is only less polite.
fn random() -> f64 {
    let mut bytes = [u8::MAX; 4];
    let _ = aws_lc_rs::rand::fill(&mut bytes);
    f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_their_bound_and_begin_anew() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(10));
        for most in [1, 2, 4, 8, 10, 10] {
            let wait = backoff.next();
            let most = Duration::from_secs(most);
            assert!(wait >= most / 2 && wait <= most, "{wait:?}");
        }
        for _ in 0..100 {
            assert!(backoff.next() <= Duration::from_secs(10));
        }
        backoff.reset();
        assert!(backoff.next() <= Duration::from_secs(1));
        backoff.set_base(Duration::from_secs(3));
        backoff.reset();
        assert!(backoff.next() >= Duration::from_millis(1500));
    }

    #[test]
    fn those_who_began_together_part() {
        let period = Duration::from_secs(100);
        let waits: Vec<_> = (0..20).map(|_| jittered(period)).collect();
        assert!(waits.iter().all(|wait| *wait <= period && *wait >= period * 89 / 100));
        assert!(waits.iter().any(|wait| *wait != waits[0]));
    }
}

//! The limit on fetches for tokens with unknown keys: an attacker chooses the number of forged
//! tokens, but not the number of requests to the issuer.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

const MINUTE: Duration = Duration::from_secs(60);

/// At most one fetch in an interval, and a maximum number a minute.
pub struct Budget {
    interval: Duration,
    per_minute: usize,
    /// The times of the fetches in the last minute, oldest first.
    taken: VecDeque<Instant>,
}

impl Budget {
    /// Creates a budget from which no fetch was taken.
    pub fn new(interval: Duration, per_minute: usize) -> Self {
        Self { interval, per_minute, taken: VecDeque::new() }
    }

    /// Takes one fetch at `now`, if one is left.
    pub fn take(&mut self, now: Instant) -> bool {
        while self.taken.front().is_some_and(|at| now.duration_since(*at) >= MINUTE) {
            self.taken.pop_front();
        }
        let soon = self.taken.back().is_some_and(|at| now.duration_since(*at) < self.interval);
        if soon || self.taken.len() >= self.per_minute {
            return false;
        }
        self.taken.push_back(now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_an_interval_and_so_many_a_minute() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut budget = Budget::new(Duration::from_secs(5), 3);
        let taken: Vec<u64> = (0..130).filter(|second| budget.take(at(*second))).collect();
        assert_eq!(taken, [0, 5, 10, 60, 65, 70, 120, 125]);
    }

    #[test]
    fn none_is_none() {
        assert!(!Budget::new(Duration::ZERO, 0).take(Instant::now()));
    }
}

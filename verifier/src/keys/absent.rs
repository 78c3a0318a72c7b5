//! Names of keys that the issuer was asked about and does not have, for a while: the same forged
//! name costs one request, not one each time.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// A bounded memory; the oldest is forgotten first.
pub struct Absent {
    lifetime: Duration,
    most: usize,
    since: HashMap<Box<str>, Instant>,
    order: VecDeque<(Instant, Box<str>)>,
}

impl Absent {
    /// Remembers at most `most` names, each for `lifetime`.
    pub fn new(lifetime: Duration, most: usize) -> Self {
        Self { lifetime, most, since: HashMap::new(), order: VecDeque::new() }
    }

    /// Whether `kid` was absent a moment ago.
    pub fn contains(&self, kid: &str, now: Instant) -> bool {
        self.since.get(kid).is_some_and(|at| now.duration_since(*at) < self.lifetime)
    }

    /// Notes that the issuer had no `kid` at `now`.
    pub fn insert(&mut self, kid: &str, now: Instant) {
        while self.order.len() >= self.most.max(1) {
            let Some((at, oldest)) = self.order.pop_front() else { break };
            // It may have been noted again since.
            if self.since.get(&oldest) == Some(&at) {
                self.since.remove(&oldest);
            }
        }
        self.since.insert(kid.into(), now);
        self.order.push_back((now, kid.into()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_remembered_for_a_while() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut absent = Absent::new(Duration::from_secs(30), 10);
        assert!(!absent.contains("a", at(0)));
        absent.insert("a", at(0));
        assert!(absent.contains("a", at(29)) && !absent.contains("a", at(30)));
        absent.insert("a", at(40));
        assert!(absent.contains("a", at(69)));
    }

    #[test]
    fn memory_is_bounded() {
        let now = Instant::now();
        let mut absent = Absent::new(Duration::from_secs(30), 3);
        for n in 0..1000 {
            absent.insert(&n.to_string(), now);
            absent.insert("again", now + Duration::from_millis(n));
            assert!(absent.order.len() <= 3 && absent.since.len() <= 3);
            assert!(absent.contains("again", now));
        }
        assert!(!absent.contains("0", now));
    }
}

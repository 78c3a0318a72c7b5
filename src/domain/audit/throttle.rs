//! What bounds the trail and the log, in the memory of one instance. What has to hold across
//! instances too is guarded by the store, which this spares most of the questions.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Event, Kind};
use crate::base::time::Timestamp;

/// The period in which events of one kind and user or client are counted.
const HOUR: Duration = Duration::from_secs(3600);
/// The routine events of one kind and user that one instance keeps in an hour.
pub(super) const MAX_ROUTINE: u32 = 60;
/// Requests that run side by side take their time one after the other, but not further apart than
/// this: a `now` that lies further back is a clock that was set.
const APART: Duration = Duration::from_secs(60);
const MAX_COUNTS: usize = 16_384;

#[derive(Default)]
pub(super) struct Throttle {
    logged: Mutex<HashMap<Kind, Logged>>,
    counts: Mutex<HashMap<(Kind, String), Count>>,
}

#[derive(Default)]
struct Logged {
    at: Option<Timestamp>,
    suppressed: u64,
}

/// Events since a moment.
#[derive(Clone, Copy)]
struct Count {
    since: Timestamp,
    events: u32,
}

impl Throttle {
    /// The events of `kind` suppressed since the last one, if one is logged now: one a second.
    pub(super) fn logs(&self, kind: Kind, now: Timestamp) -> Option<u64> {
        let mut logged = lock(&self.logged);
        let logged = logged.entry(kind).or_default();
        let is_in_turn = logged.at.is_none_or(|at| at < now || at.since(now) > APART);
        if !is_in_turn {
            logged.suppressed = logged.suppressed.saturating_add(1);
            return None;
        }
        logged.at = Some(now);
        Some(std::mem::take(&mut logged.suppressed))
    }

    /// Whether `event` is among the first `most` of its kind and user or client in an hour.
    pub(super) fn keeps(&self, event: &Event, most: u32) -> bool {
        let now = event.initiator.at;
        let mut counts = lock(&self.counts);
        let key = (event.kind, event.bound_to());
        if counts.len() >= MAX_COUNTS && !counts.contains_key(&key) {
            counts.retain(|_, count| now.since(count.since) < HOUR);
            if counts.len() >= MAX_COUNTS {
                // Refusals are still kept once an hour: the store sees to that.
                counts.clear();
            }
        }
        let count = counts.entry(key).or_insert(Count { since: now, events: 0 });
        if now.since(count.since) >= HOUR {
            *count = Count { since: now, events: 0 };
        }
        count.events = count.events.saturating_add(1);
        count.events <= most
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing is left half done by a panic elsewhere.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::audit::Initiator;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix(1_764_547_200 + seconds)
    }

    fn event(subject: usize, now: i64) -> Event {
        Event::new(Kind::LoginRefused, &Initiator::system(at(now))).about(subject)
    }

    #[test]
    fn one_line_a_second_is_logged_of_a_kind() {
        let throttle = Throttle::default();
        assert_eq!(throttle.logs(Kind::LoginRefused, at(0)), Some(0));
        assert_eq!(throttle.logs(Kind::LoginRefused, at(0)), None);
        assert_eq!(throttle.logs(Kind::LoginRefused, at(0)), None);
        assert_eq!(throttle.logs(Kind::ClientRefused, at(0)), Some(0), "another kind");
        assert_eq!(throttle.logs(Kind::LoginRefused, at(1)), Some(2));
        assert_eq!(throttle.logs(Kind::LoginRefused, at(2)), Some(0));
    }

    #[test]
    fn requests_of_different_seconds_do_not_log_in_turns() {
        let throttle = Throttle::default();
        let logs = |second| throttle.logs(Kind::LoginRefused, at(second)).is_some();
        assert!(logs(1));
        let again = (0..100).filter(|number| logs(number % 2));
        assert_eq!(again.count(), 0);
        assert!(logs(2) && !logs(1));
        // A clock that was set back does not silence the log.
        assert!(logs(-3600) && !logs(-3600) && logs(-3599));
    }

    #[test]
    fn one_refusal_an_hour_is_kept_of_a_kind_and_user() {
        let throttle = Throttle::default();
        let keeps = |subject, now| throttle.keeps(&event(subject, now), 1);
        assert!(keeps(1, 0) && keeps(2, 0));
        assert!(!keeps(1, 0) && !keeps(1, 3599));
        assert!(keeps(1, 3600) && !keeps(1, 3601));
    }

    #[test]
    fn a_bounded_number_of_routine_events_is_kept() {
        let throttle = Throttle::default();
        let keeps = |now| throttle.keeps(&event(1, now), MAX_ROUTINE);
        assert_eq!((0..1000).filter(|second| keeps(*second)).count(), 60);
        assert!(keeps(3600));
    }

    #[test]
    fn counts_do_not_grow_without_bound() {
        let throttle = Throttle::default();
        for subject in 0..2 * MAX_COUNTS {
            throttle.keeps(&event(subject, 0), 1);
        }
        assert!(lock(&throttle.counts).len() <= MAX_COUNTS);
    }
}

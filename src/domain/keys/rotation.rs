//! The lifecycle of a signing key, as a pure function of its times and `now`.

use crate::base::named::named;
use crate::base::time::Timestamp;

/// The time of a step that is not planned: the last second of the year 9999.
pub const NOT_PLANNED: Timestamp = Timestamp::from_unix(253_402_300_799);

named! {
    /// The state of a key.
    pub enum State {
        /// Published, not signing yet.
        Pending = "pending",
        /// Signing: exactly one key of its algorithm.
        Active = "active",
        /// Published while tokens that it signed can be valid.
        Retiring = "retiring",
        /// Not published any more.
        Retired = "retired",
    }
}

/// The times of a key's steps. A spare key, whose activation is not planned, activates at
/// [`NOT_PLANNED`], and its predecessor deactivates then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// When it was made or imported, and published.
    pub created_at: Timestamp,
    /// When it starts to sign.
    pub activates_at: Timestamp,
    /// When its successor signs in its place; `None` while it has no successor.
    pub deactivates_at: Option<Timestamp>,
    /// When it leaves JWKS.
    pub retires_at: Option<Timestamp>,
}

impl Times {
    /// A key that is made at `now` and signs from `activates_at`, without a successor.
    pub fn new(now: Timestamp, activates_at: Timestamp) -> Self {
        Self { created_at: now, activates_at, deactivates_at: None, retires_at: None }
    }

    /// A key that only verifies, published from `now` to `until`.
    pub fn verifying(now: Timestamp, until: Timestamp) -> Self {
        Self {
            created_at: now,
            activates_at: now,
            deactivates_at: Some(now),
            retires_at: Some(until),
        }
    }

    /// Whether it signs at some time, unlike a key that only verifies.
    pub fn signs_ever(&self) -> bool {
        self.deactivates_at.is_none_or(|at| at > self.activates_at)
    }

    /// The state at `now`.
    pub fn state(&self, now: Timestamp) -> State {
        if self.retires_at.is_some_and(|at| at <= now) {
            State::Retired
        } else if now < self.activates_at {
            State::Pending
        } else if self.deactivates_at.is_none_or(|at| now < at) {
            State::Active
        } else {
            State::Retiring
        }
    }

    /// The next planned step after `now`: the state it leads to, and when.
    pub fn next(&self, now: Timestamp) -> Option<(State, Timestamp)> {
        let (state, at) = match self.state(now) {
            State::Pending => (State::Active, self.activates_at),
            State::Active => (State::Retiring, self.deactivates_at?),
            State::Retiring => (State::Retired, self.retires_at?),
            State::Retired => return None,
        };
        (at != NOT_PLANNED).then_some((state, at))
    }

    /// Every step before `now`: the states they led to, and when.
    pub fn past(&self, now: Timestamp) -> Vec<(State, Timestamp)> {
        let retired = self.retires_at.filter(|at| *at <= now);
        let before = |at: &Timestamp| *at <= now && retired.is_none_or(|retired| *at < retired);
        let active = Some(self.activates_at).filter(before).filter(|_| self.signs_ever());
        let retiring = self.deactivates_at.filter(before).filter(|at| *at > self.activates_at);
        [(State::Active, active), (State::Retiring, retiring), (State::Retired, retired)]
            .into_iter()
            .filter_map(|(state, at)| Some((state, at?)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix(seconds)
    }

    const KEY: Times = Times {
        created_at: Timestamp::from_unix(0),
        activates_at: Timestamp::from_unix(100),
        deactivates_at: Some(Timestamp::from_unix(200)),
        retires_at: Some(Timestamp::from_unix(300)),
    };

    #[test]
    fn states_follow_from_times() {
        for (now, state) in [
            (0, State::Pending),
            (99, State::Pending),
            (100, State::Active),
            (199, State::Active),
            (200, State::Retiring),
            (299, State::Retiring),
            (300, State::Retired),
        ] {
            assert_eq!(KEY.state(at(now)), state, "at {now}");
        }
        let newest = Times { deactivates_at: None, retires_at: None, ..KEY };
        assert_eq!(newest.state(at(1_000_000)), State::Active);
        assert_eq!(newest.next(at(1_000_000)), None);
        assert_eq!(KEY.next(at(100)), Some((State::Retiring, at(200))));
    }

    #[test]
    fn a_spare_waits_and_a_key_that_was_withdrawn_is_gone() {
        let spare = Times::new(at(0), NOT_PLANNED);
        assert_eq!((spare.state(at(1_000_000)), spare.next(at(5))), (State::Pending, None));
        let withdrawn = Times { deactivates_at: Some(at(9)), retires_at: Some(at(9)), ..spare };
        assert_eq!(withdrawn.state(at(9)), State::Retired);
        assert_eq!(withdrawn.past(at(10)), [(State::Retired, at(9))]);
        let verifying = Times::verifying(at(0), at(50));
        assert_eq!(verifying.state(at(0)), State::Retiring);
        assert_eq!(verifying.state(at(50)), State::Retired);
        assert_eq!(verifying.past(at(50)), [(State::Retired, at(50))]);
    }

    #[test]
    fn past_steps_have_their_times() {
        assert_eq!(KEY.past(at(99)), []);
        assert_eq!(KEY.past(at(100)), [(State::Active, at(100))]);
        let all = [(State::Active, 100), (State::Retiring, 200), (State::Retired, 300)];
        assert_eq!(KEY.past(at(900)), all.map(|(state, second)| (state, at(second))));
    }
}

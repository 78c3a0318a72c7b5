//! The life of a signing key as a pure function of its times and `now`.

use std::time::Duration;

use crate::time::Timestamp;

/// Where a key stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Published, not signing yet.
    Pending,
    /// Signing: exactly one of its algorithm.
    Active,
    /// Published while tokens that it signed can be alive.
    Retiring,
    /// Not published any more.
    Retired,
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Pending => "pending",
            Self::Active => "active",
            Self::Retiring => "retiring",
            Self::Retired => "retired",
        })
    }
}

/// The times of a key's steps. The last two are set when its successor is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// When it was made, and published.
    pub created_at: Timestamp,
    /// When it starts to sign.
    pub activates_at: Timestamp,
    /// When its successor signs in its place.
    pub deactivates_at: Option<Timestamp>,
    /// When it leaves JWKS.
    pub retires_at: Option<Timestamp>,
}

impl Times {
    /// The state at `now`.
    pub fn state(&self, now: Timestamp) -> State {
        if now < self.activates_at {
            State::Pending
        } else if self.deactivates_at.is_none_or(|at| now < at) {
            State::Active
        } else if self.retires_at.is_none_or(|at| now < at) {
            State::Retiring
        } else {
            State::Retired
        }
    }

    /// The next step after `now`: which state comes, and when; `None` while nothing is planned.
    pub fn next(&self, now: Timestamp) -> Option<(State, Timestamp)> {
        match self.state(now) {
            State::Pending => Some((State::Active, self.activates_at)),
            State::Active => self.deactivates_at.map(|at| (State::Retiring, at)),
            State::Retiring => self.retires_at.map(|at| (State::Retired, at)),
            State::Retired => None,
        }
    }
}

/// A rotation that was decided on: when the new key takes over, and when the old one goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handover {
    /// The new key signs from here on.
    pub at: Timestamp,
    /// The old key leaves JWKS here.
    pub old_retires_at: Timestamp,
}

/// The longest that a key may wait to sign.
const LONGEST_WAIT: Duration = Duration::from_secs(90 * 86_400);

/// Why a rotation is refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A successor is waiting already.
    #[error("a rotation is already under way: the newest key starts to sign at {0}")]
    UnderWay(Timestamp),
    /// It would not happen in the foreseeable future, and nothing else could meanwhile.
    #[error("the new key must start to sign within {}", humantime::format_duration(*.0))]
    TooLate(Duration),
    /// Verifiers would meet tokens of a key that they have not seen.
    #[error(
        "the new key must be published for at least {} before it signs (keys.jwks_max_age and \
         5s, at least 30s), or verifiers meet tokens of a key they have not seen",
        humantime::format_duration(*.0)
    )]
    TooSoon(Duration),
}

/// Plans the handover from `newest`, the key without a successor, to one that is made now and
/// signs after `activate_in`, which must not be below `least`. The old key stays published until
/// the last token that it signed is dead, `token_lifetime` after the handover.
pub fn plan(
    newest: &Times,
    activate_in: Duration,
    least: Duration,
    token_lifetime: Duration,
    now: Timestamp,
) -> Result<Handover, Refusal> {
    if newest.state(now) == State::Pending {
        return Err(Refusal::UnderWay(newest.activates_at));
    }
    if activate_in < least {
        return Err(Refusal::TooSoon(least));
    }
    if activate_in > LONGEST_WAIT {
        return Err(Refusal::TooLate(LONGEST_WAIT));
    }
    let at = now.plus(activate_in);
    Ok(Handover { at, old_retires_at: at.plus(token_lifetime) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix(seconds)
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
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
    fn a_handover_leaves_no_moment_without_exactly_one_active_key() {
        let old = Times { deactivates_at: None, retires_at: None, ..KEY };
        let plan = plan(&old, seconds(60), seconds(30), seconds(600), at(1000)).unwrap();
        let old =
            Times { deactivates_at: Some(plan.at), retires_at: Some(plan.old_retires_at), ..old };
        let new = Times {
            created_at: at(1000),
            activates_at: plan.at,
            deactivates_at: None,
            retires_at: None,
        };
        for now in 1000..2000 {
            let active =
                [old, new].iter().filter(|key| key.state(at(now)) == State::Active).count();
            assert_eq!(active, 1, "at {now}");
        }
        // A token signed in the last second before the handover lives 600 s.
        assert_eq!(old.state(at(1059 + 600)), State::Retiring);
        assert_eq!(old.state(at(1060 + 600)), State::Retired);
    }

    #[test]
    fn a_rotation_is_refused_while_one_is_under_way_or_when_too_soon() {
        let old = Times { deactivates_at: None, retires_at: None, ..KEY };
        let under_way = plan(&old, seconds(60), seconds(30), seconds(600), at(50));
        assert_eq!(under_way, Err(Refusal::UnderWay(at(100))));
        let too_soon = plan(&old, seconds(29), seconds(30), seconds(600), at(500));
        assert_eq!(too_soon, Err(Refusal::TooSoon(seconds(30))));
        assert!(too_soon.unwrap_err().to_string().contains("at least 30s"));
    }
}

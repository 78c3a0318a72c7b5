//! Where each key stands: its state, what comes next and when, and whether verifiers have it.

use std::time::Duration;

use crate::base::time::Timestamp;
use crate::domain::keys::chain::{Chain, ScheduledKey};
use crate::domain::keys::rotation::{NOT_PLANNED, State};
use crate::domain::keys::store::StoredKey;
use crate::domain::keys::{Algorithm, Policy};

#[derive(Clone, Debug)]
pub(crate) struct KeyStatus {
    /// The key, with the times of its life as they apply.
    pub key: StoredKey,
    pub state: State,
    /// The state that comes next and when, as it is decided or, by `keys.rotate_every`, expected.
    pub next: Option<(State, Timestamp)>,
    /// The time until every JWKS cache has it; zero when all have.
    pub in_all_caches_in: Duration,
}

pub(super) fn of_all(
    mut stored: Vec<StoredKey>,
    policy: &Policy,
    now: Timestamp,
) -> Vec<KeyStatus> {
    for algorithm in Algorithm::ALL {
        promote_spare(&mut stored, algorithm, now);
    }
    let expected = Algorithm::ALL.map(|of| (of, expected_rotation(&stored, of, policy, now)));
    let status = |key: StoredKey| {
        let expected = expected.iter().find(|(of, _)| *of == key.algorithm);
        status(key, expected.and_then(|(_, at)| *at), policy, now)
    };
    stored.into_iter().map(status).collect()
}

fn status(
    key: StoredKey,
    expected: Option<Timestamp>,
    policy: &Policy,
    now: Timestamp,
) -> KeyStatus {
    let state = key.times.state(now);
    let next = key.times.next(now).or_else(|| {
        let next_state = match state {
            State::Pending => State::Active,
            State::Active if key.times.deactivates_at.is_some() => State::Retiring,
            _ => return None,
        };
        Some((next_state, expected?))
    });
    let in_all_caches_in = match state {
        State::Retired => Duration::ZERO,
        _ => policy.in_all_caches(key.times.created_at).since(now),
    };
    KeyStatus { key, state, next, in_all_caches_in }
}

/// Has the spare sign where the key before it was lost: it does, whether or not that is stored yet.
fn promote_spare(stored: &mut [StoredKey], algorithm: Algorithm, now: Timestamp) {
    let published = stored.iter().filter(|key| key.algorithm == algorithm && key.is_published(now));
    let keys = published.map(|key| ScheduledKey { kid: key.kid.clone(), times: key.times });
    let mut chain = Chain::new(keys, now);
    if chain.is_headless(now) {
        chain.activate_spare(now);
        for key in stored {
            if let Ok(scheduled) = chain.find(&key.kid) {
                key.times = scheduled.times;
            }
        }
    }
}

/// When the last key of `algorithm` that is planned to sign will have signed for
/// `keys.rotate_every`.
fn expected_rotation(
    stored: &[StoredKey],
    algorithm: Algorithm,
    policy: &Policy,
    now: Timestamp,
) -> Option<Timestamp> {
    if !policy.algorithms.all().contains(&algorithm) {
        return None;
    }
    let planned = stored
        .iter()
        .filter(|key| key.algorithm == algorithm && key.times.signs_ever())
        .filter(|key| matches!(key.times.state(now), State::Pending | State::Active))
        .map(|key| key.times.activates_at)
        .filter(|at| *at != NOT_PLANNED);
    Some(planned.max()?.plus(policy.rotate_every?))
}

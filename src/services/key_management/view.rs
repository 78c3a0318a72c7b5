//! A key as it is shown to operators: where it stands, what comes next and when, and whether
//! verifiers have it.

use serde::Serialize;

use super::Brought;
use crate::base::sealing::sealed_under;
use crate::base::time::Timestamp;
use crate::domain::keys::chain::{Chain, Handover, ScheduledKey};
use crate::domain::keys::rotation::{NOT_PLANNED, State};
use crate::domain::keys::store::StoredKey;
use crate::domain::keys::{Algorithm, Policy, Rewrapped};

/// Where the private part of a key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum KeptIn {
    /// In the database, sealed.
    Database,
    /// On a PKCS#11 token.
    Token,
    /// With another issuer: the key only verifies here.
    Nowhere,
}

/// A key without anything secret. Times are RFC 3339.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct KeyView {
    /// The name in the header of its tokens.
    pub kid: String,
    /// The one algorithm it is used with: RS256, PS256, ES256 or EdDSA.
    #[schema(value_type = String)]
    pub algorithm: Algorithm,
    /// pending, active, retiring or retired.
    #[schema(value_type = String)]
    pub state: State,
    /// When it was made or imported, and published.
    pub created_at: String,
    /// When it starts, or started, to sign; absent while that is not decided.
    pub activates_at: Option<String>,
    /// When its successor signs in its place.
    pub deactivates_at: Option<String>,
    /// When it leaves JWKS.
    pub retires_at: Option<String>,
    /// When it was revoked as compromised.
    pub revoked_at: Option<String>,
    /// The state that comes next.
    #[schema(value_type = Option<String>)]
    pub next_state: Option<State>,
    /// When, as it is decided or, by keys.rotate_every, expected.
    pub next_at: Option<String>,
    /// Seconds until every JWKS cache has it; 0 when all have.
    pub in_all_caches_in: u64,
    /// Where its private part is: `database`, `token`, or `nowhere` for a key that only verifies.
    #[schema(value_type = String)]
    pub kept_in: KeptIn,
    /// The id of the key-encryption key that the private part in the database is sealed under.
    pub sealed_under: Option<String>,
}

/// All of `stored`, in their order.
pub fn of_all(mut stored: Vec<StoredKey>, policy: &Policy, now: Timestamp) -> Vec<KeyView> {
    for algorithm in Algorithm::ALL {
        lead(&mut stored, algorithm, now);
    }
    let expected: Vec<_> = Algorithm::ALL
        .into_iter()
        .map(|algorithm| (algorithm, expected_rotation(&stored, algorithm, policy, now)))
        .collect();
    let expected_for = |algorithm: Algorithm| {
        expected.iter().find(|(of, _)| *of == algorithm).and_then(|(_, at)| *at)
    };
    let view = |key: StoredKey| {
        let at = expected_for(key.algorithm);
        of(key, at, policy, now)
    };
    stored.into_iter().map(view).collect()
}

fn of(key: StoredKey, expected: Option<Timestamp>, policy: &Policy, now: Timestamp) -> KeyView {
    let state = key.times.state(now);
    let text = |at: Option<Timestamp>| at.filter(|at| *at != NOT_PLANNED).map(|at| at.to_string());
    let next = key.times.next(now).or_else(|| {
        let next_state = match state {
            State::Pending => State::Active,
            State::Active if key.times.deactivates_at.is_some() => State::Retiring,
            _ => return None,
        };
        Some((next_state, expected?))
    });
    let cached_by = policy.in_all_caches(key.times.created_at);
    let kept_in = if key.is_foreign() {
        KeptIn::Nowhere
    } else if key.is_on_token() {
        KeptIn::Token
    } else {
        KeptIn::Database
    };
    KeyView {
        state,
        created_at: key.times.created_at.to_string(),
        activates_at: text(Some(key.times.activates_at)),
        deactivates_at: text(key.times.deactivates_at),
        retires_at: text(key.times.retires_at),
        revoked_at: text(key.revoked_at),
        next_state: next.map(|(state, _)| state),
        next_at: text(next.map(|(_, at)| at)),
        in_all_caches_in: if state == State::Retired { 0 } else { cached_by.since(now).as_secs() },
        kept_in,
        sealed_under: sealed_under(&key.private_key).map(str::to_owned),
        kid: key.kid,
        algorithm: key.algorithm,
    }
}

/// Shows the spare as what signs where the key before it was lost: it does, whether or not that is
/// stored by now.
fn lead(stored: &mut [StoredKey], algorithm: Algorithm, now: Timestamp) {
    let published = stored.iter().filter(|key| key.algorithm == algorithm && key.is_published(now));
    let links = published.map(|key| ScheduledKey { kid: key.kid.clone(), times: key.times });
    let mut chain = Chain::new(links, now);
    if chain.is_headless(now) {
        chain.activate_spare(now);
        for key in stored {
            if let Ok(link) = chain.find(&key.kid) {
                key.times = link.times;
            }
        }
    }
}

/// When the last key of `algorithm` whose turn is planned will have signed for
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

/// A planned turn. Times are RFC 3339.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct RotationView {
    /// The key that takes over.
    pub kid: String,
    /// It signs from here on.
    pub activates_at: String,
    /// The key that signs now leaves JWKS here.
    pub old_retires_at: String,
}

impl From<Handover> for RotationView {
    fn from(handover: Handover) -> Self {
        Self {
            kid: handover.kid,
            activates_at: handover.at.to_string(),
            old_retires_at: handover.old_retires_at.to_string(),
        }
    }
}

/// What became of an import. Times are RFC 3339.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct ImportView {
    /// The key's name.
    pub kid: String,
    /// When it signs; null for one that only verifies.
    pub activates_at: Option<String>,
    /// When it leaves JWKS; null while that is not decided.
    pub retires_at: Option<String>,
}

impl From<Brought> for ImportView {
    fn from(brought: Brought) -> Self {
        Self {
            kid: brought.kid,
            activates_at: brought.activates_at.map(|at| at.to_string()),
            retires_at: brought.retires_at.map(|at| at.to_string()),
        }
    }
}

/// What a change of the key-encryption key did.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct RewrapView {
    /// The id of the key-encryption key that everything is sealed under now.
    pub sealed_under: String,
    /// How many keys and secrets were sealed anew.
    pub rewrapped: usize,
    /// The ids of key-encryption keys that nothing is sealed under any more.
    pub no_longer_needed: Vec<String>,
}

impl From<Rewrapped> for RewrapView {
    fn from(done: Rewrapped) -> Self {
        let Rewrapped { sealed_under, rewrapped, no_longer_needed } = done;
        Self { sealed_under, rewrapped, no_longer_needed }
    }
}

//! An immutable snapshot of the keys: who signs now, who verifies, what JWKS shows.

use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::EncodingKey;

use super::algorithm::Algorithm;
use super::jwks::Jwks;
use super::rotation::{State, Times};
use super::{PublicKey, SigningKey, signer};
use crate::time::Timestamp;

/// One key of the ring.
pub struct RingKey {
    /// The times of its life.
    pub times: Times,
    /// What verifies.
    pub public: PublicKey,
    /// What signs; not there for a key that only verifies.
    private: Option<Private>,
}

#[derive(Clone)]
struct Private {
    /// Keeps the handle alive.
    key: Arc<SigningKey>,
    handle: EncodingKey,
}

impl RingKey {
    /// Takes a parsed pair into a ring, under the name that it is published by.
    pub fn signing(kid: &str, times: Times, key: Arc<SigningKey>) -> Self {
        let public = PublicKey { kid: kid.to_owned(), ..key.public.clone() };
        let handle = signer::register(&key);
        Self { times, public, private: Some(Private { key, handle }) }
    }

    /// Takes a key into a ring that only verifies.
    pub fn verifying(times: Times, public: PublicKey) -> Self {
        Self { times, public, private: None }
    }

    /// The handle by which jsonwebtoken signs with this key.
    pub fn handle(&self) -> Option<&EncodingKey> {
        self.private.as_ref().map(|private| &private.handle)
    }

    /// Whether a signature has to be waited for.
    pub fn signs_elsewhere(&self) -> bool {
        self.private.as_ref().is_some_and(|private| private.key.signs_elsewhere())
    }
}

/// The keys as they were loaded at one moment; states are derived from `now` at each use, so a
/// planned handover happens on time in every instance without another word between them.
pub struct KeyRing {
    keys: Vec<RingKey>,
    jwks: Jwks,
    loaded_at: Timestamp,
}

impl KeyRing {
    /// A ring of `keys`, newest first; those that are retired at `now` are left out.
    pub fn new(keys: Vec<RingKey>, now: Timestamp) -> Self {
        let mut keys: Vec<_> =
            keys.into_iter().filter(|key| key.times.state(now) != State::Retired).collect();
        // A verifier that only ever looks at the first key finds the one that signs.
        keys.sort_by_key(|key| match key.times.state(now) {
            State::Active => 0,
            State::Pending => 1,
            State::Retiring | State::Retired => 2,
        });
        let jwks = Jwks::new(keys.iter().map(|key| &key.public));
        Self { keys, jwks, loaded_at: now }
    }

    /// The key that signs at `now`: of the algorithm `wanted`, or, while that has none which is
    /// published for long enough, of another. Where the clock stands before the first key was made,
    /// or before the moment at which another was revoked (an instance a little behind the one that
    /// did it), the key whose turn comes next signs: it is published.
    pub fn active(&self, wanted: Algorithm, now: Timestamp) -> Option<&RingKey> {
        let signing = || self.keys.iter().filter(|key| key.private.is_some());
        let active = |key: &&RingKey| key.times.state(now) == State::Active;
        signing()
            .filter(active)
            .find(|key| key.public.algorithm == wanted)
            .or_else(|| signing().find(active))
            .or_else(|| {
                let waits = |key: &&RingKey| key.times.state(now) == State::Pending;
                signing().min_by_key(|key| (!waits(key), key.times.activates_at))
            })
    }

    /// The published key named `kid`, for verification.
    pub fn find(&self, kid: &str, now: Timestamp) -> Option<&PublicKey> {
        self.keys
            .iter()
            .find(|key| key.public.kid == kid && key.times.state(now) != State::Retired)
            .map(|key| &key.public)
    }

    /// The published set.
    pub fn jwks(&self) -> &Jwks {
        &self.jwks
    }

    /// How long the published set may be cached: at most `max_age`, and never beyond the moment at
    /// which a key that this snapshot does not know yet could start to sign, which is `lead` after
    /// the snapshot was taken.
    pub fn jwks_max_age(&self, max_age: Duration, lead: Duration, now: Timestamp) -> Duration {
        self.loaded_at.plus(lead).since(now).min(max_age)
    }

    /// The parsed key named `kid`, so that a reload need not parse it again.
    pub fn parsed(&self, kid: &str) -> Option<&Arc<SigningKey>> {
        let key = self.keys.iter().find(|key| key.public.kid == kid)?;
        key.private.as_ref().map(|private| &private.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_set_is_not_cached_beyond_what_it_can_know() {
        let at = Timestamp::from_unix;
        let seconds = Duration::from_secs;
        let ring = KeyRing::new(Vec::new(), at(1000));
        let max_age = |now| ring.jwks_max_age(seconds(60), seconds(65), at(now)).as_secs();
        assert_eq!([max_age(1000), max_age(1005), max_age(1006)], [60, 60, 59]);
        assert_eq!([max_age(1064), max_age(1065), max_age(5000)], [1, 0, 0]);
    }
}

//! An immutable snapshot of the keys: who signs now, who verifies, what JWKS shows.

use std::sync::Arc;

use jsonwebtoken::EncodingKey;

use super::jwks::Jwks;
use super::rotation::{State, Times};
use super::{PublicKey, SigningKey, signer};
use crate::time::Timestamp;

/// One key of the ring.
pub struct RingKey {
    /// The times of its life.
    pub times: Times,
    /// The pair, parsed.
    pub key: Arc<SigningKey>,
    handle: EncodingKey,
}

impl RingKey {
    /// Takes a parsed key into a ring.
    pub fn new(times: Times, key: Arc<SigningKey>) -> Self {
        let handle = signer::register(&key);
        Self { times, key, handle }
    }

    /// The handle by which jsonwebtoken signs with this key.
    pub fn handle(&self) -> &EncodingKey {
        &self.handle
    }
}

/// The keys as they were loaded at one moment; states are derived from `now` at each use, so a
/// planned handover happens on time in every instance without another word between them.
pub struct KeyRing {
    keys: Vec<RingKey>,
    jwks: Jwks,
}

impl KeyRing {
    /// A ring of `keys`, newest first; those that are retired at `now` are left out.
    pub fn new(keys: Vec<RingKey>, now: Timestamp) -> Self {
        let keys: Vec<_> =
            keys.into_iter().filter(|key| key.times.state(now) != State::Retired).collect();
        let jwks = Jwks::new(keys.iter().map(|key| &key.key.public));
        Self { keys, jwks }
    }

    /// The key that signs at `now`. Where the clock stands before the first key was made (an
    /// instance a little behind the one that made it), the oldest key signs: it is published.
    pub fn active(&self, now: Timestamp) -> Option<&RingKey> {
        let active = self.keys.iter().find(|key| key.times.state(now) == State::Active);
        active.or(self.keys.last())
    }

    /// The times of the key that has no successor yet.
    pub fn newest(&self) -> Option<Times> {
        self.keys.iter().map(|key| key.times).find(|times| times.deactivates_at.is_none())
    }

    /// The published key named `kid`, for verification.
    pub fn find(&self, kid: &str, now: Timestamp) -> Option<&PublicKey> {
        self.keys
            .iter()
            .find(|key| key.key.public.kid == kid && key.times.state(now) != State::Retired)
            .map(|key| &key.key.public)
    }

    /// The published set.
    pub fn jwks(&self) -> &Jwks {
        &self.jwks
    }

    /// The parsed key named `kid`, so that a reload need not parse it again.
    pub fn parsed(&self, kid: &str) -> Option<&Arc<SigningKey>> {
        self.keys.iter().map(|key| &key.key).find(|key| key.public.kid == kid)
    }
}

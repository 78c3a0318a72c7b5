//! An immutable snapshot of the keys: which one signs, which ones verify, and what JWKS contains.

use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::EncodingKey;

use super::algorithm::Algorithm;
use super::jwks::Jwks;
use super::rotation::{State, Times};
use super::{PublicKey, SigningKey, signer};
use crate::base::time::Timestamp;

pub struct RingKey {
    pub times: Times,
    pub public: PublicKey,
    /// Whether it belongs to another issuer, whose tokens are only verified here.
    pub foreign: bool,
    /// The private half; `None` for another issuer's key, and for one that does not open here.
    private: Option<Private>,
}

#[derive(Clone)]
struct Private {
    /// Keeps the registration with the signer alive.
    key: Arc<SigningKey>,
    handle: EncodingKey,
}

impl RingKey {
    /// A parsed pair, under its published name.
    pub fn signing(kid: &str, times: Times, key: Arc<SigningKey>) -> Self {
        let public = PublicKey { kid: kid.to_owned(), ..key.public.clone() };
        let handle = signer::register(&key);
        Self { times, public, foreign: false, private: Some(Private { key, handle }) }
    }

    pub fn verifying(times: Times, public: PublicKey, foreign: bool) -> Self {
        Self { times, public, foreign, private: None }
    }

    /// The handle by which jsonwebtoken signs with this key.
    pub fn handle(&self) -> Option<&EncodingKey> {
        self.private.as_ref().map(|private| &private.handle)
    }

    pub fn signs_elsewhere(&self) -> bool {
        self.private.as_ref().is_some_and(|private| private.key.signs_elsewhere())
    }
}

/// The keys as they were loaded at one moment. States are derived from `now` at each use, so a
/// planned activation happens on time in every instance without a further message.
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
        // A verifier that only uses the first key then finds the active one.
        keys.sort_by_key(|key| match key.times.state(now) {
            State::Active => 0,
            State::Pending => 1,
            State::Retiring | State::Retired => 2,
        });
        let jwks = Jwks::new(keys.iter().map(|key| &key.public));
        Self { keys, jwks, loaded_at: now }
    }

    /// The key that signs at `now`: of the algorithm `wanted`, or of another one while that
    /// algorithm has no key that is published for long enough. If the private part of the active
    /// key does not open here, the next pending key signs, which is published. The same holds if
    /// the clock is before the first key's creation, or before the moment at which another key was
    /// revoked (an instance slightly behind the one that revoked it).
    pub fn active(&self, wanted: Algorithm, now: Timestamp) -> Option<&RingKey> {
        let in_state = |state| self.keys.iter().filter(move |key| key.times.state(now) == state);
        let opens = |key: &&RingKey| key.private.is_some();
        let is_wanted = |key: &&RingKey| key.public.algorithm == wanted;
        let turn = |key: &&RingKey| key.times.activates_at;
        let has_turn = in_state(State::Active).any(|key| is_wanted(&key));
        let next = || in_state(State::Pending).filter(opens).filter(is_wanted).min_by_key(turn);
        in_state(State::Active)
            .filter(opens)
            .find(is_wanted)
            .or_else(|| if has_turn { next() } else { None })
            .or_else(|| in_state(State::Active).find(opens))
            .or_else(|| in_state(State::Pending).filter(opens).min_by_key(turn))
    }

    pub fn find(&self, kid: &str, now: Timestamp) -> Option<&RingKey> {
        self.keys.iter().find(|key| key.public.kid == kid && key.times.state(now) != State::Retired)
    }

    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    pub fn jwks(&self) -> &Jwks {
        &self.jwks
    }

    /// How long the published set may be cached: at most `max_age`, and never beyond the moment at
    /// which a key that is not in this snapshot could start to sign, which is `ahead` after the
    /// snapshot was taken.
    pub fn jwks_max_age(&self, max_age: Duration, ahead: Duration, now: Timestamp) -> Duration {
        self.loaded_at.plus(ahead).since(now).min(max_age)
    }

    /// The parsed key named `kid`, so that a reload does not parse it again.
    pub fn parsed(&self, kid: &str) -> Option<&Arc<SigningKey>> {
        let key = self.keys.iter().find(|key| key.public.kid == kid)?;
        key.private.as_ref().map(|private| &private.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_key_signs_in_the_turn_of_one_that_does_not_open() {
        let at = Timestamp::from_unix;
        let key = || SigningKey::generate(Algorithm::EdDsa, 0).unwrap();
        let signing = |times| RingKey::signing("waits", times, Arc::new(key()));
        let closed = |times| RingKey::verifying(times, key().public, false);
        let signs = |keys, now| {
            let ring = KeyRing::new(keys, at(now));
            ring.active(Algorithm::EdDsa, at(now)).map(|key| key.public.kid.clone())
        };
        let waits = Times::new(at(0), at(100));
        let turn = Times { deactivates_at: Some(at(100)), ..Times::new(at(0), at(50)) };
        assert_eq!(signs(vec![signing(waits), closed(turn)], 60), Some("waits".into()));
        assert_eq!(signs(vec![closed(waits), closed(turn)], 60), None);
        assert_eq!(signs(vec![signing(waits), closed(turn)], 100), Some("waits".into()));
        // If the clock is behind all of them, the next key signs.
        assert_eq!(signs(vec![signing(waits)], 60), Some("waits".into()));
        let over = Times::verifying(at(0), at(200));
        assert_eq!(signs(vec![signing(over)], 60), None);
    }

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

//! The changes of keys: each one is decided on a whole chain and stored as a whole or not at all.
//! If another instance was faster, it is decided again on the new state.

mod revocation;

use std::time::{Duration, Instant};

use super::algorithm::Algorithm;
use super::chain::{Chain, Handover, PublishAhead, Refusal, Rules, ScheduledKey};
use super::import::Imported;
use super::rotation::{State, Times};
use super::store::{Change, StoredKey};
use super::vault::Kept;
use super::{Keys, KeysError, PublicKey, full, off_the_request_path, tag};
use crate::base::fault;
use crate::base::time::Timestamp;
use crate::storage::StorageError;

pub(crate) use revocation::Revoked;

/// How often a change is decided again; more often than instances could be faster in a row.
pub(super) const MAX_TRIES: usize = 20;

pub(super) fn every_try_lost() -> KeysError {
    let problem = "every attempt lost against another change of the keys: try again";
    StorageError::Unavailable(problem.into()).into()
}

/// A key that the service made because it was due.
#[derive(Clone, Debug)]
pub struct AddedKey {
    pub kid: String,
    pub algorithm: Algorithm,
    pub handover: Option<Handover>,
    pub because: Because,
}

/// Why the service itself plans an activation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Because {
    /// The active key has signed for `keys.rotate_every`: the spare becomes active.
    RotateEvery,
    /// A key was revoked: the new key becomes active.
    Revocation,
}

impl Keys {
    /// Makes the keys that are due now: the first of an algorithm, a spare, or a new spare while
    /// the activation of the present one is planned. Of several instances that find the same
    /// concurrently, one makes the change.
    pub async fn maintain(
        &self,
        token_lifetime: Duration,
        now: Timestamp,
    ) -> Result<Vec<AddedKey>, KeysError> {
        self.add_due_keys(now.plus(self.policy.publish_ahead), token_lifetime, now).await
    }

    pub(super) async fn add_due_keys(
        &self,
        first_at: Timestamp,
        token_lifetime: Duration,
        now: Timestamp,
    ) -> Result<Vec<AddedKey>, KeysError> {
        let rules = self.policy.rules(token_lifetime);
        let (mut all, mut undecided) = (Vec::new(), Ok(()));
        // Making keys may take a while, so the times count from its end.
        let began = Instant::now();
        for algorithm in self.policy.algorithms.all() {
            if let Err(error) = self.check_decided(algorithm, now).await {
                undecided = Err(error);
                continue;
            }
            all.extend(self.make_successor(algorithm, &rules, now.plus(began.elapsed())).await?);
            let now = now.plus(began.elapsed());
            if !self.load_chain(algorithm, now).await?.needs_key(&rules, now) {
                continue;
            }
            let (new, now) = self.generate(algorithm, now).await?;
            let kid = new.public.kid.clone();
            let added = |chain: &mut Chain| {
                if !chain.needs_key(&rules, now) {
                    return Ok(None);
                }
                let handover = chain.add_spare(kid.clone(), first_at, &rules, now);
                let because = Because::RotateEvery;
                Ok(Some(AddedKey { kid: kid.clone(), algorithm, handover, because }))
            };
            all.extend(self.change(algorithm, Some(new), None, now, added).await?);
        }
        if all.is_empty() { undecided.map(|()| all) } else { Ok(all) }
    }

    /// Plans the activation of the next key after `ahead`; the next spare is made with it.
    pub async fn rotate(
        &self,
        algorithm: Algorithm,
        ahead: PublishAhead,
        token_lifetime: Duration,
        now: Timestamp,
    ) -> Result<Handover, KeysError> {
        let rules = self.policy.rules(token_lifetime);
        if !self.policy.algorithms.all().contains(&algorithm) {
            return Err(Refusal::NotConfigured(algorithm).into());
        }
        self.check_decided(algorithm, now).await?;
        // Refuses before a key is made.
        self.load_chain(algorithm, now).await?.rotate(ahead, &rules, now)?;
        self.change_with_spare(algorithm, &rules, None, now, |chain, now| {
            Ok(chain.rotate(ahead, &rules, now)?)
        })
        .await
    }

    /// Ends a key that is not needed; [`maintain`](Self::maintain) makes a new spare. Only a
    /// pending key, unless `forced`. An active key can be ended only if its algorithm is not used
    /// any more, and then leaves JWKS when its tokens have expired. Returns when it leaves JWKS.
    pub async fn retire(
        &self,
        kid: &str,
        forced: bool,
        token_lifetime: Duration,
        now: Timestamp,
    ) -> Result<Timestamp, KeysError> {
        let rules = self.policy.rules(token_lifetime);
        let stored = self.find_published(kid, now).await?;
        if let Err(error) = tag::check(self.vault.sealing(), &stored) {
            return Err(KeysError::unverified(stored.kid, error));
        }
        let algorithm = stored.algorithm;
        let is_used = self.policy.algorithms.all().contains(&algorithm);
        let retire = |chain: &mut Chain| {
            match chain.find(kid)?.times.state(now) {
                State::Active if forced && !is_used => chain.wind_down(&rules, now),
                _ => chain.retire(kid, forced, &rules, now)?,
            }
            Ok(chain.find(kid)?.times.retires_at.unwrap_or(now))
        };
        self.change(algorithm, None, None, now, retire).await
    }

    /// Adds an imported key. It signs after `ahead`, before the keys that are pending already.
    pub async fn import(
        &self,
        imported: Imported,
        ahead: PublishAhead,
        token_lifetime: Duration,
        now: Timestamp,
    ) -> Result<(String, Timestamp), KeysError> {
        let rules = self.policy.rules(token_lifetime);
        let kid = imported.kid.unwrap_or_else(|| imported.key.public.kid.clone());
        let mut kept = self.vault.keep(imported.key)?;
        kept.public.kid = kid.clone();
        let algorithm = kept.public.algorithm;
        if !self.policy.algorithms.all().contains(&algorithm) {
            return Err(Refusal::NotConfigured(algorithm).into());
        }
        self.check_decided(algorithm, now).await?;
        // A refusal changes nothing.
        self.load_chain(algorithm, now).await?.import(kid.clone(), ahead, &rules, now)?;
        let import = |chain: &mut Chain| Ok(chain.import(kid.clone(), ahead, &rules, now)?);
        let at = self.change(algorithm, Some(kept), None, now, import).await?;
        Ok((kid, at))
    }

    /// Publishes a key that only verifies, until `until`: that of an issuer which Signet replaces.
    pub async fn publish(
        &self,
        public: PublicKey,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<String, KeysError> {
        let kid = public.kid.clone();
        let times = Times::verifying(now, until);
        let publish = |chain: &mut Chain| {
            chain.set_aside(ScheduledKey { kid: kid.clone(), times });
            Ok(())
        };
        let kept = Kept { public, private_key: String::new() };
        self.change(kept.public.algorithm, Some(kept), None, now, publish).await?;
        Ok(kid)
    }

    /// Checks that neither the name nor the key itself is in use, under whatever name. Returns
    /// another issuer's key that is replaced, by its own pair or by a new publication.
    async fn room_for(&self, new: &Kept, now: Timestamp) -> Result<Option<String>, KeysError> {
        let Kept { public, private_key } = new;
        let mut gone = None;
        for stored in self.store.find_same(&public.kid, &public.spki).await? {
            let is_foreign = stored.is_foreign() && stored.revoked_at.is_none();
            let is_over = stored.times.state(now) == State::Retired || !private_key.is_empty();
            let is_same = stored.public_key == public.spki
                && stored.kid == public.kid
                && stored.algorithm == public.algorithm;
            if !(is_foreign && is_over && is_same) {
                return Err(Refusal::Known(stored.kid).into());
            }
            gone = Some(stored.kid);
        }
        Ok(gone)
    }

    pub(super) async fn find_published(
        &self,
        kid: &str,
        now: Timestamp,
    ) -> Result<StoredKey, KeysError> {
        let stored = self.store.find(kid).await?.ok_or_else(|| Refusal::Unknown(kid.to_owned()))?;
        if stored.revoked_at.is_some() || stored.times.state(now) == State::Retired {
            return Err(Refusal::Retired.into());
        }
        Ok(stored)
    }

    /// Makes a key. Also returns the time after that: the times of the key count from its
    /// publication, and making it may take a while.
    async fn generate(
        &self,
        algorithm: Algorithm,
        now: Timestamp,
    ) -> Result<(Kept, Timestamp), KeysError> {
        let began = Instant::now();
        let (vault, bits) = (self.vault.clone(), self.policy.rsa_bits);
        let kept = off_the_request_path(move || vault.generate(algorithm, bits)).await?;
        fault::point("keys.generated");
        Ok((kept, now.plus(began.elapsed())))
    }

    async fn load_chain(&self, algorithm: Algorithm, now: Timestamp) -> Result<Chain, KeysError> {
        let owed = self.head(algorithm, now).await?.owed;
        let entries = entries(self.published(now).await?.keys, algorithm);
        Ok(Chain::new(entries, now).owing(owed))
    }

    /// Changes a chain, and adds a new spare in the same change if `decide` used up the old one.
    async fn change_with_spare<T>(
        &self,
        algorithm: Algorithm,
        rules: &Rules,
        revoked: Option<&str>,
        now: Timestamp,
        decide: impl Fn(&mut Chain, Timestamp) -> Result<T, KeysError>,
    ) -> Result<T, KeysError> {
        let (spare, now) = self.generate(algorithm, now).await?;
        let kid = spare.public.kid.clone();
        self.change(algorithm, Some(spare), revoked, now, |chain| {
            let result = decide(chain, now)?;
            if chain.needs_key(rules, now) {
                chain.add_spare(kid.clone(), now, rules, now);
            }
            Ok(result)
        })
        .await
    }

    /// Lets `decide` change the chain of `algorithm`, and stores the result. `new` is stored if it
    /// is in the chain, and deleted if not.
    async fn change<T>(
        &self,
        algorithm: Algorithm,
        new: Option<Kept>,
        revoked: Option<&str>,
        now: Timestamp,
        decide: impl Fn(&mut Chain) -> Result<T, KeysError>,
    ) -> Result<T, KeysError> {
        let result = self.try_change(algorithm, new.as_ref(), revoked, now, decide).await;
        let is_unused = match &result {
            Ok((_, is_added)) => !is_added,
            // If a commit was not answered, it may have been made or not.
            Err(error) => matches!(error, KeysError::Refused(_)),
        };
        if is_unused && let Some(new) = new {
            let vault = self.vault.clone();
            let discard = move || {
                vault.discard(&new);
                Ok(())
            };
            off_the_request_path(discard).await?;
        }
        let (result, _) = result?;
        if let Err(error) = self.reload(now).await {
            // The change is stored, and the next reload will see it.
            tracing::warn!(error = full(&error), "the signing keys were not reloaded");
        }
        Ok(result)
    }

    /// Decides on the present chain, again whenever another instance stored its change first. Also
    /// returns whether `new` is in the chain.
    async fn try_change<T>(
        &self,
        algorithm: Algorithm,
        new: Option<&Kept>,
        revoked: Option<&str>,
        now: Timestamp,
        decide: impl Fn(&mut Chain) -> Result<T, KeysError>,
    ) -> Result<(T, bool), KeysError> {
        for _ in 0..MAX_TRIES {
            let head = self.head(algorithm, now).await?;
            let replaced = match new {
                Some(new) => self.room_for(new, now).await?,
                None => None,
            };
            let published = self.published(now).await?;
            let is_decided = published.undecided(algorithm, now).is_none();
            let ignores = |key: &StoredKey| self.is_ignored(key, is_decided);
            let stored = published.keys;
            let mut before = entries(stored.clone(), algorithm);
            before.retain(|entry| replaced.as_ref() != Some(&entry.kid));
            let mut chain = Chain::new(before.iter().cloned(), now).owing(head.owed);
            let result = decide(&mut chain)?;
            let is_new = |entry: &ScheduledKey| new.is_some_and(|new| new.public.kid == entry.kid);
            let changed: Vec<_> = chain
                .entries()
                .filter(|entry| !is_new(entry) && !before.contains(entry))
                .filter_map(|entry| {
                    let mut key = stored.iter().find(|key| key.kid == entry.kid)?.clone();
                    key.times = entry.times;
                    key.revoked_at = revoked.filter(|kid| *kid == key.kid).map(|_| now);
                    Some(self.tagged(key))
                })
                .collect();
            let added = chain.entries().find(|entry| is_new(entry)).zip(new);
            let added = added.map(|(entry, new)| self.tagged(new.clone().into_stored(entry.times)));
            let is_added = added.is_some();
            let owed = chain.owed();
            if changed.is_empty() && !is_added && owed == head.owed {
                return Ok((result, false));
            }
            let (from_version, ignores) = (head.version, &ignores);
            let change =
                Change { algorithm, from_version, replaced, changed, added, ignores, owed };
            match self.store.apply(&change).await {
                Err(StorageError::Conflict) => continue,
                Err(error) => return Err(error.into()),
                Ok(()) => {
                    fault::point("keys.committed");
                    return Ok((result, is_added));
                }
            }
        }
        Err(every_try_lost())
    }
}

impl Kept {
    fn into_stored(self, times: Times) -> StoredKey {
        StoredKey {
            kid: self.public.kid,
            algorithm: self.public.algorithm,
            public_key: self.public.spki,
            private_key: self.private_key,
            times,
            revoked_at: None,
            tag: None,
        }
    }
}

/// The keys of `algorithm` that a chain consists of. A revoked key is excluded by every instance,
/// also by one whose clock has not reached that moment: no change may bring the key back.
pub(super) fn entries(stored: Vec<StoredKey>, algorithm: Algorithm) -> Vec<ScheduledKey> {
    let of_algorithm =
        stored.into_iter().filter(|key| key.algorithm == algorithm && key.revoked_at.is_none());
    of_algorithm.map(|key| ScheduledKey { kid: key.kid, times: key.times }).collect()
}

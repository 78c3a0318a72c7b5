//! How rows that were written before tags existed get their tag: all of them once, at the first
//! start after the migration, and later ones one by one, when an operator vouches for them. That
//! the upgrade is over is on record in the database. If somebody removes the record and all tags,
//! the marks under the seals of the private parts still show it.

use std::time::Duration;

use super::chain::{Chain, Refusal};
use super::changes::{MAX_TRIES, entries, every_try_lost};
use super::rotation::{State, Times};
use super::store::{Change, KeyStore, StoredKey};
use super::{Keys, KeysError, full, off_the_request_path, tag};
use crate::base::time::Timestamp;
use crate::storage::{Db, StorageError, Stored};

/// The name under which the end of the upgrade is recorded.
pub(super) const ADOPTED: &str = "signing_keys_adopted";

#[derive(Clone, Debug, Default)]
pub(crate) struct Adoption {
    pub adopted: Vec<Adopted>,
    /// The keys that wait for an operator, since their private part does not open, with the reason.
    pub waiting: Vec<(String, String)>,
}

/// A key whose row has a tag now.
#[derive(Clone, Debug)]
pub struct Adopted {
    pub(crate) kid: String,
    pub(crate) thumbprint: String,
    pub(crate) only_verifies: bool,
    pub(crate) opens: bool,
    pub(crate) retires_at: Option<Timestamp>,
}

impl Adopted {
    fn of(key: &StoredKey) -> Result<Self, KeysError> {
        Ok(Self {
            kid: key.kid.clone(),
            thumbprint: key.public()?.thumbprint(),
            only_verifies: key.is_foreign(),
            opens: true,
            retires_at: key.times.retires_at,
        })
    }
}

impl std::fmt::Display for Adopted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.opens {
            f.write_str("its private part does not open, so Signet accepts none of its tokens: ")?;
        }
        match (self.only_verifies, self.retires_at) {
            (false, _) => f.write_str("its private part opens")?,
            (true, Some(at)) => write!(f, "it only verifies, until {at}")?,
            (true, None) => f.write_str("it only verifies")?,
        }
        write!(f, "; thumbprint {}", self.thumbprint)
    }
}

impl Keys {
    /// Whether `db` holds keys from before there were tags, which the first start will adopt.
    pub async fn await_adoption(db: &Db) -> Stored<bool> {
        let store = KeyStore::new(db.clone());
        Ok(store.find_secret(ADOPTED).await?.is_none() && !store.is_empty().await?)
    }

    /// Adds the missing tags, unless that was done already, as a part of the start.
    pub(super) async fn adopt_once(&self, now: Timestamp) -> Result<Option<Adoption>, KeysError> {
        // This order matters: a process that reads another's tags must read its record as well.
        let is_empty = self.store.is_empty().await?;
        let counts = |key: &StoredKey| key.tag.is_some() || self.vault.opens(key);
        let rows = self.store.load_all(counts).await?;
        if self.store.find_secret(ADOPTED).await?.is_some() {
            return Ok(None);
        }
        let marker = self.vault.seal(&[], ADOPTED);
        if is_empty {
            return self.record_adoption(&[], &marker, now).await.map(|_| None);
        }
        let has_tag = |key: &StoredKey| key.tag.is_some() || self.vault.is_marked(key);
        if rows.keys.iter().any(has_tag) || self.has_marked_secret().await? {
            tracing::error!(
                "the record of when the signing keys were authenticated was removed from the \
                 database: no key is authenticated again"
            );
            return self.record_adoption(&[], &marker, now).await.map(|_| None);
        }
        let (good, waiting) = self.open_each(rows.keys, now).await?;
        let signs = |key: &StoredKey| !key.is_foreign() && key.is_published(now);
        if !good.iter().any(signs) {
            // Most likely the key-encryption key is not the one of these rows. Nothing has changed.
            return Err(waiting
                .into_iter()
                .next()
                .map_or(KeysError::NoneActive, |(_, error)| error));
        }
        let tagged: Vec<_> = good.into_iter().map(|key| self.tagged(key)).collect();
        if !self.record_adoption(&tagged, &marker, now).await? {
            return Ok(None);
        }
        let published = tagged.iter().filter(|key| key.is_published(now));
        let adopted = published.map(Adopted::of).collect::<Result<Vec<_>, _>>()?;
        let waiting = waiting.into_iter().map(|(kid, error)| (kid, full(&error))).collect();
        Ok(Some(Adoption { adopted, waiting }))
    }

    /// Divides the keys without a tag: first those whose private part opens or is on the token,
    /// sealed again with the mark, and those that are published and have no private part; then the
    /// other published ones, with the reason.
    #[allow(clippy::type_complexity, reason = "the good keys, and the waiting ones with a reason")]
    async fn open_each(
        &self,
        keys: Vec<StoredKey>,
        now: Timestamp,
    ) -> Result<(Vec<StoredKey>, Vec<(String, KeysError)>), KeysError> {
        let vault = self.vault.clone();
        let open = move |key: &StoredKey| {
            key.public()?;
            let private_key = match vault.open_key(key)? {
                Some(pair) if !key.is_on_token() => vault.keep(pair)?.private_key,
                _ => key.private_key.clone(),
            };
            Ok(StoredKey { private_key, ..key.clone() })
        };
        off_the_request_path(move || {
            let (mut good, mut waiting) = (Vec::new(), Vec::new());
            for key in keys {
                let is_published = key.is_published(now);
                match open(&key) {
                    Ok(key) if is_published || !key.is_foreign() => good.push(key),
                    Err(error) if is_published => waiting.push((key.kid, error)),
                    _ => {}
                }
            }
            Ok((good, waiting))
        })
        .await
    }

    /// Stores the tags. Returns `false` when another process was faster.
    async fn record_adoption(
        &self,
        tagged: &[StoredKey],
        marker: &str,
        now: Timestamp,
    ) -> Result<bool, KeysError> {
        match self.store.tag_all(tagged, (ADOPTED, marker), now).await {
            Ok(()) => Ok(true),
            Err(StorageError::Conflict) if self.store.find_secret(ADOPTED).await?.is_some() => {
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Accepts a row that does not verify as a key, because an operator vouches for it. If another
    /// key has replaced it, it does not sign again, and is published while its tokens can be valid.
    pub async fn adopt(
        &self,
        kid: &str,
        token_lifetime: Duration,
        now: Timestamp,
    ) -> Result<Adopted, KeysError> {
        for _ in 0..MAX_TRIES {
            match self.try_adopt(kid, token_lifetime, now).await {
                Err(KeysError::Storage(StorageError::Conflict)) => continue,
                Err(error) => return Err(error),
                Ok(adopted) => {
                    self.reload(now).await?;
                    return Ok(adopted);
                }
            }
        }
        Err(every_try_lost())
    }

    /// Fails if the key-encryption key of this process may differ from that of all others: under
    /// such a key no row may be adopted.
    async fn check_may_adopt(&self, key: &StoredKey, now: Timestamp) -> Result<(), KeysError> {
        if self.check_can_sign(now).await.is_ok() {
            return Ok(());
        }
        let (vault, key) = (self.vault.clone(), key.clone());
        let opens = move || vault.open_key(&key)?.map(drop).ok_or(KeysError::NoneActive);
        off_the_request_path(opens).await
    }

    async fn opens(&self, key: &StoredKey) -> Result<bool, KeysError> {
        let (vault, key) = (self.vault.clone(), key.clone());
        off_the_request_path(move || Ok(vault.open_key(&key).is_ok())).await
    }

    async fn try_adopt(
        &self,
        kid: &str,
        token_lifetime: Duration,
        now: Timestamp,
    ) -> Result<Adopted, KeysError> {
        let mut key = self.find_published(kid, now).await?;
        let head = self.head(key.algorithm, now).await?;
        if tag::check(self.vault.sealing(), &key).is_ok() {
            return Err(Refusal::Authentic.into());
        }
        self.check_may_adopt(&key, now).await?;
        // A row without a usable public key would break the chain of all others.
        key.public()?;
        let published = self.published(now).await?;
        let is_decided = published.undecided(key.algorithm, now).is_none();
        let others = Chain::new(entries(published.keys, key.algorithm), now);
        let signs = [State::Pending, State::Active].contains(&key.times.state(now));
        if signs && others.signs_at_all(now) {
            key.times = ended(key.times, token_lifetime, now);
        }
        let opens = key.is_foreign() || self.opens(&key).await?;
        if !opens {
            // Only the row says whose key this is: what somebody else signs with it opens nothing
            // here.
            key.times = verifying(key.times, token_lifetime, now);
            key.private_key.clear();
        }
        let key = self.tagged(key);
        let adopted = Adopted { opens, ..Adopted::of(&key)? };
        let change = Change {
            algorithm: key.algorithm,
            from_version: head.version,
            replaced: None,
            changed: vec![key],
            added: None,
            ignores: &|key: &StoredKey| self.is_ignored(key, is_decided),
            owed: head.owed,
        };
        self.store.apply(&change).await?;
        Ok(adopted)
    }
}

/// The times of a key that does not sign from `now` on.
fn ended(times: Times, token_lifetime: Duration, now: Timestamp) -> Times {
    let until = now.plus(token_lifetime);
    Times {
        activates_at: times.activates_at.min(now),
        deactivates_at: Some(now),
        retires_at: Some(times.retires_at.map_or(until, |at| at.min(until))),
        ..times
    }
}

/// The times of a key that never signed here, and is published while its tokens can be valid.
fn verifying(times: Times, token_lifetime: Duration, now: Timestamp) -> Times {
    let from = times.created_at.min(now);
    let ended = ended(times, token_lifetime, now);
    Times { created_at: from, activates_at: from, deactivates_at: Some(from), ..ended }
}

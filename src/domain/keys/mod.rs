//! Signing keys: made, sealed, published, rotated and revoked (RFC 7517, RFC 7638). Private parts
//! leave the database only sealed, and are parsed once into memory. Invariants: exactly one key of
//! an algorithm signs at any moment; none signs before verifiers can have it; none leaves JWKS
//! while a token of it can be valid, unless an operator revokes it; and no row is used that is not
//! authenticated under the key-encryption key.

pub(crate) mod adoption;
pub(crate) mod algorithm;
pub(crate) mod authentic;
pub(crate) mod chain;
#[cfg(test)]
mod chain_tests;
pub(crate) mod changes;
pub(crate) mod encryption_key;
pub(crate) mod foreign;
pub(crate) mod import;
pub mod jwks;
pub(crate) mod key_error;
mod mark;
#[cfg(feature = "pkcs11")]
pub mod pkcs11;
pub(crate) mod policy;
pub(crate) mod public_key;
pub(crate) mod ring;
pub mod rotation;
mod secrets;
mod signer;
mod signing_key;
pub mod store;
pub(crate) mod tag;
pub(crate) mod token_config;
mod vault;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::base::sealing::{OpenError, sealed_under};
use crate::base::time::Timestamp;
use crate::storage::{Db, StorageError, Stored};

pub use algorithm::Algorithm;
pub(crate) use key_error::KeyError;
pub use policy::{Algorithms, Policy};
pub(crate) use public_key::PublicKey;
pub(crate) use ring::KeyRing;
pub use signing_key::SigningKey;
pub use token_config::Pkcs11Config;
pub use vault::Vault;

use adoption::{ADOPTED, Adoption};
use authentic::Alarms;
use chain::Refusal;
use ring::RingKey;
use secrets::{MAILED_TOKEN_KEY, REFRESH_TOKEN_KEY};
use store::{KeyStore, StoredKey};
use tag::TagError;

/// Failures of the keys.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The database failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A private key does not open: most often another key-encryption key is needed.
    #[error("the private key {0} does not open")]
    Sealed(String, #[source] OpenError),
    /// The row of a key is not authentic.
    #[error("the key {0} is not used: it is not authenticated under the key-encryption key")]
    Unverified(String, #[source] TagError),
    /// This process cannot decide whether a row is a key.
    #[error(
        "{0}; it may be a key of an instance that has that key-encryption key, so no new key is \
         made: give this process that key-encryption key too, or, if no instance has it, remove \
         the row with `signet keys revoke KID --reason` or vouch for it with `signet keys adopt`"
    )]
    Undecided(String),
    /// A private key is on a token, and no token is configured.
    #[error(
        "the private key {0} is on a PKCS#11 token: keys.pkcs11 must name the token, and the \
         program must be built with the feature pkcs11"
    )]
    NoToken(String),
    /// The token failed.
    #[cfg(feature = "pkcs11")]
    #[error("the PKCS#11 token cannot be used")]
    Token(#[from] pkcs11::TokenError),
    /// A key is not usable.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A change is refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The database holds no usable key: all of them are retired.
    #[error("there is no signing key that is not retired")]
    NoneActive,
}

impl KeysError {
    /// The error for the row of `kid` that is not authentic. A row that needs another
    /// key-encryption key gets the same error as any other value sealed under it.
    fn unverified(kid: String, error: TagError) -> Self {
        match error {
            TagError::Wrong(error @ OpenError::OtherKey { .. }) => Self::Sealed(kid, error),
            error => Self::Unverified(kid, error),
        }
    }
}

/// The signing keys of this service, loaded and ready. Cheap to clone; clones share the ring.
#[derive(Clone)]
pub struct Keys {
    ring: Arc<ArcSwap<KeyRing>>,
    reloading: Arc<tokio::sync::Mutex<()>>,
    store: KeyStore,
    vault: Arc<Vault>,
    policy: Arc<Policy>,
    alarms: Arc<Alarms>,
}

/// The outcome of opening the keys.
#[derive(Debug, Default)]
pub struct Opening {
    pub(crate) added: Vec<changes::AddedKey>,
    /// The outcome of the upgrade for rows without a tag, if this start made it.
    pub(crate) adoption: Option<Adoption>,
}

/// The outcome of a change of the key-encryption key.
#[derive(Debug, PartialEq, Eq, serde::Serialize)]
pub struct Rewrapped {
    /// The id of the key that everything is sealed under now.
    pub sealed_under: String,
    /// How many keys and secrets were sealed again.
    pub rewrapped: usize,
    /// The ids of keys under which nothing is sealed any more.
    pub no_longer_needed: Vec<String>,
}

impl Keys {
    /// Whether `db` holds no key yet, so that a new key-encryption key may be made.
    pub async fn is_empty(db: &Db) -> Stored<bool> {
        KeyStore::new(db.clone()).is_empty().await
    }

    /// Loads the keys of `db`, making the first ones if there are none. `token_lifetime` is that of
    /// the longest-lived token, with leeway.
    pub async fn open(
        db: &Db,
        vault: Vault,
        policy: Policy,
        token_lifetime: Duration,
        now: Timestamp,
    ) -> Result<(Self, Opening), KeysError> {
        let store = KeyStore::new(db.clone());
        let is_first = store.is_empty().await?;
        let ring = Arc::new(ArcSwap::from_pointee(KeyRing::new(Vec::new(), now)));
        let (vault, policy) = (Arc::new(vault), Arc::new(policy));
        let (reloading, alarms) = Default::default();
        let keys = Self { ring, reloading, store, vault, policy, alarms };
        let mut added = Vec::new();
        let adoption = keys.adopt_once(now).await?;
        keys.mark_secrets().await?;
        if is_first {
            // The first key and its spare.
            for _ in 0..2 {
                added.extend(keys.add_due_keys(now, token_lifetime, now).await?);
            }
        }
        keys.reload(now).await?;
        Ok((keys, Opening { added, adoption }))
    }

    /// Fails with the first active or pending key that does not open. Called before anything is
    /// made, since a key made under a wrong key-encryption key would add to the damage.
    pub async fn check_all_open(&self, now: Timestamp) -> Result<(), KeysError> {
        let signs = |key: &StoredKey| key.times.state(now) != rotation::State::Retiring;
        let mut published = self.published(now).await?;
        let signing: Vec<_> =
            std::mem::take(&mut published.keys).into_iter().filter(signs).collect();
        let vault = self.vault.clone();
        let open = move || signing.iter().try_for_each(|key| vault.open_key(key).map(drop));
        off_the_request_path(open).await?;
        match self.ring().active(self.policy.algorithms.default, now) {
            Some(_) => Ok(()),
            None => Err(published.into_refusal()),
        }
    }

    /// Fails if no key can sign, with the first key that does not open or is not authentic. An
    /// unusable key does not stop a service that has a usable one: it is logged.
    pub async fn check_can_sign(&self, now: Timestamp) -> Result<(), KeysError> {
        match self.ring().active(self.policy.algorithms.default, now) {
            Some(_) => Ok(()),
            None => self.check_all_open(now).await,
        }
    }

    /// The rules that these keys follow.
    pub fn ring(&self) -> Arc<KeyRing> {
        self.ring.load_full()
    }

    pub(crate) fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Reads the changes of other instances. Parses only keys that are new here. A key that does
    /// not open here still verifies, and is still published, retired or revoked.
    pub async fn reload(&self, now: Timestamp) -> Result<(), KeysError> {
        // Of two concurrent reloads the one that read first must not store its result last.
        let _reloading = self.reloading.lock().await;
        let published = self.published(now).await?;
        if published.keys.is_empty() && !published.refused.is_empty() && !self.ring().is_empty() {
            // An empty key table is treated as a fault of the database: the present keys stay.
            return Err(published.into_refusal());
        }
        let stored = published.keys;
        let (vault, present) = (self.vault.clone(), self.ring());
        let is_known = |key: &StoredKey| key.is_foreign() || present.parsed(&key.kid).is_some();
        let all_known = stored.iter().all(is_known);
        let parse = move || {
            let ring_key = |stored: &StoredKey| ring_key(&vault, &present, stored);
            stored.iter().map(ring_key).collect::<Result<Vec<_>, KeysError>>()
        };
        // Parsing and checking a new key takes milliseconds.
        let keys = if all_known { parse()? } else { off_the_request_path(parse).await? };
        self.ring.store(Arc::new(KeyRing::new(keys, now)));
        Ok(())
    }

    /// Seals everything again that is not sealed under the newest key-encryption key, with the tags
    /// of the rows. A row that is not authentic stays unchanged.
    pub async fn rewrap(&self) -> Result<Rewrapped, KeysError> {
        let newest = self.vault.newest_id();
        let mut rewrapped = 0;
        let mut no_longer_needed = Vec::new();
        let old_id = |sealed: &str| {
            let id = sealed_under(sealed).filter(|id| *id != newest);
            id.map(str::to_owned)
        };
        let rows = self.store.load_all(|key| self.is_authentic(key)).await?;
        let (stored, _) = authentic::examine(self.vault.sealing(), rows);
        for stored in stored {
            let (sealed, tag) = (&stored.private_key, stored.tag.as_deref().unwrap_or_default());
            let ids = [old_id(sealed), old_id(tag)];
            if ids.iter().all(Option::is_none) {
                continue;
            }
            let mut new = stored.clone();
            if ids[0].is_some()
                && let Some(key) = self.vault.open_key(&stored)?
            {
                new.private_key = self.vault.keep(key)?.private_key;
            }
            new.tag = Some(tag::make(self.vault.sealing(), &new));
            if self.store.replace_sealed(&stored, &new).await? && ids[0].is_some() {
                rewrapped += 1;
            }
            no_longer_needed.extend(ids.into_iter().flatten());
        }
        for name in [REFRESH_TOKEN_KEY, MAILED_TOKEN_KEY, ADOPTED] {
            let Some(old) = self.store.find_secret(name).await? else { continue };
            let Some(id) = old_id(&old) else { continue };
            let secret = self.vault.unseal(&old, name)?;
            let new = self.vault.seal(secret.expose(), name);
            if self.store.replace_secret(name, &old, &new).await? && name != ADOPTED {
                rewrapped += 1;
            }
            no_longer_needed.push(id);
        }
        no_longer_needed.sort();
        no_longer_needed.dedup();
        Ok(Rewrapped { sealed_under: newest.to_owned(), rewrapped, no_longer_needed })
    }
}

/// Runs work that takes longer than a request should wait, on a thread of its own at the lowest
/// priority: making an RSA key takes a core for up to seconds.
async fn off_the_request_path<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, KeysError> + Send + 'static,
) -> Result<T, KeysError> {
    let (reply, answer) = tokio::sync::oneshot::channel();
    let body = move || {
        // On Linux this lowers the calling thread alone; if it is refused, everything works at
        // normal priority.
        let _ = rustix::process::setpriority_process(None, 19);
        // The caller may have been dropped.
        let _ = reply.send(work());
    };
    let failed = |error: Box<dyn std::error::Error + Send + Sync>| StorageError::Internal(error);
    let thread = std::thread::Builder::new().name("keys".into()).spawn(body);
    thread.map_err(|error| failed(error.into()))?;
    answer.await.map_err(|error| failed(error.into()))?
}

fn ring_key(vault: &Vault, present: &KeyRing, stored: &StoredKey) -> Result<RingKey, KeysError> {
    let key = match present.parsed(&stored.kid) {
        Some(key) => Some(key.clone()),
        None => vault.open_key(stored).map(|key| key.map(Arc::new)).unwrap_or_else(|error| {
            let error = full(&error);
            tracing::error!(kid = stored.kid, error, "a signing key cannot be used here");
            None
        }),
    };
    Ok(match key {
        Some(key) => RingKey::signing(&stored.kid, stored.times, key),
        None => RingKey::verifying(stored.times, stored.public()?, stored.is_foreign()),
    })
}

fn full(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

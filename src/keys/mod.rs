//! Signing keys: made, sealed, published and rotated (RFC 7517, RFC 7638). Private parts leave the
//! database only sealed, and are parsed once into memory. Invariants: exactly one key of an
//! algorithm signs at any moment, and JWKS is never empty.

pub mod encryption_key;
pub mod jwks;
#[cfg(feature = "pkcs11")]
pub mod pkcs11;
pub mod ring;
pub mod rotation;
mod signer;
pub mod signing_key;
pub mod store;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::secret::{OpenError, Random, SealingKey, Secret};
use crate::storage::{Db, StorageError};
use crate::time::Timestamp;

pub use ring::KeyRing;
pub use signing_key::{KeyError, PublicKey, SigningKey};

use ring::RingKey;
use rotation::{Refusal, Times};
use store::{KeyStore, StoredKey};

/// The algorithm of every signing key (RFC 7518 section 3.3).
const RS256: &str = "RS256";
/// The name under which the key that tags refresh tokens is kept.
const REFRESH_TOKEN_KEY: &str = "refresh_token";

/// The rules of a signing key's life. `publish_ahead` and `jwks_max_age` are what verifiers see.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Size of new RSA keys: 2048, 3072 or 4096 bits.
    pub rsa_bits: u32,
    /// How long a key signs before the next takes over; `None` for never by itself.
    pub rotate_every: Option<Duration>,
    /// How long a key is published before it signs.
    pub publish_ahead: Duration,
    /// `max-age` of the JWKS answer.
    pub jwks_max_age: Duration,
}

impl Policy {
    /// Stock verifiers (PyJWT, jose) refetch JWKS no oftener than this.
    const MIN_PUBLISH_AHEAD: Duration = Duration::from_secs(30);

    /// Checks that verifiers can follow; the error is the sentence for the operator, with the
    /// name of the setting that is wrong.
    pub fn new(
        rsa_bits: u32,
        rotate_every: Option<Duration>,
        publish_ahead: Duration,
        jwks_max_age: Duration,
    ) -> Result<Self, (&'static str, String)> {
        if ![2048, 3072, 4096].contains(&rsa_bits) {
            return Err(("rsa_bits", "must be 2048, 3072 or 4096".into()));
        }
        if jwks_max_age < Duration::from_secs(1) || jwks_max_age > Duration::from_secs(86_400) {
            return Err(("jwks_max_age", "must be from 1s to 1d".into()));
        }
        if publish_ahead < Self::MIN_PUBLISH_AHEAD || publish_ahead < jwks_max_age {
            return Err((
                "publish_ahead",
                "must be at least 30s and at least keys.jwks_max_age, or verifiers that cache \
                 JWKS meet tokens of a key they have not seen"
                    .into(),
            ));
        }
        if rotate_every.is_some_and(|every| every < publish_ahead * 2) {
            return Err(("rotate_every", "must be off or at least twice publish_ahead".into()));
        }
        Ok(Self { rsa_bits, rotate_every, publish_ahead, jwks_max_age })
    }
}

/// How long the other instances may take to publish a new key.
const ROLLOUT: Duration = Duration::from_secs(5);

/// What can go wrong with the keys.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The database.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A private key does not open: most often another key-encryption key is needed.
    #[error("the private key {0} does not open")]
    Sealed(String, #[source] OpenError),
    /// A key is not usable.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A rotation is refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The database holds no usable key: all of them are retired.
    #[error("there is no signing key that is not retired")]
    NoneActive,
}

/// The signing keys of this service, loaded and ready. Cheap to clone; clones share the ring.
#[derive(Clone)]
pub struct Keys {
    ring: Arc<ArcSwap<KeyRing>>,
    store: KeyStore,
    sealing: Arc<SealingKey>,
    policy: Policy,
}

impl Keys {
    /// Whether `db` holds no key yet, so that a new key-encryption key may be made.
    pub async fn is_empty(db: &Db) -> Result<bool, StorageError> {
        Ok(KeyStore::new(db.clone()).load_all().await?.is_empty())
    }

    /// Loads the keys of `db`, making the first one where there is none. Every private key must
    /// open with `sealing`.
    pub async fn open(
        db: &Db,
        sealing: SealingKey,
        policy: Policy,
        now: Timestamp,
    ) -> Result<Self, KeysError> {
        let store = KeyStore::new(db.clone());
        if store.load_all().await?.is_empty() {
            let times = Times {
                created_at: now,
                activates_at: now,
                deactivates_at: None,
                retires_at: None,
            };
            let first = generate(&sealing, policy.rsa_bits, times).await?;
            match store.create(&first).await {
                // Another instance was first: its key serves.
                Ok(()) | Err(StorageError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let ring = Arc::new(ArcSwap::from_pointee(KeyRing::new(Vec::new(), now)));
        let keys = Self { ring, store, sealing: Arc::new(sealing), policy };
        keys.reload(now).await?;
        keys.ring().active(now).ok_or(KeysError::NoneActive)?;
        Ok(keys)
    }

    /// The present snapshot.
    pub fn ring(&self) -> Arc<KeyRing> {
        self.ring.load_full()
    }

    /// The rules these keys follow.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Takes over what other instances did to the keys. Parses only keys that are new here.
    pub async fn reload(&self, now: Timestamp) -> Result<(), KeysError> {
        let present = self.ring();
        let mut keys = Vec::new();
        for stored in self.store.load_all().await? {
            if stored.times.state(now) == rotation::State::Retired {
                continue;
            }
            let key = match present.parsed(&stored.kid) {
                Some(key) => key.clone(),
                None => Arc::new(self.unseal(&stored)?),
            };
            keys.push(RingKey::new(stored.times, key));
        }
        self.ring.store(Arc::new(KeyRing::new(keys, now)));
        Ok(())
    }

    fn unseal(&self, stored: &StoredKey) -> Result<SigningKey, KeysError> {
        let document = self
            .sealing
            .open(&stored.sealed_private_key, &stored.kid)
            .map_err(|error| KeysError::Sealed(stored.kid.clone(), error))?;
        let key = SigningKey::from_pkcs8(document.expose())?;
        if key.public.kid != stored.kid || key.public.spki != stored.public_key {
            return Err(KeyError::Mismatch.into());
        }
        Ok(key)
    }

    /// All stored keys, newest first, for listing.
    pub async fn list(&self) -> Result<Vec<StoredKey>, StorageError> {
        self.store.load_all().await
    }

    /// Makes the next key: published now, signing after `activate_in` (`publish_ahead` where
    /// `None`). The present one stays published `token_lifetime` beyond that, which must cover
    /// the longest-lived token. Returns the new key's `kid` and the handover.
    pub async fn rotate(
        &self,
        activate_in: Option<Duration>,
        token_lifetime: Duration,
        now: Timestamp,
    ) -> Result<(String, rotation::Handover), KeysError> {
        let stored = self.store.load_all().await?;
        let newest = stored
            .iter()
            .find(|key| key.times.deactivates_at.is_none())
            .ok_or(KeysError::NoneActive)?;
        // What the configuration was allowed to say is soon enough.
        let least = (self.policy.jwks_max_age + ROLLOUT)
            .max(Policy::MIN_PUBLISH_AHEAD)
            .min(self.policy.publish_ahead);
        let activate_in = activate_in.unwrap_or(self.policy.publish_ahead);
        let plan = rotation::plan(&newest.times, activate_in, least, token_lifetime, now)?;
        let times = Times {
            created_at: now,
            activates_at: plan.at,
            deactivates_at: None,
            retires_at: None,
        };
        let new = generate(&self.sealing, self.policy.rsa_bits, times).await?;
        match self.store.replace_newest(&newest.kid, &new, plan).await {
            Err(StorageError::Conflict) => Err(Refusal::UnderWay(plan.at).into()),
            Err(error) => Err(error.into()),
            Ok(()) => {
                self.reload(now).await?;
                Ok((new.kid, plan))
            }
        }
    }

    /// Whether the newest key has signed for so long that its successor is to be published. Any
    /// instance may find that; of several that rotate at once, one does it.
    pub fn is_rotation_due(&self, now: Timestamp) -> bool {
        let (newest, ahead) = (self.ring().newest(), self.policy.publish_ahead);
        match (newest, self.policy.rotate_every) {
            (Some(times), Some(every)) => now.plus(ahead) >= times.activates_at.plus(every),
            _ => false,
        }
    }

    /// The key that tags refresh tokens, made on first use and kept sealed.
    pub async fn refresh_token_key(
        &self,
        random: &Random,
        now: Timestamp,
    ) -> Result<Secret<Vec<u8>>, KeysError> {
        if self.store.find_secret(REFRESH_TOKEN_KEY).await?.is_none() {
            let key = Secret::new(random.bytes::<32>());
            let sealed = self.sealing.seal(key.expose(), REFRESH_TOKEN_KEY);
            match self.store.create_secret(REFRESH_TOKEN_KEY, &sealed, now).await {
                Ok(()) | Err(StorageError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let sealed = self.store.find_secret(REFRESH_TOKEN_KEY).await?.unwrap_or_default();
        self.sealing
            .open(&sealed, REFRESH_TOKEN_KEY)
            .map_err(|error| KeysError::Sealed(REFRESH_TOKEN_KEY.into(), error))
    }
}

/// Makes and seals a key on a blocking thread, since it takes up to seconds.
async fn generate(sealing: &SealingKey, bits: u32, times: Times) -> Result<StoredKey, KeysError> {
    let key = tokio::task::spawn_blocking(move || SigningKey::generate(bits))
        .await
        .map_err(|_| KeyError::Generate(bits))??;
    Ok(StoredKey {
        sealed_private_key: sealing.seal(key.to_pkcs8()?.expose(), &key.public.kid),
        public_key: key.public.spki,
        kid: key.public.kid,
        algorithm: RS256.into(),
        times,
    })
}

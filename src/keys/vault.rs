//! Where private keys are kept: sealed in the database.

use super::algorithm::Algorithm;
use super::store::StoredKey;
use super::{KeyError, KeysError, PublicKey, SigningKey};
use crate::secret::{SealingKeys, Secret};

/// A key pair whose private half is ready to be stored.
#[derive(Clone)]
pub struct Kept {
    /// The public half.
    pub public: PublicKey,
    /// What is stored of the private half.
    pub private_key: String,
}

/// Keeps private keys.
pub struct Vault {
    sealing: SealingKeys,
}

impl Vault {
    /// A vault whose keys are sealed by `sealing`.
    pub fn new(sealing: SealingKeys) -> Self {
        Self { sealing }
    }

    /// Makes a new pair. Takes up to seconds.
    pub(super) fn generate(&self, algorithm: Algorithm, rsa_bits: u32) -> Result<Kept, KeysError> {
        self.keep(SigningKey::generate(algorithm, rsa_bits)?)
    }

    /// Seals a pair that was made here or elsewhere.
    pub(super) fn keep(&self, key: SigningKey) -> Result<Kept, KeysError> {
        let sealed = self.sealing.newest().seal(key.to_pkcs8()?.expose(), &key.public.kid);
        Ok(Kept { public: key.public, private_key: sealed })
    }

    /// The pair of a stored key; `None` for one that only verifies.
    pub(super) fn open(&self, stored: &StoredKey) -> Result<Option<SigningKey>, KeysError> {
        if stored.private_key.is_empty() {
            return Ok(None);
        }
        let document = self
            .sealing
            .open(&stored.private_key, &stored.public()?.thumbprint())
            .map_err(|error| KeysError::Sealed(stored.kid.clone(), error))?;
        let key = SigningKey::from_pkcs8(stored.algorithm, document.expose())?;
        if key.public.spki != stored.public_key {
            return Err(KeyError::Mismatch.into());
        }
        Ok(Some(key))
    }

    /// Seals `secret` for the purpose `name`.
    pub(super) fn seal(&self, secret: &[u8], name: &str) -> String {
        self.sealing.newest().seal(secret, name)
    }

    /// Opens what was sealed for the purpose `name`.
    pub(super) fn unseal(&self, sealed: &str, name: &str) -> Result<Secret<Vec<u8>>, KeysError> {
        self.sealing.open(sealed, name).map_err(|error| KeysError::Sealed(name.to_owned(), error))
    }

    /// The id of the key that seals.
    pub(super) fn newest_id(&self) -> &str {
        self.sealing.newest().id()
    }
}

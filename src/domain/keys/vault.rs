//! Where private keys are stored: sealed in the database, or on a token (HSM) that they never
//! leave.

use super::algorithm::Algorithm;
use super::store::StoredKey;
use super::token_config::Pkcs11Config;
use super::{KeyError, KeysError, PublicKey, SigningKey, mark};
use crate::base::sealing::SealingKeys;
use crate::base::secret::Secret;

#[cfg(feature = "pkcs11")]
use super::pkcs11::Token;

/// The prefix of a stored private key that is on a token; its id there follows.
const ON_TOKEN: &str = "pkcs11.";

impl StoredKey {
    pub(crate) fn is_on_token(&self) -> bool {
        self.private_key.starts_with(ON_TOKEN)
    }
}

/// A key pair whose private half is ready to be stored.
#[derive(Clone)]
pub(super) struct Kept {
    pub public: PublicKey,
    pub private_key: String,
}

/// The storage of private keys.
pub struct Vault {
    sealing: SealingKeys,
    #[cfg(feature = "pkcs11")]
    token: Option<Token>,
}

impl Vault {
    /// A vault whose keys are sealed by `sealing`; new ones are made on the token, if one is
    /// configured. Blocks until the token has answered.
    #[cfg(feature = "pkcs11")]
    pub fn open(sealing: SealingKeys, token: Option<&Pkcs11Config>) -> Result<Self, KeysError> {
        Ok(Self { sealing, token: token.map(Token::open).transpose()? })
    }

    /// A vault whose keys are sealed by `sealing`. This build supports no token.
    #[cfg(not(feature = "pkcs11"))]
    pub fn open(sealing: SealingKeys, _token: Option<&Pkcs11Config>) -> Result<Self, KeysError> {
        Ok(Self { sealing })
    }

    /// Makes a new pair. Takes up to seconds.
    pub(super) fn generate(&self, algorithm: Algorithm, rsa_bits: u32) -> Result<Kept, KeysError> {
        #[cfg(feature = "pkcs11")]
        if let Some(token) = &self.token {
            let key = match algorithm.is_rsa() {
                true => token.generate_rsa(rsa_bits)?,
                false => token.generate_p256()?,
            };
            let private_key = format!("{ON_TOKEN}{}", key.id);
            return Ok(Kept { public: SigningKey::on_token(algorithm, key)?.public, private_key });
        }
        self.keep(SigningKey::generate(algorithm, rsa_bits)?)
    }

    #[cfg(feature = "pkcs11")]
    pub(super) fn discard(&self, kept: &Kept) {
        if let (Some(token), Some(id)) = (&self.token, kept.private_key.strip_prefix(ON_TOKEN))
            && let Err(error) = token.remove(id)
        {
            tracing::warn!(%error, id, "a pair that is not needed was left on the token");
        }
    }

    /// Drops a pair that is not used after all; it was only in memory.
    #[cfg(not(feature = "pkcs11"))]
    pub(super) fn discard(&self, _kept: &Kept) {}

    pub(super) fn keep(&self, key: SigningKey) -> Result<Kept, KeysError> {
        let document = mark::set(key.to_pkcs8()?.expose());
        let sealed = self.sealing.newest().seal(&document, &key.public.kid);
        Ok(Kept { public: key.public, private_key: sealed })
    }

    /// The pair of a stored key, if it has a private half. Blocks until a token has answered.
    pub(super) fn open_key(&self, stored: &StoredKey) -> Result<Option<SigningKey>, KeysError> {
        if stored.is_foreign() {
            return Ok(None);
        }
        let key = match stored.private_key.strip_prefix(ON_TOKEN) {
            Some(id) => self.find_on_token(stored, id)?,
            None => SigningKey::from_pkcs8(stored.algorithm, self.document(stored)?.expose())?,
        };
        if key.public.spki != stored.public_key {
            return Err(KeyError::Mismatch.into());
        }
        Ok(Some(key))
    }

    pub(super) fn is_marked(&self, stored: &StoredKey) -> bool {
        self.document(stored).is_ok_and(|document| mark::is_set(document.expose()))
    }

    /// Whether the sealed private part opens; `false` if it is elsewhere.
    pub(super) fn opens(&self, stored: &StoredKey) -> bool {
        self.document(stored).is_ok()
    }

    fn document(&self, stored: &StoredKey) -> Result<Secret<Vec<u8>>, KeysError> {
        let opened = self.sealing.open(&stored.private_key, &stored.public()?.thumbprint());
        opened.map_err(|error| KeysError::Sealed(stored.kid.clone(), error))
    }

    #[cfg(feature = "pkcs11")]
    fn find_on_token(&self, stored: &StoredKey, id: &str) -> Result<SigningKey, KeysError> {
        let token = self.token.as_ref().ok_or_else(|| KeysError::NoToken(stored.kid.clone()))?;
        Ok(SigningKey::on_token(stored.algorithm, token.find(id)?)?)
    }

    #[cfg(not(feature = "pkcs11"))]
    fn find_on_token(&self, stored: &StoredKey, _id: &str) -> Result<SigningKey, KeysError> {
        Err(KeysError::NoToken(stored.kid.clone()))
    }

    pub(super) fn seal(&self, secret: &[u8], name: &str) -> String {
        self.sealing.newest().seal(secret, name)
    }

    pub(super) fn unseal(&self, sealed: &str, name: &str) -> Result<Secret<Vec<u8>>, KeysError> {
        self.sealing.open(sealed, name).map_err(|error| KeysError::Sealed(name.to_owned(), error))
    }

    /// The key-encryption keys, which also authenticate the rows of keys.
    pub(super) fn sealing(&self) -> &SealingKeys {
        &self.sealing
    }

    pub(super) fn newest_id(&self) -> &str {
        self.sealing.newest().id()
    }
}

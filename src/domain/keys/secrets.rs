//! The secrets of the service that are sealed beside the signing keys. Each carries a mark under
//! its seal that the signing keys are authenticated: whoever writes to the database can neither set
//! nor remove it, so the upgrade of [`adoption`](super::adoption) does not run twice even if all
//! signing keys are on a token and no private part has a [`mark`](super::mark).
//!
//! As the mark, the key fills the block of SHA-256 with zeros. As an HMAC key it is the same with
//! and without them (RFC 2104 section 2), so the previous version can run beside this one.

use zeroize::Zeroizing;

use super::{Keys, KeysError};
use crate::base::random::Random;
use crate::base::secret::Secret;
use crate::base::time::Timestamp;
use crate::storage::StorageError;

pub(super) const REFRESH_TOKEN_KEY: &str = "refresh_token";
pub(super) const MAILED_TOKEN_KEY: &str = "mailed_token";

const LENGTH: usize = 32;
/// The length of a block of SHA-256, in bytes.
const MARKED_LENGTH: usize = 64;

impl Keys {
    /// The key that tags refresh tokens, made on first use and kept sealed.
    pub async fn refresh_token_key(
        &self,
        random: &Random,
        now: Timestamp,
    ) -> Result<Secret<Vec<u8>>, KeysError> {
        self.sealed_secret(REFRESH_TOKEN_KEY, random, now).await
    }

    /// The key that makes mailed tokens, made on first use and kept sealed.
    pub async fn mailed_token_key(
        &self,
        random: &Random,
        now: Timestamp,
    ) -> Result<Secret<Vec<u8>>, KeysError> {
        self.sealed_secret(MAILED_TOKEN_KEY, random, now).await
    }

    #[allow(clippy::indexing_slicing, reason = "the length was compared before")]
    async fn sealed_secret(
        &self,
        name: &str,
        random: &Random,
        now: Timestamp,
    ) -> Result<Secret<Vec<u8>>, KeysError> {
        if self.store.find_secret(name).await?.is_none() {
            let key = Secret::new(random.bytes::<LENGTH>());
            let sealed = self.vault.seal(&marked(key.expose()), name);
            match self.store.create_secret(name, &sealed, now).await {
                Ok(()) | Err(StorageError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let sealed = self.store.find_secret(name).await?.unwrap_or_default();
        let secret = self.vault.unseal(&sealed, name)?;
        Ok(if is_marked(&secret) {
            Secret::new(secret.expose()[..LENGTH].to_vec())
        } else {
            secret
        })
    }

    /// Marks the secrets that open, once the signing keys are authenticated.
    pub(super) async fn mark_secrets(&self) -> Result<(), KeysError> {
        for name in [REFRESH_TOKEN_KEY, MAILED_TOKEN_KEY] {
            let Some(old) = self.store.find_secret(name).await? else { continue };
            let Ok(secret) = self.vault.unseal(&old, name) else { continue };
            if secret.expose().len() == LENGTH {
                let new = self.vault.seal(&marked(secret.expose()), name);
                // Another instance has marked it already.
                self.store.replace_secret(name, &old, &new).await?;
            }
        }
        Ok(())
    }

    /// Whether a secret has the mark that the signing keys were authenticated already.
    pub(super) async fn has_marked_secret(&self) -> Result<bool, KeysError> {
        for name in [REFRESH_TOKEN_KEY, MAILED_TOKEN_KEY] {
            let Some(sealed) = self.store.find_secret(name).await? else { continue };
            if self.vault.unseal(&sealed, name).is_ok_and(|secret| is_marked(&secret)) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn marked(key: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut marked = Zeroizing::new(Vec::with_capacity(MARKED_LENGTH));
    marked.extend_from_slice(key);
    marked.resize(MARKED_LENGTH, 0);
    marked
}

#[allow(clippy::indexing_slicing, reason = "the length was compared before")]
fn is_marked(secret: &Secret<Vec<u8>>) -> bool {
    let secret = secret.expose();
    secret.len() == MARKED_LENGTH && secret[LENGTH..].iter().all(|byte| *byte == 0)
}

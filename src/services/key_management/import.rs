//! The import of keys that were made elsewhere.

use std::time::Duration;

use super::{Activation, KeyChangeError, KeyManagement};
use crate::base::secret::Secret;
use crate::base::time::Timestamp;
use crate::domain::audit::{Initiator, Kind};
use crate::domain::keys::Algorithm;
use crate::domain::keys::import::{self, Imported};
use crate::storage::StorageError;

const MAX_VERIFY_FOR: Duration = Duration::from_secs(366 * 86_400);

pub(crate) struct Import {
    /// PKCS#1, PKCS#8 or encrypted PKCS#8; or a public key, which then only verifies.
    pub pem: Secret<String>,
    pub passphrase: Option<Secret<String>>,
    /// RS256 or PS256; what the configuration signs with, or RS256, if `None`.
    pub algorithm: Option<Algorithm>,
    /// The name that its tokens already carry; its thumbprint if `None`.
    pub kid: Option<String>,
    pub activation: Activation,
    /// How long a public key stays published; as long as a token can live if `None`.
    pub verify_for: Option<Duration>,
}

impl Import {
    /// Whether the key only verifies, so that whoever holds its other half signs tokens that count
    /// as Signet's.
    pub(crate) fn only_verifies(&self) -> bool {
        import::is_public(self.pem.expose())
    }
}

pub(crate) struct ImportedKey {
    pub kid: String,
    /// When it starts to sign; `None` for a public key.
    pub signs_from: Option<Timestamp>,
    /// When it leaves JWKS, of a public key.
    pub retires_at: Option<Timestamp>,
}

impl KeyManagement {
    pub(crate) async fn import(
        &self,
        import: Import,
        by: &Initiator,
    ) -> Result<ImportedKey, KeyChangeError> {
        let Import { pem, passphrase, algorithm, kid, activation, verify_for } = import;
        activation.grounds.check()?;
        let default = self.keys.policy().algorithms.default;
        let usual = if default.is_rsa() { default } else { Algorithm::Rs256 };
        let algorithm = algorithm.unwrap_or(usual);
        let lifetime = self.token_lifetime().await?;
        let (imported, detail) = if import::is_public(pem.expose()) {
            let public = import::read_public(pem.expose(), algorithm, kid)?;
            let verify_for = verify_for.unwrap_or(lifetime);
            if verify_for.as_secs() == 0 || verify_for > MAX_VERIFY_FOR {
                return Err(KeyChangeError::VerifyFor);
            }
            let until = by.at.plus(verify_for);
            let kid = self.keys.publish(public, until, by.at).await?;
            let imported = ImportedKey { kid, signs_from: None, retires_at: Some(until) };
            (imported, format!("verifies until {until}"))
        } else {
            let private = read_private(pem, passphrase, algorithm, kid).await?;
            let lead = activation.lead(self.keys.policy());
            let (kid, from) = self.keys.import(private, lead, lifetime, by.at).await?;
            let imported = ImportedKey { kid, signs_from: Some(from), retires_at: None };
            (imported, format!("signs from {from}"))
        };
        let detail = activation.grounds.explain(detail);
        self.record(Kind::KeyImported, &imported.kid, detail, by).await;
        self.notify_instances().await;
        Ok(imported)
    }
}

/// Reads a private key off the request path: an encrypted one takes up to seconds to open.
async fn read_private(
    pem: Secret<String>,
    passphrase: Option<Secret<String>>,
    algorithm: Algorithm,
    kid: Option<String>,
) -> Result<Imported, KeyChangeError> {
    let read = move || Imported::read(pem.expose(), passphrase.as_ref(), algorithm, kid);
    match tokio::task::spawn_blocking(read).await {
        Ok(imported) => Ok(imported?),
        Err(error) => Err(StorageError::Internal(error.into()).into()),
    }
}

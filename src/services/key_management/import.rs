//! Bringing in keys that were made elsewhere.

use std::time::Duration;

use super::{Custody, CustodyError, LONGEST_VERIFYING, Turn};
use crate::base::secret::Secret;
use crate::base::time::Timestamp;
use crate::domain::audit::{Initiator, Kind};
use crate::domain::keys::Algorithm;
use crate::domain::keys::import::{self, Imported};
use crate::storage::StorageError;

/// A key to be brought in.
pub struct Import {
    /// PKCS#1, PKCS#8 or encrypted PKCS#8; or a public key, which then only verifies.
    pub pem: Secret<String>,
    /// Opens an encrypted one.
    pub passphrase: Option<Secret<String>>,
    /// RS256 or PS256; what the configuration signs with, or RS256, if `None`.
    pub algorithm: Option<Algorithm>,
    /// The name that its tokens already carry; its thumbprint if `None`.
    pub kid: Option<String>,
    /// When it signs.
    pub turn: Turn,
    /// How long a public key stays published; as long as a token can live if `None`.
    pub verify_for: Option<Duration>,
}

impl Import {
    /// Whether the key only verifies, so that whoever holds its other half signs tokens that count
    /// as Signet's.
    pub fn only_verifies(&self) -> bool {
        import::is_public(self.pem.expose())
    }
}

/// What became of an import.
pub struct Brought {
    /// The key's name.
    pub kid: String,
    /// When it signs; `None` for one that only verifies.
    pub activates_at: Option<Timestamp>,
    /// When it leaves JWKS, if that is decided.
    pub retires_at: Option<Timestamp>,
}

impl Custody {
    /// Brings a key in that was made elsewhere.
    pub async fn import(
        &self,
        import: Import,
        by: &Initiator,
        now: Timestamp,
    ) -> Result<Brought, CustodyError> {
        let Import { pem, passphrase, algorithm, kid, turn, verify_for } = import;
        turn.why.check()?;
        let default = self.keys.policy().algorithms.default;
        let usual = if default.is_rsa() { default } else { Algorithm::Rs256 };
        let algorithm = algorithm.unwrap_or(usual);
        let lifetime = self.token_lifetime().await?;
        let brought = if import::is_public(pem.expose()) {
            let public = import::read_public(pem.expose(), algorithm, kid)?;
            let verify_for = verify_for.unwrap_or(lifetime);
            if verify_for.as_secs() == 0 || verify_for > LONGEST_VERIFYING {
                return Err(CustodyError::VerifyFor);
            }
            let until = now.plus(verify_for);
            let kid = self.keys.publish(public, until, now).await?;
            Brought { kid, activates_at: None, retires_at: Some(until) }
        } else {
            let imported = read_private(pem, passphrase, algorithm, kid).await?;
            let lead = turn.lead(self.keys.policy());
            let (kid, at) = self.keys.import(imported, lead, lifetime, now).await?;
            Brought { kid, activates_at: Some(at), retires_at: None }
        };
        let detail = match (brought.activates_at, brought.retires_at) {
            (Some(at), _) => format!("signs from {at}"),
            (None, Some(until)) => format!("verifies until {until}"),
            (None, None) => "verifies".into(),
        };
        let detail = turn.why.after(detail);
        self.record(Kind::KeyImported, &brought.kid, detail, by, now).await;
        Ok(brought)
    }
}

/// Reads a private key off the request path: an encrypted one takes up to seconds to open.
async fn read_private(
    pem: Secret<String>,
    passphrase: Option<Secret<String>>,
    algorithm: Algorithm,
    kid: Option<String>,
) -> Result<Imported, CustodyError> {
    let read = move || Imported::read(pem.expose(), passphrase.as_ref(), algorithm, kid);
    match tokio::task::spawn_blocking(read).await {
        Ok(imported) => Ok(imported?),
        Err(error) => Err(StorageError::Internal(error.into()).into()),
    }
}

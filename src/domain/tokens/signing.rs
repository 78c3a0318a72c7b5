//! Signing of JWTs with the active key. Waiting for a key on a token (HSM) delays no other request.

use std::time::Duration;

use jsonwebtoken::Header;
use serde::Serialize;

use crate::base::time::Timestamp;
use crate::domain::keys::Keys;
use crate::domain::keys::ring::RingKey;

/// How long a token (HSM) has for a signature.
const AWAY_AFTER: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
pub enum SignError {
    #[error("no signing key is active")]
    NoKey,
    #[error("the token that holds the signing key does not answer")]
    Away,
    #[error("the token would be longer than 15 KiB: request fewer resources or scopes")]
    TooLong,
    #[error("signing failed")]
    Failed(#[from] jsonwebtoken::errors::Error),
}

/// `claims` as a compact JWS of the media type `typ`, signed with `key` on the calling thread,
/// unless the key is on a token.
pub(super) async fn sign<C: Serialize + Send + 'static>(
    key: &RingKey,
    typ: &str,
    claims: C,
) -> Result<String, SignError> {
    let (header, handle) = (header(key, typ), key.handle().ok_or(SignError::NoKey)?);
    if !key.signs_elsewhere() {
        return Ok(jsonwebtoken::encode(&header, &claims, handle)?);
    }
    let handle = handle.clone();
    let sign = move || jsonwebtoken::encode(&header, &claims, &handle);
    let signed = tokio::time::timeout(AWAY_AFTER, tokio::task::spawn_blocking(sign)).await;
    signed.ok().and_then(Result::ok).and_then(Result::ok).ok_or(SignError::Away)
}

fn header(key: &RingKey, typ: &str) -> Header {
    let mut header = Header::new(key.public.algorithm.jws());
    header.typ = Some(typ.to_owned());
    header.kid = Some(key.public.kid.clone());
    header
}

/// Signs what the issuer publishes beside access tokens. Cheap to clone.
#[derive(Clone)]
pub struct Signer {
    keys: Keys,
    issuer: String,
}

#[derive(Clone, Debug)]
pub struct SignedJwt {
    pub(crate) jws: String,
    pub(crate) kid: String,
}

impl Signer {
    /// Signs with `keys` in the name of `issuer`.
    pub fn new(keys: Keys, issuer: String) -> Self {
        Self { keys, issuer }
    }

    pub(crate) fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Signs `claims` as a JWT of the media type `typ`, away from the threads that answer requests,
    /// since the claims may be long.
    pub async fn sign<C: Serialize + Send + 'static>(
        &self,
        typ: &str,
        claims: C,
        now: Timestamp,
    ) -> Result<SignedJwt, SignError> {
        let ring = self.keys.ring();
        let algorithm = self.keys.policy().algorithms.default;
        let key = ring.active(algorithm, now).ok_or(SignError::NoKey)?;
        let header = header(key, typ);
        let (handle, kid) = (key.handle().ok_or(SignError::NoKey)?.clone(), key.public.kid.clone());
        // Keeps the key alive for which the handle stands.
        let ring = ring.clone();
        let sign = move || {
            let signed = jsonwebtoken::encode(&header, &claims, &handle);
            drop(ring);
            signed
        };
        let signed = tokio::time::timeout(AWAY_AFTER, tokio::task::spawn_blocking(sign)).await;
        let jws = signed.ok().and_then(Result::ok).ok_or(SignError::Away)??;
        Ok(SignedJwt { jws, kid })
    }

    /// Whether signatures of the key named `kid` verify now.
    pub fn is_published(&self, kid: &str, now: Timestamp) -> bool {
        self.keys.ring().find(kid, now).is_some()
    }
}

//! The published key set (RFC 7517 section 5), serialised once per change and not per request.

use std::collections::BTreeMap;

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use serde::Serialize;

use super::PublicKey;
use super::algorithm::Algorithm;
use super::public_key::Members;

/// A JWKS answer, ready to send.
#[derive(Clone, Debug)]
pub struct Jwks {
    /// The JSON document.
    pub body: Bytes,
    /// A strong entity tag of it, with its quotes (RFC 9110 section 8.8.3).
    pub etag: String,
}

/// A public key as JWK (RFC 7517 section 4).
#[derive(Serialize)]
pub struct Jwk<'a> {
    #[serde(flatten)]
    members: &'a Members,
    #[serde(rename = "use")]
    key_use: &'static str,
    alg: Algorithm,
    kid: &'a str,
}

impl<'a> From<&'a PublicKey> for Jwk<'a> {
    fn from(key: &'a PublicKey) -> Self {
        Self { members: &key.members, key_use: "sig", alg: key.algorithm, kid: &key.kid }
    }
}

impl Jwks {
    /// The set of `keys`, in the order given.
    #[allow(clippy::expect_used, reason = "plain strings serialise as JSON")]
    #[allow(clippy::indexing_slicing, reason = "a SHA-256 has 32 bytes")]
    pub fn new<'a>(keys: impl Iterator<Item = &'a PublicKey>) -> Self {
        let document = BTreeMap::from([("keys", keys.map(Jwk::from).collect::<Vec<_>>())]);
        let body = serde_json::to_vec(&document).expect("plain strings serialise as JSON");
        let hash = digest::digest(&digest::SHA256, &body);
        let etag = format!("\"{}\"", URL_SAFE_NO_PAD.encode(&hash.as_ref()[..16]));
        Self { body: body.into(), etag }
    }
}

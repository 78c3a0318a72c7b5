//! The published key set (RFC 7517 section 5), serialised once per change and not per request.

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use serde::Serialize;

use super::PublicKey;

/// A JWKS answer, ready to send.
#[derive(Clone, Debug)]
pub struct Jwks {
    /// The JSON document.
    pub body: Bytes,
    /// A strong entity tag of it, with its quotes (RFC 9110 section 8.8.3).
    pub etag: String,
}

#[derive(Serialize)]
struct Document<'a> {
    keys: Vec<Jwk<'a>>,
}

#[derive(Serialize)]
struct Jwk<'a> {
    kty: &'static str,
    #[serde(rename = "use")]
    key_use: &'static str,
    alg: &'static str,
    kid: &'a str,
    n: &'a str,
    e: &'a str,
}

impl Jwks {
    /// The set of `keys`, in the order given.
    pub fn new<'a>(keys: impl Iterator<Item = &'a PublicKey>) -> Self {
        let keys = keys
            .map(|key| Jwk {
                kty: "RSA",
                key_use: "sig",
                alg: "RS256",
                kid: &key.kid,
                n: &key.n,
                e: &key.e,
            })
            .collect();
        let body = serde_json::to_vec(&Document { keys }).expect("plain strings serialise as JSON");
        let hash = digest::digest(&digest::SHA256, &body);
        let etag = format!("\"{}\"", URL_SAFE_NO_PAD.encode(&hash.as_ref()[..16]));
        Self { body: body.into(), etag }
    }
}

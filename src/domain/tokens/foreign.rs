//! JWTs of another issuer, verified with the keys that it publishes, for `doctor`, which checks an
//! issuer from outside. The caller compares times and names.

use serde_json::{Map, Value};

use super::jws::{self, Jws, Unreadable};
use crate::domain::keys::foreign::ForeignKeys;

/// A JWT with a valid signature.
#[derive(Clone, Debug)]
pub(crate) struct ForeignToken {
    pub(crate) kid: String,
    pub(crate) typ: Option<String>,
    pub(crate) claims: Map<String, Value>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotVerified {
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// The key is not published, or its `kid` is published twice.
    #[error("the key set has no key {0}")]
    UnknownKey(String),
    #[error("it is signed by {algorithm}, which the key {kid} is not for")]
    Algorithm { kid: String, algorithm: String },
    #[error("it is not signed by the key {0}, or its claims are no JSON object")]
    Signature(String),
}

/// Verifies the signature of `token`, and reads it.
pub(crate) fn verify(token: &str, keys: &ForeignKeys) -> Result<ForeignToken, NotVerified> {
    let jws = Jws::parse(token)?;
    let Some(key) = keys.find(&jws.kid) else { return Err(NotVerified::UnknownKey(jws.kid)) };
    let Some(decoding_key) = key.decoding_key(jws.algorithm) else {
        let algorithm = format!("{:?}", jws.algorithm);
        return Err(NotVerified::Algorithm { kid: jws.kid, algorithm });
    };
    match jws.verify(decoding_key, jws.algorithm) {
        Some(claims) => Ok(ForeignToken { kid: jws.kid, typ: jws.typ, claims }),
        None => Err(NotVerified::Signature(jws.kid)),
    }
}

impl ForeignToken {
    pub(crate) fn text(&self, claim: &str) -> Option<&str> {
        self.claims.get(claim)?.as_str()
    }

    /// A claim that is a `NumericDate` (RFC 7519 section 2), in whole seconds.
    pub(crate) fn date(&self, claim: &str) -> Option<i64> {
        let value = self.claims.get(claim)?;
        value.as_i64().or_else(|| value.as_f64().map(|seconds| seconds as i64))
    }

    /// Whether the header has this media type, compared without case, with or without
    /// `application/` before it (RFC 7515 section 4.1.9).
    pub(crate) fn is_of_type(&self, wanted: &str) -> bool {
        jws::is_of_type(self.typ.as_deref(), wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8037 appendix A: the key, and the header and claims of a token that it did not sign.
    const KEYS: &str = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a",
        "x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

    fn refusal(header: &str) -> NotVerified {
        use base64::Engine;
        use base64::engine::general_purpose::URL_SAFE_NO_PAD;
        let token = format!("{}.e30.AAAA", URL_SAFE_NO_PAD.encode(header));
        verify(&token, &ForeignKeys::parse(KEYS.as_bytes()).unwrap()).unwrap_err()
    }

    #[test]
    fn each_refusal_has_its_reason() {
        let (kid, algorithm) = ("a".to_owned(), "HS256".to_owned());
        for (header, reason) in [
            ("nonsense", Unreadable::Malformed.into()),
            (r#"{"alg":"none","kid":"a"}"#, Unreadable::Malformed.into()),
            (r#"{"alg":"EdDSA","kid":"a","crit":["b64"]}"#, Unreadable::Critical.into()),
            (r#"{"alg":"EdDSA"}"#, Unreadable::NoKid.into()),
            (r#"{"alg":"EdDSA","kid":"b"}"#, NotVerified::UnknownKey("b".into())),
            (r#"{"alg":"HS256","kid":"a"}"#, NotVerified::Algorithm { kid, algorithm }),
            (r#"{"alg":"EdDSA","kid":"a"}"#, NotVerified::Signature("a".into())),
        ] {
            assert_eq!(refusal(header), reason);
        }
    }
}

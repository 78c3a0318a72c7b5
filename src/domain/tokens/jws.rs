//! The one reader of signed tokens (RFC 7515, RFC 7519): first the header, by which the caller finds
//! the key, then the signature by an algorithm that the key is for. Claims are the caller's to check.

use std::sync::LazyLock;

use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::de::DeserializeOwned;

/// A signed token whose header was read and whose signature was not verified yet.
pub(crate) struct Jws<'a> {
    token: &'a str,
    pub kid: String,
    pub typ: Option<String>,
    /// The algorithm in the header. The key decides whether it counts.
    pub algorithm: Algorithm,
}

/// The reason why a token has no key to be verified by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unreadable {
    #[error("it is no signed JWT (RFC 7519)")]
    Malformed,
    #[error("its header has critical extensions")]
    Critical,
    #[error("its header names no key (kid)")]
    NoKid,
}

impl<'a> Jws<'a> {
    pub(crate) fn parse(token: &'a str) -> Result<Self, Unreadable> {
        let header = jsonwebtoken::decode_header(token).map_err(|_| Unreadable::Malformed)?;
        if header.crit.is_some() {
            return Err(Unreadable::Critical);
        }
        let kid = header.kid.ok_or(Unreadable::NoKid)?;
        Ok(Self { token, kid, typ: header.typ, algorithm: header.alg })
    }

    /// Returns the claims if `key` signed them by `algorithm`, the key's and not the header's.
    pub(crate) fn verify<C: DeserializeOwned>(
        &self,
        key: &DecodingKey,
        algorithm: Algorithm,
    ) -> Option<C> {
        let validation = VALIDATIONS.iter().find(|known| known.algorithms == [algorithm])?;
        jsonwebtoken::decode(self.token, key, validation).ok().map(|decoded| decoded.claims)
    }
}

/// What jsonwebtoken checks by each algorithm that a key can be for: the signature alone. Made once,
/// since it allocates and is needed for every request with a token.
static VALIDATIONS: LazyLock<[Validation; 9]> = LazyLock::new(|| {
    use Algorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
    [RS256, ES256, EdDSA, PS256, RS384, RS512, ES384, PS384, PS512].map(|algorithm| {
        let mut validation = Validation::new(algorithm);
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.validate_aud = false;
        validation.required_spec_claims.clear();
        validation
    })
});

/// Whether `typ` of a header is the media type `wanted`: case is free, and so is `application/` before
/// it (RFC 7515 section 4.1.9).
pub(crate) fn is_of_type(typ: Option<&str>, wanted: &str) -> bool {
    let typ = typ.unwrap_or_default().to_ascii_lowercase();
    typ.strip_prefix("application/").unwrap_or(&typ) == wanted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_type_is_compared_as_a_media_type() {
        for good in ["at+jwt", "AT+JWT", "application/at+jwt"] {
            assert!(is_of_type(Some(good), "at+jwt"), "{good}");
        }
        for bad in ["JWT", "jwt", "revocations+jwt", ""] {
            assert!(!is_of_type(Some(bad), "at+jwt"), "{bad}");
        }
        assert!(!is_of_type(None, "at+jwt"));
    }
}

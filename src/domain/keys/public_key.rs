//! The public half of a key: what JWKS shows and what verifies. Named by its RFC 7638 thumbprint.

use std::collections::BTreeMap;

use aws_lc_rs::digest;
use aws_lc_rs::rsa::PublicKey as RsaPublicKey;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RsaPublicKeyComponents, UnparsedPublicKey,
};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::DecodingKey;
use rsa::pkcs8::DecodePublicKey;
use rsa::signature::Verifier;
use serde::Serialize;

use super::algorithm::Algorithm;
use super::key_error::KeyError;

/// SubjectPublicKeyInfo of an uncompressed point on P-256, up to the point (RFC 5480).
const P256_SPKI: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// SubjectPublicKeyInfo of an Ed25519 key, up to the key (RFC 8410).
const ED25519_SPKI: [u8; 12] =
    [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

#[derive(Clone)]
pub struct PublicKey {
    /// RFC 7638 SHA-256 thumbprint, or the name that an imported key had before.
    pub kid: String,
    pub algorithm: Algorithm,
    pub members: Members,
    /// SubjectPublicKeyInfo, base64.
    pub spki: String,
    pub decoding_key: DecodingKey,
}

/// The members of a JWK that are the key itself (RFC 7518 section 6, RFC 8037 section 2), in the
/// order in which RFC 7638 hashes them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Members(BTreeMap<&'static str, String>);

impl Members {
    fn of<const N: usize>(members: [(&'static str, String); N]) -> Self {
        Self(BTreeMap::from(members))
    }

    /// RFC 7638 section 3: SHA-256 over the required members in lexicographic order.
    #[allow(clippy::expect_used, reason = "plain strings serialise as JSON")]
    fn thumbprint(&self) -> String {
        let canonical = serde_json::to_vec(self).expect("plain strings serialise as JSON");
        URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, &canonical))
    }
}

impl PublicKey {
    /// Reads a SubjectPublicKeyInfo (DER) of a key for `algorithm`.
    pub fn from_spki(algorithm: Algorithm, spki: &[u8]) -> Result<Self, KeyError> {
        let malformed = KeyError::Malformed("public key");
        let base64 = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let (members, decoding_key) = match algorithm {
            Algorithm::Rs256 | Algorithm::Ps256 => {
                let key = RsaPublicKey::from_der(spki).map_err(|_| malformed)?;
                let parts = RsaPublicKeyComponents::<Vec<u8>>::from(&key);
                let (n, e) = (base64(&parts.n), base64(&parts.e));
                let decoding_key = DecodingKey::from_rsa_raw_components(&parts.n, &parts.e);
                (Members::of([("e", e), ("kty", "RSA".into()), ("n", n)]), decoding_key)
            }
            Algorithm::Es256 => {
                let point = spki.strip_prefix(&P256_SPKI).ok_or(malformed)?;
                let [0x04, coordinates @ ..] = point else {
                    return Err(KeyError::Malformed("public key that is not a P-256 point"));
                };
                let (x, y) = coordinates
                    .split_at_checked(32)
                    .filter(|(_, y)| y.len() == 32)
                    .ok_or(KeyError::Malformed("public key that is not a P-256 point"))?;
                let (crv, kty) = ("P-256".into(), "EC".into());
                let members = [("crv", crv), ("kty", kty), ("x", base64(x)), ("y", base64(y))];
                (Members::of(members), DecodingKey::from_ec_der(point))
            }
            Algorithm::EdDsa => {
                let key = spki.strip_prefix(&ED25519_SPKI).filter(|key| key.len() == 32);
                let key = key.ok_or(malformed)?;
                let members =
                    [("crv", "Ed25519".into()), ("kty", "OKP".into()), ("x", base64(key))];
                (Members::of(members), DecodingKey::from_ed_der(key))
            }
        };
        let spki = STANDARD.encode(spki);
        Ok(Self { kid: members.thumbprint(), algorithm, members, spki, decoding_key })
    }

    /// Reads the stored base64 form, under the published name.
    pub fn stored(kid: &str, algorithm: Algorithm, spki: &str) -> Result<Self, KeyError> {
        let der = STANDARD.decode(spki).map_err(|_| KeyError::Malformed("public key encoding"))?;
        Ok(Self { kid: kid.to_owned(), ..Self::from_spki(algorithm, &der)? })
    }

    /// The RFC 7638 thumbprint, independent of the published name.
    pub fn thumbprint(&self) -> String {
        self.members.thumbprint()
    }

    /// The key as PEM (RFC 7468 section 13).
    pub fn to_pem(&self) -> String {
        let lines: Vec<_> = self.spki.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"))
    }

    /// Whether `signature` verifies for `message`. RSA signatures are verified by an implementation
    /// independent of the signing one.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let Ok(der) = STANDARD.decode(&self.spki) else { return false };
        match self.algorithm {
            Algorithm::Rs256 => rsa::RsaPublicKey::from_public_key_der(&der)
                .map(rsa::pkcs1v15::VerifyingKey::<rsa::sha2::Sha256>::new)
                .ok()
                .zip(rsa::pkcs1v15::Signature::try_from(signature).ok())
                .is_some_and(|(key, signature)| key.verify(message, &signature).is_ok()),
            Algorithm::Ps256 => rsa::RsaPublicKey::from_public_key_der(&der)
                .map(rsa::pss::VerifyingKey::<rsa::sha2::Sha256>::new)
                .ok()
                .zip(rsa::pss::Signature::try_from(signature).ok())
                .is_some_and(|(key, signature)| key.verify(message, &signature).is_ok()),
            Algorithm::Es256 => {
                let point = der.strip_prefix(&P256_SPKI).unwrap_or_default();
                let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
                key.verify(message, signature).is_ok()
            }
            Algorithm::EdDsa => {
                let key = der.strip_prefix(&ED25519_SPKI).unwrap_or_default();
                UnparsedPublicKey::new(&ED25519, key).verify(message, signature).is_ok()
            }
        }
    }
}

pub(super) fn p256_spki(point: &[u8]) -> Vec<u8> {
    [&P256_SPKI, point].concat()
}

pub(super) fn ed25519_spki(key: &[u8]) -> Vec<u8> {
    [&ED25519_SPKI[..], key].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_thumbprint_is_that_of_rfc_7638_section_3_1() {
        let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR\
                 1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0\
                 h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91\
                 CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44\
                 -csFCur-kEgU8awapJzKnqDKgw";
        let members = Members::of([("e", "AQAB".into()), ("kty", "RSA".into()), ("n", n.into())]);
        assert_eq!(members.thumbprint(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    }

    #[test]
    fn the_thumbprint_is_that_of_rfc_8037_appendix_a_3() {
        let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo".into();
        let members = Members::of([("crv", "Ed25519".into()), ("kty", "OKP".into()), ("x", x)]);
        assert_eq!(members.thumbprint(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }

    #[test]
    fn what_is_no_public_key_is_refused() {
        for algorithm in Algorithm::ALL {
            for wrong in [&b""[..], b"nonsense", &P256_SPKI, &ED25519_SPKI] {
                assert!(PublicKey::from_spki(algorithm, wrong).is_err(), "{algorithm}");
            }
        }
    }
}

//! One RSA key pair: made or unsealed, parsed once, named by its RFC 7638 thumbprint.

use std::sync::Arc;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256, RsaPublicKeyComponents};
use aws_lc_rs::{digest, rand};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::DecodingKey;
use rsa::pkcs8::DecodePublicKey;
use rsa::signature::Verifier;
use zeroize::Zeroizing;

use crate::secret::Secret;

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The system could not make one.
    #[error("cannot make an RSA key of {0} bits")]
    Generate(u32),
    /// The bytes are no such key.
    #[error("not a usable RSA key: {0}")]
    Malformed(&'static str),
    /// The private and the public part do not belong together.
    #[error("the private and the public part of the key do not match")]
    Mismatch,
}

/// The public half: what JWKS shows and what verifies.
#[derive(Clone)]
pub struct PublicKey {
    /// RFC 7638 SHA-256 thumbprint.
    pub kid: String,
    /// Modulus, base64url of the unsigned big-endian bytes (RFC 7518 section 6.3.1).
    pub n: String,
    /// Exponent, in the same form.
    pub e: String,
    /// SubjectPublicKeyInfo, base64.
    pub spki: String,
    /// Ready for verification.
    pub decoding_key: DecodingKey,
}

impl PublicKey {
    /// Reads a SubjectPublicKeyInfo written as base64.
    pub fn from_spki(spki: &str) -> Result<Self, KeyError> {
        let der = STANDARD.decode(spki).map_err(|_| KeyError::Malformed("public key encoding"))?;
        let key = aws_lc_rs::rsa::PublicKey::from_der(&der)
            .map_err(|_| KeyError::Malformed("public key"))?;
        let parts = RsaPublicKeyComponents::<Vec<u8>>::from(&key);
        let (n, e) = (URL_SAFE_NO_PAD.encode(&parts.n), URL_SAFE_NO_PAD.encode(&parts.e));
        Ok(Self {
            kid: thumbprint(&n, &e),
            decoding_key: DecodingKey::from_rsa_raw_components(&parts.n, &parts.e),
            spki: spki.to_owned(),
            n,
            e,
        })
    }
}

/// RFC 7638 section 3: SHA-256 over the required members in lexicographic order.
fn thumbprint(n: &str, e: &str) -> String {
    let canonical = format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#);
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, canonical.as_bytes()))
}

/// A parsed key pair in memory, ready to sign.
pub struct SigningKey {
    /// Its public half.
    pub public: PublicKey,
    pair: Arc<KeyPair>,
}

impl SigningKey {
    /// Makes a new key of `bits` (2048, 3072 or 4096). Takes up to seconds: run it off the
    /// request path.
    pub fn generate(bits: u32) -> Result<Self, KeyError> {
        let size = match bits {
            2048 => KeySize::Rsa2048,
            3072 => KeySize::Rsa3072,
            4096 => KeySize::Rsa4096,
            _ => return Err(KeyError::Generate(bits)),
        };
        Self::checked(KeyPair::generate(size).map_err(|_| KeyError::Generate(bits))?)
    }

    /// Reads an unencrypted PKCS#8 document.
    pub fn from_pkcs8(document: &[u8]) -> Result<Self, KeyError> {
        Self::checked(
            KeyPair::from_pkcs8(document).map_err(|_| KeyError::Malformed("private key"))?,
        )
    }

    /// The private half as PKCS#8, to be sealed at once.
    pub fn to_pkcs8(&self) -> Result<Secret<Vec<u8>>, KeyError> {
        let document: Pkcs8V1Der<'_> =
            self.pair.as_der().map_err(|_| KeyError::Malformed("private key"))?;
        Ok(Secret::new(document.as_ref().to_vec()))
    }

    /// The shared pair, for the signer.
    pub(super) fn pair(&self) -> &Arc<KeyPair> {
        &self.pair
    }

    /// One signature, checked by an implementation independent of the one that made it: a fault
    /// in a signing key is found here and not by every verifier.
    fn checked(pair: KeyPair) -> Result<Self, KeyError> {
        let spki: PublicKeyX509Der<'_> =
            pair.public_key().as_der().map_err(|_| KeyError::Malformed("public key"))?;
        let public = PublicKey::from_spki(&STANDARD.encode(spki.as_ref()))?;

        let message = b"signet key check";
        let mut signature = Zeroizing::new(vec![0; pair.public_modulus_len()]);
        pair.sign(&RSA_PKCS1_SHA256, &rand::SystemRandom::new(), message, &mut signature)
            .map_err(|_| KeyError::Mismatch)?;
        let independent = rsa::RsaPublicKey::from_public_key_der(spki.as_ref())
            .map_err(|_| KeyError::Malformed("public key"))?;
        let signature = rsa::pkcs1v15::Signature::try_from(signature.as_slice())
            .map_err(|_| KeyError::Mismatch)?;
        rsa::pkcs1v15::VerifyingKey::<rsa::sha2::Sha256>::new(independent)
            .verify(message, &signature)
            .map_err(|_| KeyError::Mismatch)?;
        Ok(Self { public, pair: Arc::new(pair) })
    }
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
        assert_eq!(thumbprint(n, "AQAB"), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    }

    #[test]
    fn a_key_survives_its_pkcs8_form() {
        let key = SigningKey::generate(2048).unwrap();
        let again = SigningKey::from_pkcs8(key.to_pkcs8().unwrap().expose()).unwrap();
        assert_eq!(again.public.kid, key.public.kid);
        assert_eq!(key.public.e, "AQAB");
        assert_eq!(URL_SAFE_NO_PAD.decode(&key.public.n).unwrap().len(), 256);
        assert!(SigningKey::from_pkcs8(b"nonsense").is_err());
        assert!(SigningKey::generate(1024).is_err());
    }
}

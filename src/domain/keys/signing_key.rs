//! One key pair: made or unsealed, parsed once, checked, and pinned to one algorithm.

use std::sync::Arc;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
    RSA_PSS_SHA256,
};

use super::algorithm::Algorithm;
use super::key_error::KeyError;
#[cfg(feature = "pkcs11")]
use super::pkcs11::{TokenError, TokenKey};
use super::public_key::{self, PublicKey};
use crate::base::secret::Secret;

/// A parsed key pair in memory, ready to sign.
pub struct SigningKey {
    /// Its public half.
    pub public: PublicKey,
    pair: Arc<Pair>,
}

pub(super) enum Pair {
    Rsa(Algorithm, RsaKeyPair),
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    /// On a token, which makes every signature.
    #[cfg(feature = "pkcs11")]
    OnToken(Algorithm, TokenKey),
}

#[derive(Debug, thiserror::Error)]
pub(super) enum SignatureError {
    #[error("the key did not sign")]
    Refused(#[from] aws_lc_rs::error::Unspecified),
    #[cfg(feature = "pkcs11")]
    #[error(transparent)]
    Token(#[from] TokenError),
}

impl Pair {
    pub(super) fn algorithm(&self) -> Algorithm {
        match self {
            Self::Rsa(algorithm, _) => *algorithm,
            Self::P256(_) => Algorithm::Es256,
            Self::Ed25519(_) => Algorithm::EdDsa,
            #[cfg(feature = "pkcs11")]
            Self::OnToken(algorithm, _) => *algorithm,
        }
    }

    /// The JWS signature of `message` (RFC 7515 section 5.1 step 5).
    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignatureError> {
        match self {
            Self::Rsa(algorithm, pair) => {
                let padding = match algorithm {
                    Algorithm::Ps256 => &RSA_PSS_SHA256,
                    _ => &RSA_PKCS1_SHA256,
                };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(padding, &SystemRandom::new(), message, &mut signature)?;
                Ok(signature)
            }
            Self::P256(pair) => Ok(pair.sign(&SystemRandom::new(), message)?.as_ref().to_vec()),
            Self::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
            #[cfg(feature = "pkcs11")]
            Self::OnToken(algorithm, key) => Ok(key.sign(*algorithm, message)?),
        }
    }

    /// SubjectPublicKeyInfo, DER.
    fn spki(&self) -> Result<Vec<u8>, KeyError> {
        let unusable = |_| KeyError::Malformed("public key");
        Ok(match self {
            Self::Rsa(_, pair) => {
                let spki: PublicKeyX509Der<'_> = pair.public_key().as_der().map_err(unusable)?;
                spki.as_ref().to_vec()
            }
            Self::P256(pair) => public_key::p256_spki(pair.public_key().as_ref()),
            Self::Ed25519(pair) => public_key::ed25519_spki(pair.public_key().as_ref()),
            #[cfg(feature = "pkcs11")]
            Self::OnToken(_, key) => key.spki.clone(),
        })
    }
}

impl SigningKey {
    /// Makes a new key for `algorithm`, of `rsa_bits` (2048, 3072 or 4096) for an RSA key. Takes up
    /// to seconds: run it off the request path.
    pub fn generate(algorithm: Algorithm, rsa_bits: u32) -> Result<Self, KeyError> {
        #[cfg(debug_assertions)]
        if let (true, 2048) = (algorithm.is_rsa(), rsa_bits)
            && let Some(document) = crate::base::debug::take_rsa_key()
        {
            return Self::from_pkcs8(algorithm, &document);
        }
        let failed = |_| KeyError::Generate(algorithm);
        Self::checked(match algorithm {
            Algorithm::Rs256 | Algorithm::Ps256 => {
                let size = match rsa_bits {
                    2048 => KeySize::Rsa2048,
                    3072 => KeySize::Rsa3072,
                    4096 => KeySize::Rsa4096,
                    _ => return Err(KeyError::Generate(algorithm)),
                };
                Pair::Rsa(algorithm, RsaKeyPair::generate(size).map_err(failed)?)
            }
            Algorithm::Es256 => Pair::P256(
                EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(failed)?,
            ),
            Algorithm::EdDsa => Pair::Ed25519(Ed25519KeyPair::generate().map_err(failed)?),
        })
    }

    /// Reads an unencrypted PKCS#8 document of a key for `algorithm`.
    pub fn from_pkcs8(algorithm: Algorithm, document: &[u8]) -> Result<Self, KeyError> {
        let malformed = |_| KeyError::Malformed("private key");
        Self::checked(match algorithm {
            Algorithm::Rs256 | Algorithm::Ps256 => {
                Pair::Rsa(algorithm, RsaKeyPair::from_pkcs8(document).map_err(malformed)?)
            }
            Algorithm::Es256 => Pair::P256(
                EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document)
                    .map_err(malformed)?,
            ),
            Algorithm::EdDsa => {
                Pair::Ed25519(Ed25519KeyPair::from_pkcs8(document).map_err(malformed)?)
            }
        })
    }

    /// A pair on a token. Blocks until the token has signed once.
    #[cfg(feature = "pkcs11")]
    pub fn on_token(algorithm: Algorithm, key: TokenKey) -> Result<Self, KeyError> {
        Self::checked(Pair::OnToken(algorithm, key))
    }

    pub(crate) fn signs_elsewhere(&self) -> bool {
        #[cfg(feature = "pkcs11")]
        if matches!(*self.pair, Pair::OnToken(..)) {
            return true;
        }
        false
    }

    /// The private half as PKCS#8, to be sealed immediately.
    pub fn to_pkcs8(&self) -> Result<Secret<Vec<u8>>, KeyError> {
        let malformed = |_| KeyError::Malformed("private key");
        Ok(Secret::new(match &*self.pair {
            Pair::Rsa(_, pair) => {
                let document: Pkcs8V1Der<'_> = pair.as_der().map_err(malformed)?;
                document.as_ref().to_vec()
            }
            Pair::P256(pair) => pair.to_pkcs8v1().map_err(malformed)?.as_ref().to_vec(),
            Pair::Ed25519(pair) => pair.to_pkcs8v1().map_err(malformed)?.as_ref().to_vec(),
            #[cfg(feature = "pkcs11")]
            Pair::OnToken(..) => return Err(KeyError::Malformed("it never leaves its token")),
        }))
    }

    pub(super) fn pair(&self) -> &Arc<Pair> {
        &self.pair
    }

    /// One signature, verified: a fault of a signing key is found here and not by every verifier.
    fn checked(pair: Pair) -> Result<Self, KeyError> {
        let public = PublicKey::from_spki(pair.algorithm(), &pair.spki()?)?;
        let message = b"signet key check";
        let signature = pair.sign(message).map_err(|_| KeyError::Mismatch)?;
        if !public.verifies(message, &signature) {
            return Err(KeyError::Mismatch);
        }
        Ok(Self { public, pair: Arc::new(pair) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_its_pkcs8_form_and_is_pinned_to_its_algorithm() {
        for algorithm in Algorithm::ALL {
            assert!(SigningKey::from_pkcs8(algorithm, b"nonsense").is_err(), "{algorithm}");
            let key = SigningKey::generate(algorithm, 2048).unwrap();
            let document = key.to_pkcs8().unwrap();
            let again = SigningKey::from_pkcs8(algorithm, document.expose()).unwrap();
            assert_eq!(again.public.kid, key.public.kid, "{algorithm}");
        }
        assert!(SigningKey::generate(Algorithm::Rs256, 1024).is_err());
        let rs = SigningKey::generate(Algorithm::Rs256, 2048).unwrap();
        let ps = SigningKey::from_pkcs8(Algorithm::Ps256, rs.to_pkcs8().unwrap().expose()).unwrap();
        let signature = rs.pair().sign(b"message").unwrap();
        assert!(rs.public.verifies(b"message", &signature));
        assert!(!rs.public.verifies(b"another", &signature));
        assert!(!ps.public.verifies(b"message", &signature));
        assert!(SigningKey::from_pkcs8(Algorithm::Es256, rs.to_pkcs8().unwrap().expose()).is_err());
    }
}

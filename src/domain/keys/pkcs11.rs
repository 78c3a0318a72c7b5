//! Signing keys on an HSM, by PKCS#11 (OASIS PKCS #11 version 2.40). A key is made on the token and
//! never leaves it: only its name and its public half are here. Every signature is verified before
//! it is returned, so a token that mixes up its keys is found here and not by every verifier.
//!
//! All calls block until the token has answered: run them off the threads that serve requests.

mod sessions;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use aws_lc_rs::digest;
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256,
    RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm,
};
use cryptoki::mechanism::rsa::{PkcsMgfType, PkcsPssParams};
use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};

use super::algorithm::Algorithm;
use super::token_config::Pkcs11Config;
use crate::base::random::Random;
use sessions::{Login, Sessions};

/// Why the token returns no key or no signature.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The vendor's library is missing, or is not a PKCS#11 module.
    #[error("cannot load the PKCS#11 module {0}")]
    Module(PathBuf, #[source] cryptoki::error::Error),
    /// The module shows no such token.
    #[error("the PKCS#11 module shows no token with the label {0:?}")]
    NoToken(String),
    /// The PIN is wrong, locked or not set.
    #[error("the token {0:?} refuses the PIN")]
    PinRefused(String),
    /// No pair has this id.
    #[error("the token holds no signing key {0}")]
    NoKey(String),
    /// The pair exists, but cannot be used to sign.
    #[error("the token's key {0} is not usable: {1}")]
    Unusable(String, &'static str),
    /// Keys of this size are not supported.
    #[error("cannot make an RSA key of {0} bits")]
    Size(u32),
    /// All sessions were busy for too long, or the token failed a moment ago.
    #[error("the token cannot be reached at the moment")]
    Unavailable,
    /// The token answered with an error, twice.
    #[error("the token failed")]
    Failed(#[from] cryptoki::error::Error),
}

/// The kinds of keys that tokens make, with the algorithms by which each signs.
const RSA: &[Algorithm] = &[Algorithm::Rs256, Algorithm::Ps256];
const P256: &[Algorithm] = &[Algorithm::Es256];

/// How `algorithm` signs `message` (RFC 7518 section 3.1): the operation of the token, the bytes it
/// covers, and how the signature is verified. `None` for an algorithm that no key of a token has.
fn operation(
    algorithm: Algorithm,
    message: &[u8],
) -> Option<(Mechanism<'static>, Vec<u8>, &'static dyn VerificationAlgorithm)> {
    Some(match algorithm {
        Algorithm::Rs256 => {
            (Mechanism::Sha256RsaPkcs, message.to_vec(), &RSA_PKCS1_2048_8192_SHA256)
        }
        Algorithm::Ps256 => {
            let (hash_alg, mgf) = (MechanismType::SHA256, PkcsMgfType::MGF1_SHA256);
            let parameters = PkcsPssParams { hash_alg, mgf, s_len: 32.into() };
            let mechanism = Mechanism::Sha256RsaPkcsPss(parameters);
            (mechanism, message.to_vec(), &RSA_PSS_2048_8192_SHA256)
        }
        // Many tokens support ECDSA only without a hash.
        Algorithm::Es256 => {
            let hash = digest::digest(&digest::SHA256, message);
            (Mechanism::Ecdsa, hash.as_ref().to_vec(), &ECDSA_P256_SHA256_FIXED)
        }
        Algorithm::EdDsa => return None,
    })
}

/// A token, logged in. Clones share its sessions. Use one for each module in a process: a module
/// that lost its token is restarted, for all its users.
#[derive(Clone)]
pub struct Token {
    sessions: Arc<Sessions>,
}

impl Token {
    /// Loads the module, finds the token and logs in.
    pub fn open(config: &Pkcs11Config) -> Result<Self, TokenError> {
        let sessions = Sessions::open(config.clone())?;
        Ok(Self { sessions: Arc::new(sessions) })
    }

    /// Makes an RSA key of `bits` (2048, 3072 or 4096). A token may take minutes.
    pub fn generate_rsa(&self, bits: u32) -> Result<TokenKey, TokenError> {
        if ![2048, 3072, 4096].contains(&bits) {
            return Err(TokenError::Size(bits));
        }
        let public = [
            Attribute::ModulusBits(u64::from(bits).into()),
            Attribute::PublicExponent(vec![1, 0, 1]),
        ];
        self.generate(&Mechanism::RsaPkcsKeyPairGen, &public)
    }

    /// Makes an EC key on P-256.
    pub fn generate_p256(&self) -> Result<TokenKey, TokenError> {
        self.generate(&Mechanism::EccKeyPairGen, &[Attribute::EcParams(P256_OID.to_vec())])
    }

    #[allow(clippy::indexing_slicing, reason = "lengths are constants, or were found before")]
    fn generate(
        &self,
        mechanism: &Mechanism<'_>,
        public: &[Attribute],
    ) -> Result<TokenKey, TokenError> {
        let id = self.sessions.with(|login| {
            // Each attempt has a name of its own: if the answer to the first was lost, the token
            // has an unused pair, and never two with one name.
            let id = Random::system().bytes::<16>();
            let label = format!("signet-{}", &hex(&id)[..8]);
            let shared = [
                Attribute::Token(true),
                Attribute::Id(id.to_vec()),
                Attribute::Label(label.into_bytes()),
            ];
            let public = [&shared, public, &[Attribute::Private(false), Attribute::Verify(true)]];
            let private = [&shared[..], &SIGNS_AND_STAYS];
            login.session.generate_key_pair(mechanism, &public.concat(), &private.concat())?;
            Ok(hex(&id))
        })?;
        self.find(&id).inspect_err(|_| {
            // The pair is useless, and its own fault is the error to return.
            let _ = self.remove(&id);
        })
    }

    /// The key of this id, with its public half read from the token and its private half tested.
    #[allow(clippy::indexing_slicing, reason = "lengths are constants, or were found before")]
    pub fn find(&self, id: &str) -> Result<TokenKey, TokenError> {
        let key_id = parse_id(id)?;
        let (algorithms, spki) = self.sessions.with(|login| {
            let public = login
                .find(ObjectClass::PUBLIC_KEY, &key_id)?
                .ok_or_else(|| TokenError::NoKey(id.to_owned()))?;
            read_public(login, public, id)
        })?;
        let key = TokenKey { id: id.to_owned(), spki, algorithms, token: self.clone() };
        key.sign(algorithms[0], b"signet key check")?;
        Ok(key)
    }

    /// Destroys both halves of a key, irrevocably.
    pub fn remove(&self, id: &str) -> Result<(), TokenError> {
        let key_id = parse_id(id)?;
        self.sessions.with(|login| {
            let mut found = false;
            for class in [ObjectClass::PRIVATE_KEY, ObjectClass::PUBLIC_KEY] {
                while let Some(object) = login.find(class, &key_id)? {
                    login.session.destroy_object(object)?;
                    found = true;
                }
            }
            if found { Ok(()) } else { Err(TokenError::NoKey(id.to_owned())) }
        })
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Token").field(&self.sessions.config.token_label).finish()
    }
}

/// A key pair on a token.
#[derive(Clone, Debug)]
pub struct TokenKey {
    /// Its name there (`CKA_ID`) in lowercase hex.
    pub id: String,
    /// Its public half: SubjectPublicKeyInfo, DER.
    pub spki: Vec<u8>,
    /// The algorithms by which it can sign.
    pub algorithms: &'static [Algorithm],
    token: Token,
}

impl TokenKey {
    /// The signature of `message` as a JWS holds it, verified. Blocks until the token has answered.
    pub fn sign(&self, algorithm: Algorithm, message: &[u8]) -> Result<Vec<u8>, TokenError> {
        let operation =
            operation(algorithm, message).filter(|_| self.algorithms.contains(&algorithm));
        let Some((mechanism, data, verification)) = operation else {
            return Err(self.unusable("it is of another algorithm"));
        };
        let key_id = parse_id(&self.id)?;
        self.token.sessions.with(|login| {
            let private =
                login.find_private(&key_id)?.ok_or_else(|| TokenError::NoKey(self.id.clone()))?;
            let signature = login.session.sign(&mechanism, private, &data)?;
            UnparsedPublicKey::new(verification, &self.spki)
                .verify(message, &signature)
                .map_err(|_| self.unusable("its halves do not belong together"))?;
            Ok(signature)
        })
    }

    fn unusable(&self, reason: &'static str) -> TokenError {
        TokenError::Unusable(self.id.clone(), reason)
    }
}

/// The attributes of a private key that signs, does nothing else and never leaves the token.
const SIGNS_AND_STAYS: [Attribute; 7] = [
    Attribute::Private(true),
    Attribute::Sensitive(true),
    Attribute::Extractable(false),
    Attribute::Sign(true),
    Attribute::Decrypt(false),
    Attribute::Unwrap(false),
    Attribute::Derive(false),
];

/// The object identifier of P-256, DER (RFC 5480 section 2.1.1.1).
const P256_OID: [u8; 10] = [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];

/// The algorithms and SubjectPublicKeyInfo of the public half `object` of key `id`.
fn read_public(
    login: &Login,
    object: ObjectHandle,
    id: &str,
) -> Result<(&'static [Algorithm], Vec<u8>), TokenError> {
    let unusable = || TokenError::Unusable(id.to_owned(), "its public half is not understood");
    let read = |attribute| login.session.get_attributes(object, &[attribute]);
    let (algorithms, der): (_, Result<PublicKeyX509Der<'_>, _>) =
        match read(AttributeType::KeyType)?.as_slice() {
            [Attribute::KeyType(KeyType::RSA)] => {
                let modulus = read(AttributeType::Modulus)?;
                let exponent = read(AttributeType::PublicExponent)?;
                let ([Attribute::Modulus(n)], [Attribute::PublicExponent(e)]) =
                    (modulus.as_slice(), exponent.as_slice())
                else {
                    return Err(unusable());
                };
                let parts = RsaPublicKeyComponents { n: unsigned(n), e: unsigned(e) };
                (RSA, parts.as_der())
            }
            [Attribute::KeyType(KeyType::EC)] => {
                let point = read(AttributeType::EcPoint)?;
                let [Attribute::EcPoint(point)] = point.as_slice() else {
                    return Err(unusable());
                };
                let key = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, bare_point(point))
                    .map_err(|_| unusable())?;
                (P256, key.as_der())
            }
            _ => return Err(unusable()),
        };
    Ok((algorithms, der.map_err(|_| unusable())?.as_ref().to_vec()))
}

/// A big-endian number without leading zeros, which some tokens keep.
#[allow(clippy::indexing_slicing, reason = "lengths are constants, or were found before")]
fn unsigned(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    &number[zeros..]
}

/// A P-256 point in the OCTET STRING that the standard wraps it in; some tokens do not wrap it.
fn bare_point(point: &[u8]) -> &[u8] {
    match point {
        [0x04, 65, bare @ ..] if bare.len() == 65 => bare,
        bare => bare,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of a key's id; `None` for an id that no key can have.
fn parse_id(id: &str) -> Result<Vec<u8>, TokenError> {
    let is_hex = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let byte = |at| u8::from_str_radix(id.get(at..at + 2)?, 16).ok();
    let sound = (2..=128).contains(&id.len()) && id.bytes().all(is_hex);
    sound
        .then(|| (0..id.len()).step_by(2).map(byte).collect())
        .flatten()
        .ok_or_else(|| TokenError::NoKey(id.chars().take(128).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::secret::Secret;

    #[test]
    fn ids_are_lowercase_hex() {
        assert_eq!(parse_id(&hex(&[0, 10, 255])).unwrap(), [0, 10, 255]);
        for wrong in ["", "0", "0g", "+1", "AB", "é", &"ab".repeat(65)] {
            assert!(matches!(parse_id(wrong), Err(TokenError::NoKey(_))), "{wrong}");
        }
    }

    #[test]
    fn numbers_and_points_are_read_as_tokens_write_them() {
        assert_eq!(unsigned(&[0, 0, 1, 0]), [1, 0]);
        assert_eq!(unsigned(&[1, 0, 1]), [1, 0, 1]);
        let bare = [&[4][..], &[65; 64]].concat();
        assert_eq!(bare_point(&[&[4, 65][..], &bare].concat()), bare);
        assert_eq!(bare_point(&bare), bare);
    }

    #[test]
    fn the_pin_does_not_print() {
        let config = Pkcs11Config {
            module: "/nowhere/module.so".into(),
            token_label: "signet".into(),
            pin: Secret::new("483920".into()),
        };
        assert!(!format!("{config:?}").contains("483920"));
    }
}

//! Keys that were made elsewhere: RSA in PKCS#1, PKCS#8 and encrypted PKCS#8 (RFC 7468), checked
//! before they may sign. Weak keys are refused, with the reason.

mod pem;

use rsa::pkcs1::DecodeRsaPrivateKey;
use rsa::pkcs8::der::SecretDocument;
use rsa::pkcs8::pkcs5::{EncryptionScheme, pbes2::Kdf};
use rsa::pkcs8::{DecodePrivateKey, EncodePrivateKey, EncodePublicKey, EncryptedPrivateKeyInfo};
use rsa::traits::{PrivateKeyParts, PublicKeyParts};
use rsa::{BigUint, RsaPrivateKey, RsaPublicKey, pkcs1, pkcs8};

use super::algorithm::Algorithm;
use super::key_error::KeyError;
use super::{PublicKey, SigningKey};
use crate::base::secret::Secret;
use pem::{Block, find_key};

/// NIST SP 800-57 requires the minimum; a larger key than the maximum only slows verifiers down.
const BITS: std::ops::RangeInclusive<usize> = 2048..=4096;
/// Smaller exponents have broken RSA more than once (FIPS 186-5 appendix A.1.1).
const MIN_EXPONENT: u32 = 65_537;
/// Bounds on the cost of deriving a key from its passphrase: some seconds, and this memory.
const MAX_ITERATIONS: u32 = 10_000_000;
const MAX_MEMORY_BYTES: u64 = 128 * 1024 * 1024;
const MAX_LANES: u16 = 16;

/// Characters that have a meaning in the path of a URL.
const NO_NAMES: [&str; 5] = [".", "..", "rotate", "import", "rewrap"];

pub struct Imported {
    pub(crate) key: SigningKey,
    /// The `kid` that its tokens already carry; its thumbprint if `None`.
    pub(crate) kid: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    #[error(
        "the text is not a PEM of an RSA key: expected BEGIN PRIVATE KEY (PKCS#8), BEGIN \
         ENCRYPTED PRIVATE KEY or BEGIN RSA PRIVATE KEY (PKCS#1), or BEGIN PUBLIC KEY for a key \
         that only verifies{}{}", if .0.is_empty() { "" } else { "; the text holds " }, .0
    )]
    NoKey(String),
    #[error("the text holds {0} {1} keys ({2}), expected one: remove the others")]
    Several(usize, &'static str, String),
    #[error("the text is too long for a key: at most 32 KiB are accepted")]
    TooLong,
    #[error(
        "the key is encrypted in an old, weak way: convert it with `openssl pkcs8 -topk8 -in FILE` \
         and import the result"
    )]
    OldEncryption,
    #[error("the key is encrypted: its passphrase is needed")]
    PassphraseNeeded,
    #[error(
        "the key is encrypted with a key derivation that takes too long or too much memory: at \
         most 10000000 iterations of PBKDF2, or 128 MiB and 16 lanes of scrypt, are accepted"
    )]
    DearDerivation,
    #[error(
        "the key is encrypted in an unsupported way: expected PBES2 with PBKDF2 or scrypt and \
         AES, as `openssl pkcs8 -topk8 -v2 aes256` makes it"
    )]
    Encryption,
    #[error("the key does not open: wrong passphrase, damaged, or not an RSA key")]
    DoesNotOpen,
    #[error("the key cannot be read: it is damaged or not an RSA key")]
    Unreadable,
    #[error("the private and the public part of the key do not match")]
    Mismatch,
    #[error("the key has {0} bits: from 2048 to 4096 are accepted")]
    Size(usize),
    #[error("the public exponent is {0}: expected an odd number of at least 65537")]
    Exponent(String),
    /// Its primes are so close together that Fermat's method finds them.
    #[error("the primes of the key are too close to each other: anyone can factor it")]
    ClosePrimes,
    #[error("a kid has 1 to 128 characters, all of them printable ASCII without spaces")]
    Kid,
    #[error("an RSA key signs by RS256 or PS256, not by {0}")]
    NotForRsa(Algorithm),
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl ImportError {
    /// Why reading an RSA key failed: its parts were read and do not match, or else `other`.
    fn of(error: &pkcs8::Error, other: Self) -> Self {
        if *error == pkcs8::Error::KeyMalformed { Self::Mismatch } else { other }
    }
}

impl Imported {
    /// Reads a private key that is to sign with `algorithm`.
    pub fn read(
        pem: &str,
        passphrase: Option<&Secret<String>>,
        algorithm: Algorithm,
        kid: Option<String>,
    ) -> Result<Self, ImportError> {
        check_request(algorithm, kid.as_deref())?;
        let Block { label, text: pem, .. } = find_key(pem)?;
        let key = match label {
            "RSA PRIVATE KEY" if pem.contains("ENCRYPTED") => {
                return Err(ImportError::OldEncryption);
            }
            "RSA PRIVATE KEY" => RsaPrivateKey::from_pkcs1_pem(pem).map_err(|error| match error {
                pkcs1::Error::Pkcs8(error) => ImportError::of(&error, ImportError::Unreadable),
                _ => ImportError::Unreadable,
            }),
            "PRIVATE KEY" => RsaPrivateKey::from_pkcs8_pem(pem)
                .map_err(|error| ImportError::of(&error, ImportError::Unreadable)),
            "ENCRYPTED PRIVATE KEY" => {
                let passphrase = passphrase.ok_or(ImportError::PassphraseNeeded)?;
                decrypt(pem, passphrase)
            }
            _ => return Err(ImportError::NoKey(label.into())),
        }?;
        check_public(key.as_ref())?;
        check_primes(&key)?;
        let document = key.to_pkcs8_der().map_err(|_| ImportError::Unreadable)?;
        let key = SigningKey::from_pkcs8(algorithm, document.as_bytes())?;
        Ok(Self { key, kid })
    }
}

fn decrypt(pem: &str, passphrase: &Secret<String>) -> Result<RsaPrivateKey, ImportError> {
    let (_, document) = SecretDocument::from_pem(pem).map_err(|_| ImportError::DoesNotOpen)?;
    let sealed = EncryptedPrivateKeyInfo::try_from(document.as_bytes())
        .map_err(|_| ImportError::DoesNotOpen)?;
    let bearable = match &sealed.encryption_algorithm {
        EncryptionScheme::Pbes2(scheme) => match &scheme.kdf {
            Kdf::Pbkdf2(kdf) => kdf.iteration_count <= MAX_ITERATIONS,
            Kdf::Scrypt(kdf) => {
                let memory = kdf.cost_parameter.saturating_mul(128 * u64::from(kdf.block_size));
                memory <= MAX_MEMORY_BYTES && kdf.parallelization <= MAX_LANES
            }
            _ => return Err(ImportError::Encryption),
        },
        _ => return Err(ImportError::Encryption),
    };
    if !bearable {
        return Err(ImportError::DearDerivation);
    }
    RsaPrivateKey::from_pkcs8_encrypted_der(document.as_bytes(), passphrase.expose())
        .map_err(|error| ImportError::of(&error, ImportError::DoesNotOpen))
}

/// Reads a public key that only verifies, with `algorithm`.
pub(crate) fn read_public(
    pem: &str,
    algorithm: Algorithm,
    kid: Option<String>,
) -> Result<PublicKey, ImportError> {
    use rsa::pkcs8::DecodePublicKey;
    check_request(algorithm, kid.as_deref())?;
    let Block { label, text: pem, .. } = find_key(pem)?;
    if label != "PUBLIC KEY" {
        return Err(ImportError::NoKey(label.into()));
    }
    let key = RsaPublicKey::from_public_key_pem(pem).map_err(|_| ImportError::Unreadable)?;
    check_public(&key)?;
    let spki = key.to_public_key_der().map_err(|_| ImportError::Unreadable)?;
    let public = PublicKey::from_spki(algorithm, spki.as_bytes())?;
    Ok(PublicKey { kid: kid.unwrap_or(public.kid), ..public })
}

pub(crate) fn is_public(pem: &str) -> bool {
    find_key(pem).is_ok_and(|block| block.label == "PUBLIC KEY")
}

pub(crate) fn is_encrypted(pem: &str) -> bool {
    find_key(pem).is_ok_and(|block| block.label == "ENCRYPTED PRIVATE KEY")
}

fn check_request(algorithm: Algorithm, kid: Option<&str>) -> Result<(), ImportError> {
    if !algorithm.is_rsa() {
        return Err(ImportError::NotForRsa(algorithm));
    }
    let is_name = |kid: &str| {
        (1..=128).contains(&kid.len())
            && kid.bytes().all(|byte| byte.is_ascii_graphic())
            && !NO_NAMES.contains(&kid)
    };
    if kid.is_some_and(|kid| !is_name(kid)) {
        return Err(ImportError::Kid);
    }
    Ok(())
}

fn check_public(key: &RsaPublicKey) -> Result<(), ImportError> {
    let bits = key.n().bits();
    if !BITS.contains(&bits) {
        return Err(ImportError::Size(bits));
    }
    let even = (key.e() % 2_u32) == BigUint::from(0_u32);
    if *key.e() < BigUint::from(MIN_EXPONENT) || even {
        return Err(ImportError::Exponent(key.e().to_string()));
    }
    Ok(())
}

/// FIPS 186-5 appendix A.1.3: the primes differ in their first 100 bits.
fn check_primes(key: &RsaPrivateKey) -> Result<(), ImportError> {
    let [p, q] = key.primes() else { return Err(ImportError::Unreadable) };
    let difference = if p > q { p - q } else { q - p };
    if difference.bits() + 100 <= key.n().bits() / 2 {
        return Err(ImportError::ClosePrimes);
    }
    Ok(())
}

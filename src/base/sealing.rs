//! Sealing: encryption of private keys and other secrets for the database, under the key-encryption
//! key (AES-256-GCM). A sealed value opens only under its key and for its own purpose.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

use crate::base::random::Random;
use crate::base::secret::Secret;

/// Why a sealed value did not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The value was sealed under another key.
    #[error("sealed under the key-encryption key {needed}, but the key at hand is {at_hand}")]
    OtherKey {
        /// The id of the key that sealed it.
        needed: String,
        /// The id of the key that was tried.
        at_hand: String,
    },
    /// The value is malformed, or was altered or moved.
    #[error("the sealed value is damaged or was not sealed for this purpose")]
    Damaged,
}

/// A key-encryption key, which seals private keys for the database (AES-256-GCM, NIST SP 800-38D).
pub struct SealingKey {
    id: String,
    key: RandomizedNonceKey,
    low_entropy: bool,
}

impl SealingKey {
    /// Length of the key in bytes.
    pub const LENGTH: usize = 32;

    /// Creates a key from 32 bytes.
    #[allow(clippy::expect_used, reason = "the type gives the length")]
    #[allow(clippy::indexing_slicing, reason = "a SHA-256 has 32 bytes")]
    pub fn new(bytes: &[u8; Self::LENGTH]) -> Self {
        // The id names the key in messages; 48 bits of its hash reveal nothing of it.
        let hash = digest::digest(&digest::SHA256, bytes);
        let key = RandomizedNonceKey::new(&AES_256_GCM, bytes).expect("the length is right");
        let id = URL_SAFE_NO_PAD.encode(&hash.as_ref()[..6]);
        Self { id, key, low_entropy: has_low_entropy(bytes) }
    }

    /// Reads a key written as base64 (standard or URL alphabet) of 32 bytes; `None` otherwise.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let unpadded = text.trim_end_matches('=');
        let bytes = Zeroizing::new(
            STANDARD.decode(text).or_else(|_| URL_SAFE_NO_PAD.decode(unpadded)).ok()?,
        );
        Some(Self::new(bytes.as_slice().try_into().ok()?))
    }

    /// Generates a random key, as text that [`SealingKey::parse`] reads.
    pub fn generate(random: &Random) -> Secret<String> {
        let bytes = Zeroizing::new(random.bytes::<{ Self::LENGTH }>());
        Secret::new(STANDARD.encode(bytes.as_slice()))
    }

    /// Whether the key looks typed rather than random: it has fewer than 16 distinct bytes, or all of
    /// them are printable ASCII.
    pub fn has_low_entropy(&self) -> bool {
        self.low_entropy
    }

    /// The short public name of this key.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Encrypts `plaintext` for the purpose `context`, which must be given again to open it.
    #[allow(clippy::expect_used, reason = "AES-GCM accepts any message that fits into memory")]
    pub fn seal(&self, plaintext: &[u8], context: &str) -> String {
        let mut bytes = plaintext.to_vec();
        let nonce = self
            .key
            .seal_in_place_append_tag(Aad::from(context), &mut bytes)
            .expect("AES-GCM takes any message of this size");
        let sealed = [nonce.as_ref().as_slice(), &bytes].concat();
        format!("v1.{}.{}", self.id, URL_SAFE_NO_PAD.encode(sealed))
    }

    /// Decrypts what [`SealingKey::seal`] made under this key and for the same `context`.
    pub fn open(&self, sealed: &str, context: &str) -> Result<Secret<Vec<u8>>, OpenError> {
        let mut parts = sealed.split('.');
        let (Some("v1"), Some(id), Some(body), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(OpenError::Damaged);
        };
        if id != self.id {
            return Err(OpenError::OtherKey { needed: id.to_owned(), at_hand: self.id.clone() });
        }
        let bytes = URL_SAFE_NO_PAD.decode(body).map_err(|_| OpenError::Damaged)?;
        let (nonce, ciphertext) = bytes.split_at_checked(12).ok_or(OpenError::Damaged)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| OpenError::Damaged)?;
        let mut buffer = Zeroizing::new(ciphertext.to_vec());
        let plaintext = self
            .key
            .open_in_place(nonce, Aad::from(context), &mut buffer)
            .map_err(|_| OpenError::Damaged)?;
        Ok(Secret::new(plaintext.to_vec()))
    }
}

/// Whether `bytes` look typed. The chance that random bytes do is below 10^-13: 32 of them have 30
/// distinct values on average, and all are printable with a chance of (95/256)^32.
fn has_low_entropy(bytes: &[u8; SealingKey::LENGTH]) -> bool {
    let distinct = bytes.iter().collect::<std::collections::HashSet<_>>().len();
    distinct < 16 || bytes.iter().all(|byte| matches!(byte, b' '..=b'~'))
}

/// Several key-encryption keys, during a change of the key: the first seals, all of them open.
#[derive(Debug)]
pub struct SealingKeys(Vec<SealingKey>);

impl SealingKeys {
    /// Parses keys that are separated by white space or commas, the newest first. Returns `None` for an
    /// empty list, or if one is not a key.
    pub fn parse(text: &str) -> Option<Self> {
        let words = text.split(|c: char| c.is_whitespace() || c == ',');
        let keys = words.filter(|word| !word.is_empty()).map(SealingKey::parse);
        keys.collect::<Option<Vec<_>>>().filter(|keys| !keys.is_empty()).map(Self)
    }

    /// The key that seals.
    #[allow(clippy::indexing_slicing, reason = "there is at least one key by construction")]
    pub fn newest(&self) -> &SealingKey {
        &self.0[0]
    }

    /// Opens a value that any of the keys sealed.
    pub fn open(&self, sealed: &str, context: &str) -> Result<Secret<Vec<u8>>, OpenError> {
        let id = sealed_under(sealed).ok_or(OpenError::Damaged)?;
        let key = self.0.iter().find(|key| key.id == id).ok_or_else(|| OpenError::OtherKey {
            needed: id.to_owned(),
            at_hand: self.0.iter().map(|key| key.id.as_str()).collect::<Vec<_>>().join(", "),
        })?;
        key.open(sealed, context)
    }
}

/// The id of the key that sealed a value; `None` if the value is not in the sealed form.
pub fn sealed_under(sealed: &str) -> Option<&str> {
    match sealed.split('.').collect::<Vec<_>>()[..] {
        ["v1", id, _] => Some(id),
        _ => None,
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealingKey({})", self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sealed_values_open_only_with_their_key_and_context() {
        let random = Random::system();
        let key = SealingKey::parse(SealingKey::generate(&random).expose()).unwrap();
        let other = SealingKey::parse(SealingKey::generate(&random).expose()).unwrap();
        let sealed = key.seal(b"private", "kid-1");

        assert_eq!(key.open(&sealed, "kid-1").unwrap().expose(), b"private");
        assert!(matches!(key.open(&sealed, "kid-2"), Err(OpenError::Damaged)));
        assert!(matches!(other.open(&sealed, "kid-1"), Err(OpenError::OtherKey { .. })));
        for damaged in ["", "v1", "v1..", "v2.a.b", "v1.x.AAAA", "v1.a.b.c"] {
            assert!(key.open(damaged, "kid-1").is_err(), "{damaged}");
        }
        let short = format!("v1.{}.AAAA", key.id());
        assert!(matches!(key.open(&short, "kid-1"), Err(OpenError::Damaged)));
        assert_ne!(sealed, key.seal(b"private", "kid-1"), "a fresh nonce each time");
    }

    #[test]
    fn sealing_keys_are_32_bytes_of_base64() {
        assert!(SealingKey::parse(&STANDARD.encode([7; 32])).is_some());
        assert!(SealingKey::parse(&format!(" {}\n", URL_SAFE_NO_PAD.encode([255; 32]))).is_some());
        assert!(SealingKey::parse(&STANDARD.encode([7; 31])).is_none());
        assert!(SealingKey::parse("not base64").is_none());
    }

    #[test]
    fn typed_keys_are_distinguished_from_random_ones() {
        let counting: [u8; 32] = std::array::from_fn(|place| place as u8);
        let of_distinct = |distinct: u8| std::array::from_fn(|place| place as u8 % distinct);
        for (bytes, low) in [
            ([0; 32], true),
            (*b"a sentence that is 32 bytes long", true),
            (*b"0123456789abcdefABCDEF!#$%&'()~ ", true),
            (of_distinct(15), true),
            (of_distinct(16), false),
            (counting, false),
            // One byte that is not printable.
            (*b"a sentence that is 32 bytes lon\n", false),
        ] {
            assert_eq!(SealingKey::new(&bytes).has_low_entropy(), low, "{bytes:?}");
        }
        let random = SealingKey::generate(&Random::system());
        assert!(!SealingKey::parse(random.expose()).unwrap().has_low_entropy());
    }
}

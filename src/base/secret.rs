//! Secrets as types: they do not print, they are wiped, and they are compared in constant time.
//! Also their making (random bytes), their recognising (fingerprints) and their keeping (sealing).

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use aws_lc_rs::{constant_time, digest};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use uuid::Uuid;
use zeroize::{Zeroize, Zeroizing};

use crate::base::time::Timestamp;

/// A value that must not be seen: it shows as `[redacted]` and is wiped when dropped.
#[derive(Clone, Default)]
pub struct Secret<T: Zeroize>(Zeroizing<T>);

impl<T: Zeroize> Secret<T> {
    /// Takes `value` into custody.
    pub fn new(value: T) -> Self {
        Self(Zeroizing::new(value))
    }

    /// The value itself. Every call is a place a reviewer looks at.
    pub fn expose(&self) -> &T {
        &self.0
    }
}

impl<T: Zeroize> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl<'de> serde::Deserialize<'de> for Secret<String> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

/// The source of random values, passed to whatever makes a secret or an identifier.
#[derive(Clone, Debug)]
pub struct Random {
    system: SystemRandom,
    /// The second and the number within it that the last identifier made by time has.
    last: Arc<AtomicU64>,
}

/// Numbers within a second: those of its milliseconds, and 12 bits within each.
const A_SECOND: u64 = 1000 << 12;
/// Bits that hold such a number.
const SECOND_BITS: u32 = 22;
/// The last that identifiers have room for, in the year 10889.
const LAST_SECOND: i64 = (1 << 48) / 1000 - 1;

impl Random {
    /// The operating system's cryptographic generator.
    pub fn system() -> Self {
        Self { system: SystemRandom::new(), last: Arc::default() }
    }

    /// `N` fresh random bytes.
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        // Without randomness nothing here is safe, and the system's generator does not fail
        // once it has been seeded: stopping is the only sound answer.
        self.system.fill(&mut bytes).expect("the system's random generator answers");
        bytes
    }

    /// A fresh opaque secret of 256 random bits, base64url without padding (43 characters).
    pub fn token(&self) -> Secret<String> {
        let bytes = Zeroizing::new(self.bytes::<32>());
        Secret::new(URL_SAFE_NO_PAD.encode(bytes.as_slice()))
    }

    /// A random identifier (RFC 9562, version 4).
    pub fn uuid(&self) -> Uuid {
        uuid::Builder::from_random_bytes(self.bytes()).into_uuid()
    }

    /// A random identifier that sorts by the time it was made (RFC 9562, version 7). Time is told in
    /// seconds here; what this process makes within one is told apart by a counter in place of the
    /// milliseconds and the bits after them (section 6.2, method 1).
    pub fn uuid_at(&self, now: Timestamp) -> Uuid {
        let second = now.as_unix().clamp(0, LAST_SECOND) as u64;
        let first = second << SECOND_BITS;
        let next = |last: u64| if last < first { first } else { last.saturating_add(1) };
        let last = self.last.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| {
            // Of a second that is over, or full, the last number has to do.
            Some(if next(last) < first + A_SECOND { next(last) } else { last })
        });
        let number = (next(last.unwrap_or_else(|last| last)) - first).min(A_SECOND - 1);
        let mut bytes = self.bytes::<10>();
        bytes[..2].copy_from_slice(&((number & 0xfff) as u16).to_be_bytes());
        uuid::Builder::from_unix_timestamp_millis(second * 1000 + (number >> 12), &bytes)
            .into_uuid()
    }
}

/// Where among those of its second an identifier of version 7 was made: from 0 to less than 1.
pub fn part_of_second(id: Uuid) -> f64 {
    if id.get_version_num() != 7 {
        return 0.0;
    }
    let (milliseconds, rest) = (id.as_u128() >> 80, (id.as_u128() >> 64) & 0xfff);
    (((milliseconds % 1000) << 12) | rest) as f64 / A_SECOND as f64
}

/// The second in which an identifier of version 7 was made; `None` for other versions.
pub fn time_of(id: Uuid) -> Option<Timestamp> {
    let seconds = (id.get_version_num() == 7).then(|| (id.as_u128() >> 80) / 1000)?;
    i64::try_from(seconds).ok().map(Timestamp::from_unix)
}

/// The SHA-256 of an opaque secret of high entropy: enough to recognise it, useless to present.
#[derive(Clone, Copy, Eq)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The fingerprint of `secret`.
    pub fn of(secret: &[u8]) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest::digest(&digest::SHA256, secret).as_ref());
        Self(bytes)
    }

    /// Reads the form that `Display` writes; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        bytes.try_into().ok().map(Self)
    }
}

/// In constant time, so that a stored fingerprint cannot be guessed byte by byte.
impl PartialEq for Fingerprint {
    fn eq(&self, other: &Self) -> bool {
        constant_time::verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[fingerprint]")
    }
}

/// Why something sealed did not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It was sealed under another key.
    #[error("sealed under the key-encryption key {needed}, but the key at hand is {at_hand}")]
    OtherKey {
        /// The id of the key that sealed it.
        needed: String,
        /// The id of the key that was tried.
        at_hand: String,
    },
    /// It is not in the sealed form, or was altered or moved.
    #[error("the sealed value is damaged or was not sealed for this purpose")]
    Damaged,
}

/// The key-encryption key: seals private keys for the database (AES-256-GCM, NIST SP 800-38D).
pub struct SealingKey {
    id: String,
    key: RandomizedNonceKey,
    low_entropy: bool,
}

impl SealingKey {
    /// Length of the key in bytes.
    pub const LENGTH: usize = 32;

    /// A key of 32 bytes.
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

    /// Text for a new random key, in the form that [`SealingKey::parse`] reads.
    pub fn generate(random: &Random) -> Secret<String> {
        let bytes = Zeroizing::new(random.bytes::<{ Self::LENGTH }>());
        Secret::new(STANDARD.encode(bytes.as_slice()))
    }

    /// Whether the key looks like something a person typed rather than 32 random bytes: fewer than
    /// 16 of its bytes differ, or all of them are printable ASCII.
    pub fn has_low_entropy(&self) -> bool {
        self.low_entropy
    }

    /// The short public name of this key.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Encrypts `plaintext` for the purpose `context`, which must be given again to open it.
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

/// A random key is taken for such a one less than once in 10^13: of 32 random bytes 30 differ on
/// average, and the chance that all are printable is (95/256)^32.
fn has_low_entropy(bytes: &[u8; SealingKey::LENGTH]) -> bool {
    let distinct = bytes.iter().collect::<std::collections::HashSet<_>>().len();
    distinct < 16 || bytes.iter().all(|byte| matches!(byte, b' '..=b'~'))
}

/// Several key-encryption keys, so that they can be changed: the first seals, all of them open.
#[derive(Debug)]
pub struct SealingKeys(Vec<SealingKey>);

impl SealingKeys {
    /// Reads keys that are separated by white space or commas, the newest first; `None` where there
    /// is none, or one that is not a key.
    pub fn parse(text: &str) -> Option<Self> {
        let words = text.split(|c: char| c.is_whitespace() || c == ',');
        let keys = words.filter(|word| !word.is_empty()).map(SealingKey::parse);
        keys.collect::<Option<Vec<_>>>().filter(|keys| !keys.is_empty()).map(Self)
    }

    /// The key that seals.
    pub fn newest(&self) -> &SealingKey {
        &self.0[0]
    }

    /// Opens what any of the keys sealed.
    pub fn open(&self, sealed: &str, context: &str) -> Result<Secret<Vec<u8>>, OpenError> {
        let id = sealed_under(sealed).ok_or(OpenError::Damaged)?;
        let key = self.0.iter().find(|key| key.id == id).ok_or_else(|| OpenError::OtherKey {
            needed: id.to_owned(),
            at_hand: self.0.iter().map(|key| key.id.as_str()).collect::<Vec<_>>().join(", "),
        })?;
        key.open(sealed, context)
    }
}

/// The id of the key that sealed a value; `None` where it is not in the sealed form.
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
    fn a_secret_does_not_print() {
        let secret = Secret::new("hunter2".to_owned());
        assert_eq!(format!("{secret:?}"), "[redacted]");
        assert_eq!(secret.expose(), "hunter2");
    }

    #[test]
    fn identifiers_sort_by_the_time_they_were_made() {
        let random = Random::system();
        let at = |seconds| random.uuid_at(Timestamp::from_unix(seconds));
        let ids: Vec<_> = [7, 7, 8, 8, 8, 1_800_000_000].map(at).into();
        assert!(ids.is_sorted() && ids.iter().all(|id| id.get_version_num() == 7), "{ids:?}");
        let parts: Vec<_> = ids.iter().copied().map(part_of_second).collect();
        assert!(parts[0] < parts[1] && parts[2] < parts[3] && parts[3] < parts[4], "{parts:?}");
        assert!(parts.iter().all(|part| (0.0..1.0).contains(part)), "{parts:?}");
        // One that comes late follows those of its second, and holds up nobody.
        let late = at(8);
        assert!(ids[4] < late && late < ids[5] && part_of_second(late) < 1.0);
        assert!(ids[5] < at(1_800_000_000));
        assert_ne!(at(-1), at(i64::MAX));
        assert_ne!(at(i64::MAX), at(i64::MAX));
        assert_eq!(part_of_second(random.uuid()), 0.0);
        assert_eq!(time_of(ids[5]), Some(Timestamp::from_unix(1_800_000_000)));
        assert_eq!(
            (time_of(ids[1]), time_of(random.uuid())),
            (Some(Timestamp::from_unix(7)), None)
        );
    }

    #[test]
    fn fingerprints_recognise_and_round_trip() {
        let one = Fingerprint::of(b"one");
        assert_eq!(Fingerprint::parse(&one.to_string()), Some(one));
        assert_ne!(one, Fingerprint::of(b"two"));
        assert_eq!(Fingerprint::parse("AAAA"), None);
    }

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
    fn keys_that_somebody_typed_are_told_from_random_ones() {
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

//! PBKDF2 with HMAC (RFC 8018) in the forms of Django, passlib, Werkzeug, Spring and ASP.NET Identity,
//! and in PHC strings.

use std::num::NonZeroU32;

use aws_lc_rs::pbkdf2;

use super::encoding::{self, MALFORMED, parts, values};

/// The maximum number of rounds, ten times the libraries' defaults: some seconds of a core.
const MAX_ROUNDS: u64 = 10_000_000;
const TOO_DEAR: &str = "asks for more work than is allowed: PBKDF2 goes up to 10000000 rounds";

/// The hash function below HMAC.
#[derive(Clone, Copy)]
pub(super) enum Digest {
    Sha1,
    Sha256,
    Sha512,
}

impl Digest {
    fn algorithm(self) -> pbkdf2::Algorithm {
        match self {
            Self::Sha1 => pbkdf2::PBKDF2_HMAC_SHA1,
            Self::Sha256 => pbkdf2::PBKDF2_HMAC_SHA256,
            Self::Sha512 => pbkdf2::PBKDF2_HMAC_SHA512,
        }
    }

    fn len(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }
}

/// A stored PBKDF2 hash.
pub(super) struct Hash {
    digest: Digest,
    rounds: NonZeroU32,
    salt: Vec<u8>,
    expected: Vec<u8>,
}

impl Hash {
    /// Django: rounds, the salt as text, base64.
    pub(super) fn django(digest: Digest, text: &str) -> Result<Self, &'static str> {
        let [rounds, salt, expected] = parts(text, '$')?;
        Self::new(digest, rounds, salt.into(), encoding::base64(expected)?)
    }

    /// passlib: rounds, then salt and hash in its base64. A PHC string names the rounds (`i`) and
    /// optionally the length of the hash in bytes (`l`).
    pub(super) fn passlib(digest: Digest, text: &str) -> Result<Self, &'static str> {
        let [rounds, salt, expected] = parts(text, '$')?;
        let (salt, expected) = (encoding::base64(salt)?, encoding::base64(expected)?);
        let (rounds, length) = if rounds.contains(',') {
            let [rounds, length] = values(rounds, ["i", "l"])?;
            (rounds, Some(encoding::number(length)?))
        } else {
            (rounds.strip_prefix("i=").unwrap_or(rounds), None)
        };
        if length.is_some_and(|length| length != expected.len() as u64) {
            return Err(MALFORMED);
        }
        Self::new(digest, rounds, salt, expected)
    }

    /// Spring: hexadecimal digits of the salt, of the given length, and of the hash of 32 bytes;
    /// the rounds are those of its defaults.
    pub(super) fn spring(
        digest: Digest,
        rounds: &str,
        salt_length: usize,
        text: &str,
    ) -> Result<Self, &'static str> {
        let mut salt = encoding::hex(text)?;
        if salt.len() != salt_length + 32 {
            return Err(MALFORMED);
        }
        let expected = salt.split_off(salt_length);
        Self::new(digest, rounds, salt, expected)
    }

    /// ASP.NET Identity, version 3: base64 of the number 1 in a byte, then digest, rounds and the length
    /// of the salt in four bytes each, the highest first, then the salt and the hash.
    pub(super) fn asp_net(text: &str) -> Result<Self, &'static str> {
        let bytes = encoding::base64(text)?;
        let (head, rest) = bytes.split_at_checked(13).ok_or(MALFORMED)?;
        let (version, numbers) = head.split_at_checked(1).ok_or(MALFORMED)?;
        let numbers: Vec<u32> = numbers
            .chunks_exact(4)
            .map(|number| number.iter().fold(0, |sum, byte| sum << 8 | u32::from(*byte)))
            .collect();
        let ([1], [digest, rounds, salt_length]) = (version, numbers.as_slice()) else {
            return Err(MALFORMED);
        };
        let digest = match digest {
            0 => Digest::Sha1,
            1 => Digest::Sha256,
            2 => Digest::Sha512,
            _ => return Err(MALFORMED),
        };
        let (salt, expected) = rest.split_at_checked(*salt_length as usize).ok_or(MALFORMED)?;
        Self::new(digest, &rounds.to_string(), salt.to_vec(), expected.to_vec())
    }

    /// Werkzeug: digest and rounds, the salt as text, hexadecimal digits.
    pub(super) fn werkzeug(text: &str) -> Result<Self, &'static str> {
        let [method, salt, expected] = parts(text, '$')?;
        let [digest, rounds] = parts(method, ':')?;
        let digest = match digest {
            "sha1" => Digest::Sha1,
            "sha256" => Digest::Sha256,
            "sha512" => Digest::Sha512,
            _ => return Err(encoding::UNKNOWN),
        };
        Self::new(digest, rounds, salt.into(), encoding::hex(expected)?)
    }

    /// Whether it takes a quarter of the maximum work or more.
    pub(super) fn is_expensive(&self) -> bool {
        u64::from(self.rounds.get()) * blocks(self.digest, &self.expected) >= MAX_ROUNDS / 4
    }

    fn new(
        digest: Digest,
        rounds: &str,
        salt: Vec<u8>,
        expected: Vec<u8>,
    ) -> Result<Self, &'static str> {
        let (salt, expected) = (encoding::salt(salt)?, encoding::output(expected)?);
        let rounds = encoding::number(rounds)?;
        if rounds.saturating_mul(blocks(digest, &expected)) > MAX_ROUNDS {
            return Err(TOO_DEAR);
        }
        let rounds = u32::try_from(rounds).ok().and_then(NonZeroU32::new).ok_or(MALFORMED)?;
        Ok(Self { digest, rounds, salt, expected })
    }

    /// Whether it is the hash of `password`; compared in constant time.
    pub(super) fn matches(&self, password: &[u8]) -> bool {
        let algorithm = self.digest.algorithm();
        pbkdf2::verify(algorithm, self.rounds, &self.salt, password, &self.expected).is_ok()
    }
}

/// Every block of output costs all rounds again.
fn blocks(digest: Digest, output: &[u8]) -> u64 {
    output.len().div_ceil(digest.len()) as u64
}

//! PBKDF2 with HMAC (RFC 8018) in the forms of Django, passlib and Werkzeug.

use std::num::NonZeroU32;

use aws_lc_rs::pbkdf2;

use super::encoding::{self, MALFORMED, parts};

/// Ten times what the libraries take by default: some seconds of a core.
const MOST_ROUNDS: u64 = 10_000_000;
const TOO_DEAR: &str = "asks for more work than is allowed: PBKDF2 goes up to 10000000 rounds";

/// The hash function below HMAC.
#[derive(Clone, Copy)]
pub enum Digest {
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
pub struct Hash {
    digest: Digest,
    rounds: NonZeroU32,
    salt: Vec<u8>,
    expected: Vec<u8>,
}

impl Hash {
    /// Django: rounds, the salt as text, base64.
    pub fn django(digest: Digest, text: &str) -> Result<Self, &'static str> {
        let [rounds, salt, expected] = parts(text, '$')?;
        Self::new(digest, rounds, salt.into(), encoding::base64(expected)?)
    }

    /// passlib: rounds, the salt and the hash in its base64.
    pub fn passlib(digest: Digest, text: &str) -> Result<Self, &'static str> {
        let [rounds, salt, expected] = parts(text, '$')?;
        Self::new(digest, rounds, encoding::base64(salt)?, encoding::base64(expected)?)
    }

    /// Werkzeug: digest and rounds, the salt as text, hexadecimal digits.
    pub fn werkzeug(text: &str) -> Result<Self, &'static str> {
        let [method, salt, expected] = parts(text, '$')?;
        let [digest, rounds] = parts(method, ':')?;
        let digest = match digest {
            "sha1" => Digest::Sha1,
            "sha256" => Digest::Sha256,
            "sha512" => Digest::Sha512,
            _ => return Err(super::stored::UNKNOWN),
        };
        Self::new(digest, rounds, salt.into(), encoding::hex(expected)?)
    }

    /// Whether it takes a quarter of the most work or more.
    pub fn is_dear(&self) -> bool {
        u64::from(self.rounds.get()) * blocks(self.digest, &self.expected) >= MOST_ROUNDS / 4
    }

    fn new(
        digest: Digest,
        rounds: &str,
        salt: Vec<u8>,
        expected: Vec<u8>,
    ) -> Result<Self, &'static str> {
        let (salt, expected) = (encoding::salt(salt)?, encoding::output(expected)?);
        let rounds = encoding::number(rounds)?;
        if rounds.saturating_mul(blocks(digest, &expected)) > MOST_ROUNDS {
            return Err(TOO_DEAR);
        }
        let rounds = u32::try_from(rounds).ok().and_then(NonZeroU32::new).ok_or(MALFORMED)?;
        Ok(Self { digest, rounds, salt, expected })
    }

    /// Whether it is the hash of `password`; compared in constant time.
    pub fn matches(&self, password: &[u8]) -> bool {
        let algorithm = self.digest.algorithm();
        pbkdf2::verify(algorithm, self.rounds, &self.salt, password, &self.expected).is_ok()
    }
}

/// Every block of output costs all rounds once more.
fn blocks(digest: Digest, output: &[u8]) -> u64 {
    output.len().div_ceil(digest.len()) as u64
}

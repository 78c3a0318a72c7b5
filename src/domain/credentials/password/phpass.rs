//! phpass' portable hashes (`$P$`, and phpBB's `$H$`): iterated MD5.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use md5::{Digest, Md5};

use super::encoding::{self, MALFORMED};

/// The maximum length of a password in bytes, enough for 256 characters in UTF-8: every round
/// hashes the whole password.
const MAX_PASSWORD_BYTES: usize = 1024;
/// The binary logarithm of the maximum number of rounds. WordPress uses 2^13 rounds and passlib
/// 2^19; with the longest password, 2^20 take some seconds of a core.
const MAX_LOG_ROUNDS: usize = 20;
/// The binary logarithm of the minimum number of rounds, that of phpass itself.
const MIN_LOG_ROUNDS: usize = 7;
const TOO_DEAR: &str = "asks for more work than is allowed: phpass goes up to 2^20 rounds";

/// A stored phpass hash.
pub(super) struct Hash {
    rounds: u32,
    salt: [u8; 8],
    expected: [u8; 22],
}

impl Hash {
    /// Parses what follows the prefix: one character for the rounds, 8 of salt and 22 of hash.
    #[allow(clippy::indexing_slicing, reason = "the length was checked before")]
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let text: &[u8; 31] = text.as_bytes().try_into().map_err(|_| MALFORMED)?;
        let value = encoding::crypt64_value;
        let (Some(log_rounds), true) = (value(text[0]), text.iter().all(|b| value(*b).is_some()))
        else {
            return Err(MALFORMED);
        };
        if log_rounds < MIN_LOG_ROUNDS {
            return Err(MALFORMED);
        }
        if log_rounds > MAX_LOG_ROUNDS {
            return Err(TOO_DEAR);
        }
        let (mut salt, mut expected) = ([0; 8], [0; 22]);
        salt.copy_from_slice(&text[1..9]);
        expected.copy_from_slice(&text[9..]);
        Ok(Self { rounds: 1 << log_rounds, salt, expected })
    }

    /// Whether the hash takes the maximum work. A hash with passlib's default rounds takes half of
    /// it.
    pub(super) fn is_expensive(&self) -> bool {
        self.rounds >= 1 << MAX_LOG_ROUNDS
    }

    /// Whether this is the hash of `password`. The comparison takes constant time.
    pub(super) fn matches(&self, password: &[u8]) -> bool {
        if password.len() > MAX_PASSWORD_BYTES {
            return false;
        }
        let md5 = |start: &[u8]| Md5::new().chain_update(start).chain_update(password).finalize();
        let mut hash = md5(&self.salt);
        for _ in 0..self.rounds {
            hash = md5(&hash);
        }
        verify_slices_are_equal(encoding::crypt64(&hash).as_bytes(), &self.expected).is_ok()
    }
}

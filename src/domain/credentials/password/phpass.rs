//! phpass' portable hashes (`$P$`, and phpBB's `$H$`): iterated MD5.

use md5::{Digest, Md5};
use zeroize::Zeroizing;

use super::encoding::{self, MALFORMED};
use super::foreign::{Foreign, Parsed};

/// The maximum length of a password in bytes, enough for 256 characters in UTF-8: every round
/// hashes the whole password.
const MAX_PASSWORD_BYTES: usize = 1024;
/// The binary logarithm of the maximum number of rounds. WordPress uses 2^13 rounds and passlib
/// 2^19; with the longest password, 2^20 take some seconds of a core.
const MAX_LOG_ROUNDS: usize = 20;
/// The binary logarithm of the minimum number of rounds, that of phpass itself.
const MIN_LOG_ROUNDS: usize = 7;
const TOO_DEAR: &str = "asks for more work than is allowed: phpass goes up to 2^20 rounds";

/// Parses what follows the prefix: one character for the rounds, 8 of salt and 22 of hash.
#[allow(clippy::indexing_slicing, reason = "the length was checked before")]
pub(super) fn parse(text: &str) -> Parsed {
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
    let (salt, expected) = (text[1..9].to_vec(), text[9..].to_vec());
    let rounds = 1_u32 << log_rounds;
    // passlib's default takes half of the maximum.
    let is_expensive = log_rounds >= MAX_LOG_ROUNDS;
    Ok(Foreign::new(is_expensive, expected, move |password| {
        if password.len() > MAX_PASSWORD_BYTES {
            return None;
        }
        let md5 = |start: &[u8]| Md5::new().chain_update(start).chain_update(password).finalize();
        let mut hash = md5(&salt);
        for _ in 0..rounds {
            hash = md5(&hash);
        }
        Some(Zeroizing::new(encoding::crypt64(&hash).into_bytes()))
    }))
}

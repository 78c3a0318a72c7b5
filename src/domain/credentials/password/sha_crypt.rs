//! SHA-crypt (`$5$` with SHA-256, `$6$` with SHA-512; Drepper's specification, glibc and passlib),
//! as in `/etc/shadow` on Linux.

use sha_crypt::{Params, sha256_crypt, sha512_crypt};

use super::encoding::{self, MALFORMED, parts};
use super::foreign::{Foreign, Parsed};

const USUAL_ROUNDS: u64 = 5000;
const MIN_ROUNDS: u64 = 1000;
/// The maximum number of rounds. glibc uses 5000 by default, passlib 656 000. With the longest
/// password this is some seconds of a core.
const MAX_ROUNDS: u64 = 1_000_000;
const TOO_DEAR: &str = "asks for more work than is allowed: SHA-crypt goes up to 1000000 rounds";
/// The maximum length of a salt; the rest is cut off when a hash is made.
const MAX_SALT: usize = 16;
/// The maximum length of a password in bytes, that of 256 characters. Every round hashes it again.
const MAX_PASSWORD: usize = 1024;

const ORDER_256: [usize; 32] = [
    20, 10, 0, 11, 1, 21, 2, 22, 12, 23, 13, 3, 14, 4, 24, 5, 25, 15, 26, 16, 6, 17, 7, 27, 8, 28,
    18, 29, 19, 9, 30, 31,
];
const ORDER_512: [usize; 64] = [
    42, 21, 0, 1, 43, 22, 23, 2, 44, 45, 24, 3, 4, 46, 25, 26, 5, 47, 48, 27, 6, 7, 49, 28, 29, 8,
    50, 51, 30, 9, 10, 52, 31, 32, 11, 53, 54, 33, 12, 13, 55, 34, 35, 14, 56, 57, 36, 15, 16, 58,
    37, 38, 17, 59, 60, 39, 18, 19, 61, 40, 41, 20, 62, 63,
];

/// The number of rounds, if it is not the default, the salt as text, and the hash.
pub(super) fn sha256(text: &str) -> Parsed {
    parse(text, 43, |password, salt, params| {
        write(&sha256_crypt(password, salt, params), &ORDER_256)
    })
}

pub(super) fn sha512(text: &str) -> Parsed {
    parse(text, 86, |password, salt, params| {
        write(&sha512_crypt(password, salt, params), &ORDER_512)
    })
}

fn parse(text: &str, length: usize, compute: fn(&[u8], &[u8], Params) -> String) -> Parsed {
    let (rounds, text) = match text.strip_prefix("rounds=") {
        Some(text) => text.split_once('$').ok_or(MALFORMED)?,
        None => ("", text),
    };
    let rounds = if rounds.is_empty() { USUAL_ROUNDS } else { encoding::number(rounds)? };
    let [salt, expected] = parts(text, '$')?;
    let is_hash = expected.len() == length && encoding::is_crypt64(expected);
    if !is_hash || salt.is_empty() || salt.len() > MAX_SALT || rounds < MIN_ROUNDS {
        return Err(MALFORMED);
    }
    if rounds > MAX_ROUNDS {
        return Err(TOO_DEAR);
    }
    let params = Params::new(rounds as u32).map_err(|_| MALFORMED)?;
    let (salt, expected) = (salt.to_owned(), expected.as_bytes().to_vec());
    // passlib's own take two thirds of the maximum.
    let is_expensive = rounds > MAX_ROUNDS / 4 * 3;
    Ok(Foreign::new(is_expensive, expected, move |password| {
        let takes = password.len() <= MAX_PASSWORD;
        takes.then(|| compute(password, salt.as_bytes(), params).into_bytes().into())
    }))
}

/// `hash`, of as many bytes as `order` has, in the order of the notation.
fn write(hash: &[u8], order: &[usize]) -> String {
    let bytes: Vec<u8> = order.iter().filter_map(|place| hash.get(*place).copied()).collect();
    encoding::crypt64(&bytes)
}

//! PBKDF2 with HMAC (RFC 8018) in the forms of Django, passlib, Werkzeug, Spring and ASP.NET Identity,
//! and in PHC strings.

use std::num::NonZeroU32;

use aws_lc_rs::pbkdf2;
use zeroize::Zeroizing;

use super::encoding::{self, MALFORMED, parts, values};
use super::foreign::{Foreign, Parsed};

/// The maximum number of rounds, ten times the libraries' defaults: some seconds of a core.
const MAX_ROUNDS: u64 = 10_000_000;
const TOO_DEAR: &str = "asks for more work than is allowed: PBKDF2 goes up to 10000000 rounds";

/// The hash function below HMAC, and the bytes that it makes.
#[derive(Clone, Copy)]
pub(super) struct Digest(pbkdf2::Algorithm, usize);

pub(super) const SHA1: Digest = Digest(pbkdf2::PBKDF2_HMAC_SHA1, 20);
pub(super) const SHA256: Digest = Digest(pbkdf2::PBKDF2_HMAC_SHA256, 32);
pub(super) const SHA512: Digest = Digest(pbkdf2::PBKDF2_HMAC_SHA512, 64);

/// Django: rounds, the salt as text, base64.
pub(super) fn django(digest: Digest, text: &str) -> Parsed {
    let [rounds, salt, expected] = parts(text, '$')?;
    parse(digest, rounds, salt.into(), encoding::base64(expected)?)
}

/// passlib: rounds, then salt and hash in its base64. A PHC string names the rounds (`i`) and
/// optionally the length of the hash in bytes (`l`).
pub(super) fn passlib(digest: Digest, text: &str) -> Parsed {
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
    parse(digest, rounds, salt, expected)
}

/// Spring: hexadecimal digits of the salt, of the given length, and of the hash of 32 bytes; the rounds
/// are those of its defaults.
pub(super) fn spring(digest: Digest, rounds: &str, salt_length: usize, text: &str) -> Parsed {
    let mut salt = encoding::hex(text)?;
    if salt.len() != salt_length + 32 {
        return Err(MALFORMED);
    }
    let expected = salt.split_off(salt_length);
    parse(digest, rounds, salt, expected)
}

/// ASP.NET Identity, version 3: base64 of the number 1 in a byte, then digest, rounds and the length of
/// the salt in four bytes each, the highest first, then the salt and the hash.
pub(super) fn asp_net(text: &str) -> Parsed {
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
    let digest = *[SHA1, SHA256, SHA512].get(*digest as usize).ok_or(MALFORMED)?;
    let (salt, expected) = rest.split_at_checked(*salt_length as usize).ok_or(MALFORMED)?;
    parse(digest, &rounds.to_string(), salt.to_vec(), expected.to_vec())
}

/// Werkzeug: digest and rounds, the salt as text, hexadecimal digits.
pub(super) fn werkzeug(text: &str) -> Parsed {
    let [method, salt, expected] = parts(text, '$')?;
    let [digest, rounds] = parts(method, ':')?;
    let digest = match digest {
        "sha1" => SHA1,
        "sha256" => SHA256,
        "sha512" => SHA512,
        _ => return Err(encoding::UNKNOWN),
    };
    parse(digest, rounds, salt.into(), encoding::hex(expected)?)
}

fn parse(digest: Digest, rounds: &str, salt: Vec<u8>, expected: Vec<u8>) -> Parsed {
    let (salt, expected) = (encoding::salt(salt)?, encoding::output(expected)?);
    let rounds = encoding::number(rounds)?;
    let Digest(algorithm, digest_length) = digest;
    let length = expected.len();
    // Every block of output costs all rounds again.
    let work = rounds.saturating_mul(length.div_ceil(digest_length) as u64);
    if work > MAX_ROUNDS {
        return Err(TOO_DEAR);
    }
    let rounds = u32::try_from(rounds).ok().and_then(NonZeroU32::new).ok_or(MALFORMED)?;
    Ok(Foreign::new(work >= MAX_ROUNDS / 4, expected, move |password| {
        let mut output = Zeroizing::new(vec![0; length]);
        pbkdf2::derive(algorithm, rounds, &salt, password, &mut output);
        Some(output)
    }))
}

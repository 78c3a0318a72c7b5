//! bcrypt, alone and over a digest as Django (`bcrypt_sha256$`), passlib (`$bcrypt-sha256$`) and
//! WordPress since 6.8 (`$wp$`) use it to avoid its limit of 72 bytes.

use std::fmt::Write;

use aws_lc_rs::{digest, hmac};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::encoding::{self, MALFORMED, bcrypt_base64, parts, values};
use super::foreign::{Foreign, Parsed};

const MIN_COST: u64 = 4;
/// The maximum cost. Systems use 10 to 12, some 14; each step doubles the time.
const MAX_COST: u64 = 16;
const TOO_DEAR: &str = "asks for more work than is allowed: bcrypt goes up to cost 16";
/// The number of bytes that bcrypt uses. The rest is cut off, as it was where the hash was made.
const MAX_BYTES: usize = 72;
const OUTPUT: usize = 23;

pub(super) enum Before {
    Nothing,
    /// Django: SHA-256 in hexadecimal digits.
    HexSha256,
    /// passlib's version 1: SHA-256 in base64.
    Base64Sha256,
    /// passlib's version 2: HMAC-SHA-256 in base64, keyed with the salt as it is written.
    Base64HmacSha256(String),
    /// WordPress: HMAC-SHA-384 in base64, keyed with a constant, of the password without the white
    /// space around it.
    Base64HmacSha384,
}

const WORDPRESS_KEY: &[u8] = b"wp-sha384";

impl Before {
    fn digest(&self, password: &[u8]) -> Option<Zeroizing<String>> {
        let sha256 = || digest::digest(&digest::SHA256, password);
        // Room for the longest, so that no move leaves a copy behind.
        let mut text = Zeroizing::new(String::with_capacity(64));
        match self {
            Self::Nothing => return None,
            Self::HexSha256 => {
                for byte in sha256().as_ref() {
                    // Writing to a String does not fail.
                    let _ = write!(*text, "{byte:02x}");
                }
            }
            Self::Base64Sha256 => STANDARD.encode_string(sha256(), &mut text),
            Self::Base64HmacSha256(salt) => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, salt.as_bytes());
                STANDARD.encode_string(hmac::sign(&key, password), &mut text);
            }
            Self::Base64HmacSha384 => {
                let key = hmac::Key::new(hmac::HMAC_SHA384, WORDPRESS_KEY);
                STANDARD.encode_string(hmac::sign(&key, php_trim(password)), &mut text);
            }
        }
        Some(text)
    }
}

fn php_trim(password: &[u8]) -> &[u8] {
    let is_space = |byte: &u8| b" \t\n\r\0\x0b".contains(byte);
    let start = password.iter().position(|byte| !is_space(byte)).unwrap_or(password.len());
    let end = password.iter().rposition(|byte| !is_space(byte)).map_or(start, |last| last + 1);
    password.get(start..end).unwrap_or_default()
}

/// A whole `$2b$…`, over a digest or not.
pub(super) fn whole(text: &str, before: Before) -> Parsed {
    let [empty, version, cost, rest] = parts(text, '$')?;
    let (salt, expected) = rest.split_at_checked(22).ok_or(MALFORMED)?;
    if !empty.is_empty() || cost.len() != 2 {
        return Err(MALFORMED);
    }
    parse(before, version, cost, salt, expected)
}

/// passlib: parameters by name, or in version 1 by place, then salt and hash.
pub(super) fn passlib(text: &str) -> Parsed {
    let [parameters, salt, expected] = parts(text, '$')?;
    if parameters.starts_with("v=") {
        let [version, variant, cost] = values(parameters, ["v", "t", "r"])?;
        let before = Before::Base64HmacSha256(salt.to_owned());
        if version != "2" {
            return Err(MALFORMED);
        }
        return parse(before, variant, cost, salt, expected);
    }
    let [variant, cost] = parts(parameters, ',')?;
    parse(Before::Base64Sha256, variant, cost, salt, expected)
}

#[allow(clippy::indexing_slicing, reason = "`used` is at most the length of the key")]
fn parse(before: Before, version: &str, cost: &str, salt: &str, expected: &str) -> Parsed {
    // `2x` marks the hashes of a faulty implementation.
    if !["2a", "2b", "2y"].contains(&version) {
        return Err(MALFORMED);
    }
    let (salt, expected) = (bcrypt_base64(salt)?, bcrypt_base64::<OUTPUT>(expected)?);
    let cost = match encoding::number(cost)? {
        cost if cost < MIN_COST => return Err(MALFORMED),
        cost if cost > MAX_COST => return Err(TOO_DEAR),
        cost => cost as u32,
    };
    let is_expensive = u64::from(cost) >= MAX_COST - 2;
    Ok(Foreign::new(is_expensive, expected.to_vec(), move |password| {
        let digest = before.digest(password);
        let password = digest.as_ref().map_or(password, |text| text.as_bytes());
        // The terminating NUL of the C string is part of the key, if there is room for it.
        let mut key = Zeroizing::new([0; MAX_BYTES]);
        let used = password.len().min(MAX_BYTES);
        key[..used].copy_from_slice(&password[..used]);
        let output = bcrypt::bcrypt(cost, salt, &key[..MAX_BYTES.min(used + 1)]);
        Some(output[..OUTPUT].to_vec().into())
    }))
}

//! Firebase's scrypt: the key that scrypt derives encrypts the project's signer key, and the
//! ciphertext is the hash. Firebase has no notation with the project's parameters; those of Ory
//! Kratos (`$firescrypt$`) and Supabase (`$fbscrypt$`) are read here.

use aws_lc_rs::cipher::{AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey};
use zeroize::Zeroizing;

use super::encoding::{self, MALFORMED, base64, parts, values};
use super::foreign::{Foreign, Parsed};
use super::scrypt::{self, Params};

/// Firebase's own signer keys have 64 bytes.
const SIGNER_KEY_BYTES: std::ops::RangeInclusive<usize> = 16..=128;

/// Kratos: `ln`, `r` and `p`, then salt, hash, salt separator and signer key.
pub(super) fn kratos(text: &str) -> Parsed {
    let [parameters, salt, expected, separator, signer_key] = parts(text, '$')?;
    let [log_n, r, p] = values(parameters, ["ln", "r", "p"])?;
    let params = scrypt::params(encoding::number(log_n)?, r, p)?;
    parse(params, [salt, separator], signer_key, expected)
}

/// Supabase: version 1, `n` (which is the logarithm), `r`, `p`, salt separator and signer key
/// by their names, then salt and hash.
pub(super) fn supabase(text: &str) -> Parsed {
    let [parameters, salt, expected] = parts(text, '$')?;
    let names = ["v", "n", "r", "p", "ss", "sk"];
    let [version, log_n, r, p, separator, signer_key] = values(parameters, names)?;
    if version != "1" {
        return Err(MALFORMED);
    }
    let params = scrypt::params(encoding::number(log_n)?, r, p)?;
    parse(params, [salt, separator], signer_key, expected)
}

fn parse(params: Params, [salt, separator]: [&str; 2], signer_key: &str, expected: &str) -> Parsed {
    // The user's salt, then the project's separator.
    let mut salt = encoding::salt(base64(salt)?)?;
    salt.extend(base64(separator)?);
    let signer_key = Zeroizing::new(base64(signer_key)?);
    let expected = base64(expected)?;
    if !SIGNER_KEY_BYTES.contains(&signer_key.len()) || expected.len() != signer_key.len() {
        return Err(MALFORMED);
    }
    Ok(Foreign::new(scrypt::is_expensive(&params), expected, move |password| {
        let key = scrypt::derive(password, &salt, &params, 32);
        let mut output = signer_key.clone();
        let key = UnboundCipherKey::new(&AES_256, &key).and_then(EncryptingKey::ctr).ok()?;
        // The key is used for this one message: Firebase starts the counter at zero.
        let start = EncryptionContext::Iv128([0; 16].into());
        key.less_safe_encrypt(&mut output, start).ok()?;
        Some(output)
    }))
}

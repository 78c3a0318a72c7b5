//! Firebase's scrypt: the key that scrypt derives encrypts the project's signer key, and the
//! ciphertext is the hash. Firebase has no notation with the project's parameters; those of Ory
//! Kratos (`$firescrypt$`) and Supabase (`$fbscrypt$`) are read here.

use aws_lc_rs::cipher::{AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use zeroize::Zeroizing;

use super::encoding::{self, MALFORMED, base64, parts, values};
use super::scrypt::{self, Params};

/// Firebase's own signer keys have 64 bytes.
const SIGNER_KEY_BYTES: std::ops::RangeInclusive<usize> = 16..=128;

/// A stored hash of Firebase's with the parameters of its project.
pub(super) struct Hash {
    params: Params,
    /// The user's salt, then the project's separator.
    salt: Vec<u8>,
    signer_key: Zeroizing<Vec<u8>>,
    expected: Vec<u8>,
}

impl Hash {
    /// Kratos: `ln`, `r` and `p`, then salt, hash, salt separator and signer key.
    pub(super) fn kratos(text: &str) -> Result<Self, &'static str> {
        let [parameters, salt, expected, separator, signer_key] = parts(text, '$')?;
        let [log_n, r, p] = values(parameters, ["ln", "r", "p"])?;
        let params = scrypt::params(encoding::number(log_n)?, r, p)?;
        Self::new(params, [salt, separator], signer_key, expected)
    }

    /// Supabase: version 1, `n` (which is the logarithm), `r`, `p`, salt separator and signer key
    /// by their names, then salt and hash.
    pub(super) fn supabase(text: &str) -> Result<Self, &'static str> {
        let [parameters, salt, expected] = parts(text, '$')?;
        let names = ["v", "n", "r", "p", "ss", "sk"];
        let [version, log_n, r, p, separator, signer_key] = values(parameters, names)?;
        if version != "1" {
            return Err(MALFORMED);
        }
        let params = scrypt::params(encoding::number(log_n)?, r, p)?;
        Self::new(params, [salt, separator], signer_key, expected)
    }

    fn new(
        params: Params,
        [salt, separator]: [&str; 2],
        signer_key: &str,
        expected: &str,
    ) -> Result<Self, &'static str> {
        let mut salt = encoding::salt(base64(salt)?)?;
        salt.extend(base64(separator)?);
        let signer_key = Zeroizing::new(base64(signer_key)?);
        let expected = base64(expected)?;
        let fits = SIGNER_KEY_BYTES.contains(&signer_key.len());
        if !fits || expected.len() != signer_key.len() {
            return Err(MALFORMED);
        }
        Ok(Self { params, salt, signer_key, expected })
    }

    /// Whether it takes much memory, or a quarter of the maximum work.
    pub(super) fn is_expensive(&self) -> bool {
        scrypt::is_expensive(&self.params)
    }

    /// Whether it is the hash of `password`; compared in constant time.
    pub(super) fn matches(&self, password: &[u8]) -> bool {
        let mut key = Zeroizing::new([0; 32]);
        scrypt::derive(password, &self.salt, &self.params, key.as_mut_slice());
        let mut output = self.signer_key.clone();
        let encrypted = UnboundCipherKey::new(&AES_256, key.as_slice())
            .and_then(EncryptingKey::ctr)
            .and_then(|key| {
                // The key is used for this one message: Firebase starts the counter at zero.
                key.less_safe_encrypt(&mut output, EncryptionContext::Iv128([0; 16].into()))
            });
        encrypted.is_ok() && verify_slices_are_equal(&output, &self.expected).is_ok()
    }
}

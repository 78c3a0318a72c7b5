//! Flask-Security with its defaults: a hash of any scheme over an HMAC of the password. The hash
//! shows neither that nor the key, so the export adds both in front: `flask_security$`, and
//! `SECURITY_PASSWORD_SALT` in base64.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

use super::super::argon2::HashMemory;
use super::super::encoding::{MALFORMED, base64, salt};
use super::StoredHash;

pub(crate) struct Hash {
    key: Vec<u8>,
    /// The hash in Flask-Security's own store.
    pub hash: Box<StoredHash>,
}

impl Hash {
    /// The key, then the hash of Flask-Security's store. That hash begins with `$`, so none is
    /// nested.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let (key, hash) = text.split_at(text.find('$').ok_or(MALFORMED)?);
        Ok(Self { key: salt(base64(key)?)?, hash: Box::new(StoredHash::parse(hash)?) })
    }

    /// Whether it is the hash of `password`, in normal form KD as Flask-Security uses it.
    pub(crate) fn matches(&self, password: &[u8], memory: &mut HashMemory) -> bool {
        let Ok(text) = str::from_utf8(password) else { return false };
        // Room for all of it, so that no move leaves a copy behind.
        let mut normal =
            Zeroizing::new(String::with_capacity(text.nfkd().map(char::len_utf8).sum()));
        normal.extend(text.nfkd());
        let key = hmac::Key::new(hmac::HMAC_SHA512, &self.key);
        let mut signed = Zeroizing::new(String::with_capacity(88));
        STANDARD.encode_string(hmac::sign(&key, normal.as_bytes()), &mut signed);
        self.hash.matches(signed.as_bytes(), memory)
    }
}

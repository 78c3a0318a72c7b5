//! Stored password hashes: strings of the known schemes, distinguished by their beginning.

mod flask_security;

use super::argon2::HashMemory;
use super::bcrypt::Before;
use super::encoding::{MALFORMED, UNKNOWN};
use super::foreign::Foreign;
use super::pbkdf2::{SHA1, SHA256, SHA512};
use super::{
    PasswordPolicy, argon2, bcrypt, firebase, pbkdf2, phpass, scrypt, sha_crypt, yescrypt,
};

/// The maximum length in bytes, above the longest salt and hash of any scheme.
const MAX_BYTES: usize = 2048;

/// The beginning of every hash of ASP.NET Identity: version 3, and the high bytes of a number up to
/// 2.
const ASP_NET_IDENTITY: &str = "AQAAAA";

/// A hash that can be verified: of a known scheme, well-formed, within the ceilings on work.
pub(super) enum StoredHash {
    Argon2(argon2::Hash),
    Foreign(Foreign),
    /// Either of them over Flask-Security's HMAC.
    FlaskSecurity(flask_security::Hash),
}

impl StoredHash {
    /// Parses a stored hash. The error is a sentence for the operator without any part of the hash.
    #[allow(clippy::indexing_slicing, reason = "the prefix was matched before")]
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        if text.len() > MAX_BYTES {
            return Err(MALFORMED);
        }
        // The one form without a name or a separator: four bytes that are always the same.
        if text.starts_with(ASP_NET_IDENTITY) {
            return pbkdf2::asp_net(text).map(Self::Foreign);
        }
        if text.starts_with('{') {
            return Self::spring(text);
        }
        let (scheme, rest) = split_scheme(text).ok_or(UNKNOWN)?;
        match scheme {
            // Argon2d has no protection against side channels and was never a default.
            "$argon2id$" | "$argon2i$" => argon2::Hash::parse(text).map(Self::Argon2),
            // Django's name before the string itself.
            "argon2$" if rest.starts_with("argon2id$") || rest.starts_with("argon2i$") => {
                argon2::Hash::parse(&text["argon2".len()..]).map(Self::Argon2)
            }
            "$2a$" | "$2b$" | "$2y$" => bcrypt::whole(text, Before::Nothing).map(Self::Foreign),
            "bcrypt$" => bcrypt::whole(rest, Before::Nothing).map(Self::Foreign),
            "bcrypt_sha256$" => bcrypt::whole(rest, Before::HexSha256).map(Self::Foreign),
            "$bcrypt-sha256$" => bcrypt::passlib(rest).map(Self::Foreign),
            "pbkdf2_sha1$" => pbkdf2::django(SHA1, rest).map(Self::Foreign),
            "pbkdf2_sha256$" => pbkdf2::django(SHA256, rest).map(Self::Foreign),
            "$pbkdf2$" => pbkdf2::passlib(SHA1, rest).map(Self::Foreign),
            "$pbkdf2-sha256$" => pbkdf2::passlib(SHA256, rest).map(Self::Foreign),
            "$pbkdf2-sha512$" => pbkdf2::passlib(SHA512, rest).map(Self::Foreign),
            "pbkdf2:" => pbkdf2::werkzeug(rest).map(Self::Foreign),
            "$scrypt$" => scrypt::passlib(rest).map(Self::Foreign),
            "scrypt$" => scrypt::django(rest).map(Self::Foreign),
            "scrypt:" => scrypt::werkzeug(rest).map(Self::Foreign),
            "$firescrypt$" => firebase::kratos(rest).map(Self::Foreign),
            "$fbscrypt$" => firebase::supabase(rest).map(Self::Foreign),
            "$P$" | "$H$" => phpass::parse(rest).map(Self::Foreign),
            // The dollar sign after it is that of the hash within.
            "$wp$" => {
                bcrypt::whole(&text["$wp".len()..], Before::Base64HmacSha384).map(Self::Foreign)
            }
            "$5$" => sha_crypt::sha256(rest).map(Self::Foreign),
            "$6$" => sha_crypt::sha512(rest).map(Self::Foreign),
            "$y$" => yescrypt::parse(rest).map(Self::Foreign),
            "flask_security$" => flask_security::Hash::parse(rest).map(Self::FlaskSecurity),
            _ => Err(UNKNOWN),
        }
    }

    /// Spring's `DelegatingPasswordEncoder`: the encoder's name in braces, then its hash.
    #[allow(clippy::indexing_slicing, reason = "the prefix was matched before")]
    fn spring(text: &str) -> Result<Self, &'static str> {
        let (name, hash) = text[1..].split_once('}').ok_or(MALFORMED)?;
        let is_argon2 = hash.starts_with("$argon2id$") || hash.starts_with("$argon2i$");
        match name {
            "bcrypt" if hash.starts_with("$2") => {
                bcrypt::whole(hash, Before::Nothing).map(Self::Foreign)
            }
            "argon2" | "argon2@SpringSecurity_v5_8" if is_argon2 => {
                argon2::Hash::parse(hash).map(Self::Argon2)
            }
            "pbkdf2" => pbkdf2::spring(SHA1, "185000", 8, hash).map(Self::Foreign),
            "pbkdf2@SpringSecurity_v5_8" => {
                pbkdf2::spring(SHA256, "310000", 16, hash).map(Self::Foreign)
            }
            "scrypt" | "scrypt@SpringSecurity_v5_8" => scrypt::spring(hash).map(Self::Foreign),
            _ => Err(UNKNOWN),
        }
    }

    pub(super) fn matches(&self, password: &[u8], memory: &mut HashMemory) -> bool {
        // People do not type it. bcrypt ends there, and HMAC does not distinguish `pw` from `pw`
        // and a NUL.
        if password.contains(&0) && !matches!(self, Self::Argon2(_)) {
            return false;
        }
        match self {
            Self::Argon2(hash) => hash.matches(password, memory),
            Self::Foreign(hash) => hash.matches(password),
            Self::FlaskSecurity(hash) => hash.matches(password, memory),
        }
    }

    fn is_expensive(&self, policy: &PasswordPolicy) -> bool {
        match self {
            Self::Argon2(hash) => hash.is_expensive(policy),
            Self::Foreign(hash) => hash.is_expensive,
            Self::FlaskSecurity(hash) => hash.hash.is_expensive(policy),
        }
    }

    /// Whether it was made as `policy` would make it.
    pub(super) fn is_current(&self, policy: &PasswordPolicy) -> bool {
        matches!(self, Self::Argon2(hash) if hash.is_current(policy))
    }
}

/// Whether verifying `hash` takes far more memory than `policy` does, or a good part of the maximum
/// work.
pub fn is_expensive(hash: &str, policy: &PasswordPolicy) -> bool {
    StoredHash::parse(hash).is_ok_and(|hash| !hash.is_current(policy) && hash.is_expensive(policy))
}

/// Checks that `hash` can be verified at a login. The error is a sentence for the operator.
pub fn check_stored(hash: &str) -> Result<(), &'static str> {
    StoredHash::parse(hash).map(drop)
}

/// The scheme's name with its delimiters, and the rest.
#[allow(clippy::indexing_slicing, reason = "the prefix was matched before")]
fn split_scheme(text: &str) -> Option<(&str, &str)> {
    let start = usize::from(text.starts_with('$'));
    let end = text[start..].find(['$', ':'])? + start + 1;
    Some(text.split_at(end))
}

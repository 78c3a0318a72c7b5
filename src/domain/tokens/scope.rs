//! Scopes (RFC 6749 section 3.3): sets of case-sensitive words, kept in the order given.

use std::fmt;

pub(crate) const OPENID: &str = "openid";
pub(crate) const PROFILE: &str = "profile";
pub(crate) const EMAIL: &str = "email";
pub(crate) const ADMIN: &str = "signet:admin";
/// The prefix of every scope word that gives power over Signet itself.
const POWER_PREFIX: &str = "signet:";
pub(crate) const USERS_READ: &str = "users:read";
/// The scope to follow the revocation feed, where that is not open to all.
pub(crate) const REVOCATIONS_READ: &str = "revocations:read";

/// Whether `word` gives power over Signet or shows its users. A token with such a word has the
/// audience of administration and no other, so that no resource server can use it at Signet.
pub(crate) fn is_administrative(word: &str) -> bool {
    word.starts_with(POWER_PREFIX) || word == USERS_READ
}

/// Whether `word` is Signet's own, granted only where the request names it.
pub(crate) fn is_built_in(word: &str) -> bool {
    is_administrative(word) || word == REVOCATIONS_READ
}

/// A set of scope words without repetition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope(Vec<String>);

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("scope must be words of printable ASCII without quotes or backslashes, at most 64 of them")]
pub struct MalformedScope;

impl Scope {
    const MAX_WORDS: usize = 64;
    const MAX_WORD_LENGTH: usize = 128;

    /// Reads words separated by spaces. Empty text is the empty scope.
    pub fn parse(text: &str) -> Result<Self, MalformedScope> {
        let mut words: Vec<String> = Vec::new();
        for word in text.split(' ').filter(|word| !word.is_empty()) {
            if word.len() > Self::MAX_WORD_LENGTH || !word.bytes().all(is_scope_char) {
                return Err(MalformedScope);
            }
            if !words.iter().any(|known| known == word) {
                words.push(word.to_owned());
            }
            if words.len() > Self::MAX_WORDS {
                return Err(MalformedScope);
            }
        }
        Ok(Self(words))
    }

    pub(crate) fn contains(&self, word: &str) -> bool {
        self.0.iter().any(|known| known == word)
    }

    /// Whether every word of it is in `other`.
    pub fn is_within(&self, other: &Self) -> bool {
        self.0.iter().all(|word| other.contains(word))
    }

    /// The words for which `keep` holds.
    pub fn filtered(&self, keep: impl Fn(&str) -> bool) -> Self {
        Self(self.0.iter().filter(|word| keep(word)).cloned().collect())
    }

    pub(crate) fn is_administrative(&self) -> bool {
        self.0.iter().any(|word| is_administrative(word))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The words, in order.
    pub fn words(&self) -> &[String] {
        &self.0
    }
}

/// RFC 6749 section 3.3: `%x21 / %x23-5B / %x5D-7E`.
fn is_scope_char(byte: u8) -> bool {
    matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e)
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_kept_once_and_in_order() {
        let scope = Scope::parse(" read  write read ").unwrap();
        assert_eq!(scope.to_string(), "read write");
        assert!(Scope::parse("write").unwrap().is_within(&scope));
        assert!(!Scope::parse("write admin").unwrap().is_within(&scope));
        assert!(Scope::parse("").unwrap().is_empty());
        assert_eq!(scope.filtered(|word| word != "read").to_string(), "write");
    }

    #[test]
    fn built_in_words_are_distinguished_from_others() {
        for word in ["signet:admin", "signet:", "signet:anything", "users:read"] {
            assert!(is_administrative(word) && is_built_in(word), "{word}");
            assert!(Scope::parse(&format!("read {word}")).unwrap().is_administrative(), "{word}");
        }
        assert!(is_built_in("revocations:read") && !is_administrative("revocations:read"));
        for word in ["openid", "read", "signet", "Signet:admin", "my.signet:admin", "users:readx"] {
            assert!(!is_administrative(word) && !is_built_in(word), "{word}");
        }
        assert!(!Scope::parse("read write").unwrap().is_administrative());
    }

    #[test]
    fn characters_and_sizes_are_bounded() {
        for bad in ["a\"b", "a\\b", "ä", "a\tb", "a\nb", &"x".repeat(129)] {
            assert_eq!(Scope::parse(bad), Err(MalformedScope), "{bad:?}");
        }
        let many: Vec<_> = (0..65).map(|n| n.to_string()).collect();
        assert!(Scope::parse(&many.join(" ")).is_err());
        assert!(Scope::parse(&many[..64].join(" ")).is_ok());
    }
}

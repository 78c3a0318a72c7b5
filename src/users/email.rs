//! E-mail addresses as login names: kept as they were written, compared normalised and without
//! case, so that nobody can register a look-alike that differs in case or composition only.

use email_address::{EmailAddress, Options};
use unicode_normalization::UnicodeNormalization;

/// RFC 5321 section 4.5.3.1.3: a path is at most 256 octets with its brackets.
const LONGEST: usize = 254;

/// A well-formed address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Email {
    address: String,
    key: String,
}

impl Email {
    /// Reads an address; surrounding white space is dropped. The error is a sentence for people.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let address: String = text.trim().nfc().collect();
        if address.is_empty() {
            return Err("must not be empty");
        }
        let options = Options::default().with_required_tld().without_display_text();
        let well_formed = address.len() <= LONGEST
            && !address.chars().any(|c| c.is_control() || c.is_whitespace())
            && EmailAddress::parse_with_options(&address, options.without_domain_literal()).is_ok();
        if !well_formed {
            return Err("must be an e-mail address such as name@example.com");
        }
        Ok(Self { key: key_of(&address), address })
    }

    /// The address as it was written.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The form that is compared and unique.
    pub fn key(&self) -> &str {
        &self.key
    }
}

/// The comparison form of whatever somebody typed as a login name; no check, since at login an
/// ill-formed name is merely unknown.
pub fn key_of(text: &str) -> String {
    // Lower-casing can leave a composition open to normalisation, hence once more after it.
    text.trim().nfkc().collect::<String>().to_lowercase().nfkc().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_address_has_the_same_key() {
        for (one, other) in [
            ("Ann@Example.com", " ann@example.COM\n"),
            ("jos\u{e9}@example.com", "jose\u{301}@example.com"),
            ("\u{ff41}nn@example.com", "ann@example.com"),
            ("\u{c5}sa@example.com", "a\u{30a}sa@example.com"),
        ] {
            assert_eq!(Email::parse(one).unwrap().key(), Email::parse(other).unwrap().key());
        }
        assert_eq!(Email::parse(" Ann@Example.com ").unwrap().address(), "Ann@Example.com");
    }

    #[test]
    fn what_is_no_address_is_refused() {
        let long = format!("{}@example.com", "a".repeat(65));
        let longer = format!("a@{}.com", "b.".repeat(130));
        for bad in [
            "",
            " ",
            "ann",
            "ann@",
            "@example.com",
            "ann@example",
            "a b@example.com",
            "ann@exa mple.com",
            "ann@@example.com",
            "ann@example.com\0",
            "ann@[127.0.0.1]",
            "Ann <ann@example.com>",
            "ann@example..com",
            &long,
            &longer,
        ] {
            assert!(Email::parse(bad).is_err(), "{bad:?}");
        }
        for good in ["a@b.co", "first.last+tag@sub.example.org", "user@b\u{fc}cher.example"] {
            assert!(Email::parse(good).is_ok(), "{good:?}");
        }
    }
}

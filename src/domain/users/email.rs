//! E-mail addresses as login names: kept as written, compared normalised, without case and with one
//! form of an internationalised domain, so that no one can register a second spelling of somebody's
//! address. An address that only looks like another one after compatibility mapping is refused: its
//! mail goes to another mailbox.

use email_address::{EmailAddress, Options};
use unicode_normalization::UnicodeNormalization;

/// RFC 5321 section 4.5.3.1.3: a path is at most 256 octets with its brackets.
const MAX_BYTES: usize = 254;

/// A well-formed address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Email {
    address: String,
    key: String,
}

impl Email {
    /// Parses an address without surrounding white space. The error is a sentence for people.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let address: String = text.trim().nfc().collect();
        if address.is_empty() {
            return Err("must not be empty");
        }
        if is_compatibility_spelling(&address) {
            let problem = "must not contain compatibility characters, such as full-width letters or \
                           ligatures: write them as plain letters";
            return Err(problem);
        }
        let options = Options::default().with_required_tld().without_display_text();
        let well_formed = address.len() <= MAX_BYTES
            && !address.chars().any(|c| c.is_control() || c.is_whitespace())
            && EmailAddress::parse_with_options(&address, options.without_domain_literal()).is_ok();
        let has_domain =
            international(&address).is_none_or(|(_, domain)| unicode_domain(&domain).is_some());
        if !well_formed || !has_domain {
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

/// The comparison form of any text that was typed as a login name. The text is not checked, since
/// at login an ill-formed name is merely unknown. An internationalised domain has one form, its
/// U-labels, however it is spelled (RFC 5890 section 2.3.2.1, UTS 46).
pub fn key_of(text: &str) -> String {
    if let Some((local, domain)) = international(text)
        && let Some(domain) = unicode_domain(&domain)
    {
        return format!("{}@{domain}", plain_key(&local));
    }
    plain_key(text)
}

/// Every form under which the address `text` may be stored, the likeliest first. Mostly there is
/// one; an internationalised domain has several, since accounts of earlier versions keep their
/// form.
pub fn stored_keys(text: &str) -> Vec<String> {
    let mut keys = vec![plain_key(text)];
    if let Some((local, domain)) = international(text) {
        let local = plain_key(&local);
        let forms = [unicode_domain(&domain), idna::domain_to_ascii(&domain).ok()];
        for domain in forms.into_iter().flatten() {
            let key = format!("{local}@{domain}");
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
    }
    keys
}

/// The forms of `prefix` that the beginning of a stored address may have: as typed, and with its
/// domain in the comparison form.
pub fn prefix_keys(prefix: &str) -> [String; 2] {
    [plain_key(prefix), key_of(prefix)]
}

/// Whether `text` has characters that are only compatibility spellings of others (Unicode NFKC),
/// such as full-width letters: the address is another mailbox than the one that it looks like.
pub fn is_compatibility_spelling(text: &str) -> bool {
    !text.nfc().eq(text.nfkc())
}

/// `text` with its compatibility characters replaced by the plain ones that they look like.
pub fn plain_spelling(text: &str) -> String {
    text.nfkc().collect()
}

/// Whether the domain of the address `text` is internationalised, in whichever form.
pub fn is_international(text: &str) -> bool {
    international(text).is_some()
}

/// Whether both are the same address but for case and composition.
pub fn is_spelled_like(one: &str, other: &str) -> bool {
    let literal = |text: &str| -> String {
        text.trim().nfc().collect::<String>().to_lowercase().nfc().collect()
    };
    literal(one) == literal(other)
}

/// Normalised and in lower case, with the domain as spelled.
fn plain_key(text: &str) -> String {
    // Lower-casing can leave a composition open to normalisation, hence once more after it.
    text.trim().nfkc().collect::<String>().to_lowercase().nfkc().collect()
}

/// The parts of an address whose domain is not plain ASCII, or has an A-label.
fn international(text: &str) -> Option<(String, String)> {
    let is_a_label = |label: &str| label.get(..4).is_some_and(|s| s.eq_ignore_ascii_case("xn--"));
    let (local, domain) = text.trim().rsplit_once('@')?;
    if domain.is_ascii() && !domain.split('.').any(is_a_label) {
        return None;
    }
    // Full-width spellings of stored addresses were compared in this form.
    Some((local.to_owned(), domain.nfkc().collect()))
}

/// The domain in U-labels; `None` if it is invalid (UTS 46).
fn unicode_domain(domain: &str) -> Option<String> {
    let (unicode, valid) = idna::domain_to_unicode(domain);
    valid.ok().map(|()| unicode)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_address_has_the_same_key() {
        for (one, other) in [
            ("Ann@Example.com", " ann@example.COM\n"),
            ("jos\u{e9}@example.com", "jose\u{301}@example.com"),
            ("ann@b\u{fc}cher.example", "ann@xn--bcher-kva.example"),
            ("ann@B\u{dc}CHER.example", "Ann@XN--BCHER-KVA.Example"),
            ("ann@bu\u{308}cher.example", "ann@b\u{fc}cher.example"),
            ("\u{c5}sa@example.com", "a\u{30a}sa@example.com"),
        ] {
            assert_eq!(Email::parse(one).unwrap().key(), Email::parse(other).unwrap().key());
            assert!(stored_keys(one).contains(&key_of(other)), "{one} {other}");
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
            // Compatibility spellings.
            "\u{ff43}eo@example.com",
            "ann@\u{ff45}xample.com",
            "o\u{fb03}ce@example.com",
            "ann\u{ff20}example.com",
            "ann\u{b2}@example.com",
            // No domain by UTS 46.
            "ann@xn--a.example",
            "ann@xn--example.example",
            &long,
            &longer,
        ] {
            assert!(Email::parse(bad).is_err(), "{bad:?}");
        }
        for good in ["a@b.co", "first.last+tag@sub.example.org", "user@b\u{fc}cher.example"] {
            assert!(Email::parse(good).is_ok(), "{good:?}");
        }
    }
    #[test]
    fn keys_stand_for_themselves() {
        for text in [
            "ann@example.com",
            "ann@stra\u{df}e.example",
            "ann@xn--strae-oqa.example",
            "ann@xn--bcher-kva.example",
            "\u{ff43}eo@corp.example",
            "\u{391}\u{3a3}@\u{391}\u{3a3}.example",
        ] {
            let key = key_of(text);
            assert_eq!(key_of(&key), key, "{text}");
            assert!(stored_keys(text).contains(&key), "{text}");
            assert!(stored_keys(&key).contains(&key), "{text}");
        }
        // By IDNA 2008 these are two domains.
        assert_ne!(key_of("ann@stra\u{df}e.example"), key_of("ann@strasse.example"));
        assert_eq!(stored_keys("Ann@Example.com"), ["ann@example.com"]);
        let both = ["ann@xn--bcher-kva.example", "ann@b\u{fc}cher.example"];
        assert_eq!(stored_keys("ann@xn--bcher-kva.example"), both);
        // What is no address is compared as it stands.
        assert_eq!(key_of("Ann@xn--A.example"), "ann@xn--a.example");
    }

    #[test]
    fn compatibility_spellings_are_distinguished_from_compositions() {
        assert!(is_compatibility_spelling("\u{ff43}eo@corp.example"));
        assert!(!is_compatibility_spelling("jose\u{301}@example.com"));
        assert!(is_spelled_like("\u{ff23}eo@corp.example", "\u{ff43}EO@corp.example"));
        assert!(!is_spelled_like("\u{ff43}eo@corp.example", "ceo@corp.example"));
    }
}

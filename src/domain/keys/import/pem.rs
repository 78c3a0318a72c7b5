//! The one key of a PEM file (RFC 7468). Text around it, certificates and parameters are ignored,
//! as `openssl pkcs12` writes them; several keys are refused, since none of them is certainly the
//! right one.

use super::ImportError;

const MAX_LENGTH: usize = 32 * 1024;
const MAX_NAMED: usize = 5;

const BEGIN: &str = "-----BEGIN ";
const DASHES: &str = "-----";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Block<'a> {
    pub label: &'a str,
    /// From its first to its last dash.
    pub text: &'a str,
    line: usize,
}

/// The one private key in `text`, or, without a private key, its one public key.
pub(super) fn find_key(text: &str) -> Result<Block<'_>, ImportError> {
    if text.len() > MAX_LENGTH {
        return Err(ImportError::TooLong);
    }
    let blocks = blocks(text);
    for (label, kind) in [("PRIVATE KEY", "private"), ("PUBLIC KEY", "public")] {
        let wanted: Vec<_> = blocks.iter().filter(|block| block.label.ends_with(label)).collect();
        match wanted[..] {
            [] => {}
            [block] => return Ok(*block),
            _ => return Err(ImportError::Several(wanted.len(), kind, named(&wanted))),
        }
    }
    let others: Vec<_> = blocks.iter().collect();
    Err(ImportError::NoKey(if others.is_empty() { String::new() } else { named(&others) }))
}

fn named(blocks: &[&Block<'_>]) -> String {
    let name = |block: &&Block<'_>| {
        let label: String = block.label.chars().take(40).collect();
        format!("{label} in line {}", block.line)
    };
    let mut names: Vec<_> = blocks.iter().take(MAX_NAMED).map(name).collect();
    if blocks.len() > MAX_NAMED {
        names.push("and more".into());
    }
    names.join(", ")
}

/// All whole blocks of `text`, in order. A block without an end or with an improper label is text.
#[allow(clippy::indexing_slicing, reason = "positions are those of the found delimiters")]
fn blocks(text: &str) -> Vec<Block<'_>> {
    let mut blocks = Vec::new();
    let mut at = 0;
    while let Some(found) = text[at..].find(BEGIN) {
        let start = at + found;
        let after = start + BEGIN.len();
        at = after;
        let Some((label, _)) = text[after..].split_once(DASHES) else { break };
        // RFC 7468 section 3: printable, without a hyphen at its ends.
        if label.is_empty() || !label.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
            continue;
        }
        let end = format!("{DASHES}END {label}{DASHES}");
        let Some(length) = text[start..].find(&end).map(|length| length + end.len()) else {
            continue;
        };
        let line = text[..start].matches('\n').count() + 1;
        blocks.push(Block { label, text: &text[start..start + length], line });
        at = start + length;
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(label: &str) -> String {
        format!("-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n")
    }

    fn found(text: &str) -> Result<String, String> {
        find_key(text).map(|block| block.label.to_owned()).map_err(|error| error.to_string())
    }

    #[test]
    fn the_one_key_is_found_among_other_things() {
        let bag = "Bag Attributes\n    friendlyName: Müller ----- BEGIN\nKey Attributes: <No>\n";
        let [cert, key, public] = ["CERTIFICATE", "PRIVATE KEY", "PUBLIC KEY"].map(block);
        let rsa = block("RSA PRIVATE KEY");
        for (text, label) in [
            (key.clone(), "PRIVATE KEY"),
            (format!("{bag}{cert}{bag}{key}{cert}"), "PRIVATE KEY"),
            (format!("{bag}{key}{bag}{cert}{cert}"), "PRIVATE KEY"),
            (format!("{public}{rsa}"), "RSA PRIVATE KEY"),
            (format!("{}{}", block("EC PARAMETERS"), block("EC PRIVATE KEY")), "EC PRIVATE KEY"),
            (format!("{cert}{public}\n"), "PUBLIC KEY"),
            (format!("-----BEGIN PRIVATE KEY-----\n{key}"), "PRIVATE KEY"),
            (format!("-----BEGIN {key}"), "PRIVATE KEY"),
            (key.replace('\n', "\r\n"), "PRIVATE KEY"),
        ] {
            assert_eq!(found(&text).as_deref(), Ok(label), "{text}");
        }
        let text = format!("{bag}{cert}{key}{bag}");
        assert_eq!(find_key(&text).unwrap().text, key.trim_end());
    }

    #[test]
    fn which_of_several_keys_is_meant_is_not_guessed() {
        let [cert, key, public] = ["CERTIFICATE", "PRIVATE KEY", "PUBLIC KEY"].map(block);
        let two = found(&format!("{cert}{key}{}", block("RSA PRIVATE KEY"))).unwrap_err();
        assert!(two.contains("2 private keys"), "{two}");
        assert!(two.contains("PRIVATE KEY in line 4, RSA PRIVATE KEY in line 7"), "{two}");
        assert!(found(&format!("{key}{key}")).unwrap_err().contains("2 private keys"));
        assert!(found(&format!("{public}{public}")).unwrap_err().contains("2 public keys"));
        let many = found(&key.repeat(300)).unwrap_err();
        assert!(many.contains("300 private keys") && many.len() < 500, "{many}");
    }

    #[test]
    fn what_has_no_key_says_what_it_has() {
        let none = found(&block("CERTIFICATE")).unwrap_err();
        assert!(none.contains("not a PEM") && none.contains("CERTIFICATE in line 1"), "{none}");
        for text in ["", "text", "-----BEGIN ", "-----BEGIN PRIVATE KEY-----\nAAAA", BEGIN] {
            let error = found(text).unwrap_err();
            assert!(error.contains("not a PEM") && !error.contains("in line"), "{text}: {error}");
        }
        let unnamed = "-----BEGIN \n-----\n-----END \n-----";
        assert!(found(unnamed).is_err());
        assert!(found(&"-----BEGIN A-----".repeat(1900)).is_err());
        assert!(found(&"x".repeat(MAX_LENGTH + 1)).unwrap_err().contains("too long"));
    }
}

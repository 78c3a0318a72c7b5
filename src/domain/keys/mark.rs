//! The mark in the PKCS#8 document of a key that this or a later version sealed: an attribute (RFC
//! 5208 section 5) that readers ignore. It is under the seal, so whoever writes to the database can
//! neither set nor remove it: if a private part has the mark, its row had a tag, and a row without
//! one was tampered with.

use zeroize::Zeroizing;

/// `[0]` with one attribute: the localKeyId of PKCS#9 (RFC 2985 section 5.5.2) is `istagged`.
const MARK: [u8; 27] = [
    0xa0, 0x19, 0x30, 0x17, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x15, 0x31,
    0x0a, 0x04, 0x08, b'i', b's', b't', b'a', b'g', b'g', b'e', b'd',
];

const SEQUENCE: u8 = 0x30;

/// The document with the mark; unchanged, if its form is unknown here.
pub(super) fn set(document: &[u8]) -> Zeroizing<Vec<u8>> {
    let content = content(document).filter(|_| !is_set(document));
    let Some(content) = content else { return Zeroizing::new(document.to_vec()) };
    let length = content.len() + MARK.len();
    let mut marked = Zeroizing::new(Vec::with_capacity(length + 4));
    marked.push(SEQUENCE);
    // Definite lengths of up to two bytes: no key is longer than 64 KiB.
    match u16::try_from(length) {
        Ok(short @ ..0x80) => marked.push(short as u8),
        Ok(long @ 0x80..0x100) => marked.extend([0x81, long as u8]),
        Ok(longer) => {
            marked.push(0x82);
            marked.extend(longer.to_be_bytes());
        }
        Err(_) => return Zeroizing::new(document.to_vec()),
    }
    marked.extend_from_slice(content);
    marked.extend_from_slice(&MARK);
    marked
}

pub(super) fn is_set(document: &[u8]) -> bool {
    document.ends_with(&MARK)
}

/// The content of the SEQUENCE that is the whole document.
#[allow(clippy::indexing_slicing, reason = "`first` has shown that the slice is not empty")]
fn content(document: &[u8]) -> Option<&[u8]> {
    let (&SEQUENCE, rest) = document.split_first()? else { return None };
    let (&first, rest) = rest.split_first()?;
    let (length, content) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81 => (usize::from(*rest.first()?), &rest[1..]),
        0x82 => {
            let (bytes, content) = rest.split_first_chunk::<2>()?;
            (usize::from(u16::from_be_bytes(*bytes)), content)
        }
        _ => return None,
    };
    (content.len() == length).then_some(content)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::keys::{Algorithm, SigningKey};

    #[test]
    fn a_marked_document_is_still_the_same_key() {
        for algorithm in Algorithm::ALL {
            for bits in [2048, 4096] {
                let key = SigningKey::generate(algorithm, bits).unwrap();
                let document = key.to_pkcs8().unwrap();
                let bare = SigningKey::from_pkcs8(algorithm, document.expose()).unwrap();
                assert_eq!(bare.public.kid, key.public.kid, "{algorithm}");
                assert!(!is_set(document.expose()), "{algorithm}");
                let marked = set(document.expose());
                assert!(is_set(&marked) && marked.len() > document.expose().len(), "{algorithm}");
                let again = SigningKey::from_pkcs8(algorithm, &marked).unwrap();
                assert_eq!(again.public.kid, key.public.kid, "{algorithm}");
                assert_eq!(*set(&marked), *marked, "once is enough");
                if !algorithm.is_rsa() {
                    break;
                }
            }
        }
        for other in [&b""[..], b"\x30", b"\x30\x81", b"\x30\x82\x00", b"\x30\x05", b"nonsense"] {
            assert_eq!(&**set(other), other);
        }
    }
}

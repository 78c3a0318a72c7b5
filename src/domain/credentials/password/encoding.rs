//! The notations of stored hashes: parts between separators, decimal numbers, named parameters, and
//! base64 in the alphabets of the libraries. Everything here parses hostile text.

use std::ops::RangeInclusive;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

pub(super) const MALFORMED: &str = "is malformed";
pub(super) const UNKNOWN: &str = "is of an unknown scheme";

/// The lengths of a salt: an empty one is a faulty conversion, the longest is passlib's.
const SALT_BYTES: RangeInclusive<usize> = 1..=1024;
/// The lengths of an output, from half a SHA-256 to a whole SHA-512.
const OUTPUT_BYTES: RangeInclusive<usize> = 16..=64;

const STANDARD: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Neither 16 nor 23 bytes fill their last character, and no implementation checks its remaining
/// bits.
const BCRYPT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::BCRYPT,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::RequireNone)
        .with_decode_allow_trailing_bits(true),
);

/// crypt(3)'s base64, in the traditional alphabet; the position of a character is its value.
const CRYPT64: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

pub(super) fn crypt64_value(character: u8) -> Option<usize> {
    CRYPT64.iter().position(|known| *known == character)
}

pub(super) fn is_crypt64(text: &str) -> bool {
    text.bytes().all(|byte| crypt64_value(byte).is_some())
}

/// crypt(3)'s base64: every three bytes as a number, the first byte its lowest, in four characters,
/// the lowest first.
#[allow(clippy::indexing_slicing, reason = "six bits are below 64")]
pub(super) fn crypt64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let number = group.iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte));
        let places = 0..=group.len();
        text.extend(places.map(|place| char::from(CRYPT64[number >> (6 * place) & 63])));
    }
    text
}

/// The bytes of [`crypt64`]. The unused bits of the last byte must be zero.
pub(super) fn from_crypt64(text: &str) -> Result<Vec<u8>, &'static str> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 2);
    for group in text.as_bytes().chunks(4) {
        let values = group.iter().rev().map(|byte| crypt64_value(*byte));
        let number = values.collect::<Option<Vec<_>>>().ok_or(MALFORMED)?;
        let number = number.into_iter().fold(0_usize, |number, value| number << 6 | value);
        let whole = group.len() - 1;
        if whole == 0 || number >> (8 * whole) != 0 {
            return Err(MALFORMED);
        }
        bytes.extend((0..whole).map(|place| (number >> (8 * place)) as u8));
    }
    Ok(bytes)
}

pub(super) fn parts<const N: usize>(
    text: &str,
    separator: char,
) -> Result<[&str; N], &'static str> {
    let parts: Vec<_> = text.split(separator).collect();
    parts.try_into().map_err(|_| MALFORMED)
}

/// The values of `name=value,name=value`, with these names in this order.
pub(super) fn values<'a, const N: usize>(
    text: &'a str,
    names: [&str; N],
) -> Result<[&'a str; N], &'static str> {
    let mut values = parts::<N>(text, ',')?;
    for (value, name) in values.iter_mut().zip(names) {
        let (found, rest) = value.split_once('=').ok_or(MALFORMED)?;
        if found != name {
            return Err(MALFORMED);
        }
        *value = rest;
    }
    Ok(values)
}

/// A decimal number; one that overflows its type is above every ceiling too.
pub(super) fn number(text: &str) -> Result<u64, &'static str> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX)).ok_or(MALFORMED)
}

/// Base64, padded or not, in the standard alphabet, the one for URLs or passlib's (`.` for `+`).
pub(super) fn base64(text: &str) -> Result<Vec<u8>, &'static str> {
    let standard = text.bytes().map(|byte| match byte {
        b'-' | b'.' => b'+',
        b'_' => b'/',
        byte => byte,
    });
    STANDARD.decode(standard.collect::<Vec<_>>()).map_err(|_| MALFORMED)
}

pub(super) fn bcrypt_base64<const N: usize>(text: &str) -> Result<[u8; N], &'static str> {
    let bytes = BCRYPT.decode(text).map_err(|_| MALFORMED)?;
    bytes.try_into().map_err(|_| MALFORMED)
}

/// The bytes of hexadecimal digits in pairs.
pub(crate) fn hex(text: &str) -> Result<Vec<u8>, &'static str> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let pair = |pair: &[u8]| match pair {
        [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    };
    text.as_bytes().chunks(2).map(pair).collect::<Option<_>>().ok_or(MALFORMED)
}

pub(super) fn salt(salt: Vec<u8>) -> Result<Vec<u8>, &'static str> {
    SALT_BYTES.contains(&salt.len()).then_some(salt).ok_or(MALFORMED)
}

pub(super) fn output(output: Vec<u8>) -> Result<Vec<u8>, &'static str> {
    OUTPUT_BYTES.contains(&output.len()).then_some(output).ok_or(MALFORMED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_digits() {
        assert_eq!(number("0012"), Ok(12));
        assert_eq!(number("99999999999999999999999999"), Ok(u64::MAX));
        for bad in ["", "+1", "-1", " 1", "1.0", "1e3", "٣", "0x10"] {
            assert_eq!(number(bad), Err(MALFORMED), "{bad}");
        }
    }

    #[test]
    fn base64_comes_in_several_alphabets() {
        let bytes = vec![0xfb, 0xff, 0xbe, 0x01];
        for text in ["+/++AQ==", "+/++AQ", "-_--AQ", "./..AQ"] {
            assert_eq!(base64(text), Ok(bytes.clone()), "{text}");
        }
        for bad in ["+/++A", "+/++AR==", "+/++ AQ", "a=bc", "ключ"] {
            assert_eq!(base64(bad), Err(MALFORMED), "{bad}");
        }
        assert_eq!(bcrypt_base64::<1>(".."), Ok([0]));
        assert_eq!(bcrypt_base64::<1>("./"), Ok([0]), "the rest of a character does not count");
        assert_eq!(bcrypt_base64::<2>(".."), Err(MALFORMED));
    }

    #[test]
    fn crypts_base64_has_the_lowest_bits_first() {
        for (bytes, text) in
            [(&[1, 0, 0][..], "/..."), (&[0, 0, 1], "..E."), (&[255; 2], "zzD"), (&[64], "./")]
        {
            assert_eq!(crypt64(bytes), text);
            assert_eq!(from_crypt64(text).as_deref(), Ok(bytes));
        }
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(from_crypt64(&crypt64(&all)), Ok(all));
        for bad in ["a", "zz", "zzz", "/...a", "a=b.", "\u{e9}"] {
            assert_eq!(from_crypt64(bad), Err(MALFORMED), "{bad}");
        }
    }

    #[test]
    fn hex_comes_in_pairs() {
        assert_eq!(hex("00fFa1"), Ok(vec![0, 255, 161]));
        for bad in ["0", "0g", "+1", "é"] {
            assert_eq!(hex(bad), Err(MALFORMED), "{bad}");
        }
    }

    #[test]
    fn parameters_have_names() {
        assert_eq!(values("ln=1,r=a=b", ["ln", "r"]), Ok(["1", "a=b"]));
        for bad in ["", "ln=1", "r=1,ln=1", "ln=1,r=2,p=3", "ln,r"] {
            assert_eq!(values(bad, ["ln", "r"]), Err(MALFORMED), "{bad}");
        }
    }
}

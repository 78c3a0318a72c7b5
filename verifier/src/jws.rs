//! Signed tokens on the wire: the compact serialisation (RFC 7515 section 7.1) and its header.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::MapAccess;

use crate::algorithm::Algorithm;
use crate::json::{self, Members, Text, Value, once};

/// Longer names of keys are none.
const MAX_KID_BYTES: usize = 256;

/// The three segments as they came, in base64url.
pub struct Compact<'a> {
    /// The header.
    pub header: &'a str,
    /// The payload.
    pub payload: &'a str,
    /// The signature.
    pub signature: &'a str,
    /// What was signed: header and payload with the dot between them.
    pub signed: &'a str,
}

impl<'a> Compact<'a> {
    /// Splits `token` at its two dots. A third one would be in the payload, which is then no
    /// base64url.
    pub fn split(token: &'a str) -> Option<Self> {
        let (header, rest) = token.split_once('.')?;
        let (payload, signature) = rest.rsplit_once('.')?;
        let signed = &token[..header.len() + 1 + payload.len()];
        Some(Self { header, payload, signature, signed })
    }
}

/// Decodes a segment. Padding, other alphabets and stray bits at the end are refused.
pub fn decode(segment: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(segment).ok()
}

/// Decodes a segment into `buffer` and returns what it holds.
#[allow(
    clippy::indexing_slicing,
    reason = "the length is that of what was decoded into the buffer"
)]
pub fn decode_into<'b>(segment: &str, buffer: &'b mut [u8]) -> Option<&'b [u8]> {
    let length = URL_SAFE_NO_PAD.decode_slice(segment, buffer).ok()?;
    Some(&buffer[..length])
}

/// Why a header is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadHeader {
    /// It is not JSON, names a member twice, or lacks `alg` or `kid`.
    Malformed,
    /// Its `typ` is another.
    Type,
    /// Its `alg` is none of ours.
    Algorithm,
    /// It has `crit`: extensions that have to be understood, and none is.
    Critical,
}

/// What a header says that is listened to. Keys that it brings or points to (`jwk`, `jku`, `x5c`,
/// `x5u`) are not among it.
#[derive(Debug, PartialEq, Eq)]
pub struct Header {
    /// The key.
    pub kid: String,
    /// The algorithm.
    pub algorithm: Algorithm,
}

#[derive(Default)]
struct HeaderMembers<'de> {
    alg: Option<Text<'de>>,
    kid: Option<Text<'de>>,
    typ: Option<Text<'de>>,
    crit: Option<Value<'de>>,
}

impl<'de> Members<'de> for HeaderMembers<'de> {
    fn member<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        match name {
            "alg" => once(&mut self.alg, map),
            "kid" => once(&mut self.kid, map),
            "typ" => once(&mut self.typ, map),
            "crit" => once(&mut self.crit, map),
            _ => Ok(false),
        }
    }
}

impl Header {
    /// Reads the segment of a token whose type has to be `typ`.
    pub fn read(segment: &str, typ: &str) -> Result<Self, BadHeader> {
        let json = decode(segment).ok_or(BadHeader::Malformed)?;
        let members = json::object(&json, HeaderMembers::default());
        let members = members.map_err(|_| BadHeader::Malformed)?;
        if members.crit.is_some() {
            return Err(BadHeader::Critical);
        }
        if !members.typ.is_some_and(|given| is_type(&given.0, typ)) {
            return Err(BadHeader::Type);
        }
        let alg = members.alg.ok_or(BadHeader::Malformed)?;
        let algorithm = Algorithm::from_name(&alg.0).ok_or(BadHeader::Algorithm)?;
        let kid = members.kid.map(|kid| kid.0.into_owned());
        let kid = kid.filter(|kid| !kid.is_empty() && kid.len() <= MAX_KID_BYTES);
        Ok(Self { kid: kid.ok_or(BadHeader::Malformed)?, algorithm })
    }
}

/// Whether a header's `typ` names this media type: case is free, and so is `application/` before
/// it (RFC 7515 section 4.1.9).
fn is_type(given: &str, typ: &str) -> bool {
    const PREFIX: &str = "application/";
    let short = match given.get(..PREFIX.len()) {
        Some(start) if start.eq_ignore_ascii_case(PREFIX) => &given[PREFIX.len()..],
        _ => given,
    };
    short.eq_ignore_ascii_case(typ)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Header, BadHeader> {
        Header::read(&URL_SAFE_NO_PAD.encode(json), "at+jwt")
    }

    #[test]
    fn a_token_has_three_segments() {
        let jws = Compact::split("a.bc.d").unwrap();
        assert_eq!((jws.header, jws.payload, jws.signature, jws.signed), ("a", "bc", "d", "a.bc"));
        assert!(Compact::split("").is_none() && Compact::split("a.b").is_none());
        // Five are an encrypted one; what stands between is no base64url.
        assert!(decode(Compact::split("a.b.c.d.e").unwrap().payload).is_none());
    }

    #[test]
    fn base64url_has_one_form() {
        assert_eq!(decode("YQ").unwrap(), b"a");
        for bad in ["YQ==", "YR", "Y", "YQ\n", "+/+/", "YQ.YQ", "é"] {
            assert!(decode(bad).is_none(), "{bad:?}");
        }
        let mut buffer = [0; 6];
        assert_eq!(decode_into("YWI", &mut buffer).unwrap(), b"ab");
        assert!(decode_into("YWJjZGVmZ2hp", &mut buffer).is_none());
    }

    #[test]
    fn headers_are_pinned() {
        let good = Header { kid: "1".into(), algorithm: Algorithm::RS256 };
        for typ in ["at+jwt", "AT+JWT", "application/at+jwt", "Application/At+Jwt"] {
            assert_eq!(
                read(&format!(r#"{{"alg":"RS256","kid":"1","typ":"{typ}"}}"#)).unwrap(),
                good
            );
        }
        let jwk = r#"{"jku":"https://evil","jwk":{"kty":"oct"},"x5u":"","typ":"at+jwt","kid":"1","alg":"RS256"}"#;
        assert_eq!(read(jwk).unwrap(), good);
        for (header, reason) in [
            ("", BadHeader::Malformed),
            ("{}", BadHeader::Type),
            (r#"{"alg":"RS256","kid":"1"}"#, BadHeader::Type),
            (r#"{"alg":"RS256","kid":"1","typ":"JWT"}"#, BadHeader::Type),
            (r#"{"alg":"RS256","kid":"1","typ":"xapplication/at+jwt"}"#, BadHeader::Type),
            (r#"{"alg":"RS256","kid":"1","typ":null}"#, BadHeader::Malformed),
            (r#"{"alg":"none","kid":"1","typ":"at+jwt"}"#, BadHeader::Algorithm),
            (r#"{"alg":"HS256","kid":"1","typ":"at+jwt"}"#, BadHeader::Algorithm),
            (r#"{"alg":["RS256"],"kid":"1","typ":"at+jwt"}"#, BadHeader::Malformed),
            (r#"{"kid":"1","typ":"at+jwt"}"#, BadHeader::Malformed),
            (r#"{"alg":"RS256","typ":"at+jwt"}"#, BadHeader::Malformed),
            (r#"{"alg":"RS256","kid":"","typ":"at+jwt"}"#, BadHeader::Malformed),
            (r#"{"alg":"RS256","kid":1,"typ":"at+jwt"}"#, BadHeader::Malformed),
            (r#"{"alg":"RS256","kid":"1","typ":"at+jwt","crit":[]}"#, BadHeader::Critical),
            (r#"{"alg":"RS256","kid":"1","typ":"at+jwt","kid":"1"}"#, BadHeader::Malformed),
            (r#"{"alg":"RS256","kid":"1","typ":"at+jwt","x":1,"x":1}"#, BadHeader::Malformed),
        ] {
            assert_eq!(read(header), Err(reason), "{header}");
        }
        let long = "k".repeat(MAX_KID_BYTES + 1);
        let long = format!(r#"{{"alg":"RS256","kid":"{long}","typ":"at+jwt"}}"#);
        assert_eq!(read(&long), Err(BadHeader::Malformed));
    }
}

//! The token in a request's header (RFC 6750 section 2.1).

use crate::error::Error;

/// The token of the `Authorization` headers that a request has: of exactly one.
pub fn bearer<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Result<&'a str, Error> {
    let mut values = values.into_iter();
    let value = values.next().ok_or(Error::Missing)?;
    if values.next().is_some() {
        return Err(Error::Request("there is more than one Authorization header"));
    }
    let end = value.iter().position(|byte| *byte == b' ').unwrap_or(value.len());
    let (scheme, rest) = value.split_at(end);
    if !scheme.eq_ignore_ascii_case(b"Bearer") {
        // Some other way to authenticate, which is none here.
        return Err(Error::Missing);
    }
    let malformed = Error::Request("the Authorization header has no bearer token");
    let token = rest.trim_ascii();
    match std::str::from_utf8(token) {
        Ok(token) if !token.is_empty() && token.bytes().all(is_in_token) => Ok(token),
        _ => Err(malformed),
    }
}

/// RFC 6750 section 2.1, `b64token`.
fn is_in_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[&str]) -> Result<String, u16> {
        let values = values.iter().map(|value| value.as_bytes());
        bearer(values).map(str::to_owned).map_err(|error| error.status())
    }

    #[test]
    fn a_request_has_one_token() {
        assert_eq!(of(&["Bearer a.b-_c.d"]), Ok("a.b-_c.d".into()));
        assert_eq!(of(&["bearer  abc "]), Ok("abc".into()));
        assert_eq!(of(&[]), Err(401));
        assert_eq!(of(&["Basic YTpi"]), Err(401));
        assert_eq!(of(&["BearerToken abc"]), Err(401));
        for bad in
            ["Bearer", "Bearer ", "Bearer a b", "Bearer a,Bearer b", "Bearer \"a\"", "Bearer é"]
        {
            assert_eq!(of(&[bad]), Err(400), "{bad}");
        }
        assert_eq!(of(&["Bearer a", "Bearer a"]), Err(400));
        assert_eq!(of(&["Basic YTpi", "Bearer a"]), Err(400));
    }
}

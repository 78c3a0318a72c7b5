//! In which charset a body is written by its own account (RFC 9110 section 8.3.2).

use actix_web::{HttpMessage, HttpRequest};

use super::BodyError;

/// What a body may hold by its own account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Charset {
    /// Any text.
    Utf8,
    /// ASCII alone. Clients name `ISO-8859-1` or `us-ascii` out of habit; what is ASCII once it is
    /// decoded reads the same in each of these charsets, and anything else could be read in two ways.
    Ascii,
}

impl Charset {
    /// The one that `request` names; UTF-8 where it names none. Fails for one that is not a superset of
    /// ASCII, and for an unknown one.
    pub(super) fn of(request: &HttpRequest) -> Result<Self, BodyError> {
        match request.encoding() {
            Ok(encoding) if encoding.name() == "UTF-8" => Ok(Self::Utf8),
            Ok(encoding) if encoding.is_ascii_compatible() => Ok(Self::Ascii),
            _ => Err(BodyError::WrongCharset),
        }
    }

    /// Fails where `text`, a part of the body once it is decoded, could be read in two ways.
    pub(super) fn check(self, text: &str) -> Result<(), BodyError> {
        if self == Self::Utf8 || text.is_ascii() { Ok(()) } else { Err(BodyError::NotAscii) }
    }
}

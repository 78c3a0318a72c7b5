//! The wire form of refresh tokens: user, session, generation, and a tag that only Signet can make.
//! Opaque to clients. Because the tag is computed, a lost successor can be sent again, and no store
//! ever holds a token.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

use crate::base::secret::Secret;

const VERSION: u8 = 1;
const PAYLOAD: usize = 1 + 16 + 16 + 8;
const TAG: usize = 32;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RefreshToken {
    pub(crate) user_id: Uuid,
    pub(crate) sid: Uuid,
    pub(crate) generation: u64,
}

/// The key that tags refresh tokens (HMAC-SHA-256, RFC 2104). Cheap to clone.
#[derive(Clone)]
pub(crate) struct RefreshTokenKey(hmac::Key);

impl RefreshTokenKey {
    pub(crate) fn new(secret: &Secret<Vec<u8>>) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret.expose()))
    }

    /// The text of `token`. The same token always has the same text.
    pub(crate) fn encode(&self, token: &RefreshToken) -> String {
        let mut bytes = [0; PAYLOAD + TAG];
        bytes[0] = VERSION;
        bytes[1..17].copy_from_slice(token.user_id.as_bytes());
        bytes[17..33].copy_from_slice(token.sid.as_bytes());
        bytes[33..PAYLOAD].copy_from_slice(&token.generation.to_be_bytes());
        let tag = hmac::sign(&self.0, &bytes[..PAYLOAD]);
        bytes[PAYLOAD..].copy_from_slice(tag.as_ref());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads `text` if this key made it, in the same time for every wrong tag.
    pub(crate) fn parse(&self, text: &str) -> Option<RefreshToken> {
        let mut bytes = [0; PAYLOAD + TAG];
        let length = URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).ok()?;
        if length != bytes.len() || bytes[0] != VERSION {
            return None;
        }
        hmac::verify(&self.0, &bytes[..PAYLOAD], &bytes[PAYLOAD..]).ok()?;
        Some(RefreshToken {
            user_id: Uuid::from_slice(&bytes[1..17]).ok()?,
            sid: Uuid::from_slice(&bytes[17..33]).ok()?,
            generation: u64::from_be_bytes(bytes[33..PAYLOAD].try_into().ok()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_round_trips_and_any_changed_character_breaks_it() {
        let key = RefreshTokenKey::new(&Secret::new(vec![7; 32]));
        let token =
            RefreshToken { user_id: Uuid::from_u128(1), sid: Uuid::from_u128(2), generation: 3 };
        let text = key.encode(&token);
        assert_eq!(key.parse(&text), Some(token));
        assert_eq!(key.encode(&token), text, "the successor can be computed again");

        for position in 0..text.len() {
            let mut forged = text.clone().into_bytes();
            forged[position] = if forged[position] == b'A' { b'B' } else { b'A' };
            assert_eq!(key.parse(std::str::from_utf8(&forged).unwrap()), None, "at {position}");
        }
        assert_eq!(key.parse(""), None);
        assert_eq!(key.parse(&text[..text.len() - 1]), None);
        assert_eq!(key.parse(&format!("{text}A")), None);
        assert_eq!(key.parse(&format!("{text}=")), None);
        let other = RefreshTokenKey::new(&Secret::new(vec![8; 32]));
        assert_eq!(other.parse(&text), None);
    }
}

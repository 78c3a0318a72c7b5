//! Single-use tokens that are sent by mail. A token is computed from the id of its message under a
//! sealed key, so that neither the outbox nor the store of fingerprints contains one, and a message
//! that is sent again has the same token.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

use super::{User, email};
use crate::base::named::named;
use crate::base::secret::Secret;
use crate::base::time::Timestamp;

named! {
    /// The only purpose of a token.
    pub enum Purpose {
        /// Prove the account's address.
        VerifyEmail = "verify_email",
        /// Change the account's address to the one that the token was mailed to.
        ChangeEmail = "change_email",
        /// Set a new password.
        ResetPassword = "reset_password",
    }
}

/// The owner of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenOwner {
    /// The user with this id.
    User(Uuid),
    /// The sign-up of this id, which alone the token can prove; `None` if it was requested by address,
    /// and can prove any.
    SignUp(Option<Uuid>),
}

/// The stored record of a token; never the token.
#[derive(Clone, Debug)]
pub struct MailedToken {
    /// The id of the message that carries it.
    pub id: Uuid,
    /// Its purpose.
    pub purpose: Purpose,
    /// Whose address or password it is for.
    pub owner: TokenOwner,
    /// The address that it was mailed to.
    pub email: String,
    /// The only session epoch in which it is valid; any if `None`.
    pub epoch: Option<i64>,
    /// When it expires.
    pub expires_at: Timestamp,
}

impl MailedToken {
    /// Whether it still fits `user`: the address and the session epoch are those that it was issued
    /// for, and the user is active.
    pub fn fits(&self, user: &User) -> bool {
        user.is_in(self.epoch) && email::key_of(&user.email) == email::key_of(&self.email)
    }
}

/// The key that makes tokens (HMAC-SHA-256, RFC 2104).
pub struct MailedTokenKey(hmac::Key);

impl MailedTokenKey {
    /// A key of `secret` bytes.
    pub fn new(secret: &Secret<Vec<u8>>) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret.expose()))
    }

    /// The token of the message `id`: 43 characters that are safe in URLs.
    pub fn token(&self, purpose: Purpose, id: Uuid) -> Secret<String> {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(purpose.as_str().as_bytes());
        context.update(&[0]);
        context.update(id.as_bytes());
        Secret::new(URL_SAFE_NO_PAD.encode(context.sign()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_follows_from_key_purpose_and_letter() {
        let key = MailedTokenKey::new(&Secret::new(vec![7; 32]));
        let token = |key: &MailedTokenKey, purpose, id| {
            key.token(purpose, Uuid::from_u128(id)).expose().clone()
        };
        let one = token(&key, Purpose::ResetPassword, 1);
        assert_eq!(one.len(), 43);
        assert_eq!(one, token(&key, Purpose::ResetPassword, 1), "sent again, it is the same");
        let other_key = MailedTokenKey::new(&Secret::new(vec![8; 32]));
        for other in [
            token(&key, Purpose::ResetPassword, 2),
            token(&key, Purpose::VerifyEmail, 1),
            token(&key, Purpose::ChangeEmail, 1),
            token(&other_key, Purpose::ResetPassword, 1),
        ] {
            assert_ne!(one, other);
        }
    }
}

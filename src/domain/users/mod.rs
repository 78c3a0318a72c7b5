//! Users: their accounts, the e-mail address as the login name, sign-ups that are not proven yet, and
//! the tokens that are mailed to them.

pub mod email;
pub mod import;
pub mod mailed_token;
pub mod metadata;
pub mod pending;
pub mod store;
mod store_holders;
mod store_pending;
mod store_tokens;

use uuid::Uuid;

use crate::base::secret::Secret;
use crate::base::time::Timestamp;

pub use email::Email;
pub use mailed_token::{MailedToken, MailedTokenKey, Purpose, TokenOwner};
pub use metadata::{Metadata, check_metadata};
pub use pending::{MAX_PENDING, PendingSignup};
pub use store::{Filter, UserStore};
pub use store_tokens::Redemption;

/// A user's account.
#[derive(Clone, Debug)]
pub struct User {
    /// The `sub` of tokens; never reused.
    pub id: Uuid,
    /// The address as it was written.
    pub email: String,
    /// The comparison form of the address, which is unique. Accounts of earlier versions may have
    /// another form of an internationalised domain than [`email::key_of`] makes.
    pub email_key: String,
    /// The display name.
    pub name: Option<String>,
    /// Argon2id as a PHC string, or the hash of another system.
    pub password_hash: Secret<String>,
    /// Role names.
    pub roles: Vec<String>,
    /// The session epoch: sessions of an older one have ended.
    pub session_epoch: i64,
    /// When the address was proven.
    pub email_verified_at: Option<Timestamp>,
    /// When the user was disabled.
    pub disabled_at: Option<Timestamp>,
    /// When the account was created.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// The metadata, for claims in tokens. Mostly empty.
    pub metadata: Metadata,
    /// The version, raised by every change that an administrator can see.
    pub version: i64,
}

impl User {
    /// Whether the user may sign in and keep sessions.
    pub fn is_active(&self) -> bool {
        self.disabled_at.is_none()
    }

    /// Whether the user is active and, where an `epoch` is given, has ended no session since.
    pub fn is_in(&self, epoch: Option<i64>) -> bool {
        self.is_active() && epoch.is_none_or(|epoch| epoch == self.session_epoch)
    }

    /// Whether the user has `role`.
    pub fn has_role(&self, role: &str) -> bool {
        self.roles.iter().any(|known| known == role)
    }
}

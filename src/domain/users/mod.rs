//! Users: their accounts, the e-mail address as the login name, sign-ups that are not proven yet, and
//! the tokens that are mailed to them.

pub mod email;
pub mod import;
pub mod mailed_token;
pub mod metadata;
pub mod pending;
pub mod store;
mod store_holders;
mod store_known;
mod store_pending;
mod store_tokens;

use uuid::Uuid;

use crate::base::secret::Secret;
use crate::base::time::Timestamp;

pub use email::Email;
pub use mailed_token::{MailedToken, MailedTokenKey, Purpose};
pub use metadata::{Metadata, check_metadata};
pub use pending::{MAX_PENDING, PendingSignup, PendingToken};
pub use store::UserStore;

/// A user's account.
#[derive(Clone, Debug)]
pub struct User {
    /// The `sub` of tokens; never reused.
    pub id: Uuid,
    /// The address as it was written.
    pub email: String,
    /// The address as it is compared and unique. Accounts of earlier versions may have another form of
    /// an internationalised domain than [`email::key_of`] makes.
    pub email_key: String,
    /// The display name.
    pub name: Option<String>,
    /// Argon2id as a PHC string, or what another system stored.
    pub password_hash: Secret<String>,
    /// Role names.
    pub roles: Vec<String>,
    /// Sessions of an older epoch are dead.
    pub session_epoch: i64,
    /// When the address was proven to be the user's.
    pub email_verified_at: Option<Timestamp>,
    /// Since when the user may not sign in.
    pub disabled_at: Option<Timestamp>,
    /// When the account was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// What the application keeps of the user, for claims in tokens. Empty for most.
    pub metadata: Metadata,
    /// Raised by every change to what an administrator sees of the account.
    pub version: i64,
}

impl User {
    /// Whether the user may sign in and stay signed in.
    pub fn is_active(&self) -> bool {
        self.disabled_at.is_none()
    }

    /// Whether the user has `role`.
    pub fn has_role(&self, role: &str) -> bool {
        self.roles.iter().any(|known| known == role)
    }
}

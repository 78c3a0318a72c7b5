//! Sign-ups whose address is not proven yet. Several people may sign up with one address, and only
//! one of them can read its mail. So each sign-up is a record of its own, no one can sign in to
//! any, and the first one that is proven becomes the account. The proof is a mailed token together
//! with something that only the person who signed up has: the signup token, or the password.

use uuid::Uuid;

use crate::base::secret::{Fingerprint, Secret};
use crate::base::time::Timestamp;

/// The maximum number of sign-ups of one address. A further one replaces the oldest.
pub const MAX_PENDING: usize = 5;

/// A sign-up that waits for the proof of its address.
#[derive(Clone, Debug)]
pub struct PendingSignup {
    /// The id, which sorts by the time of creation.
    pub id: Uuid,
    /// The address as it was written.
    pub email: String,
    /// The display name.
    pub name: Option<String>,
    /// The password's hash, a PHC string.
    pub password_hash: Secret<String>,
    /// The fingerprint of the signup token.
    pub fingerprint: Fingerprint,
    /// When it expires; set once, when it is made, for free and taken addresses alike.
    pub expires_at: Timestamp,
}

//! Users: sign-up, the e-mail address as the login name, passwords (NIST SP 800-63B, OWASP ASVS).
//! Invariant: hashing runs on its own threads and nothing else ever waits behind it.

pub mod email;
pub mod hashing;
pub mod import;
pub mod mailed_token;
pub mod metadata;
pub mod password;
pub mod pending;
pub mod store;
mod store_details;
mod store_known;
mod store_pending;
mod store_tokens;

use uuid::Uuid;

use crate::base::secret::Secret;
use crate::base::time::Timestamp;

pub use email::Email;
pub use hashing::{Hashing, HashingError};
pub use mailed_token::{MailedToken, MailedTokenKey, Purpose};
pub use metadata::{Metadata, check_metadata};
pub use password::{Password, Verdict};
pub use pending::{MAX_PENDING, PendingSignup, PendingToken};
pub use store::UserStore;
pub use store_details::Replaced;

/// The role that may administer Signet.
pub const ADMIN_ROLE: &str = "admin";

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

/// The most characters that a display name has.
pub const MAX_NAME: usize = 200;

/// Checks a display name: trimmed, at most 200 characters, none of them control characters; an
/// empty one is none. The error is a sentence for people.
pub fn check_name(name: &str) -> Result<Option<String>, &'static str> {
    let name = name.trim();
    if name.chars().count() > MAX_NAME {
        return Err("must have at most 200 characters");
    }
    if name.chars().any(char::is_control) {
        return Err("must not contain control characters");
    }
    Ok((!name.is_empty()).then(|| name.to_owned()))
}

/// Checks a role's name: 1 to 64 characters of `a-z 0-9 _ - . :`.
pub fn check_role(role: &str) -> Result<(), &'static str> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-.:".contains(c);
    if role.is_empty() || role.len() > 64 || !role.chars().all(allowed) {
        return Err("a role is 1 to 64 characters of a-z, 0-9, _, -, . and :");
    }
    Ok(())
}

/// A user has no more roles than this: they stand in every token.
pub const MOST_ROLES: usize = 32;

/// Checks the roles of a user, each of which counts once.
pub fn check_roles(roles: &[String]) -> Result<Vec<String>, &'static str> {
    let mut checked: Vec<String> = Vec::new();
    for role in roles {
        check_role(role)?;
        if !checked.contains(role) {
            checked.push(role.clone());
        }
        if checked.len() > MOST_ROLES {
            return Err("a user has at most 32 roles");
        }
    }
    Ok(checked)
}

/// How passwords are hashed (Argon2id, RFC 9106), and on how many threads.
#[derive(Clone, Debug)]
pub struct PasswordPolicy {
    /// Memory of one hash in KiB.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub iterations: u32,
    /// Lanes.
    pub parallelism: u32,
    /// Hashing threads, each with its own memory.
    pub threads: usize,
    /// How many hashes may wait, all threads together; beyond that callers are told to come back.
    pub queue: usize,
}

impl PasswordPolicy {
    /// Checks the bounds of RFC 9106 and of sanity; the error is the sentence for the operator,
    /// with the name of the setting that is wrong.
    pub fn new(
        memory_kib: u32,
        iterations: u32,
        parallelism: u32,
        threads: usize,
        queue: usize,
    ) -> Result<Self, (&'static str, String)> {
        if !(1..=16).contains(&parallelism) {
            return Err(("parallelism", "must be from 1 to 16".into()));
        }
        if memory_kib < 8 * parallelism || memory_kib > 1024 * 1024 {
            return Err(("memory_kib", "must be from 8 times parallelism to 1048576".into()));
        }
        if !(1..=64).contains(&iterations) {
            return Err(("iterations", "must be from 1 to 64".into()));
        }
        // What a stored hash may ask for, so that one of this policy is always checked.
        if u64::from(memory_kib) * u64::from(iterations) > 4 * 1024 * 1024 {
            return Err(("iterations", "times memory_kib must be at most 4194304".into()));
        }
        if !(1..=256).contains(&threads) {
            return Err(("threads", "must be from 1 to 256".into()));
        }
        if !(1..=100_000).contains(&queue) {
            return Err(("queue", "must be from 1 to 100000".into()));
        }
        Ok(Self { memory_kib, iterations, parallelism, threads, queue })
    }
}

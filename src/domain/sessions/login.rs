//! How a session came about: the kind of session, what the user proved, and the bounds that the grant
//! brought. Every session that Signet begins so far is a direct one, of a login with a password. So is
//! every record that has none of these fields: earlier versions knew no other login.

use uuid::Uuid;

use crate::base::time::Timestamp;
use crate::storage::{StorageError, Stored};

/// What depends on a session, and what it depends on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SessionKind {
    /// A session of the password grant or of `/login`, which depends on no other.
    #[default]
    Direct,
    /// A browser's sign-in at Signet, from which clients get sessions.
    Browser,
    /// A client's session that ends with its browser session.
    Online,
    /// A client's session that outlives its browser session (`offline_access`).
    Standing,
}

impl SessionKind {
    const WORDS: &[(Self, &str)] =
        &[(Self::Browser, "browser"), (Self::Online, "online"), (Self::Standing, "standing")];

    /// The word that stores keep; `None` for a direct session, as in records of earlier versions.
    pub(super) fn word(self) -> Option<&'static str> {
        Self::WORDS.iter().find(|(kind, _)| *kind == self).map(|(_, word)| *word)
    }

    /// The kind of that word; an error for the word of a later version, whose rules are not known.
    pub(super) fn parse(word: Option<&str>) -> Stored<Self> {
        let Some(word) = word else { return Ok(Self::Direct) };
        let known = Self::WORDS.iter().find(|(_, known)| *known == word);
        known.map(|(kind, _)| *kind).ok_or_else(|| StorageError::corrupt("session kind"))
    }
}

/// How a session came about: what its login proved, and which bounds it brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The kind of session.
    pub kind: SessionKind,
    /// The browser session that the session was given from.
    pub browser_sid: Option<Uuid>,
    /// When the user proved a first factor (`auth_time`).
    pub auth_time: Timestamp,
    /// The authentication context class (`acr`).
    pub acr: Option<String>,
    /// The authentication methods, words of RFC 8176 separated by spaces (`amr`).
    pub amr: String,
    /// The absolute end, where it is not the policy's.
    pub ends_at: Option<Timestamp>,
    /// A JSON object with what else the grant has to keep.
    pub details: Option<String>,
}

impl Login {
    const ONE_FACTOR: &str = "urn:signet:aal1";
    /// The method of RFC 8176 for a password.
    const PASSWORD: &str = "pwd";

    /// A direct login with a password, at `now`.
    pub fn by_password(now: Timestamp) -> Self {
        Self {
            kind: SessionKind::Direct,
            browser_sid: None,
            auth_time: now,
            acr: Some(Self::ONE_FACTOR.into()),
            amr: Self::PASSWORD.into(),
            ends_at: None,
            details: None,
        }
    }
}

//! Entries of the revocation feed, as values and in the form that resource servers read.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use uuid::Uuid;

use crate::base::time::Timestamp;

/// The access tokens that an entry revokes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Revoked {
    /// All tokens of a session.
    Session {
        /// The session.
        sid: Uuid,
        /// Its user.
        user_id: Uuid,
    },
    /// A session whose tokens another entry covers: kept for Signet's own stores, not published.
    Ended {
        /// The session.
        sid: Uuid,
        /// Its user.
        user_id: Uuid,
    },
    /// One token.
    Token(RevokedToken),
    /// All tokens of a subject that were issued before a moment.
    Subject {
        /// The subject.
        sub: String,
        /// The moment.
        before: Timestamp,
    },
    /// All tokens that were issued to a client before a moment.
    Client {
        /// The client.
        client_id: String,
        /// The moment.
        before: Timestamp,
    },
    /// All tokens that a key has signed.
    Key {
        /// The key.
        kid: String,
    },
}

/// An access token that is revoked alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevokedToken {
    /// Its `jti`.
    pub jti: String,
    /// Its `sub`.
    pub subject: String,
    /// Its `sid`; `None` for a client's own token, and for an entry that a previous version wrote.
    pub session: Option<Uuid>,
    /// Its `iat`; `None` where another issuer made it, and for an entry that a previous version wrote.
    pub issued_at: Option<Timestamp>,
    /// A moment after which no verifier accepts it.
    pub ends_at: Timestamp,
}

impl Revoked {
    /// Whether the entry is published.
    pub fn is_published(&self) -> bool {
        !matches!(self, Self::Ended { .. })
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub revoked: Revoked,
    /// When the last of them has expired.
    pub expires_at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub seq: i64,
    pub at: Timestamp,
    /// Its entries, without those that only a newer version understands.
    pub entries: Vec<Entry>,
}

/// The published form: the claim with its value, `before`, and `exp`.
impl Serialize for Entry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match &self.revoked {
            Revoked::Session { sid, .. } | Revoked::Ended { sid, .. } => {
                map.serialize_entry("sid", sid)?
            }
            Revoked::Token(RevokedToken { jti, .. }) => map.serialize_entry("jti", jti)?,
            Revoked::Subject { sub, before } => {
                map.serialize_entry("sub", sub)?;
                map.serialize_entry("before", before)?;
            }
            Revoked::Client { client_id, before } => {
                map.serialize_entry("client_id", client_id)?;
                map.serialize_entry("before", before)?;
            }
            Revoked::Key { kid } => map.serialize_entry("kid", kid)?,
        }
        map.serialize_entry("exp", &self.expires_at)?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_form() {
        let (sid, user_id) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let at = Timestamp::from_unix;
        let (jti, sub, client_id) = ("t".to_owned(), "u".to_owned(), "c".to_owned());
        for (revoked, json) in [
            (
                Revoked::Session { sid, user_id },
                r#"{"sid":"00000000-0000-0000-0000-000000000001","exp":9}"#,
            ),
            (
                Revoked::Token(RevokedToken {
                    jti,
                    subject: sub.clone(),
                    session: Some(sid),
                    issued_at: Some(at(1)),
                    ends_at: at(9),
                }),
                r#"{"jti":"t","exp":9}"#,
            ),
            (Revoked::Subject { sub, before: at(5) }, r#"{"sub":"u","before":5,"exp":9}"#),
            (
                Revoked::Client { client_id, before: at(5) },
                r#"{"client_id":"c","before":5,"exp":9}"#,
            ),
            (Revoked::Key { kid: "k".into() }, r#"{"kid":"k","exp":9}"#),
        ] {
            let entry = Entry { revoked, expires_at: at(9) };
            assert_eq!(serde_json::to_string(&entry).unwrap(), json);
        }
    }
}

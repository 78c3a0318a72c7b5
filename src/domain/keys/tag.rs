//! The tag of a key's row: an AES-256-GCM tag under the key-encryption key over every part of the
//! row that matters (NIST SP 800-38D; nothing is encrypted). Without that key, no one can make a
//! row that verifies or change one; an authentic older row still verifies.

use super::Algorithm;
use super::store::StoredKey;
use crate::base::sealing::{OpenError, SealingKeys};
use crate::base::time::Timestamp;

#[derive(Debug, thiserror::Error)]
pub enum TagError {
    /// The row has no tag: it was written without the key-encryption key, or before tags existed.
    #[error("its row has no tag")]
    Missing,
    #[error("its row does not verify")]
    Wrong(#[source] OpenError),
    #[error("its row cannot be read")]
    Unreadable,
}

impl TagError {
    /// The id of the key-encryption key that the tag names and that this process lacks. A process
    /// that has it can decide whether the row is authentic.
    pub fn missing_key(&self) -> Option<&str> {
        match self {
            Self::Wrong(OpenError::OtherKey { needed, .. }) => Some(needed),
            _ => None,
        }
    }
}

/// The tag of `key`, under the newest of `keys`.
pub(crate) fn make(keys: &SealingKeys, key: &StoredKey) -> String {
    keys.newest().seal(&[], &authenticated_text(key))
}

pub(crate) fn check(keys: &SealingKeys, key: &StoredKey) -> Result<(), TagError> {
    let tag = key.tag.as_deref().ok_or(TagError::Missing)?;
    keys.open(tag, &authenticated_text(key)).map(drop).map_err(TagError::Wrong)
}

/// The message of the tag, in an unambiguous encoding. The sealed private part authenticates
/// itself, and can be sealed again without a change of the row; its place, and whether it exists,
/// are part of the message.
#[allow(clippy::expect_used, reason = "text and numbers serialise as JSON")]
fn authenticated_text(key: &StoredKey) -> String {
    let kept_in = match key.private_key.as_str() {
        "" => "nowhere",
        on_token if key.is_on_token() => on_token,
        _ => "database",
    };
    let seconds = |at: Option<Timestamp>| at.map(Timestamp::as_unix);
    // The version allows more columns later; JSON keeps the values apart.
    let text = serde_json::to_string(&(
        ("signing_keys", 1, &key.kid, Algorithm::as_str(key.algorithm), &key.public_key, kept_in),
        (
            key.times.created_at.as_unix(),
            key.times.activates_at.as_unix(),
            seconds(key.times.deactivates_at),
            seconds(key.times.retires_at),
            seconds(key.revoked_at),
        ),
    ));
    text.expect("text and numbers serialise as JSON")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::Random;
    use crate::base::sealing::SealingKey;
    use crate::domain::keys::rotation::Times;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix(seconds)
    }

    fn keys() -> SealingKeys {
        SealingKeys::parse(SealingKey::generate(&Random::system()).expose()).unwrap()
    }

    fn row() -> StoredKey {
        StoredKey {
            kid: "a".into(),
            algorithm: Algorithm::Es256,
            public_key: "b".into(),
            private_key: "v1.c.d".into(),
            times: Times {
                created_at: at(1),
                activates_at: at(2),
                deactivates_at: Some(at(3)),
                retires_at: Some(at(4)),
            },
            revoked_at: None,
            tag: None,
        }
    }

    #[test]
    fn a_change_of_any_column_is_found() {
        let keys = keys();
        let mut tagged = row();
        assert!(matches!(check(&keys, &tagged), Err(TagError::Missing)));
        tagged.tag = Some(make(&keys, &tagged));
        check(&keys, &tagged).unwrap();
        let changes: [fn(&mut StoredKey); 14] = [
            |row| row.kid = "A".into(),
            |row| (row.kid, row.public_key) = ("a\",\"b".into(), "".into()),
            |row| row.algorithm = Algorithm::Rs256,
            |row| row.public_key = "c".into(),
            |row| row.private_key = "".into(),
            |row| row.private_key = "pkcs11.00".into(),
            |row| row.times.created_at = at(0),
            |row| row.times.activates_at = at(1),
            |row| row.times.deactivates_at = None,
            |row| row.times.deactivates_at = Some(at(4)),
            |row| row.times.retires_at = None,
            |row| row.times.retires_at = Some(at(5)),
            |row| (row.times.retires_at, row.revoked_at) = (None, Some(at(4))),
            |row| row.revoked_at = Some(at(3)),
        ];
        for (number, change) in changes.into_iter().enumerate() {
            let mut changed = tagged.clone();
            change(&mut changed);
            assert!(matches!(check(&keys, &changed), Err(TagError::Wrong(_))), "{number}");
        }
        // Sealed anew it is the same row.
        let rewrapped = StoredKey { private_key: "v1.e.f".into(), ..tagged };
        check(&keys, &rewrapped).unwrap();
    }

    #[test]
    fn a_key_on_a_token_is_bound_to_its_place_there() {
        let keys = keys();
        let mut tagged = StoredKey { private_key: "pkcs11.00".into(), ..row() };
        tagged.tag = Some(make(&keys, &tagged));
        check(&keys, &tagged).unwrap();
        let moved = StoredKey { private_key: "pkcs11.01".into(), ..tagged };
        assert!(matches!(check(&keys, &moved), Err(TagError::Wrong(_))));
    }

    #[test]
    fn nothing_else_under_the_same_key_is_a_tag() {
        let (keys, other) = (keys(), keys());
        let row = row();
        for (tag, names_another) in [
            (other.newest().seal(&[], &authenticated_text(&row)), true),
            (keys.newest().seal(b"private", &row.kid), false),
            (keys.newest().seal(&[], &row.kid), false),
            ("v1.nonsense".into(), false),
            (String::new(), false),
        ] {
            let tagged = StoredKey { tag: Some(tag), ..row.clone() };
            let error = check(&keys, &tagged).unwrap_err();
            assert_eq!(error.missing_key().is_some(), names_another, "{error:?}");
        }
    }
}

//! Users of another system: the data that an import has for each, and its comparison with an
//! existing account. Invariant: an existing account is never changed.

use serde_json::Value;
use uuid::Uuid;

use super::{Email, Metadata, User};
use crate::base::secret::Secret;
use crate::base::time::Timestamp;

/// The member of a user's metadata that keeps an imported id which is not a UUID, so that an
/// application can map its own tables.
pub const IMPORTED_ID: &str = "imported_id";

/// The imported data of one user, each part checked as at sign-up; `None` for absent parts.
#[derive(Clone, Debug)]
pub struct ImportedUser {
    pub(crate) id: Option<Uuid>,
    pub(crate) email: Email,
    /// A hash that this version can verify; without one, only a reset lets the user in.
    pub(crate) password_hash: Option<Secret<String>>,
    pub(crate) name: Option<String>,
    pub(crate) roles: Option<Vec<String>>,
    /// Roles of the imported user that the import leaves out. An existing account may have them.
    pub(crate) left_out: Vec<String>,
    pub(crate) disabled: Option<bool>,
    pub(crate) email_verified: Option<bool>,
    pub(crate) created_at: Option<Timestamp>,
    pub(crate) metadata: Option<Metadata>,
}

/// How an existing account compares with the imported data for its address.
#[derive(Debug, PartialEq, Eq)]
pub enum Comparison {
    /// All imported data are equal.
    Same,
    /// The account is the same, with another password hash: changed since, or renewed at login.
    OtherPassword,
    /// The account is another one, or was changed; with a sentence for people.
    Different(String),
}

impl ImportedUser {
    /// The new account, with `new_id` unless an id is kept, and a hash that no password matches
    /// unless there is one.
    pub fn to_user(
        &self,
        new_id: impl FnOnce() -> Uuid,
        unmatchable: impl FnOnce() -> Secret<String>,
        now: Timestamp,
    ) -> User {
        let hash = self.password_hash.clone().unwrap_or_else(unmatchable);
        let roles = self.roles.clone().unwrap_or_default();
        let id = self.id.unwrap_or_else(new_id);
        let created_at = self.created_at.unwrap_or(now);
        User {
            email_verified_at: (self.email_verified == Some(true)).then_some(created_at),
            disabled_at: (self.disabled == Some(true)).then_some(now),
            created_at,
            updated_at: now,
            metadata: self.metadata.clone().unwrap_or_default(),
            ..User::new(id, &self.email, self.name.clone(), hash, roles, now)
        }
    }

    /// The imported id that is not a UUID.
    pub fn imported_id(&self) -> Option<&str> {
        self.metadata.as_ref()?.get(IMPORTED_ID)?.as_str()
    }

    /// Compares the data with `stored`, the account with its address.
    pub fn compare(&self, stored: &User) -> Comparison {
        let said_id = self.metadata.as_ref().and_then(|metadata| metadata.get(IMPORTED_ID));
        let has_said_id = said_id.is_none() || said_id == stored.metadata.get(IMPORTED_ID);
        if self.id.is_some_and(|id| id != stored.id) || !has_said_id {
            let why = "the address is taken by an account of another id";
            return Comparison::Different(why.into());
        }
        let different = self.differences(stored);
        if !different.is_empty() {
            let different = different.join(", ");
            return Comparison::Different(format!("exists already, but differs in {different}"));
        }
        let same_hash = |hash: &Secret<String>| hash.expose() == stored.password_hash.expose();
        if self.password_hash.as_ref().is_none_or(same_hash) {
            return Comparison::Same;
        }
        // Without any of these it could be another person's account with the same address.
        if self.id.is_some() || said_id.is_some() || self.created_at.is_some() {
            return Comparison::OtherPassword;
        }
        Comparison::Different("exists already, but differs in password_hash".into())
    }

    /// The names of the data that differ from `stored`, except ids and password.
    fn differences(&self, stored: &User) -> Vec<&'static str> {
        let names = |roles: &[String]| {
            let mut names = roles.to_vec();
            names.sort_unstable();
            names
        };
        let mut present = stored.roles.clone();
        present.retain(|role| !self.left_out.contains(role));
        let roles = |roles: &Vec<String>| names(roles) != names(&present);
        let verified = stored.email_verified_at.is_some();
        let same = [
            ("name", self.name.is_none() || self.name == stored.name),
            ("roles", !self.roles.as_ref().is_some_and(roles)),
            ("disabled", self.disabled.is_none_or(|disabled| disabled != stored.is_active())),
            ("email_verified", self.email_verified.is_none_or(|said| said == verified)),
            ("created_at", self.created_at.is_none_or(|said| said == stored.created_at)),
            ("metadata", self.metadata.as_ref().is_none_or(|said| *said == stored.metadata)),
        ];
        same.into_iter().filter(|(_, same)| !same).map(|(name, _)| name).collect()
    }
}

/// Keeps an imported id which is not a UUID in `metadata`; always as a string, since CSV has no
/// numbers. The error is a sentence for people.
pub fn keep_id(metadata: &mut Metadata, id: String) -> Result<(), &'static str> {
    if id.is_empty() || id.chars().count() > 200 || id.chars().any(char::is_control) {
        return Err("must have 1 to 200 characters, none of them control characters");
    }
    match metadata.insert(IMPORTED_ID.to_owned(), Value::String(id.clone())) {
        Some(kept) if kept != Value::String(id) => Err("differs from metadata.imported_id"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(text: &str) -> Secret<String> {
        Secret::new(text.to_owned())
    }

    fn said() -> ImportedUser {
        ImportedUser {
            id: None,
            email: Email::parse("Ada@example.com").unwrap(),
            password_hash: Some(hash("one")),
            name: None,
            roles: None,
            left_out: Vec::new(),
            disabled: None,
            email_verified: None,
            created_at: None,
            metadata: None,
        }
    }

    fn stored(from: &ImportedUser) -> User {
        let now = Timestamp::from_unix(1_764_547_200);
        from.to_user(|| Uuid::from_u128(7), || hash("unmatchable"), now)
    }

    #[test]
    fn what_was_made_of_it_is_the_same() {
        let metadata = serde_json::json!({"team": [1, 2]}).as_object().cloned();
        let full = ImportedUser {
            id: Some(Uuid::from_u128(1)),
            name: Some("Ada".into()),
            roles: Some(vec!["b".into(), "a".into()]),
            disabled: Some(true),
            email_verified: Some(true),
            created_at: Some(Timestamp::from_unix(1_000_000_000)),
            metadata,
            ..said()
        };
        let user = stored(&full);
        assert_eq!((user.id, user.is_active()), (Uuid::from_u128(1), false));
        assert_eq!(user.email_verified_at, full.created_at);
        assert_eq!(full.compare(&user), Comparison::Same);
        let reordered = ImportedUser { roles: Some(vec!["a".into(), "b".into()]), ..full };
        assert_eq!(reordered.compare(&user), Comparison::Same);
        assert_eq!(said().compare(&user), Comparison::Same, "only what is said counts");

        let no_password = ImportedUser { password_hash: None, ..said() };
        let user = stored(&no_password);
        assert_eq!(user.password_hash.expose(), "unmatchable");
        assert_eq!(no_password.compare(&user), Comparison::Same);
    }

    #[test]
    fn a_role_that_was_left_out_is_no_difference() {
        let role = |name: &str| vec![name.to_owned()];
        let without = ImportedUser { roles: Some(role("a")), left_out: role("admin"), ..said() };
        let mut user = stored(&without);
        assert_eq!(without.compare(&user), Comparison::Same);
        user.roles.push("admin".into());
        assert_eq!(without.compare(&user), Comparison::Same);
        user.roles.push("b".into());
        assert!(matches!(without.compare(&user), Comparison::Different(_)));
    }

    #[test]
    fn another_password_is_distinguished_from_another_account() {
        let created_at = Some(Timestamp::from_unix(1_000_000_000));
        let user = User { password_hash: hash("renewed"), ..stored(&said()) };
        let Comparison::Different(why) = said().compare(&user) else { panic!("not the same") };
        assert!(why.ends_with("password_hash"), "{why}");
        let kept = ImportedUser { id: Some(user.id), ..said() };
        assert_eq!(kept.compare(&user), Comparison::OtherPassword);
        let other = ImportedUser { id: Some(Uuid::from_u128(8)), ..said() };
        assert!(matches!(other.compare(&user), Comparison::Different(why) if why.contains("id")));

        let dated = ImportedUser { created_at, ..said() };
        let user = User { password_hash: hash("renewed"), ..stored(&dated) };
        assert_eq!(dated.compare(&user), Comparison::OtherPassword);
        let mut metadata = Metadata::new();
        keep_id(&mut metadata, "42".into()).unwrap();
        let numbered = ImportedUser { metadata: Some(metadata), ..said() };
        assert!(
            matches!(numbered.compare(&user), Comparison::Different(why) if why.contains("id"))
        );
        let user = User { password_hash: hash("renewed"), ..stored(&numbered) };
        assert_eq!(numbered.compare(&user), Comparison::OtherPassword);
    }

    #[test]
    fn every_difference_is_named() {
        let user = stored(&said());
        let changed = ImportedUser {
            name: Some("Ada".into()),
            roles: Some(vec!["a".into()]),
            disabled: Some(true),
            email_verified: Some(true),
            created_at: Some(Timestamp::from_unix(5)),
            metadata: serde_json::json!({"team": 1}).as_object().cloned(),
            ..said()
        };
        let all = ["name", "roles", "disabled", "email_verified", "created_at", "metadata"];
        assert_eq!(changed.differences(&user), all);
    }

    #[test]
    fn an_id_of_before_is_kept_as_text_once() {
        let mut metadata = Metadata::new();
        keep_id(&mut metadata, "42".into()).unwrap();
        assert_eq!(metadata[IMPORTED_ID], "42");
        assert!(keep_id(&mut metadata, "42".into()).is_ok());
        assert!(keep_id(&mut metadata, "43".into()).is_err());
        for bad in ["", "a\0b", &"x".repeat(201)] {
            assert!(keep_id(&mut Metadata::new(), bad.to_owned()).is_err(), "{bad:?}");
        }
    }
}

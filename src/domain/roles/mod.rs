//! Roles: the names that users carry, and the scope words that each carries. A word that some role
//! carries belongs only to users who have such a role; a word that no role carries is open to every
//! user of a client that may request it. Invariant: the built-in role `admin` always exists and
//! always carries the words by which Signet itself is administered, so these are never open.

pub(crate) mod catalogue;
pub(crate) mod changes;
mod name;
pub(crate) mod registry;
pub(crate) mod store;

use std::fmt;
use std::str::FromStr;

use crate::base::time::Timestamp;
use crate::domain::tokens::{Scope, scope};

pub(crate) use catalogue::Catalogue;
pub(crate) use changes::Decision;
pub use changes::{Change, Expect, Refusal, Step, What};
pub(crate) use name::{ADMIN_ROLE, check_role, check_roles};
pub(crate) use registry::RoleRegistry;
pub use store::RoleStore;

/// The words that the built-in role always carries.
pub const BUILT_IN_WORDS: [&str; 2] = [scope::ADMIN, scope::USERS_READ];

/// The words that no role can carry, since every login of OpenID Connect needs them.
pub const EVERYBODYS_WORDS: [&str; 3] = [scope::OPENID, scope::PROFILE, scope::EMAIL];

pub(crate) const MAX_ROLES: usize = 1000;

/// A role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    /// Its name, as users carry it.
    pub name: String,
    pub(crate) scope: Scope,
    pub(crate) description: Option<String>,
    /// When it was defined.
    pub created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
    pub(crate) version: i64,
}

impl Role {
    /// The role that may administer Signet.
    pub fn admin(now: Timestamp) -> Self {
        Self {
            name: ADMIN_ROLE.into(),
            scope: Scope::parse(&BUILT_IN_WORDS.join(" ")).unwrap_or_default(),
            description: Some("Administers Signet".into()),
            created_at: now,
            updated_at: now,
            version: 0,
        }
    }

    /// Whether it is part of Signet.
    pub fn is_built_in(&self) -> bool {
        self.name == ADMIN_ROLE
    }

    /// Which of all the states of a role of this name this one is.
    pub fn revision(&self) -> Revision {
        Revision { created_at: self.created_at, version: self.version }
    }
}

/// A state of a role. A role that was removed and defined again starts at version zero, so its
/// creation time is part of the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revision {
    created_at: Timestamp,
    version: i64,
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.created_at.as_unix(), self.version)
    }
}

/// The text is no revision.
#[derive(Debug, PartialEq, Eq)]
pub struct NoRevision;

impl FromStr for Revision {
    type Err = NoRevision;

    fn from_str(text: &str) -> Result<Self, NoRevision> {
        let (created_at, version) = text.split_once('-').ok_or(NoRevision)?;
        let number = |text: &str| text.parse::<i64>().map_err(|_| NoRevision);
        let created_at = Timestamp::from_unix(number(created_at)?);
        Ok(Self { created_at, version: number(version)? })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn role(name: &str, scope: &str) -> Role {
        let now = Timestamp::from_unix(100);
        Role { name: name.into(), scope: Scope::parse(scope).unwrap(), ..Role::admin(now) }
    }

    #[test]
    fn a_revision_reads_as_it_is_written() {
        let revision = Role { version: 7, ..role("clerk", "") }.revision();
        assert_eq!(revision.to_string(), "100-7");
        assert_eq!("100-7".parse(), Ok(revision));
        for bad in ["", "7", "-", "100-", "a-b", "100-7-1"] {
            assert_eq!(bad.parse::<Revision>(), Err(NoRevision), "{bad}");
        }
    }

    #[test]
    fn the_built_in_role_carries_its_words() {
        let admin = Role::admin(Timestamp::from_unix(0));
        assert!(BUILT_IN_WORDS.iter().all(|word| admin.scope.contains(word)));
    }
}

//! Who has which roles: giving roles to users and taking them away, each with its audit event. A
//! user's roles are read anew by every login and refresh.

use uuid::Uuid;

use super::administration::MAX_ATTEMPTS;
use crate::base::time::Timestamp;
use crate::domain::audit::{Audit, Event, Initiator, Kind};
use crate::domain::roles::{ADMIN_ROLE, check_roles};
use crate::domain::users::store::Changed;
use crate::domain::users::{User, UserStore};
use crate::storage::StorageError;

/// The roles of users. Cheap to clone.
#[derive(Clone)]
pub struct Roles {
    users: UserStore,
    audit: Audit,
}

/// Why a role was not given or taken.
#[derive(Debug, thiserror::Error)]
pub enum RolesError {
    /// A store.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A name is not acceptable.
    #[error("{0}")]
    Invalid(String),
    /// The user is gone.
    #[error("no user has this id")]
    NoUser,
    /// No one could administer any more.
    #[error("no other user who may sign in has the role {ADMIN_ROLE}: force it to go on")]
    LastAdministrator,
}

impl Roles {
    /// The roles of `users`.
    pub fn new(users: UserStore, audit: Audit) -> Self {
        Self { users, audit }
    }

    /// Gives the user a role, defined or not. `false` when the user has it already.
    pub async fn grant(
        &self,
        id: Uuid,
        role: &str,
        by: &Initiator,
        now: Timestamp,
    ) -> Result<bool, RolesError> {
        for _ in 0..MAX_ATTEMPTS {
            let user = self.load_user(id).await?;
            if user.has_role(role) {
                return Ok(false);
            }
            let roles: Vec<_> = user.roles.iter().cloned().chain([role.to_owned()]).collect();
            let roles =
                check_roles(&roles).map_err(|problem| RolesError::Invalid(problem.into()))?;
            let next = User { roles, updated_at: now, ..user.clone() };
            if self.users.replace(&user, &next, true).await? == Changed::Done {
                self.record(Kind::UserRoleGranted, id.to_string(), role.into(), by, now).await;
                return Ok(true);
            }
        }
        Err(always_preceded())
    }

    /// Takes a role from the user. `false` when the user does not have it. The last administrator
    /// who may sign in loses that role only by `force`.
    pub async fn revoke(
        &self,
        id: Uuid,
        role: &str,
        force: bool,
        by: &Initiator,
        now: Timestamp,
    ) -> Result<bool, RolesError> {
        for _ in 0..MAX_ATTEMPTS {
            let user = self.load_user(id).await?;
            if !user.has_role(role) {
                return Ok(false);
            }
            let roles = user.roles.iter().filter(|r| *r != role).cloned().collect();
            let next = User { roles, updated_at: now, ..user.clone() };
            match self.users.replace(&user, &next, force).await? {
                Changed::LastAdministrator => return Err(RolesError::LastAdministrator),
                Changed::Stale => {}
                Changed::Done => {
                    self.record(Kind::UserRoleRevoked, id.to_string(), role.into(), by, now).await;
                    return Ok(true);
                }
            }
        }
        Err(always_preceded())
    }

    async fn load_user(&self, id: Uuid) -> Result<User, RolesError> {
        self.users.find(id).await?.ok_or(RolesError::NoUser)
    }

    async fn record(
        &self,
        kind: Kind,
        subject: String,
        detail: String,
        by: &Initiator,
        now: Timestamp,
    ) {
        self.audit.record(Event::new(kind, by).about(subject).detail(detail), now).await;
    }
}

fn always_preceded() -> RolesError {
    StorageError::Unavailable("every attempt lost a race".into()).into()
}

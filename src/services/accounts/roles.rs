//! Who has which roles: giving roles to users and taking them away, each with its audit event. A
//! user's roles are read anew by every login and refresh.

use uuid::Uuid;

use crate::base::time::Timestamp;
use crate::domain::audit::{Audit, Event, Initiator, Kind};
use crate::domain::roles::{ADMIN_ROLE, check_roles};
use crate::domain::users::{Replaced, User, UserStore};
use crate::storage::StorageError;

/// A lost race is tried once more; to lose this often, an account is being hammered.
const MOST_ATTEMPTS: usize = 8;

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
    /// There is no such user.
    #[error("there is no such user")]
    NoUser,
    /// Nobody could administer any more.
    #[error("nobody else who may sign in has the role {ADMIN_ROLE}: that has to be forced")]
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
        for _ in 0..MOST_ATTEMPTS {
            let user = self.load_user(id).await?;
            if user.has_role(role) {
                return Ok(false);
            }
            let roles: Vec<_> = user.roles.iter().cloned().chain([role.to_owned()]).collect();
            let roles =
                check_roles(&roles).map_err(|problem| RolesError::Invalid(problem.into()))?;
            if self.users.replace_roles(&user, &roles, now).await? == Replaced::Done {
                self.record(Kind::UserRoleGranted, id.to_string(), role.into(), by, now).await;
                return Ok(true);
            }
        }
        Err(hammered())
    }

    /// Takes a role from the user. `false` when the user has not got it. The last administrator
    /// who may sign in loses that role only by force.
    pub async fn revoke(
        &self,
        id: Uuid,
        role: &str,
        force: bool,
        by: &Initiator,
        now: Timestamp,
    ) -> Result<bool, RolesError> {
        for _ in 0..MOST_ATTEMPTS {
            let user = self.load_user(id).await?;
            if !user.has_role(role) {
                return Ok(false);
            }
            let others: Vec<_> = user.roles.iter().filter(|r| *r != role).cloned().collect();
            let replaced = if role == ADMIN_ROLE && !force {
                self.users.replace_roles_unless_last(&user, &others, role, now).await?
            } else {
                self.users.replace_roles(&user, &others, now).await?
            };
            match replaced {
                Replaced::Last => return Err(RolesError::LastAdministrator),
                Replaced::Stale => {}
                Replaced::Done => {
                    self.record(Kind::UserRoleRevoked, id.to_string(), role.into(), by, now).await;
                    return Ok(true);
                }
            }
        }
        Err(hammered())
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

fn hammered() -> RolesError {
    StorageError::Unavailable("every attempt lost a race".into()).into()
}

//! Roles and who has them: definitions, and giving roles to users and taking them away, each with
//! its audit event. A change to a definition is acknowledged only once every instance has taken it
//! over; a user's roles are read anew by every login and refresh.

use crate::base::display_name::check_display_name;
use crate::domain::roles::{ADMIN_ROLE, check_role, check_roles};
use uuid::Uuid;

use super::administration::MAX_ATTEMPTS;
use crate::base::time::Timestamp;
use crate::domain::audit::{Audit, Event, Initiator, Kind};
use crate::domain::roles::registry::STALENESS;
use crate::domain::roles::{Change, Decision, Expect, Refusal, Role, RoleStore, Step, What};
use crate::domain::users::store::Changed;
use crate::domain::users::{User, UserStore};
use crate::storage::StorageError;

/// The roles of this service and their holders. Cheap to clone.
#[derive(Clone)]
pub struct Roles {
    store: RoleStore,
    users: UserStore,
    audit: Audit,
}

/// Why a role was not changed, given or taken.
#[derive(Debug, thiserror::Error)]
pub enum RolesError {
    /// A store.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A name or description is not acceptable.
    #[error("{0}")]
    Invalid(String),
    /// A change to a definition is refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The user is gone.
    #[error("no user has this id")]
    NoUser,
    /// No one could administer any more.
    #[error("no other user who may sign in has the role {ADMIN_ROLE}: force it to go on")]
    LastAdministrator,
}

impl Roles {
    /// Roles over these stores.
    pub fn new(store: RoleStore, users: UserStore, audit: Audit) -> Self {
        Self { store, users, audit }
    }

    /// All roles, by name.
    pub async fn list(&self) -> Result<Vec<Role>, StorageError> {
        self.store.list().await
    }

    /// The role of this name.
    pub async fn find(&self, name: &str) -> Result<Option<Role>, StorageError> {
        self.store.find(name).await
    }

    /// Defines, changes or removes a role. One that is removed by force is taken from its users as
    /// well: a role of the same name that is defined later must not fall to them.
    pub async fn change(
        &self,
        change: Change,
        by: &Initiator,
        now: Timestamp,
    ) -> Result<Decision, RolesError> {
        let change = check(change)?;
        let force = change.force;
        let holders = match (&change.what, &change.expect) {
            (What::Remove, _) | (_, Expect::Absent) => {
                self.users.count_with_role(&change.name).await?
            }
            (What::Put { .. }, _) => 0,
        };
        let decision = self.store.change(|roles| change.decide(roles, holders, now)).await??;
        // If it is cut off, the same once more takes the name from those who still have it. Without
        // force no user had it, and a user who was given it since keeps it.
        let taken = match &decision.step {
            Step::Delete(name) if force => self.users.take_role(name, now).await,
            _ => Ok(0),
        };
        self.record_change(&decision, taken.as_ref().ok(), by, now).await;
        taken?;
        tokio::time::sleep(STALENESS).await;
        Ok(decision)
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
            let roles = check_roles(&roles).map_err(|problem| invalid("", problem))?;
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

    /// `taken` is from how many users a removed role was taken, unless that was cut off.
    async fn record_change(
        &self,
        decision: &Decision,
        taken: Option<&u64>,
        by: &Initiator,
        now: Timestamp,
    ) {
        let (kind, mut detail) = match &decision.step {
            Step::Create(role) => (Kind::RoleCreated, format!("scope: {}", role.scope)),
            Step::Replace(role) => (Kind::RoleChanged, format!("scope: {}", role.scope)),
            Step::Delete(_) => (
                Kind::RoleDeleted,
                taken.map_or("not yet taken from every user".into(), |taken| {
                    format!("taken from {}", users(*taken))
                }),
            ),
        };
        if decision.step.role().is_some() && decision.holders > 0 {
            detail = format!("{detail}; held by {}", users(decision.holders));
        }
        for (what, words) in [("closes", &decision.closes), ("opens", &decision.opens)] {
            if !words.is_empty() {
                detail = format!("{detail}; {what}: {}", words.join(" "));
            }
        }
        self.record(kind, decision.step.name().to_owned(), detail, by, now).await;
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

/// Checks the name and the description of a role.
fn check(change: Change) -> Result<Change, RolesError> {
    if let Err(problem) = check_role(&change.name) {
        // No role is named otherwise.
        return Err(match change.expect {
            Expect::Absent => invalid("", problem),
            _ => Refusal::Unknown(change.name).into(),
        });
    }
    let What::Put { scope, description } = change.what else { return Ok(change) };
    let check = |text: Option<String>| check_display_name(text.as_deref().unwrap_or_default());
    let description = description.map(check).transpose();
    let description = description.map_err(|problem| invalid("description ", problem))?;
    Ok(Change { what: What::Put { scope, description }, ..change })
}

/// A number of users, in words.
pub fn users(count: u64) -> String {
    if count == 1 { "1 user".into() } else { format!("{count} users") }
}

fn invalid(what: &str, problem: &str) -> RolesError {
    RolesError::Invalid(format!("{what}{problem}"))
}

fn always_preceded() -> RolesError {
    StorageError::Unavailable("every attempt lost a race".into()).into()
}

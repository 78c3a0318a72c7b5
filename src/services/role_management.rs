//! What is done to the definitions of roles, by HTTP and at the command line alike: the step in
//! [`crate::domain::roles`], the audit event that says who did it, and the wait until every instance
//! has taken it over, so that a change is in force when it is acknowledged.

use crate::base::display_name::check_display_name;
use crate::domain::audit::{Audit, Event, Initiator, Kind};
use crate::domain::roles::registry::STALENESS;
use crate::domain::roles::{
    Change, Decision, Expect, Refusal, Role, RoleStore, Step, What, check_role,
};
use crate::domain::users::UserStore;
use crate::storage::{StorageError, Stored};

/// The use cases of role definitions. Cheap to clone.
#[derive(Clone)]
pub struct RoleManagement {
    store: RoleStore,
    users: UserStore,
    audit: Audit,
}

/// Why the definition of a role was not changed.
#[derive(Debug, thiserror::Error)]
pub enum RoleChangeError {
    /// A store fails.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A name or description is not acceptable.
    #[error("{0}")]
    Invalid(String),
    /// The change is refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl RoleManagement {
    /// The use cases of the roles in `store`, which `users` have.
    pub fn new(store: RoleStore, users: UserStore, audit: Audit) -> Self {
        Self { store, users, audit }
    }

    /// All roles, by name.
    pub async fn list(&self) -> Stored<Vec<Role>> {
        self.store.list().await
    }

    /// The role of this name.
    pub async fn find(&self, name: &str) -> Stored<Option<Role>> {
        self.store.find(name).await
    }

    /// Defines, changes or removes a role. A role that is removed by force is taken from its users as
    /// well: a role of the same name that is defined later must not fall to them.
    pub async fn change(
        &self,
        change: Change,
        by: &Initiator,
    ) -> Result<Decision, RoleChangeError> {
        let change = check(change)?;
        let force = change.force;
        let holders = match (&change.what, &change.expect) {
            (What::Remove, _) | (_, Expect::Absent) => {
                self.users.count_with_role(&change.name).await?
            }
            (What::Put { .. }, _) => 0,
        };
        let decision = self.store.change(|roles| change.decide(roles, holders, by.at)).await??;
        // Where this is cut off, the same request once more takes the name from those who still have
        // it. Without force no one had it, and a user who was given it since keeps it.
        let taken = match &decision.step {
            Step::Delete(name) if force => self.users.take_role(name, by.at).await,
            _ => Ok(0),
        };
        self.record(&decision, taken.as_ref().ok(), by).await;
        taken?;
        tokio::time::sleep(STALENESS).await;
        Ok(decision)
    }

    /// `taken` is the number of users from whom a removed role was taken, unless that was cut off.
    async fn record(&self, decision: &Decision, taken: Option<&u64>, by: &Initiator) {
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
        let event = Event::new(kind, by).about(decision.step.name()).detail(detail);
        self.audit.record(event).await;
    }
}

fn check(change: Change) -> Result<Change, RoleChangeError> {
    if let Err(problem) = check_role(&change.name) {
        // No role has such a name.
        return Err(match change.expect {
            Expect::Absent => RoleChangeError::Invalid(problem.to_owned()),
            _ => Refusal::Unknown(change.name).into(),
        });
    }
    let What::Put { scope, description } = change.what else { return Ok(change) };
    let check = |text: Option<String>| check_display_name(text.as_deref().unwrap_or_default());
    let description = description.map(check).transpose();
    let description = description
        .map_err(|problem| RoleChangeError::Invalid(format!("description {problem}")))?;
    Ok(Change { what: What::Put { scope, description }, ..change })
}

/// A number of users, in words.
pub fn users(count: u64) -> String {
    if count == 1 { "1 user".into() } else { format!("{count} users") }
}

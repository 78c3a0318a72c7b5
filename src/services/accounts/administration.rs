//! What administrators do to the accounts of others: make, change and remove them. A change is made
//! to the account as it was seen, or not at all; and none leaves nobody to administer. Where sessions
//! are to end, their records go before and after the change, as everywhere: of two administrators who
//! are at one account at the same moment, the slower may have signed its user out and no more.

use crate::domain::roles::ADMIN_ROLE;
use uuid::Uuid;

use super::{Accounts, NewAccount};
use crate::base::time::Timestamp;
use crate::domain::audit::{Actor, Event, Initiator, Kind};
use crate::domain::sessions::Session;
use crate::domain::users::store::Changed;
use crate::domain::users::{Email, Metadata, User, email};
use crate::storage::StorageError;

/// What an administrator may say of a new account besides.
#[derive(Debug, Default)]
pub struct Details {
    /// Whether the user may not sign in yet.
    pub disabled: bool,
    /// What the application keeps of the user.
    pub metadata: Metadata,
}

/// What is to become different; `None` stays as it is. All of it has been checked.
#[derive(Clone, Debug, Default)]
pub struct UserChange {
    /// The display name, or none.
    pub name: Option<Option<String>>,
    /// The login name.
    pub email: Option<Email>,
    /// All roles.
    pub roles: Option<Vec<String>>,
    /// Whether the user may not sign in.
    pub disabled: Option<bool>,
    /// Whether the address is known to be the user's; a new address is not, unless it is said here.
    pub email_verified: Option<bool>,
    /// All that the application keeps.
    pub metadata: Option<Metadata>,
}

/// Why an account was not changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// Somebody else was faster.
    #[error("the user was changed or removed meanwhile")]
    Stale,
    /// Of the new address.
    #[error("an account with this e-mail address exists already")]
    Taken,
    /// Who did it could not undo it.
    #[error(
        "administrators cannot disable or remove themselves, nor give up a role: another one has to"
    )]
    Oneself,
    /// Nobody could undo it.
    #[error("this is the last active administrator: give another user the role admin first")]
    LastAdministrator,
    /// A store.
    #[error(transparent)]
    Storage(StorageError),
}

impl From<StorageError> for ChangeError {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::Conflict => Self::Taken,
            error => Self::Storage(error),
        }
    }
}

impl UserChange {
    /// The user as it will be.
    fn applied_to(self, user: &User, now: Timestamp) -> User {
        let mut next = user.clone();
        next.name = self.name.unwrap_or(next.name);
        // In another order they are the same.
        let is_other = |roles: &Vec<String>| {
            roles.len() != user.roles.len() || roles.iter().any(|role| !user.has_role(role))
        };
        next.roles = self.roles.filter(is_other).unwrap_or(next.roles);
        next.metadata = self.metadata.unwrap_or(next.metadata);
        if let Some(email) = self.email {
            // Another spelling of the same address is as proven as it was.
            if email.key() != email::key_of(&user.email) {
                next.email_verified_at = None;
                next.email_key = email.key().to_owned();
            }
            next.email = email.address().to_owned();
        }
        let since = |is: Option<bool>, present: Option<Timestamp>| match is {
            None => present,
            Some(is) => is.then(|| present.unwrap_or(now)),
        };
        next.email_verified_at = since(self.email_verified, next.email_verified_at);
        next.disabled_at = since(self.disabled, next.disabled_at);
        next
    }
}

impl Accounts {
    /// Makes an account with all that an administrator may say of it; `Conflict` when the address is
    /// taken.
    pub async fn create_with(
        &self,
        new: NewAccount,
        details: Details,
        by: &Initiator,
        now: Timestamp,
    ) -> Result<User, StorageError> {
        let NewAccount { email, name, password_hash, roles, email_verified } = new;
        let id = self.random.uuid_at(now);
        let mut user = User::new(id, &email, name, password_hash, roles, now);
        user.email_verified_at = email_verified.then_some(now);
        user.disabled_at = details.disabled.then_some(now);
        user.metadata = details.metadata;
        self.users.create(&user).await?;
        let roles = (!user.roles.is_empty()).then(|| format!("roles {}", user.roles.join(" ")));
        self.tell(Kind::UserCreated, id, roles, by, now).await;
        Ok(user)
    }

    /// Changes `user`, who is as it was read, and returns it as it is then. A user who is disabled
    /// is signed out everywhere.
    pub async fn change(
        &self,
        user: &User,
        change: UserChange,
        by: &Initiator,
        now: Timestamp,
    ) -> Result<User, ChangeError> {
        let mut next = change.applied_to(user, now);
        let differences = differences(user, &next);
        if differences.is_empty() {
            return Ok(next);
        }
        next.updated_at = now;
        let shuts = user.is_active() && !next.is_active();
        // What was asked for at the old address must not undo this: letters under way, tokens sent.
        let moves = email::key_of(&user.email) != email::key_of(&next.email);
        let ends_sessions = shuts || moves;
        // By whatever role they administer.
        if shuts || user.roles.iter().any(|role| !next.has_role(role)) {
            check_not_oneself(user, by)?;
        }
        let loses_one = is_administrator(user) && !is_administrator(&next) && is_at_risk(by);
        if loses_one {
            self.check_not_last(user).await?;
        }
        if ends_sessions {
            self.sessions.revoke_all(user.id, now).await?;
        }
        let done = match loses_one {
            true => self.users.replace_administrator(&next, user.version, ends_sessions).await?,
            false => self.users.replace(&next, user.version, ends_sessions).await?,
        };
        check_done(done)?;
        next.version += 1;
        next.session_epoch += i64::from(ends_sessions);
        for (kind, detail) in differences {
            self.tell(kind, user.id, detail, by, now).await;
        }
        if ends_sessions {
            self.revoke_begun_meanwhile(user.id, now).await;
        }
        Ok(next)
    }

    /// Removes `user`, who is as it was read, and all sessions.
    pub async fn remove(
        &self,
        user: &User,
        by: &Initiator,
        now: Timestamp,
    ) -> Result<(), ChangeError> {
        check_not_oneself(user, by)?;
        self.remove_as_read(user, by, now).await
    }

    /// Removes `user`, who wishes so, and all sessions; not the last administrator.
    pub async fn leave(
        &self,
        user: &User,
        by: &Initiator,
        now: Timestamp,
    ) -> Result<(), ChangeError> {
        if is_administrator(user) {
            return self.remove_as_read(user, by, now).await;
        }
        Ok(self.delete(user.id, by, now).await.map(drop)?)
    }

    async fn remove_as_read(
        &self,
        user: &User,
        by: &Initiator,
        now: Timestamp,
    ) -> Result<(), ChangeError> {
        let loses_one = is_administrator(user) && is_at_risk(by);
        if loses_one {
            self.check_not_last(user).await?;
        }
        self.sessions.revoke_all(user.id, now).await?;
        let done = match loses_one {
            true => self.users.remove_administrator(user).await?,
            false => self.users.remove(user).await?,
        };
        check_done(done)?;
        self.tell(Kind::UserDeleted, user.id, None, by, now).await;
        self.revoke_begun_meanwhile(user.id, now).await;
        Ok(())
    }

    /// The live sessions of `user`, newest first.
    pub async fn sessions(
        &self,
        user: &User,
        now: Timestamp,
    ) -> Result<Vec<Session>, StorageError> {
        let mut sessions = self.sessions.list(user.id, now).await?;
        sessions.retain(|session| session.epoch == user.session_epoch);
        Ok(sessions)
    }

    /// Told before any session ends; that it holds is up to the change itself.
    async fn check_not_last(&self, user: &User) -> Result<(), ChangeError> {
        match self.users.has_other_administrator(user).await? {
            true => Ok(()),
            false => Err(ChangeError::LastAdministrator),
        }
    }

    pub(super) async fn tell(
        &self,
        kind: Kind,
        subject: Uuid,
        detail: Option<String>,
        by: &Initiator,
        now: Timestamp,
    ) {
        let event = Event::new(kind, by).about(subject).detail(detail);
        self.audit.record(event, now).await;
    }
}

fn is_administrator(user: &User) -> bool {
    user.is_active() && user.has_role(ADMIN_ROLE)
}

/// At the command line, another administrator can always be made.
fn is_at_risk(by: &Initiator) -> bool {
    !matches!(by.actor, Actor::CommandLine)
}

fn check_not_oneself(user: &User, by: &Initiator) -> Result<(), ChangeError> {
    match by.actor {
        Actor::User(actor) if actor == user.id => Err(ChangeError::Oneself),
        _ => Ok(()),
    }
}

fn check_done(done: Changed) -> Result<(), ChangeError> {
    match done {
        Changed::Done => Ok(()),
        Changed::Stale => Err(ChangeError::Stale),
        Changed::LastAdministrator => Err(ChangeError::LastAdministrator),
    }
}

/// The events that tell how `next` differs: names of fields and roles, and nothing of a person.
fn differences(user: &User, next: &User) -> Vec<(Kind, Option<String>)> {
    let mut events = Vec::new();
    if user.is_active() != next.is_active() {
        let kind = if next.is_active() { Kind::UserEnabled } else { Kind::UserDisabled };
        events.push((kind, None));
    }
    if user.email != next.email {
        events.push((Kind::EmailChanged, None));
    }
    let beyond = |one: &User, other: &User, kind| -> Vec<_> {
        let roles = one.roles.iter().filter(|role| !other.has_role(role));
        roles.map(|role| (kind, Some(role.clone()))).collect()
    };
    events.extend(beyond(next, user, Kind::UserRoleGranted));
    events.extend(beyond(user, next, Kind::UserRoleRevoked));
    let verified = |user: &User| user.email_verified_at.is_some();
    let fields: Vec<&str> = [
        ("name", user.name != next.name),
        ("email_verified", verified(user) != verified(next)),
        ("metadata", user.metadata != next.metadata),
    ]
    .into_iter()
    .filter_map(|(field, differs)| differs.then_some(field))
    .collect();
    if !fields.is_empty() {
        events.push((Kind::UserChanged, Some(fields.join(", "))));
    }
    events
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::secret::Secret;

    fn user() -> User {
        let email = Email::parse("Ann@example.com").unwrap();
        let (hash, now) = (Secret::new(String::new()), Timestamp::from_unix(0));
        User::new(Uuid::nil(), &email, None, hash, vec!["staff".into()], now)
    }

    fn changed(user: &User, change: UserChange) -> User {
        change.applied_to(user, Timestamp::from_unix(5))
    }

    #[test]
    fn a_new_address_has_to_be_proven_anew() {
        let proven = User { email_verified_at: Some(Timestamp::from_unix(1)), ..user() };
        let email = |text: &str| Some(Email::parse(text).unwrap());
        let of = |change| changed(&proven, change).email_verified_at.map(Timestamp::as_unix);
        assert_eq!(of(UserChange::default()), Some(1));
        let spelling = UserChange { email: email("ann@example.com"), ..UserChange::default() };
        assert_eq!(of(spelling), Some(1));
        let other = UserChange { email: email("eve@example.com"), ..UserChange::default() };
        assert_eq!(of(other.clone()), None);
        assert_eq!(of(UserChange { email_verified: Some(true), ..other }), Some(5));
        let unproven = UserChange { email_verified: Some(false), ..UserChange::default() };
        assert_eq!(of(unproven), None);
    }

    #[test]
    fn events_name_what_differs_and_nothing_else() {
        let before = user();
        let change = UserChange {
            name: Some(Some("Ann Secret".into())),
            email: Some(Email::parse("secret@example.com").unwrap()),
            roles: Some(vec!["admin".into()]),
            disabled: Some(true),
            ..UserChange::default()
        };
        let events = differences(&before, &changed(&before, change));
        let events: Vec<_> =
            events.iter().map(|(kind, detail)| (*kind, detail.as_deref())).collect();
        let told = [
            (Kind::UserDisabled, None),
            (Kind::EmailChanged, None),
            (Kind::UserRoleGranted, Some("admin")),
            (Kind::UserRoleRevoked, Some("staff")),
            (Kind::UserChanged, Some("name")),
        ];
        assert_eq!(events, told);
        assert!(differences(&before, &changed(&before, UserChange::default())).is_empty());
    }
}

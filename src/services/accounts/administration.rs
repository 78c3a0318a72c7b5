//! Changes that administrators make to accounts, over HTTP and at the command line. A change is
//! made to the account as it was seen, or not at all. Where sessions end, their records are removed
//! before and after the change: of two administrators who change one account concurrently, the
//! slower may have signed its user out and no more.

use uuid::Uuid;

use super::Accounts;
use crate::base::time::Timestamp;
use crate::domain::audit::{Event, Initiator, Kind};
use crate::domain::roles::check_roles;
use crate::domain::sessions::Session;
use crate::domain::users::store::Changed;
use crate::domain::users::{Email, Metadata, User, email};
use crate::storage::{StorageError, Stored};

/// How often a change is tried that another one preceded: an account that is changed as often is
/// under attack.
const MAX_ATTEMPTS: usize = 8;

/// What is to become different; `None` stays as it is. All of it has been checked.
#[derive(Clone, Debug, Default)]
pub struct UserChange {
    pub(crate) name: Option<Option<String>>,
    pub(crate) email: Option<Email>,
    pub(crate) roles: Option<Vec<String>>,
    pub(crate) disabled: Option<bool>,
    /// Whether the address is known to be the user's; a new address is not, unless it is said here.
    pub(crate) email_verified: Option<bool>,
    pub(crate) metadata: Option<Metadata>,
    /// Whether the change is made even if it leaves no active administrator.
    pub(crate) force: bool,
}

/// Why an account was not changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// The account is not as it was read.
    #[error("the user was changed or removed in the meantime: read it again")]
    Stale,
    /// Another account has the new address.
    #[error("an account with this e-mail address exists already")]
    Taken,
    /// The initiator could not undo it.
    #[error(
        "administrators cannot disable or remove themselves, nor give up a role: another one has to"
    )]
    Oneself,
    /// No one could undo it.
    #[error("this is the last active administrator: give another user the role admin first")]
    LastAdministrator,
    /// No user may have these roles.
    #[error("{0}")]
    Roles(&'static str),
    /// A store failed.
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
    /// Changes `user`, who is as it was read, and returns it as it is then. A user who is disabled
    /// or gets another address is signed out everywhere.
    pub async fn change(
        &self,
        user: &User,
        change: UserChange,
        by: &Initiator,
        now: Timestamp,
    ) -> Result<User, ChangeError> {
        let force = change.force;
        let mut next = change.applied_to(user, now);
        let differences = differences(user, &next);
        if differences.is_empty() {
            return Ok(next);
        }
        let shuts = user.is_active() && !next.is_active();
        // What was asked for at the old address must not undo this: mail on its way, tokens sent.
        let moves = email::key_of(&user.email) != email::key_of(&next.email);
        let ends_sessions = shuts || moves;
        next.updated_at = now;
        next.session_epoch += i64::from(ends_sessions);
        // Any role may carry the right to administer.
        if shuts || user.roles.iter().any(|role| !next.has_role(role)) {
            check_not_oneself(user, by)?;
        }
        if !next.is_administrator() && !force {
            self.check_not_last(user).await?;
        }
        if ends_sessions {
            self.sessions.revoke_all(user.id, now).await?;
        }
        check_done(self.users.replace(user, &next, force).await?)?;
        next.version += 1;
        for (kind, detail) in differences {
            self.audit.record(Event::new(kind, by).about(user.id).detail(detail), now).await;
        }
        if ends_sessions {
            self.revoke_begun_since(user.id, now).await;
        }
        Ok(next)
    }

    /// Changes the user with this id as [`change`](Self::change) does, whatever was changed since
    /// the caller looked.
    pub async fn change_present(
        &self,
        id: Uuid,
        change: &UserChange,
        by: &Initiator,
        now: Timestamp,
    ) -> Result<User, ChangeError> {
        let change = async |user: User| self.change(&user, change.clone(), by, now).await;
        self.on_present(id, change).await?.ok_or(ChangeError::Stale)
    }

    /// Gives the user with this id a role, defined or not, or takes it away; the last administrator
    /// loses it only by `force`. `false` where that is so already.
    pub async fn set_role(
        &self,
        id: Uuid,
        role: &str,
        has: bool,
        force: bool,
        by: &Initiator,
        now: Timestamp,
    ) -> Result<bool, ChangeError> {
        let change = async |user: User| {
            if user.has_role(role) == has {
                return Ok(false);
            }
            let mut roles = user.roles.clone();
            roles.retain(|present| present != role);
            roles.extend(has.then(|| role.to_owned()));
            // One that is there already may be of an earlier version.
            if has {
                roles = check_roles(&roles).map_err(ChangeError::Roles)?;
            }
            let change = UserChange { roles: Some(roles), force, ..UserChange::default() };
            self.change(&user, change, by, now).await.map(|_| true)
        };
        self.on_present(id, change).await?.ok_or(ChangeError::Stale)
    }

    /// Runs `change` on the user with this id as it is now, and again where another change preceded it.
    /// `None` when the user is gone.
    async fn on_present<T>(
        &self,
        id: Uuid,
        change: impl AsyncFn(User) -> Result<T, ChangeError>,
    ) -> Result<Option<T>, ChangeError> {
        for _ in 0..MAX_ATTEMPTS {
            let Some(user) = self.users.find(id).await? else { return Ok(None) };
            match change(user).await {
                Err(ChangeError::Stale) => {}
                done => return done.map(Some),
            }
        }
        Err(ChangeError::Stale)
    }

    /// Removes `user`, who is as it was read, and all sessions; the last administrator only by
    /// `force`.
    pub async fn remove(
        &self,
        user: &User,
        force: bool,
        by: &Initiator,
        now: Timestamp,
    ) -> Result<(), ChangeError> {
        check_not_oneself(user, by)?;
        self.remove_as_read(user, force, by, now).await
    }

    /// Removes `user`, who asked for it, and all sessions; not the last administrator. `Stale` where the
    /// account was disabled, or its sessions ended, since it was read: what showed that the user asks for
    /// it no longer counts.
    pub async fn leave(
        &self,
        user: &User,
        by: &Initiator,
        now: Timestamp,
    ) -> Result<(), ChangeError> {
        let leave = async |present: User| {
            let counts = present.is_in(Some(user.session_epoch));
            if counts {
                self.remove_as_read(&present, false, by, now).await?;
            }
            Ok(counts)
        };
        match self.on_present(user.id, leave).await? {
            Some(false) => Err(ChangeError::Stale),
            Some(true) | None => Ok(()),
        }
    }

    async fn remove_as_read(
        &self,
        user: &User,
        force: bool,
        by: &Initiator,
        now: Timestamp,
    ) -> Result<(), ChangeError> {
        if !force {
            self.check_not_last(user).await?;
        }
        self.sessions.revoke_all(user.id, now).await?;
        check_done(self.users.delete(user, force).await?)?;
        self.record(Kind::UserDeleted, user.id, by, now).await;
        self.revoke_begun_since(user.id, now).await;
        Ok(())
    }

    /// The live sessions of `user`, newest first.
    pub async fn sessions(&self, user: &User, now: Timestamp) -> Stored<Vec<Session>> {
        let mut sessions = self.sessions.list(user.id, now).await?;
        sessions.retain(|session| session.epoch == user.session_epoch);
        Ok(sessions)
    }

    /// Checks, before any session ends, that `user` is not the last administrator. That it holds at
    /// the moment of the change is for the change itself to guard.
    async fn check_not_last(&self, user: &User) -> Result<(), ChangeError> {
        match !user.is_administrator() || self.users.has_other_administrator(user).await? {
            true => Ok(()),
            false => Err(ChangeError::LastAdministrator),
        }
    }
}

fn check_not_oneself(user: &User, by: &Initiator) -> Result<(), ChangeError> {
    match by.is_user(user.id) {
        true => Err(ChangeError::Oneself),
        false => Ok(()),
    }
}

fn check_done(done: Changed) -> Result<(), ChangeError> {
    match done {
        Changed::Done => Ok(()),
        Changed::Stale => Err(ChangeError::Stale),
        Changed::LastAdministrator => Err(ChangeError::LastAdministrator),
    }
}

/// The events that record how `next` differs: names of fields and roles, and nothing of a person.
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

    #[test]
    fn a_new_address_has_to_be_proven_anew() {
        let email = |text: &str| Some(Email::parse(text).unwrap());
        let (hash, at) = (Secret::new(String::new()), Timestamp::from_unix);
        let user =
            User::new(Uuid::nil(), &email("Ann@example.com").unwrap(), None, hash, vec![], at(0));
        let proven = User { email_verified_at: Some(at(1)), ..user };
        let of = |change: UserChange| {
            change.applied_to(&proven, at(5)).email_verified_at.map(Timestamp::as_unix)
        };
        assert_eq!(of(UserChange::default()), Some(1));
        let spelling = UserChange { email: email("ann@example.com"), ..UserChange::default() };
        assert_eq!(of(spelling), Some(1));
        let other = UserChange { email: email("eve@example.com"), ..UserChange::default() };
        assert_eq!(of(other.clone()), None);
        assert_eq!(of(UserChange { email_verified: Some(true), ..other }), Some(5));
        let unproven = UserChange { email_verified: Some(false), ..UserChange::default() };
        assert_eq!(of(unproven), None);
    }
}

//! Changes to whole accounts, across users, sessions, mail and audit: sign-up, a new password,
//! another address, and what administrators do. Invariant: the change in the users' table raises
//! the session epoch in the same step, so no earlier session is ever refreshed again; the
//! sessions' records are deleted before and after it, so that introspection sees the end as well.

mod addresses;
mod own;
mod proofs;
mod recovery;
mod signups;

pub mod administration;
pub mod import;
pub(crate) mod merge_patch;
use uuid::Uuid;

use crate::base::random::Random;
use crate::base::secret::Secret;
use crate::base::time::Timestamp;
use crate::domain::audit::{Audit, Event, Initiator, Kind};
use crate::domain::login_limits::LoginLimits;
use crate::domain::outbox::Outbox;
use crate::domain::sessions::Sessions;
use crate::domain::users::{Email, User, UserStore, email};
use crate::storage::{Db, Stored};

pub(crate) use own::SelfService;
pub(crate) use proofs::{Evidence, Provable, Voucher};
pub(crate) use recovery::Resettable;

/// The accounts of this service. Cheap to clone.
#[derive(Clone)]
pub struct Accounts {
    db: Db,
    users: UserStore,
    sessions: Sessions,
    outbox: Outbox,
    audit: Audit,
    random: Random,
}

impl Accounts {
    /// Accounts over these stores, all but the sessions in `db`.
    pub fn new(
        db: Db,
        users: UserStore,
        sessions: Sessions,
        outbox: Outbox,
        audit: Audit,
        random: Random,
    ) -> Self {
        Self { db, users, sessions, outbox, audit, random }
    }

    /// A new active user without roles, whose address is not proven.
    pub fn new_user(
        &self,
        email: &Email,
        name: Option<String>,
        password_hash: Secret<String>,
        now: Timestamp,
    ) -> User {
        User::new(self.random.uuid_at(now), email, name, password_hash, Vec::new(), now)
    }

    /// Stores a new user; `Conflict` when the address is taken, also by a request a moment earlier.
    pub async fn create(&self, user: User, by: &Initiator) -> Stored<User> {
        self.users.create(&user).await?;
        let roles = (!user.roles.is_empty()).then(|| format!("roles {}", user.roles.join(" ")));
        let event = Event::new(Kind::UserCreated, by).about(user.id).detail(roles);
        self.audit.record(event).await;
        Ok(user)
    }

    /// Changes the password on behalf of `user` and ends all sessions. `false` when the account has
    /// changed since `user` was read: that change stands.
    pub async fn change_password(
        &self,
        user: &User,
        hash: &Secret<String>,
        by: &Initiator,
    ) -> Stored<bool> {
        let change = self.users.set_password(user.id, hash, Some(user.session_epoch), by.at);
        self.ending_sessions(change, Kind::PasswordChanged, user.id, by).await
    }

    /// Sets a new password for `user`, ends all sessions and forgets the wrong passwords. `false`
    /// when the user is gone.
    pub async fn set_password(
        &self,
        user: &User,
        hash: &Secret<String>,
        attempts: &LoginLimits,
        by: &Initiator,
    ) -> Stored<bool> {
        let change = self.users.set_password(user.id, hash, None, by.at);
        let done = self.ending_sessions(change, Kind::PasswordChanged, user.id, by).await?;
        if done {
            forget_failures(attempts, user, by.at).await;
        }
        Ok(done)
    }

    /// Forgets the wrong passwords of `user`, whose next login need not wait.
    pub async fn unlock(&self, user: &User, attempts: &LoginLimits, by: &Initiator) -> Stored<()> {
        unlock(attempts, user, by.at).await?;
        self.record(Kind::UserUnlocked, user.id, by).await;
        Ok(())
    }

    /// Ends all sessions of the user. `false` when there is no such user.
    pub async fn end_sessions(&self, id: Uuid, by: &Initiator) -> Stored<bool> {
        self.ending_sessions(self.users.end_sessions(id), Kind::SessionsRevoked, id, by).await
    }

    /// Ends all sessions of the user but the one with that `sid`, which a request has just shown to
    /// be live; how many those were. The epoch stands, for it would end that one too.
    pub async fn end_other_sessions(&self, id: Uuid, sid: Uuid, by: &Initiator) -> Stored<u64> {
        let ended = self.sessions.revoke_others(id, sid, by.at).await?;
        if ended > 0 {
            self.record(Kind::OtherSessionsRevoked, id, by).await;
        }
        Ok(ended)
    }

    /// Ends one session of the user. `false` when the user has no session of this id.
    pub async fn end_session(&self, id: Uuid, sid: Uuid, by: &Initiator) -> Stored<bool> {
        let done = self.sessions.revoke(id, sid, by.at).await?;
        if done {
            let event = Event::new(Kind::SessionRevoked, by).about(id).detail(sid.to_string());
            self.audit.record(event).await;
        }
        Ok(done)
    }

    /// Makes `change`, which raises the epoch, between two removals of the sessions' records. The
    /// first finds out whether the session store answers while nothing has happened yet; the
    /// second takes what a login under way has begun in between.
    async fn ending_sessions(
        &self,
        change: impl Future<Output = Stored<bool>>,
        kind: Kind,
        id: Uuid,
        by: &Initiator,
    ) -> Stored<bool> {
        self.sessions.revoke_all(id, by.at).await?;
        if !change.await? {
            return Ok(false);
        }
        self.record(kind, id, by).await;
        self.revoke_begun_since(id, by.at).await;
        Ok(true)
    }

    async fn revoke_begun_since(&self, id: Uuid, now: Timestamp) {
        if let Err(error) = self.sessions.revoke_begun(id, now).await {
            // The change stands and refreshing is over; at worst an access token of a moment ago
            // looks alive to introspection until it expires.
            tracing::error!(user = %id, %error, "sessions begun during the change were not removed");
        }
    }

    async fn record(&self, kind: Kind, subject: Uuid, by: &Initiator) {
        self.audit.record(Event::new(kind, by).about(subject)).await;
    }
}

/// Forgets the wrong passwords of `user`, who has a new one. The new password stands even where this
/// fails: at worst the next login has to wait.
async fn forget_failures(attempts: &LoginLimits, user: &User, now: Timestamp) {
    if let Err(error) = unlock(attempts, user, now).await {
        tracing::warn!(user = %user.id, %error, "wrong passwords were not forgotten");
    }
}

async fn unlock(attempts: &LoginLimits, user: &User, now: Timestamp) -> Stored<()> {
    attempts.unlock(&attempts.names().account(&email::key_of(&user.email)), now).await
}

//! What happens to a whole account, across users, sessions, mail and audit: sign-up, a new
//! password, another address, disabling, removal. Invariant: the change in the users' table raises
//! the session epoch in the same step, so no session of before it is ever refreshed again; the
//! sessions' records go before and after it, so that introspection knows at once as well.

mod addresses;
mod limits;
mod proofs;
mod recovery;
mod signups;

pub mod administration;
pub mod merge_patch;
pub mod roles;

pub mod import;

use uuid::Uuid;

use crate::base::random::Random;
use crate::base::secret::Secret;
use crate::base::time::Timestamp;
use crate::domain::audit::{Actor, Audit, By, Kind};
use crate::domain::mail::Outbox;
use crate::domain::sessions::Sessions;
use crate::domain::users::{Email, Metadata, User, UserStore};
use crate::storage::{Db, StorageError};

pub use crate::domain::users::store::{Filter, Page};
pub use limits::AccountLimits;
pub use proofs::{Provable, Voucher};
pub use recovery::Resettable;
pub use roles::{Roles, RolesError};
pub use signups::NewSignup;

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

/// A checked request for an account.
pub struct NewAccount {
    /// The login name.
    pub email: Email,
    /// The display name.
    pub name: Option<String>,
    /// A PHC string.
    pub password_hash: Secret<String>,
    /// Role names.
    pub roles: Vec<String>,
    /// Whether the address is known to be the user's.
    pub email_verified: bool,
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

    /// Makes an account; `Conflict` when the address is taken, also by somebody a moment faster.
    pub async fn create(
        &self,
        new: NewAccount,
        by: By<'_>,
        now: Timestamp,
    ) -> Result<User, StorageError> {
        let user = self.new_user(new, now);
        self.users.create(&user).await?;
        self.record(Kind::UserCreated, user.id, by, now).await;
        Ok(user)
    }

    fn new_user(&self, new: NewAccount, now: Timestamp) -> User {
        let NewAccount { email, name, password_hash, roles, email_verified } = new;
        let id = self.random.uuid_at(now);
        let user = User::new(id, &email, name, password_hash, roles, now);
        User { email_verified_at: email_verified.then_some(now), ..user }
    }

    /// Sets a new password and ends all sessions. `false` when there is no such user.
    pub async fn set_password(
        &self,
        id: Uuid,
        hash: &Secret<String>,
        by: By<'_>,
        now: Timestamp,
    ) -> Result<bool, StorageError> {
        self.ending_sessions(
            self.users.set_password(id, hash, now),
            Kind::PasswordChanged,
            id,
            by,
            now,
        )
        .await
    }

    /// Changes the password on behalf of `user` and ends all sessions. `false` when the account has
    /// changed since `user` was read: whoever did that has the last word.
    pub async fn change_password(
        &self,
        user: &User,
        hash: &Secret<String>,
        by: By<'_>,
        now: Timestamp,
    ) -> Result<bool, StorageError> {
        let change = self.users.change_password(user, hash, now);
        self.ending_sessions(change, Kind::PasswordChanged, user.id, by, now).await
    }

    /// A page of the users that `filter` lets through, those after the address key `after` first.
    pub async fn page(
        &self,
        filter: &Filter,
        after: &str,
        limit: u32,
    ) -> Result<Page, StorageError> {
        self.users.page(filter, after, limit).await
    }

    /// Up to `limit` users whose address key comes after `after`, in order.
    pub async fn list(&self, after: &str, limit: i64) -> Result<Vec<User>, StorageError> {
        self.users.list(after, limit).await
    }

    /// Changes the display name. `false` when there is no such user.
    pub async fn set_name(
        &self,
        id: Uuid,
        name: Option<&str>,
        by: By<'_>,
        now: Timestamp,
    ) -> Result<bool, StorageError> {
        let done = self.users.set_name(id, name, now).await?;
        if done {
            // Users may call themselves what they like, as often as the limit allows: that is
            // logged and fills no table.
            let own = matches!(by.actor, Actor::User(actor) if actor == id);
            let kind = if own { Kind::OwnNameChanged } else { Kind::UserChanged };
            self.record(kind, id, by, now).await;
        }
        Ok(done)
    }

    /// Puts `metadata` in place of the user's. `false` when the account has changed since `user` was
    /// read.
    pub async fn set_metadata(
        &self,
        user: &User,
        metadata: &Metadata,
        by: By<'_>,
        now: Timestamp,
    ) -> Result<bool, StorageError> {
        let done = self.users.replace_metadata(user, metadata, now).await?;
        if done {
            self.record(Kind::UserChanged, user.id, by, now).await;
        }
        Ok(done)
    }

    /// Disables the user and ends all sessions. `false` when there is nobody to disable.
    pub async fn disable(
        &self,
        id: Uuid,
        by: By<'_>,
        now: Timestamp,
    ) -> Result<bool, StorageError> {
        self.ending_sessions(self.users.disable(id, now), Kind::UserDisabled, id, by, now).await
    }

    /// Lets the user sign in again. `false` when nobody by that id was disabled.
    pub async fn enable(&self, id: Uuid, by: By<'_>, now: Timestamp) -> Result<bool, StorageError> {
        let done = self.users.enable(id, now).await?;
        if done {
            self.record(Kind::UserEnabled, id, by, now).await;
        }
        Ok(done)
    }

    /// Records that the user's wrong passwords were forgotten.
    pub async fn unlocked(&self, id: Uuid, by: By<'_>, now: Timestamp) {
        self.record(Kind::UserUnlocked, id, by, now).await;
    }

    /// Ends all sessions of the user. `false` when there is no such user.
    pub async fn end_sessions(
        &self,
        id: Uuid,
        by: By<'_>,
        now: Timestamp,
    ) -> Result<bool, StorageError> {
        self.ending_sessions(self.users.end_sessions(id), Kind::SessionsRevoked, id, by, now).await
    }

    /// Ends all sessions of the user but the one with that `sid`, which a request has just shown to
    /// be live; how many those were. The epoch stands, for it would end that one too.
    pub async fn end_other_sessions(
        &self,
        id: Uuid,
        sid: Uuid,
        by: By<'_>,
        now: Timestamp,
    ) -> Result<u64, StorageError> {
        let ended = self.sessions.revoke_others(id, sid, now).await?;
        if ended > 0 {
            self.record(Kind::OtherSessionsRevoked, id, by, now).await;
        }
        Ok(ended)
    }

    /// Ends one session of the user. `false` when there is none such.
    pub async fn end_session(
        &self,
        id: Uuid,
        sid: Uuid,
        by: By<'_>,
        now: Timestamp,
    ) -> Result<bool, StorageError> {
        let done = self.sessions.revoke(id, sid, now).await?;
        if done {
            self.tell(Kind::SessionRevoked, id, Some(sid.to_string()), &by, now).await;
        }
        Ok(done)
    }

    /// Removes the user and ends all sessions. `false` when there is no such user.
    pub async fn delete(&self, id: Uuid, by: By<'_>, now: Timestamp) -> Result<bool, StorageError> {
        self.ending_sessions(self.users.delete(id), Kind::UserDeleted, id, by, now).await
    }

    /// Makes `change`, which raises the epoch, between two removals of the sessions' records. The
    /// first finds out whether the session store answers while nothing has happened yet; the
    /// second takes what a login under way has begun in between.
    async fn ending_sessions(
        &self,
        change: impl Future<Output = Result<bool, StorageError>>,
        kind: Kind,
        id: Uuid,
        by: By<'_>,
        now: Timestamp,
    ) -> Result<bool, StorageError> {
        self.sessions.revoke_all(id, now).await?;
        if !change.await? {
            return Ok(false);
        }
        self.record(kind, id, by, now).await;
        self.revoke_begun_meanwhile(id, now).await;
        Ok(true)
    }

    async fn revoke_begun_meanwhile(&self, id: Uuid, now: Timestamp) {
        if let Err(error) = self.sessions.revoke_begun(id, now).await {
            // The change stands and refreshing is over; at worst an access token of a moment ago
            // looks alive to introspection until it ends by itself.
            tracing::error!(user = %id, %error, "sessions begun meanwhile were not removed");
        }
    }

    async fn record(&self, kind: Kind, subject: Uuid, by: By<'_>, now: Timestamp) {
        self.tell(kind, subject, None, &by, now).await;
    }
}

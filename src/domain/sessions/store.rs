//! The session store: it keeps records, changes each in one atomic step, decides nothing and reads no
//! clock. Sessions live in one of two engines, SQL or Redis.
//!
//! For every method: an engine that does not answer gives `StorageError::Unavailable`, never an
//! empty result; whether an unanswered change was made is then unknown, and callers allow for both. A
//! future that is dropped half-way leaves a whole change or none.

use uuid::Uuid;

use super::read::{Held, Page, PageError};
use super::store_redis::RedisStore;
use super::store_sql::SqlStore;
use super::{Policy, Session};
use crate::base::time::Timestamp;
use crate::domain::revocations::EndedSession;
use crate::storage::Stored;

pub(super) enum Store {
    Sql(SqlStore),
    Redis(Box<RedisStore>),
}

/// The methods of the store, each of which both engines have under the same name.
macro_rules! engine_methods {
    ($($(#[$doc:meta])* fn $name:ident($($argument:ident: $type:ty),*) -> $output:ty;)*) => {
        impl Store {
            $(
                $(#[$doc])*
                pub(super) async fn $name(&self, $($argument: $type),*) -> $output {
                    match self {
                        Self::Sql(store) => store.$name($($argument),*).await,
                        Self::Redis(store) => store.$name($($argument),*).await,
                    }
                }
            )*
        }
    };
}

engine_methods! {
    /// Returns the session of that user with that `sid`, expired or not, in one round trip.
    fn load(user_id: Uuid, sid: Uuid) -> Stored<Option<Held>>;

    /// Returns the same session unless the access token `jti` is revoked, in one round trip.
    fn load_for_token(user_id: Uuid, sid: Uuid, jti: &str) -> Stored<Option<Session>>;

    fn is_token_revoked(subject: &str, jti: &str) -> Stored<bool>;

    /// Returns the user's sessions that have not expired in the store, newest first.
    fn list(user_id: Uuid, now: Timestamp) -> Stored<Vec<Session>>;

    /// Returns about `limit` of the sessions of all users that have not expired. The pages from the
    /// first to the last contain every session that was there all the time; in SQL once, in Redis
    /// rarely twice.
    fn page(from: Option<&str>, limit: u32, now: Timestamp) -> Result<Page, PageError>;

    /// Adds a session with a new `sid`. When all concurrent calls have returned, the user has at most
    /// `policy.max_per_user` live sessions: each call deletes the oldest others, never its own, and
    /// returns them.
    fn insert(session: &Session, policy: &Policy, now: Timestamp) -> Stored<Vec<EndedSession>>;

    /// Replaces `held` by `next` if it is still there and unchanged; `false` if not. Of many
    /// concurrent calls with the same `held`, exactly one succeeds; beside a deletion, either this
    /// fails or the deletion removes `next`.
    fn compare_and_swap(
        held: &Held, next: &Session, expires_at: Timestamp, now: Timestamp
    ) -> Stored<bool>;

    /// Deletes one session, whatever its state; returns whether it was there.
    fn delete(user_id: Uuid, sid: Uuid) -> Stored<bool>;

    /// Deletes all sessions of a user in one step, except `kept`; returns those it deleted.
    fn delete_all(user_id: Uuid, kept: Option<Uuid>) -> Stored<Vec<Uuid>>;

    /// Remembers until `expires_at` that the access token `jti` of `subject` is revoked.
    fn revoke_token(
        subject: &str, jti: &str, expires_at: Timestamp, now: Timestamp
    ) -> Stored<()>;

    fn check_health() -> Stored<()>;
}

impl Store {
    /// Removes at most `limit` records that have expired by `now`; returns how many. Redis expires
    /// its records without help.
    pub(super) async fn purge(&self, now: Timestamp, limit: u32) -> Stored<u64> {
        match self {
            Self::Sql(store) => store.purge(now, limit).await,
            Self::Redis(_) => Ok(0),
        }
    }

    /// Returns `None` where the store has kept all writes since its lineage was last set; else the
    /// name of the lineage that it has now. SQL loses nothing that the database keeps, and has none.
    pub(super) async fn lineage(&self) -> Stored<Option<String>> {
        match self {
            Self::Sql(_) => Ok(None),
            Self::Redis(store) => store.lineage().await,
        }
    }

    pub(super) async fn set_lineage(&self, lineage: &str) -> Stored<()> {
        match self {
            Self::Sql(_) => Ok(()),
            Self::Redis(store) => store.set_lineage(lineage).await,
        }
    }
}

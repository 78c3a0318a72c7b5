//! What a session store must do, and no more: keep records and change each in one atomic step. It
//! decides nothing and reads no clock. Two engines that differ in kind fulfil it: SQL and Redis.
//!
//! For every method: an engine that does not answer gives [`StorageError::Unavailable`], never an
//! empty result; whether a change that was not answered has happened is then unknown, and the
//! callers bear both. A future that is dropped half-way leaves a whole change or none.

use futures_util::future::BoxFuture;
use uuid::Uuid;

use super::{Policy, Session};
use crate::base::time::Timestamp;
use crate::domain::revocations::EndedSession;
use crate::storage::StorageError;

/// What a store's method gives, in time.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, StorageError>>;

/// A session as it was read, with what its store needs to find it unchanged.
#[derive(Debug)]
pub struct Held {
    /// The session.
    pub session: Session,
    /// The record word for word, for a store that compares records; otherwise empty.
    pub record: Vec<u8>,
}

/// A part of all sessions.
#[derive(Debug, Default)]
pub struct Page {
    /// Those of this part; there may be none where others follow.
    pub sessions: Vec<Session>,
    /// Where the next part begins, in the store's own words.
    pub next: Option<String>,
}

/// Why there is no such part.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// The place is none that this store gave out.
    #[error("the cursor is not one that was given here")]
    Cursor,
    /// The store finds sessions by their user alone.
    #[error("sessions in a Redis Cluster can only be listed by user: give user_id")]
    OnlyByUser,
    /// The store.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Keeps sessions and remembers revoked access tokens.
pub trait SessionStore: Send + Sync {
    /// The session of that user with that `sid`, expired or not; one round trip.
    fn load(&self, user_id: Uuid, sid: Uuid) -> Answer<'_, Option<Held>>;

    /// The same session, unless the access token `jti` is revoked: then `None`; one round trip.
    fn load_for_token<'a>(
        &'a self,
        user_id: Uuid,
        sid: Uuid,
        jti: &'a str,
    ) -> Answer<'a, Option<Session>>;

    /// Whether the access token `jti` of `subject` is revoked.
    fn is_token_revoked<'a>(&'a self, subject: &'a str, jti: &'a str) -> Answer<'a, bool>;

    /// The user's sessions that have not expired in the store, newest first.
    fn list(&self, user_id: Uuid, now: Timestamp) -> Answer<'_, Vec<Session>>;

    /// A part of the sessions of all users that have not expired, about `limit` of them. Who goes from
    /// the first part to the last has seen every session that was there all the time; SQL shows each
    /// once, Redis seldom one twice.
    fn page<'a>(
        &'a self,
        from: Option<&'a str>,
        limit: u32,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Page, PageError>>;

    /// Adds a session with a new `sid`. When all calls have answered, the user has at most
    /// `policy.max_per_user` live sessions: each call deletes the oldest others, never its own, and
    /// returns them.
    fn insert<'a>(
        &'a self,
        session: &'a Session,
        policy: &'a Policy,
        now: Timestamp,
    ) -> Answer<'a, Vec<EndedSession>>;

    /// Puts `next` in the place of `held` if that is still there and unchanged; `false` if not.
    /// Of many at once with the same `held`, exactly one succeeds; beside a deletion, either this
    /// fails or the deletion removes `next`.
    fn compare_and_swap<'a>(
        &'a self,
        held: &'a Held,
        next: &'a Session,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Answer<'a, bool>;

    /// Deletes one session, whatever its state; whether it was there.
    fn delete(&self, user_id: Uuid, sid: Uuid) -> Answer<'_, bool>;

    /// Deletes all sessions of a user, but for the one to be kept, which it does not touch; which it
    /// deleted. One step: whatever was there before is gone after it.
    fn delete_all(&self, user_id: Uuid, kept: Option<Uuid>) -> Answer<'_, Vec<Uuid>>;

    /// Remembers until `expires_at` that the access token `jti` of `subject` is revoked.
    fn revoke_token<'a>(
        &'a self,
        subject: &'a str,
        jti: &'a str,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Answer<'a, ()>;

    /// Removes at most `limit` records that have expired by `now`; how many it removed. A store
    /// that forgets by itself has nothing to do.
    fn purge(&self, now: Timestamp, limit: u32) -> Answer<'_, u64>;

    /// `None` where the store has held what it was told without a break since it was last given the
    /// name of its lineage; else that name, as it is now. A store that loses nothing which the
    /// database keeps has none.
    fn lineage(&self) -> Answer<'_, Option<String>>;

    /// Gives the store the name of its lineage.
    fn set_lineage<'a>(&'a self, lineage: &'a str) -> Answer<'a, ()>;

    /// Whether the store answers, and keeps what it is given.
    fn check_health(&self) -> Answer<'_, ()>;
}

//! Sessions: one login, one family of refresh tokens, one small record (RFC 6749 section 6,
//! RFC 9700 section 4.14), and the access tokens revoked before their time (RFC 7009).
//!
//! A refresh is two calls: `open_rotation` decides, and `commit` stores the decision by one
//! compare-and-swap after everything that can fail has been done. Invariant: whatever runs
//! concurrently or is cut off, the current generation is advanced once, and a revoked session, which is
//! a deleted one, has no live successor. A session that is revoked is published on the feed before it is
//! deleted: cut off in between, it is refused for as long as the feed names it. Sessions that a login
//! ends beyond the limit are published after that, and before the login is answered.

mod login;
mod policy;
mod read;
mod revoked_token;
mod rotation;
mod session;
mod store;
mod store_redis;
mod store_sql;

use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};
use uuid::Uuid;

pub use login::{Login, SessionKind};
pub use policy::{Policy, Recovery};
pub(crate) use read::Page;
pub use read::PageError;
pub use rotation::{Advance, Refusal};
pub use session::{NewSession, Origin, Session};

use crate::base::random::time_of;
use crate::base::time::Timestamp;
use crate::domain::revocations::{EndedSession, Entry, Revocations, Revoked};
use crate::storage::redis::Redis;
use crate::storage::{Db, StorageError, Stored};
use read::Held;
use rotation::Decision;
use store::Store;
use store_redis::RedisStore;
use store_sql::SqlStore;

const MAX_CONCURRENT_RESTORES: usize = 64;

/// All sessions. Cheap to clone.
#[derive(Clone)]
pub struct Sessions {
    store: Arc<Store>,
    policy: Arc<Policy>,
    revocations: Revocations,
}

/// A decision to answer a refresh token with its successor. Only [`Sessions::open_rotation`] makes one,
/// and only [`Sessions::commit`] stores it.
#[must_use = "nothing is rotated before the commit"]
#[derive(Debug)]
pub struct Rotation {
    held: Held,
    /// `None` for a replay, which changes nothing.
    change: Option<(Session, Advance)>,
}

impl Rotation {
    /// The session, if it is live.
    pub fn session(&self) -> &Session {
        self.change.as_ref().map_or(&self.held.session, |(next, _)| next)
    }

    /// The generation of the refresh token to give out.
    pub fn next_generation(&self) -> u64 {
        self.session().current
    }

    /// The rotation with the place that asked for it. A replay, which changes nothing, stores no place.
    pub fn asked_from(mut self, origin: Origin) -> Self {
        if let Some((next, _)) = &mut self.change {
            next.origin = origin;
        }
        self
    }

    /// Why the session advances; `None` for a replay, which changes nothing.
    pub fn advance(&self) -> Option<Advance> {
        self.change.as_ref().map(|(_, advance)| *advance)
    }
}

/// What a live access token depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Live {
    /// The epoch of its session, to compare with the user's; `None` for a client's own token.
    pub epoch: Option<i64>,
}

/// Why a refresh token is not exchanged.
#[derive(Debug, thiserror::Error)]
pub enum RotationError {
    /// The token is not good; the session, if there is one, is unchanged.
    #[error("the refresh token is not good: {}", .0.as_str())]
    Invalid(Refusal),
    /// The token had been displaced, so another party may hold its family; the session has been ended.
    #[error("a displaced refresh token was presented")]
    Reuse(Box<Session>),
    /// The store failed; the token may still be good.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Why a rotation was not stored.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The session was changed or ended concurrently: open the rotation once more.
    #[error("the session was changed concurrently")]
    LostRace,
    /// The store failed; the token may still be good.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl Sessions {
    /// Sessions in the SQL database.
    pub fn in_sql(db: Db, revocations: Revocations, policy: Policy) -> Self {
        Self::new(Store::Sql(SqlStore(db)), revocations, policy)
    }

    /// Sessions in Redis.
    pub fn in_redis(redis: Redis, revocations: Revocations, policy: Policy) -> Self {
        Self::new(Store::Redis(Box::new(RedisStore::new(redis))), revocations, policy)
    }

    fn new(store: Store, revocations: Revocations, policy: Policy) -> Self {
        Self { store: Arc::new(store), policy: Arc::new(policy), revocations }
    }

    pub(crate) fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Begins a session, and ends the user's oldest ones beyond the limit. The first refresh token of the
    /// session has the generation [`NewSession::FIRST_GENERATION`].
    pub async fn start(&self, new: NewSession, now: Timestamp) -> Stored<Session> {
        let (session, sessions) = (new.begin(now), self.clone());
        // On a task of its own: a caller who goes away would leave ended sessions unpublished.
        let started = tokio::spawn(async move {
            let ended = sessions.store.insert(&session, &sessions.policy, now).await?;
            sessions.revocations.record_sessions(session.user_id, &ended, now).await?;
            Ok(session)
        });
        started.await.map_err(|error| StorageError::Internal(error.into()))?
    }

    /// Decides what a genuine refresh token of that session and generation is worth. Reuse ends the
    /// session before this returns. The user's account and epoch are the caller's to check.
    pub async fn open_rotation(
        &self,
        user_id: Uuid,
        sid: Uuid,
        generation: u64,
        client_id: &str,
        now: Timestamp,
    ) -> Result<Rotation, RotationError> {
        let Some(held) = self.store.load(user_id, sid).await? else {
            return Err(RotationError::Invalid(Refusal::Unknown));
        };
        if self.revocations.has_session(sid) {
            // A store that lost its last writes brought it back, or its revocation is under way.
            self.store.delete(user_id, sid).await?;
            return Err(RotationError::Invalid(Refusal::Unknown));
        }
        match rotation::decide(&held.session, generation, client_id, now, &self.policy) {
            Decision::Advance { next, advance } => {
                Ok(Rotation { held, change: Some((next, advance)) })
            }
            Decision::Replay => Ok(Rotation { held, change: None }),
            Decision::Refuse(refusal) => Err(RotationError::Invalid(refusal)),
            Decision::Reuse => {
                // However far the session has advanced concurrently, this token stays displaced.
                self.publish(&held.session, now).await?;
                self.store.delete(user_id, sid).await?;
                Err(RotationError::Reuse(Box::new(held.session)))
            }
        }
    }

    /// Stores `rotation`. The last step of a refresh: only the answer can be lost after it.
    pub async fn commit(&self, rotation: Rotation, now: Timestamp) -> Result<(), CommitError> {
        let Rotation { held, change: Some((next, _)) } = rotation else { return Ok(()) };
        let expires_at = next.expires_at(&self.policy);
        if self.store.compare_and_swap(&held, &next, expires_at, now).await? {
            Ok(())
        } else {
            Err(CommitError::LostRace)
        }
    }

    /// The session of the user with this `sid`, unless it has expired.
    pub async fn find(&self, user_id: Uuid, sid: Uuid, now: Timestamp) -> Stored<Option<Session>> {
        let session = self.store.load(user_id, sid).await?.map(|held| held.session);
        Ok(session.filter(|session| !session.is_expired(&self.policy, now)))
    }

    /// The user's live sessions, newest first.
    pub async fn list(&self, user_id: Uuid, now: Timestamp) -> Stored<Vec<Session>> {
        let mut sessions = self.store.list(user_id, now).await?;
        sessions.retain(|session| !session.is_expired(&self.policy, now));
        Ok(sessions)
    }

    /// A page of the live sessions of all users, about `limit` of them, for administrators. `from` is
    /// the `next` of the previous page.
    pub async fn page(
        &self,
        from: Option<&str>,
        limit: u32,
        now: Timestamp,
    ) -> Result<Page, PageError> {
        let mut page = self.store.page(from, limit, now).await?;
        page.sessions.retain(|session| !session.is_expired(&self.policy, now));
        Ok(page)
    }

    /// Ends a session; returns whether there was one.
    pub async fn revoke(&self, user_id: Uuid, sid: Uuid, now: Timestamp) -> Stored<bool> {
        if let Some(session) = self.find(user_id, sid, now).await? {
            self.publish(&session, now).await?;
        }
        self.store.delete(user_id, sid).await
    }

    /// Ends all sessions of a user, and all tokens issued until now; returns how many sessions there
    /// were. A login under way may still begin one: raise the user's epoch after this, then call
    /// [`Sessions::revoke_begun`].
    pub async fn revoke_all(&self, user_id: Uuid, now: Timestamp) -> Stored<u64> {
        let listed = self.listed(user_id, None, now).await?;
        let sids = listed.iter().map(|ended| ended.sid);
        self.revocations.record_user(user_id, sids, now).await?;
        self.delete_all(user_id, None, &listed, now).await
    }

    /// Ends the sessions that were begun since [`Sessions::revoke_all`].
    pub async fn revoke_begun(&self, user_id: Uuid, now: Timestamp) -> Stored<()> {
        let listed = self.listed(user_id, None, now).await?;
        self.revocations.record_sessions(user_id, &listed, now).await?;
        self.delete_all(user_id, None, &listed, now).await.map(drop)
    }

    /// Ends all sessions of a user except the one with that `sid`; returns how many. A session that
    /// begins concurrently may live on.
    pub async fn revoke_others(&self, user_id: Uuid, sid: Uuid, now: Timestamp) -> Stored<u64> {
        let listed = self.listed(user_id, Some(sid), now).await?;
        self.revocations.record_sessions(user_id, &listed, now).await?;
        self.delete_all(user_id, Some(sid), &listed, now).await
    }

    async fn listed(
        &self,
        user_id: Uuid,
        kept: Option<Uuid>,
        now: Timestamp,
    ) -> Stored<Vec<EndedSession>> {
        let sessions = self.store.list(user_id, now).await?;
        let others = sessions.iter().filter(|session| Some(session.sid) != kept);
        Ok(others.map(|session| session.ended(&self.policy, now)).collect())
    }

    /// Deletes the sessions, of which those `listed` are published already.
    async fn delete_all(
        &self,
        user_id: Uuid,
        kept: Option<Uuid>,
        listed: &[EndedSession],
        now: Timestamp,
    ) -> Stored<u64> {
        let deleted = self.store.delete_all(user_id, kept).await?;
        let count = deleted.len() as u64;
        let is_listed = |sid: &Uuid| listed.iter().any(|ended| ended.sid == *sid);
        let begun_since = deleted.into_iter().filter(|sid| !is_listed(sid));
        let begun_since = begun_since.map(|sid| EndedSession { sid, last_issue: now });
        let begun_since: Vec<_> = begun_since.collect();
        self.revocations.record_sessions(user_id, &begun_since, now).await?;
        Ok(count)
    }

    /// Publishes the end of a session whose record is gone, unless it is published already or all its
    /// access tokens have expired.
    pub async fn record_lost(&self, user_id: Uuid, sid: Uuid, now: Timestamp) -> Stored<()> {
        // An identifier without a time in it does not show when its session began.
        let started_at = time_of(sid).unwrap_or(now);
        let ends_at = started_at.plus(self.policy.absolute_lifetime);
        self.revocations.record_lost_session(user_id, sid, ends_at, now).await
    }

    async fn publish(&self, session: &Session, now: Timestamp) -> Stored<()> {
        let ended = [session.ended(&self.policy, now)];
        self.revocations.record_sessions(session.user_id, &ended, now).await
    }

    /// What an access token, otherwise good, depends on; `None` where the token has been revoked or its
    /// session is over. One round trip to the store.
    pub async fn find_live(
        &self,
        subject: &str,
        sid: Option<Uuid>,
        jti: &str,
        now: Timestamp,
    ) -> Stored<Option<Live>> {
        let Some(sid) = sid else {
            let revoked = self.store.is_token_revoked(subject, jti).await?;
            return Ok((!revoked).then_some(Live { epoch: None }));
        };
        // Only users have sessions, and a user's subject is their id.
        let Ok(user_id) = Uuid::parse_str(subject) else { return Ok(None) };
        let session = self.store.load_for_token(user_id, sid, jti).await?;
        let session = session.filter(|session| !session.is_expired(&self.policy, now));
        Ok(session.map(|session| Live { epoch: Some(session.epoch) }))
    }

    /// Whether the store has kept its writes since revocations were last written back to it; if not,
    /// call [`Sessions::restore`].
    pub async fn is_restored(&self) -> Stored<bool> {
        Ok(self.store.lineage().await?.is_none())
    }

    /// Writes revocations back to a store that lost its last writes. The caller must have read the
    /// revocations from the database since the loss.
    pub async fn restore(&self, now: Timestamp) -> Stored<()> {
        let Some(lineage) = self.store.lineage().await? else { return Ok(()) };
        let entries = self.revocations.entries(now);
        let restored = stream::iter(entries).map(Ok).try_for_each_concurrent(
            MAX_CONCURRENT_RESTORES,
            |Entry { revoked, expires_at }| async move {
                match revoked {
                    Revoked::Session { sid, user_id } | Revoked::Ended { sid, user_id } => {
                        self.store.delete(user_id, sid).await.map(drop)
                    }
                    Revoked::Token(token) => {
                        self.store.revoke_token(&token.subject, &token.jti, expires_at, now).await
                    }
                    // These revocations act by time and are checked elsewhere.
                    Revoked::Subject { .. } | Revoked::Client { .. } | Revoked::Key { .. } => {
                        Ok(())
                    }
                }
            },
        );
        restored.await?;
        self.store.set_lineage(&lineage).await
    }

    /// Removes at most `limit` expired records; returns how many. When it is `limit`, there may be more.
    pub async fn purge(&self, now: Timestamp, limit: u32) -> Stored<u64> {
        self.store.purge(now, limit).await
    }

    /// Whether the store answers and can be relied on to keep what it is given.
    pub async fn check_health(&self) -> Stored<()> {
        self.store.check_health().await
    }
}

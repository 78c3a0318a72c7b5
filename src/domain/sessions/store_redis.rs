//! Sessions in Redis. A user's keys share a hash tag, so that one script can change them together
//! on a cluster too:
//!
//! - `signet:{user}:s:sid`: one session, as tab-separated text that begins with the format's
//!   version and lives until the session ends;
//! - `signet:{user}:i`: the sids, sorted by absolute end;
//! - `signet:{subject}:t:jti`: a revoked access token, until it would have ended anyway;
//! - `signet:lineage`: the processes of Redis that have held all this since revocations were written
//!   back. After a restart, a failover or a flush the value differs, or is gone;
//! - `signet:counter:{instance}`: its substitute where Redis does not show its processes, see `counter`.
//!
//! Identifiers are base64url of their 16 bytes. Times come with the call, never from Redis.
//!
//! Fields are only added at a record's end. A reader takes missing fields as empty, ignores unknown
//! ones and writes them back unchanged, so that neighbouring versions read each other's records and
//! destroy nothing in them. A change that they would misread needs another version.

mod counter;
mod page;
mod record;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use redis::{Script, cmd};
use uuid::Uuid;

use self::counter::Counter;
use self::record::{VERSION, decode, encode};
use super::read::Held;
use super::{Policy, Session};
use crate::base::random::part_of_second;
use crate::base::time::Timestamp;
use crate::domain::revocations::EndedSession;
use crate::storage::redis::Redis;
use crate::storage::{StorageError, Stored};

const LINEAGE: &str = "signet:lineage";

pub(super) struct RedisStore {
    redis: Redis,
    counter: Counter,
    start: Script,
    swap: Script,
    list: Script,
    delete: Script,
    delete_all: Script,
}

impl RedisStore {
    /// The store over `redis`. Scripts are loaded on first use.
    pub(super) fn new(redis: Redis) -> Self {
        Self {
            redis,
            counter: Counter::new(),
            start: Script::new(include_str!("store_start.lua")),
            swap: Script::new(include_str!("store_swap.lua")),
            list: Script::new(include_str!("store_list.lua")),
            delete: Script::new(include_str!("store_delete.lua")),
            delete_all: Script::new(include_str!("store_delete_all.lua")),
        }
    }

    pub(super) async fn load(&self, user_id: Uuid, sid: Uuid) -> Stored<Option<Held>> {
        let record: Option<Vec<u8>> =
            self.redis.query(cmd("GET").arg(session_key(user_id, sid))).await?;
        let Some(record) = record else { return Ok(None) };
        let session = decode(user_id, sid, &record)?;
        Ok(Some(Held { session, record }))
    }

    pub(super) async fn load_for_token(
        &self,
        user_id: Uuid,
        sid: Uuid,
        jti: &str,
    ) -> Stored<Option<Session>> {
        let token = token_key(&short(user_id), jti);
        let (record, revoked): (Option<Vec<u8>>, Option<Vec<u8>>) =
            self.redis.query(cmd("MGET").arg(session_key(user_id, sid)).arg(token)).await?;
        match (record, revoked) {
            (Some(record), None) => decode(user_id, sid, &record).map(Some),
            _ => Ok(None),
        }
    }

    pub(super) async fn is_token_revoked(&self, subject: &str, jti: &str) -> Stored<bool> {
        self.redis.query(cmd("EXISTS").arg(token_key(&tag(subject), jti))).await
    }

    pub(super) async fn list(&self, user_id: Uuid, _now: Timestamp) -> Stored<Vec<Session>> {
        let mut call = self.list.key(index_key(user_id));
        let found: Vec<(String, Vec<u8>)> =
            self.redis.invoke(call.arg(record_prefix(user_id))).await?;
        let mut sessions = found
            .iter()
            .map(|(member, record)| decode(user_id, parse_short(member)?, record))
            .collect::<Result<Vec<_>, _>>()?;
        // The index sorts by the end under the policy of each start; people look at the start.
        sessions.sort_by_key(|session| std::cmp::Reverse((session.started_at, session.sid)));
        Ok(sessions)
    }

    pub(super) async fn insert(
        &self,
        session: &Session,
        policy: &Policy,
        now: Timestamp,
    ) -> Stored<Vec<EndedSession>> {
        let ends_at = session.ends_at(policy);
        let mut call = self.start.key(index_key(session.user_id));
        call.key(session_key(session.user_id, session.sid))
            .arg(encode(session, &[])?)
            .arg(seconds_until(session.expires_at(policy), now))
            .arg(short(session.sid))
            // Of those that began within one second, the oldest is still the oldest.
            .arg(ends_at.as_unix() as f64 + part_of_second(session.sid))
            .arg(now.as_unix())
            .arg(policy.max_per_user)
            .arg(record_prefix(session.user_id))
            .arg(seconds_until(ends_at, now));
        let deleted = self.redis.invoke::<Vec<Vec<u8>>>(&call).await?;
        let (mut deleted, mut ended) = (deleted.into_iter(), Vec::new());
        while let (Some(member), Some(record)) = (deleted.next(), deleted.next()) {
            let sid = parse_short(std::str::from_utf8(&member).unwrap_or_default())?;
            // A record of a later version that this one cannot read may have been used just now.
            let read = decode(session.user_id, sid, &record);
            let unknown = EndedSession { sid, last_issue: now };
            ended.push(read.map_or(unknown, |session| session.ended(policy, now)));
        }
        Ok(ended)
    }

    pub(super) async fn compare_and_swap(
        &self,
        held: &Held,
        next: &Session,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Stored<bool> {
        let mut call = self.swap.key(session_key(next.user_id, next.sid));
        call.arg(held.record.as_slice()).arg(encode(next, &held.record)?);
        self.redis.invoke(call.arg(seconds_until(expires_at, now))).await
    }

    pub(super) async fn delete(&self, user_id: Uuid, sid: Uuid) -> Stored<bool> {
        let mut call = self.delete.key(index_key(user_id));
        call.key(session_key(user_id, sid)).arg(short(sid));
        let was_there = self.redis.invoke(&call).await?;
        self.counter.after_write(&self.redis).await;
        Ok(was_there)
    }

    pub(super) async fn delete_all(&self, user_id: Uuid, kept: Option<Uuid>) -> Stored<Vec<Uuid>> {
        let mut call = self.delete_all.key(index_key(user_id));
        call.arg(record_prefix(user_id)).arg(kept.map(short).unwrap_or_default());
        let deleted = self.redis.invoke::<Vec<String>>(&call).await?;
        self.counter.after_write(&self.redis).await;
        deleted.iter().map(|member| parse_short(member)).collect()
    }

    pub(super) async fn revoke_token(
        &self,
        subject: &str,
        jti: &str,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Stored<()> {
        let mut set = cmd("SET");
        set.arg(token_key(&tag(subject), jti)).arg(VERSION);
        set.arg("EX").arg(seconds_until(expires_at, now));
        self.redis.query::<()>(&set).await?;
        self.counter.after_write(&self.redis).await;
        Ok(())
    }

    pub(super) async fn lineage(&self) -> Stored<Option<String>> {
        // In this order: a Redis that is replaced in between has a name that was not set.
        let Some(present) = self.redis.run_ids().await? else {
            return self.counter.lineage(&self.redis).await;
        };
        let given: Option<String> = self.redis.query(cmd("GET").arg(LINEAGE)).await?;
        Ok((given.as_ref() != Some(&present)).then_some(present))
    }

    pub(super) async fn set_lineage(&self, lineage: &str) -> Stored<()> {
        if Counter::is_name(lineage) {
            return self.counter.repaired(&self.redis, lineage).await;
        }
        self.redis.query(cmd("SET").arg(LINEAGE).arg(lineage)).await
    }

    pub(super) async fn check_health(&self) -> Stored<()> {
        self.redis.check_keeps_data().await
    }
}

/// The time to live of a key: at least a second, which Redis demands.
fn seconds_until(end: Timestamp, now: Timestamp) -> u64 {
    end.since(now).as_secs().max(1)
}

fn short(id: Uuid) -> String {
    URL_SAFE_NO_PAD.encode(id.as_bytes())
}

fn parse_short(text: &str) -> Stored<Uuid> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok();
    bytes
        .and_then(|bytes| Uuid::from_slice(&bytes).ok())
        .ok_or_else(|| StorageError::corrupt("session index"))
}

/// A subject's hash tag: short for a user, as for their sessions; a client's name as it is.
fn tag(subject: &str) -> String {
    Uuid::parse_str(subject).map_or_else(|_| subject.to_owned(), short)
}

fn token_key(tag: &str, jti: &str) -> String {
    match Uuid::parse_str(jti) {
        Ok(id) => format!("signet:{{{tag}}}:t:{}", short(id)),
        Err(_) => format!("signet:{{{tag}}}:t:{jti}"),
    }
}

fn index_key(user_id: Uuid) -> String {
    user_key(user_id, "}:i")
}

/// What the keys of all of a user's records begin with; the short sid follows.
fn record_prefix(user_id: Uuid) -> String {
    user_key(user_id, "}:s:")
}

fn session_key(user_id: Uuid, sid: Uuid) -> String {
    let mut key = record_prefix(user_id);
    URL_SAFE_NO_PAD.encode_string(sid.as_bytes(), &mut key);
    key
}

fn user_key(user_id: Uuid, end: &str) -> String {
    // Room for a session's key, the longest and the one made most often.
    let mut key = String::with_capacity(56);
    key.push_str("signet:{");
    URL_SAFE_NO_PAD.encode_string(user_id.as_bytes(), &mut key);
    key.push_str(end);
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_one_subject_share_a_hash_tag() {
        let user = Uuid::from_u128(2);
        let keys = [
            session_key(user, Uuid::from_u128(1)),
            index_key(user),
            token_key(&tag(&user.to_string()), "id"),
            token_key(&short(user), &Uuid::from_u128(9).to_string()),
        ];
        for key in keys {
            assert!(key.starts_with("signet:{AAAAAAAAAAAAAAAAAAAAAg}:"), "{key}");
        }
        assert_eq!(token_key(&tag("reports"), "id"), "signet:{reports}:t:id");
    }
}

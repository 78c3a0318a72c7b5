//! Sessions in the SQL database: the store of an installation without Redis. Every change is one
//! guarded statement, so none needs a transaction, on SQLite as on PostgreSQL.

use sqlx::Row;
use sqlx::any::AnyRow;
use uuid::Uuid;

use super::read::{Held, Page, PageError};
use super::{Login, Origin, Policy, Session, SessionKind};
use crate::base::time::Timestamp;
use crate::domain::revocations::EndedSession;
use crate::storage::{Db, StorageError, Stored};

/// More sessions than a user can have.
const MAX_LISTED: i64 = 10_000;

macro_rules! columns {
    () => {
        "sid, user_id, client_id, scope, audience, epoch, started_at, current, parent, \
         advanced_at, address, user_agent, kind, browser_sid, auth_time, acr, amr, ends_at, \
         details"
    };
}

macro_rules! select {
    ($condition:literal) => {
        concat!("SELECT ", columns!(), " FROM sessions ", $condition)
    };
}

pub(super) struct SqlStore(pub Db);

impl SqlStore {
    pub(super) async fn load(&self, user_id: Uuid, sid: Uuid) -> Stored<Option<Held>> {
        let query = sqlx::query(select!("WHERE sid = $1 AND user_id = $2"))
            .bind(sid.to_string())
            .bind(user_id.to_string());
        let row = self.0.fetch_optional(query).await?;
        let session = row.as_ref().map(read_session).transpose()?;
        Ok(session.map(|session| Held { session, record: Vec::new() }))
    }

    pub(super) async fn load_for_token(
        &self,
        user_id: Uuid,
        sid: Uuid,
        jti: &str,
    ) -> Stored<Option<Session>> {
        let query = sqlx::query(select!(
            "WHERE sid = $1 AND user_id = $2 \
             AND NOT EXISTS (SELECT 1 FROM revoked_tokens WHERE jti = $3)"
        ))
        .bind(sid.to_string())
        .bind(user_id.to_string())
        .bind(jti);
        self.0.fetch_optional(query).await?.as_ref().map(read_session).transpose()
    }

    pub(super) async fn is_token_revoked(&self, _subject: &str, jti: &str) -> Stored<bool> {
        let query = sqlx::query("SELECT jti FROM revoked_tokens WHERE jti = $1").bind(jti);
        Ok(self.0.fetch_optional(query).await?.is_some())
    }

    pub(super) async fn list(&self, user_id: Uuid, now: Timestamp) -> Stored<Vec<Session>> {
        let query = sqlx::query(select!(
            "WHERE user_id = $1 AND expires_at > $2 \
             ORDER BY started_at DESC, sid DESC LIMIT $3"
        ))
        .bind(user_id.to_string())
        .bind(now.as_unix())
        .bind(MAX_LISTED);
        self.0.fetch_all(query).await?.iter().map(read_session).collect()
    }

    pub(super) async fn page(
        &self,
        from: Option<&str>,
        limit: u32,
        now: Timestamp,
    ) -> Result<Page, PageError> {
        let after = match from {
            Some(sid) => Uuid::parse_str(sid).map_err(|_| PageError::Cursor)?.to_string(),
            None => String::new(),
        };
        let query =
            sqlx::query(select!("WHERE sid > $1 AND expires_at > $2 ORDER BY sid LIMIT $3"))
                .bind(after)
                .bind(now.as_unix())
                .bind(i64::from(limit) + 1);
        let rows = self.0.fetch_all(query).await?;
        let limit = limit as usize;
        let shown = rows.iter().take(limit).map(read_session);
        let sessions = shown.collect::<Result<Vec<_>, _>>()?;
        let next = sessions.last().filter(|_| rows.len() > limit).map(|last| last.sid.to_string());
        Ok(Page { sessions, next })
    }

    pub(super) async fn insert(
        &self,
        session: &Session,
        policy: &Policy,
        now: Timestamp,
    ) -> Stored<Vec<EndedSession>> {
        let (sid, user_id) = (session.sid.to_string(), session.user_id.to_string());
        let login = &session.login;
        let insert = sqlx::query(concat!(
            "INSERT INTO sessions (",
            columns!(),
            ", expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, \
             $14, $15, $16, $17, $18, $19, $20) \
             RETURNING CAST((SELECT COUNT(*) FROM sessions AS held \
             WHERE held.user_id = $2) AS BIGINT)",
        ))
        .bind(sid.as_str())
        .bind(user_id.as_str())
        .bind(session.client_id.as_str())
        .bind(session.scope.as_str())
        .bind(session.audience.as_str())
        .bind(session.epoch)
        .bind(session.started_at.as_unix())
        .bind(write_generation(session.current)?)
        .bind(write_generation(session.parent)?)
        .bind(session.advanced_at.as_unix())
        .bind(session.origin.address.map(|address| address.to_string()))
        .bind(session.origin.user_agent.as_deref())
        .bind(login.kind.word())
        .bind(login.browser_sid.map(|sid| sid.to_string()))
        .bind(login.auth_time.as_unix())
        .bind(login.acr.as_deref())
        .bind(Some(login.amr.as_str()).filter(|amr| !amr.is_empty()))
        .bind(login.ends_at.map(Timestamp::as_unix))
        .bind(login.details.as_deref())
        .bind(session.expires_at(policy).as_unix());
        let held: i64 = match self.0.fetch_optional(insert).await? {
            Some(row) => row.try_get(0)?,
            None => 0,
        };
        // Concurrent logins do not count each other, hence the margin of half the limit.
        if held < i64::from(policy.max_per_user / 2) {
            return Ok(Vec::new());
        }
        // A statement of its own after the insertion, not a transaction around both: of concurrent
        // logins, the last to arrive here then sees what all of them inserted, where transactions
        // would not see each other. Where a login is cut off in between, no one holds a token of its
        // session, and the next login ends it.
        let end_the_oldest = sqlx::query(concat!(
            "DELETE FROM sessions WHERE sid IN \
             (SELECT sid FROM sessions WHERE user_id = $1 AND expires_at > $2 AND sid <> $3 \
             ORDER BY started_at DESC, sid DESC LIMIT $4 OFFSET $5) RETURNING ",
            columns!()
        ))
        .bind(user_id)
        .bind(now.as_unix())
        .bind(sid)
        .bind(MAX_LISTED)
        .bind(i64::from(policy.max_per_user) - 1);
        let ended = self.0.fetch_all(end_the_oldest).await?;
        let read = |row: &AnyRow| {
            // A record of a later version that this one cannot read may have been used just now.
            let unknown = EndedSession { sid: read_id(row.try_get(0)?)?, last_issue: now };
            Ok(read_session(row).map_or(unknown, |session| session.ended(policy, now)))
        };
        ended.iter().map(read).collect()
    }

    pub(super) async fn compare_and_swap(
        &self,
        held: &Held,
        next: &Session,
        expires_at: Timestamp,
        _now: Timestamp,
    ) -> Stored<bool> {
        let update = sqlx::query(
            "UPDATE sessions SET current = $1, parent = $2, advanced_at = $3, \
             expires_at = $4, address = $5, user_agent = $6 WHERE sid = $7 AND current = $8",
        )
        .bind(write_generation(next.current)?)
        .bind(write_generation(next.parent)?)
        .bind(next.advanced_at.as_unix())
        .bind(expires_at.as_unix())
        .bind(next.origin.address.map(|address| address.to_string()))
        .bind(next.origin.user_agent.as_deref())
        .bind(next.sid.to_string())
        .bind(write_generation(held.session.current)?);
        Ok(self.0.execute(update).await? == 1)
    }

    pub(super) async fn delete(&self, user_id: Uuid, sid: Uuid) -> Stored<bool> {
        let delete = sqlx::query("DELETE FROM sessions WHERE sid = $1 AND user_id = $2")
            .bind(sid.to_string())
            .bind(user_id.to_string());
        Ok(self.0.execute(delete).await? == 1)
    }

    pub(super) async fn delete_all(&self, user_id: Uuid, kept: Option<Uuid>) -> Stored<Vec<Uuid>> {
        // No session has the empty sid.
        let kept = kept.map(|sid| sid.to_string()).unwrap_or_default();
        let delete =
            sqlx::query("DELETE FROM sessions WHERE user_id = $1 AND sid <> $2 RETURNING sid")
                .bind(user_id.to_string())
                .bind(kept);
        let deleted = self.0.fetch_all(delete).await?;
        deleted.iter().map(|row| read_id(row.try_get(0)?)).collect()
    }

    pub(super) async fn revoke_token(
        &self,
        _subject: &str,
        jti: &str,
        expires_at: Timestamp,
        _now: Timestamp,
    ) -> Stored<()> {
        let insert = sqlx::query(
            "INSERT INTO revoked_tokens (jti, expires_at) VALUES ($1, $2) \
             ON CONFLICT (jti) DO NOTHING",
        )
        .bind(jti)
        .bind(expires_at.as_unix());
        self.0.execute(insert).await.map(drop)
    }

    pub(super) async fn purge(&self, now: Timestamp, limit: u32) -> Stored<u64> {
        // The outer condition counts: a row may be refreshed while the inner query reads it.
        let sessions = sqlx::query(
            "DELETE FROM sessions WHERE expires_at <= $1 AND sid IN \
             (SELECT sid FROM sessions WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)",
        )
        .bind(now.as_unix())
        .bind(i64::from(limit));
        let purged = self.0.execute(sessions).await?;
        let rest = u64::from(limit).saturating_sub(purged);
        if rest == 0 {
            return Ok(purged);
        }
        let tokens = sqlx::query(
            "DELETE FROM revoked_tokens WHERE expires_at <= $1 AND jti IN \
             (SELECT jti FROM revoked_tokens WHERE expires_at <= $1 \
             ORDER BY expires_at LIMIT $2)",
        )
        .bind(now.as_unix())
        .bind(rest as i64);
        Ok(purged + self.0.execute(tokens).await?)
    }

    pub(super) async fn check_health(&self) -> Stored<()> {
        self.0.check_health().await
    }
}

fn read_session(row: &AnyRow) -> Stored<Session> {
    let started_at = Timestamp::from_unix(row.try_get(6)?);
    Ok(Session {
        sid: read_id(row.try_get(0)?)?,
        user_id: read_id(row.try_get(1)?)?,
        client_id: row.try_get(2)?,
        scope: row.try_get(3)?,
        audience: row.try_get(4)?,
        epoch: row.try_get(5)?,
        started_at,
        login: match row.try_get::<Option<i64>, _>(14)? {
            None => Login::by_password(started_at),
            Some(auth_time) => Login {
                kind: SessionKind::parse(row.try_get(12)?)?,
                browser_sid: row.try_get::<Option<&str>, _>(13)?.map(read_id).transpose()?,
                auth_time: Timestamp::from_unix(auth_time),
                acr: row.try_get(15)?,
                amr: row.try_get::<Option<String>, _>(16)?.unwrap_or_default(),
                ends_at: row.try_get::<Option<i64>, _>(17)?.map(Timestamp::from_unix),
                details: row.try_get(18)?,
            },
        },
        current: read_generation(row.try_get(7)?)?,
        parent: read_generation(row.try_get(8)?)?,
        advanced_at: Timestamp::from_unix(row.try_get(9)?),
        origin: Origin {
            // An address is only shown to people: one that cannot be read is left out.
            address: row.try_get::<Option<&str>, _>(10)?.and_then(|text| text.parse().ok()),
            user_agent: row.try_get(11)?,
        },
    })
}

fn read_id(text: &str) -> Stored<Uuid> {
    Uuid::parse_str(text).map_err(|_| StorageError::corrupt("session id"))
}

fn read_generation(value: i64) -> Stored<u64> {
    u64::try_from(value).map_err(|_| StorageError::corrupt("session generation"))
}

fn write_generation(value: u64) -> Stored<i64> {
    i64::try_from(value).map_err(|_| StorageError::corrupt("session generation"))
}

//! The engines that keep sessions, each opened empty.

use std::net::Ipv6Addr;
use std::time::Duration;

use signet::base::random::Random;
use signet::base::secret::Secret;
use signet::base::time::Timestamp;
use signet::domain::revocations::{Revocations, RevokedToken};
use signet::domain::sessions::{
    Login, NewSession, Origin, Policy, Recovery, RotationError, Sessions,
};
use signet::storage::Db;
use signet::storage::redis::{Redis, Servers};
use uuid::Uuid;

use crate::support;

pub const RETRY_WINDOW: i64 = 10;
pub const IDLE: i64 = 10_000;
pub const ABSOLUTE: i64 = 50_000;
pub const CLIENT: &str = "app";

#[derive(Clone, Copy, Debug)]
pub enum Engine {
    Sqlite,
    Postgres,
    /// PostgreSQL behind a transaction pooler.
    Pooler,
    Redis,
}

/// An open store, with the folder that its file lies in.
pub struct Opened {
    pub sessions: Sessions,
    pub db: Option<Db>,
    _folder: tempfile::TempDir,
}

impl Engine {
    pub async fn open(self, policy: Policy) -> Opened {
        let folder = tempfile::tempdir().unwrap();
        let url = match self {
            Self::Sqlite => format!("sqlite://{}/test.db", folder.path().display()),
            Self::Postgres | Self::Pooler => support::postgres::Postgres::shared().fresh_database(),
            Self::Redis => support::redis::Redis::shared().fresh_database(),
        };
        if let Self::Redis = self {
            let sessions = in_redis(connect(&url).await, policy).await;
            return Opened { sessions, db: None, _folder: folder };
        }
        let db = self.connect(&url).await;
        db.migrate().await.unwrap();
        let revocations = Revocations::open(db.clone(), Random::system()).await.unwrap();
        let sessions = Sessions::in_sql(db.clone(), revocations, policy);
        Opened { sessions, db: Some(db), _folder: folder }
    }

    /// The database at `url`, on the way that this engine takes.
    pub async fn connect(self, url: &str) -> Db {
        match self {
            Self::Pooler => {
                let url = support::pgbouncer::PgBouncer::shared().url(url);
                Db::connect_through_pooler(&url, 8).await.unwrap()
            }
            _ => Db::connect(url, 8).await.unwrap(),
        }
    }
}

/// Sessions in Redis, what is revoked on record in a file.
pub async fn in_redis(redis: Redis, policy: Policy) -> Sessions {
    let folder = tempfile::tempdir().unwrap().keep();
    support::reaper::remove_at_exit(&folder);
    let db = Db::connect(&format!("sqlite://{}/test.db", folder.display()), 1).await.unwrap();
    db.migrate().await.unwrap();
    let revocations = Revocations::open(db, Random::system()).await.unwrap();
    Sessions::in_redis(redis, revocations, policy)
}

/// The engine with at most three sessions a user.
pub async fn open(engine: Engine) -> Opened {
    engine.open(policy(Recovery::Recover, 3)).await
}

/// An empty database of the engine.
pub async fn database(engine: Engine) -> Db {
    let opened = open(engine).await;
    support::reaper::remove_at_exit(opened._folder.path());
    let _ = opened._folder.keep();
    opened.db.expect("it has a database")
}

pub async fn connect(url: &str) -> Redis {
    let url = Secret::new(url.to_owned());
    Redis::connect(&Servers::Single { url }.into()).await.unwrap()
}

pub fn policy(recovery: Recovery, max_per_user: u32) -> Policy {
    let seconds = |n: i64| Duration::from_secs(n as u64);
    Policy::new(seconds(RETRY_WINDOW), recovery, seconds(IDLE), seconds(ABSOLUTE), max_per_user)
        .unwrap()
}

pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix(1_764_547_200 + seconds)
}

pub fn new_id() -> Uuid {
    Random::system().uuid()
}

/// One of many places to log in from.
pub fn origin(number: u16) -> Origin {
    let address = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, number);
    Origin { address: Some(address.into()), user_agent: Some(format!("Browser {number} on Linux")) }
}

pub fn new_session(user_id: Uuid) -> NewSession {
    NewSession {
        sid: new_id(),
        user_id,
        client_id: CLIENT.into(),
        scope: "openid profile".into(),
        audience: "https://api.example".into(),
        epoch: 7,
        login: Login::by_password(at(0)),
        origin: origin(1),
    }
}

/// An access token issued at the start, to be revoked and remembered until `ends_at`.
pub fn token(subject: &str, session: Option<Uuid>, jti: &str, ends_at: Timestamp) -> RevokedToken {
    let (subject, jti) = (subject.to_owned(), jti.to_owned());
    RevokedToken { jti, subject, session, issued_at: Some(at(0)), ends_at }
}

/// Exchanges a token as the token endpoint does: decide, commit, and decide anew on a lost race.
pub async fn exchange(
    sessions: &Sessions,
    user_id: Uuid,
    sid: Uuid,
    generation: u64,
    now: Timestamp,
) -> Result<u64, RotationError> {
    use signet::domain::sessions::CommitError;
    for _ in 0..3 {
        let rotation = sessions.open_rotation(user_id, sid, generation, CLIENT, now).await?;
        let next = rotation.next_generation();
        match sessions.commit(rotation, now).await {
            Ok(()) => return Ok(next),
            Err(CommitError::LostRace) => {}
            Err(CommitError::Storage(error)) => return Err(error.into()),
        }
    }
    panic!("lost three races in a row")
}

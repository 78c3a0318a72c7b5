//! Memory and start: what a resting Signet takes, what logins add, that sessions add nothing, how
//! soon it answers, and what a session costs Redis.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::clients::{Repeat, User, open_sessions};
use crate::cores::Cores;
use crate::driver::{self, Load};
use crate::http::{BlockingConnection, get, post_json};
use crate::options::Options;
use crate::signet::{Installation, Server};
use crate::stats::median;

const STARTS: usize = 5;

/// Users whose sessions are issued by the thousand, each far below the limit of one user.
const USERS: usize = 400;

/// What the embedded default showed.
pub struct Resting {
    pub first_start: Duration,
    pub start: Duration,
    pub idle_first_mib: f64,
    pub idle_mib: f64,
    pub after_logins_mib: f64,
}

/// Starts Signet as anybody does who sets nothing, and watches it.
pub fn resting(cores: Cores) -> Result<Resting> {
    let installation = Installation::new(cores, Vec::new())?;
    let server = installation.start_unpinned()?;
    let first_start = server.started_in;
    let idle_first_mib = settled(&server)?;
    server.stop()?;

    let mut starts = Vec::new();
    for _ in 0..STARTS {
        let server = installation.start_unpinned()?;
        starts.push(server.started_in.as_secs_f64());
        server.stop()?;
    }

    let users = installation.add_users(8)?;
    let server = installation.start_unpinned()?;
    let idle_mib = settled(&server)?;
    log_in(cores, &server, &users, Duration::from_secs(4))?;
    let after_logins_mib = settled(&server)?;
    let start = Duration::from_secs_f64(median(starts));
    Ok(Resting { first_start, start, idle_first_mib, idle_mib, after_logins_mib })
}

/// Asks for what every verifier asks for, waits until background work is done, and reads.
fn settled(server: &Server) -> Result<f64> {
    let mut connection = BlockingConnection::open(server.address)?;
    for path in ["/.well-known/jwks.json", "/.well-known/openid-configuration", "/health/ready"] {
        connection.exchange(&get(path))?;
    }
    std::thread::sleep(Duration::from_secs(1));
    server.resident_mib()
}

fn log_in(cores: Cores, server: &Server, users: &[User], measured: Duration) -> Result<()> {
    let request = |user: &User| Repeat { request: user.login_request(), expected: "refresh_token" };
    let mut clients: Vec<Repeat> = users.iter().map(request).collect();
    let load = Load {
        address: server.address,
        pid: server.pid(),
        cores,
        connections: 8,
        warm_up: Duration::ZERO,
        measured,
    };
    let round = driver::run(&load, &mut clients)?;
    ensure!(round.errors.count == 0, "logins failed: {:?}", round.errors.first);
    Ok(())
}

/// What issuing thousands of sessions did to the memory of Signet, and of Redis where it is used.
pub struct Growth {
    pub sessions: usize,
    pub early_mib: f64,
    pub late_mib: f64,
    pub redis: Option<RedisBytes>,
}

/// Bytes that Redis holds for a session: all of its keys, by MEMORY USAGE.
pub struct RedisBytes {
    /// With one session a user: whatever is kept a user counts in full.
    pub first: f64,
    /// Over all sessions issued.
    pub average: f64,
}

/// Issues sessions through logins whose hashes are made cheap: it is the sessions that are watched
/// here, and with the real cost twenty thousand of them would take minutes.
pub fn growth(
    cores: Cores,
    options: &Options,
    mut settings: Vec<(String, String)>,
    redis_url: Option<&str>,
) -> Result<Growth> {
    for (name, value) in [
        ("PASSWORDS__MEMORY_KIB", "64"),
        ("PASSWORDS__ITERATIONS", "1"),
        // All users sign up from one address.
        ("SIGNUP_LIMITS__ENABLED", "false"),
    ] {
        settings.push((format!("SIGNET__{name}"), value.into()));
    }
    let installation = Installation::new(cores, settings)?;
    let server = installation.start_pinned()?;
    let users = sign_up(&server)?;

    let empty = redis_url.map(redis_bytes).transpose()?;
    open_sessions(server.address, &users, USERS)?;
    let early_mib = settled(&server)?;
    let one_each = redis_url.map(redis_bytes).transpose()?;
    open_sessions(server.address, &users, options.sessions.saturating_sub(USERS))?;
    let late_mib = settled(&server)?;
    let all = redis_url.map(redis_bytes).transpose()?;

    let sessions = options.sessions.max(USERS);
    let redis = empty.zip(one_each).zip(all).map(|((empty, one_each), all)| RedisBytes {
        first: (one_each - empty) / USERS as f64,
        average: (all - empty) / sessions as f64,
    });
    Ok(Growth { sessions, early_mib, late_mib, redis })
}

fn sign_up(server: &Server) -> Result<Vec<User>> {
    let mut connection = BlockingConnection::open(server.address)?;
    let sign_up = |number| {
        // Apart from the users that the command line added to the same database.
        let user = User::numbered(100_000 + number);
        let body = serde_json::json!({ "email": user.email, "password": user.password });
        let answer = connection.exchange(&post_json("/signup", &body.to_string()))?;
        ensure!(answer.status() == 201, "sign-up: {} {}", answer.status(), answer.text());
        Ok(user)
    };
    (0..USERS).map(sign_up).collect()
}

/// The bytes of all keys of sessions: only these have a hash tag. What is remembered of an account's
/// logins goes by accounts, not by sessions.
fn redis_bytes(url: &str) -> Result<f64> {
    let mut connection = redis::Client::open(url)?.get_connection().context("Redis")?;
    let keys: Vec<Vec<u8>> = redis::cmd("KEYS").arg("signet:{*").query(&mut connection)?;
    let mut bytes = 0_u64;
    for part in keys.chunks(1000) {
        let mut pipeline = redis::pipe();
        for key in part {
            pipeline.cmd("MEMORY").arg("USAGE").arg(key).arg("SAMPLES").arg(0);
        }
        // A key may have expired since it was listed.
        let sizes: Vec<Option<u64>> = pipeline.query(&mut connection)?;
        bytes += sizes.into_iter().flatten().sum::<u64>();
    }
    Ok(bytes as f64)
}

//! `signet serve`: compose, say where to look, serve, and do the housekeeping meanwhile.

mod mail;
mod revocations;

use std::collections::HashSet;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpSocket;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::users::bootstrap_administrator;
use crate::app::{App, Stores, wait_for_stores};
use crate::base::secret::Secret;
use crate::base::telemetry;
use crate::base::time::Clock;
use crate::config::{Config, Profile};
use crate::domain::audit::Kind;
use crate::http;
use crate::storage::StorageError;

/// How often an instance looks for what others did to the keys.
const KEYS_EVERY: Duration = Duration::from_secs(2);
/// How long that may take; making a key included.
const FOLLOW_TIMEOUT: Duration = Duration::from_secs(60);
/// How long the hash of a caller who is gone may hold up the end.
const HASHING_TIMEOUT: Duration = Duration::from_secs(2);
/// Connections that wait to be accepted, as actix-web asks for.
const BACKLOG: u32 = 1024;
const NOT_FOLLOWED: &str = "the signing keys could not be followed";
/// How often SQLite's write-ahead log is folded into its file.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(1);
/// How often expired sessions and attempts are removed from the SQL store, and how many at once.
const PURGE_EVERY: Duration = Duration::from_secs(60);
const PURGE_BATCH: u32 = 1000;

/// Runs the service until it is told to stop.
pub fn run(config: Config) -> Result<()> {
    telemetry::init(&config.log).map_err(anyhow::Error::msg)?;
    allow_connections();
    actix_web::rt::System::new().block_on(serve(config))
}

/// Takes as many open files as the system allows: each connection is one, and the usual limit is made
/// for programs that have few.
fn allow_connections() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, "the limit of open files was not raised");
    }
}

async fn serve(config: Config) -> Result<()> {
    let clock = Clock::system();
    let listen = config.http.listen;
    let hangups = signal(SignalKind::hangup()).context("SIGHUP cannot be received")?;
    let hangups = tokio::spawn(outlive(hangups));
    // The address is taken now, so that one in use shows at once. Connections are refused until there
    // is somebody to answer them.
    let socket = bind(listen).with_context(|| format!("cannot listen on {listen}"))?;
    let config = config.listening_on(socket.local_addr().context("the socket has no address")?);
    wait_for_stores(&config, |line| tracing::warn!("{line}")).await?;
    let now = clock.now();
    let stores = Stores::open(&config, now).await?;
    let app = Arc::new(App::new(config, stores, clock).await?);
    let listener = socket.listen(BACKLOG).and_then(|listener| listener.into_std());
    let listener = listener.with_context(|| format!("cannot listen on {listen}"))?;
    // Last, so that its password is shown whenever it was made.
    let administrator = match app.config.profile {
        Profile::Development => bootstrap_administrator(&app, now).await?,
        Profile::Production => None,
    };
    announce(&app, &listener, administrator)?;

    let housekeeping = [
        tokio::spawn(follow_keys(app.clone())),
        tokio::spawn(hear_notices(app.clone())),
        tokio::spawn(revocations::follow(app.clone())),
        tokio::spawn(revocations::beat(app.clone())),
        tokio::spawn(revocations::restore(app.clone())),
        tokio::spawn(purge(app.clone())),
        tokio::spawn(checkpoint(app.clone())),
    ];
    let mail = mail::Loops::start(&app);
    http::serve(app.clone(), listener).await.context("the server failed")?;
    mail.finish(app.config.http.shutdown_timeout).await;
    for task in housekeeping {
        task.abort();
    }
    hangups.abort();
    // Their memory holds what is left of hashes, and is wiped as they end.
    if !app.authorization_server.hashing.stop(HASHING_TIMEOUT) {
        tracing::warn!("a hashing thread was still at work at the end");
    }
    app.db.close().await;
    tracing::info!("stopped");
    Ok(())
}

fn bind(address: SocketAddr) -> std::io::Result<TcpSocket> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // As every server does: connections of the previous process may linger.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// SIGHUP asks many programs to read their settings anew, and ends those that do not handle it.
async fn outlive(mut hangups: Signal) {
    while hangups.recv().await.is_some() {
        tracing::warn!(
            "SIGHUP changes nothing: settings are read at the start only; restart to apply new ones, \
             or send SIGTERM to stop"
        );
    }
}

/// A few lines at the start. The administrator's password is shown to the terminal, never logged.
fn announce(
    app: &App,
    listener: &TcpListener,
    administrator: Option<(String, Secret<String>)>,
) -> Result<()> {
    let address = listener.local_addr().context("the listener has no address")?;
    let (config, profile) = (&app.config, app.config.profile.name());
    tracing::info!(%address, issuer = config.issuer, profile, "listening");
    if config.profile == Profile::Development {
        eprintln!("Signet listens on http://{address} as {}", config.issuer);
        if config.docs_enabled {
            eprintln!("  documentation   http://{address}/docs");
        }
    }
    if let Some((email, password)) = administrator {
        eprintln!("  administrator   {email}");
        eprintln!("  password        {}   (shown this once)", password.expose());
    }
    Ok(())
}

/// Takes over what others did to the keys, and does what is due. At once when another instance
/// says that something has changed, and every now and then in any case.
async fn follow_keys(app: Arc<App>) {
    let mut interval = every(KEYS_EVERY);
    let mut told = HashSet::new();
    loop {
        tokio::select! {
            _ = interval.tick() => {}
            () = app.keys_changed() => {}
        }
        // A token (HSM) may hang, and what others did must be followed all the same.
        let followed = tokio::time::timeout(FOLLOW_TIMEOUT, follow_once(&app, &mut told)).await;
        match followed {
            Ok(Ok(())) => {}
            // The present ring goes on serving.
            Ok(Err(error)) => tracing::warn!(error = format!("{error:#}"), "{NOT_FOLLOWED}"),
            Err(_) => tracing::warn!("{NOT_FOLLOWED}"),
        }
    }
}

async fn follow_once(app: &App, told: &mut HashSet<(String, Kind)>) -> Result<()> {
    let now = app.clock.now();
    app.keys.reload(now).await?;
    let maintained = app.custody.maintain(now).await;
    if maintained.as_ref().is_ok_and(|made| *made > 0) {
        app.tell_keys_changed().await;
    }
    // What is wrong with a key is recorded whether or not the next one can be made.
    app.custody.tell_steps(told, now).await?;
    Ok(maintained.map(drop)?)
}

/// Ticks that are missed are not made up for: the work is done as often as it can be.
fn every(period: Duration) -> tokio::time::Interval {
    let mut interval = tokio::time::interval(period);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    interval
}

async fn hear_notices(app: Arc<App>) {
    app.listen().await;
}

async fn checkpoint(app: Arc<App>) {
    let mut interval = every(CHECKPOINT_EVERY);
    loop {
        interval.tick().await;
        if let Err(error) = app.db.checkpoint().await {
            tracing::warn!(%error, "the write-ahead log was not folded into the database file");
        }
    }
}

async fn purge(app: Arc<App>) {
    let mut interval = tokio::time::interval(PURGE_EVERY);
    loop {
        interval.tick().await;
        let server = &app.authorization_server;
        let sessions = || server.sessions.purge(app.clock.now(), PURGE_BATCH);
        purge_all("sessions", sessions).await;
        let attempts = || server.attempts.purge(app.clock.now(), PURGE_BATCH);
        purge_all("login attempts", attempts).await;
        let audit = || server.audit.purge(&app.config.audit, app.clock.now(), PURGE_BATCH);
        purge_all("audit events", audit).await;
        let revocations = || app.revocations.purge(app.clock.now(), PURGE_BATCH);
        purge_all("revocations", revocations).await;
        app.revocations.forget(&app.signer, app.clock.now());
    }
}

/// Removes batch after batch of what has expired.
async fn purge_all<F: Future<Output = Result<u64, StorageError>>>(
    what: &str,
    remove: impl Fn() -> F,
) {
    loop {
        match remove().await {
            Ok(removed) if removed >= u64::from(PURGE_BATCH) => tokio::task::yield_now().await,
            Ok(_) => break,
            Err(error) => {
                tracing::warn!(%error, "expired {what} were not removed");
                break;
            }
        }
    }
}

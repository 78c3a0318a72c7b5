//! `signet serve`: composes the service, shows where it is, serves, and runs the background loops.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpSocket;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::users::bootstrap_administrator;
use crate::app::{Issuer, Process, Stores, wait_for_stores};
use crate::base::secret::Secret;
use crate::base::telemetry;
use crate::base::time::Clock;
use crate::config::{Config, Profile};
use crate::http;
use crate::jobs::Jobs;

/// The longest time that a hash for a caller who is gone may hold up the end.
const HASHING_TIMEOUT: Duration = Duration::from_secs(2);
/// Connections that wait to be accepted, as actix-web asks for.
const BACKLOG: u32 = 1024;

pub(super) fn run(config: Config) -> Result<()> {
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
    // The address is bound now, so that one in use shows immediately. Connections are refused until
    // the service can answer them.
    let socket = bind(listen).with_context(|| format!("cannot listen on {listen}"))?;
    let config = config.listening_on(socket.local_addr().context("the socket has no address")?);
    wait_for_stores(&config, |line| tracing::warn!("{line}")).await?;
    let now = clock.now();
    let stores = Stores::open(&config, now).await?;
    let process = Arc::new(Process::start(config, &stores, clock)?);
    let app = Arc::new(Issuer::open(process, stores).await?);
    let listener = socket.listen(BACKLOG).and_then(|listener| listener.into_std());
    let listener = listener.with_context(|| format!("cannot listen on {listen}"))?;
    // Last, so that its password is shown whenever it was made.
    let administrator = match app.config.profile {
        Profile::Development => bootstrap_administrator(&app, now).await?,
        Profile::Production => None,
    };
    announce(&app, &listener, administrator)?;

    let jobs = Jobs::start(&app);
    http::serve(app.clone(), listener).await.context("the server failed")?;
    jobs.finish(app.config.http.shutdown_timeout).await;
    hangups.abort();
    // Their memory holds what is left of hashes, and is wiped as they end.
    if !app.hashing.stop(HASHING_TIMEOUT) {
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

/// Logs each SIGHUP, which asks many programs to read their settings anew and ends those that do not
/// handle it.
async fn outlive(mut hangups: Signal) {
    while hangups.recv().await.is_some() {
        tracing::warn!(
            "SIGHUP changes nothing: settings are read at the start only; restart to apply new ones, \
             or send SIGTERM to stop"
        );
    }
}

/// Prints a few lines at the start. The administrator's password goes to the terminal, never to the log.
fn announce(
    app: &Issuer,
    listener: &TcpListener,
    administrator: Option<(String, Secret<String>)>,
) -> Result<()> {
    let address = listener.local_addr().context("the listener has no address")?;
    let (config, profile) = (&app.config, app.config.profile.as_str());
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

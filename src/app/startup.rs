//! Waiting for stores that are late: a Redis that still loads its data, a PostgreSQL that is starting
//! or does not listen yet. What waiting does not mend, such as a wrong password, fails immediately.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::stores::connect_database;
use super::{StartError, StorageError};
use crate::config::{Config, SessionBackend};
use crate::storage::redis::Redis;

const PAUSE: Duration = Duration::from_millis(250);

/// Waits until the database and Redis can be used, for at most `startup_timeout` in all. `log` gets
/// one line for each that is late. SQLite is never late.
pub(crate) async fn wait_for_stores(config: &Config, log: impl Fn(&str)) -> Result<(), StartError> {
    let deadline = Instant::now() + config.startup_timeout;
    if !config.database.url.expose().starts_with("sqlite:") {
        let connect = async || {
            connect_database(config).await?.close().await;
            Ok(())
        };
        wait(connect, "the database", deadline, &log).await?;
    }
    if let SessionBackend::Redis(redis) = &config.sessions.backend {
        let connect =
            async || Redis::connect(redis).await.map(drop).map_err(StartError::SessionStore);
        wait(connect, "the session store", deadline, &log).await?;
    }
    Ok(())
}

async fn wait(
    connect: impl AsyncFn() -> Result<(), StartError>,
    store: &str,
    deadline: Instant,
    log: &impl Fn(&str),
) -> Result<(), StartError> {
    let mut is_logged = false;
    loop {
        let error = match connect().await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        if !is_late(&error) || Instant::now() >= deadline {
            return Err(error);
        }
        if !is_logged {
            is_logged = true;
            let left = deadline.saturating_duration_since(Instant::now()).as_secs();
            log(&format!("waiting at most {left}s for {store}: {}", with_causes(&error)));
        }
        sleep(PAUSE).await;
    }
}

fn is_late(error: &StartError) -> bool {
    match error {
        StartError::DatabaseUnreachable(_, cause) | StartError::SessionStore(cause) => {
            StorageError::is_late(cause)
        }
        _ => false,
    }
}

fn with_causes(error: &StartError) -> String {
    anyhow::Chain::new(error).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

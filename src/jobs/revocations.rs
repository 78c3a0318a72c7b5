//! Keeping up with what is revoked, telling it to whoever listens, and writing it back to a session
//! store that lost it.

use std::sync::Arc;
use std::time::Duration;

use super::every;
use crate::app::App;
use crate::domain::revocations::FollowError;

/// How often an instance looks for what others revoked, should their notices not arrive: siblings are to
/// hear within a second.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How often it looks whether the session store still knows what is revoked.
const RESTORE_EVERY: Duration = Duration::from_secs(1);
/// How often it looks whether a revoked key was told of, and how long tokens live.
const MAINTAIN_EVERY: Duration = Duration::from_secs(60);

/// Takes over what is revoked, here or elsewhere, and tells listeners.
pub async fn follow(app: Arc<App>) {
    let mut look = every(LOOK_EVERY);
    let mut maintain = every(MAINTAIN_EVERY);
    let mut fails = false;
    loop {
        tokio::select! {
            _ = look.tick() => {}
            _ = maintain.tick() => {
                if let Err(error) = app.key_management.maintain_revocations(app.clock.now()).await {
                    tracing::warn!(%error, "revoked keys were not looked through");
                }
            }
            () = app.revoked_elsewhere() => {}
            // The others look into the record as soon as this one does.
            () = app.revocations.recorded() => app.notify_revoked().await,
        }
        let followed = app.follow_revocations().await;
        if let (Err(error), false) = (&followed, fails) {
            tracing::warn!(error = format!("{error:#}"), "revocations could not be followed");
        }
        // Told once: it is tried again many times in a minute.
        fails = followed.is_err();
    }
}

/// Tells listeners how things stand.
pub async fn beat(app: Arc<App>) {
    let mut interval = every(app.config.revocations.heartbeat);
    loop {
        interval.tick().await;
        app.revocations.beat();
    }
}

/// Writes back what is revoked whenever the session store may have lost it.
pub async fn restore(app: Arc<App>) {
    let mut interval = every(RESTORE_EVERY);
    loop {
        interval.tick().await;
        let sessions = &app.authorization_server.sessions;
        // A store that is away tells others itself.
        if matches!(sessions.is_restored().await, Ok(false)) {
            restore_once(&app).await;
        }
    }
}

async fn restore_once(app: &App) {
    // Where a key does not sign, the record has been read all the same.
    if let Err(FollowError::Storage(_)) = app.follow_revocations().await {
        return;
    }
    match app.authorization_server.sessions.restore(app.clock.now()).await {
        Ok(()) => tracing::info!("what is revoked was written back to the session store"),
        Err(error) => tracing::warn!(%error, "what is revoked was not written back"),
    }
}

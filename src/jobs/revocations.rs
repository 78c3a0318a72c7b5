//! The revocation feed: following what is revoked, publishing it to listeners, and restoring it in a
//! session store that lost it.

use std::sync::Arc;
use std::time::Duration;

use super::every;
use crate::app::Issuer;
use crate::domain::revocations::FollowError;

/// The time between two looks for what other instances revoked, should their notices not arrive:
/// resource servers are to learn of it within a second.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// The time between two looks whether the session store still has what is revoked.
const RESTORE_EVERY: Duration = Duration::from_secs(1);
/// The time between two looks whether every revoked key is in the record, and how long tokens live.
const MAINTAIN_EVERY: Duration = Duration::from_secs(60);

/// Takes over what is revoked, here or elsewhere, and publishes it to listeners.
pub(super) async fn follow(app: Arc<Issuer>) {
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
            () = app.revoked.notified() => {}
            // The others look into the record as soon as this one does.
            () = app.revocations.recorded() => app.notify_revoked().await,
        }
        let followed = follow_once(&app).await;
        if let (Err(error), false) = (&followed, fails) {
            tracing::warn!(error = format!("{error:#}"), "revocations could not be followed");
        }
        // Logged once: it is tried again many times in a minute.
        fails = followed.is_err();
    }
}

/// Takes over what is revoked, reading the signing keys anew where it was signed by a new one.
async fn follow_once(app: &Issuer) -> Result<(), FollowError> {
    let now = app.clock.now();
    let read_keys = async || {
        if let Err(error) = app.keys.reload(now).await {
            tracing::warn!(error = format!("{error:#}"), "the keys were not read anew");
        }
    };
    app.revocations.follow(&app.signer, read_keys, now).await
}

pub(super) async fn beat(app: Arc<Issuer>) {
    let mut interval = every(app.config.revocations.heartbeat);
    loop {
        interval.tick().await;
        app.revocations.beat();
    }
}

/// Writes back what is revoked whenever the session store may have lost it.
pub(super) async fn restore(app: Arc<Issuer>) {
    let mut interval = every(RESTORE_EVERY);
    loop {
        interval.tick().await;
        // A store that is away is logged where it is used.
        if matches!(app.stores.sessions.is_restored().await, Ok(false)) {
            restore_once(&app).await;
        }
    }
}

async fn restore_once(app: &Issuer) {
    // Where a key does not sign, the record has been read all the same.
    if let Err(FollowError::Storage(_)) = follow_once(app).await {
        return;
    }
    match app.stores.sessions.restore(app.clock.now()).await {
        Ok(()) => tracing::info!("what is revoked was written back to the session store"),
        Err(error) => tracing::warn!(%error, "what is revoked was not written back"),
    }
}

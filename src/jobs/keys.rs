//! The signing keys: changes by other instances, and what is due.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;

use super::every;
use crate::app::Issuer;
use crate::domain::audit::Kind;

const LOOK_EVERY: Duration = Duration::from_secs(2);
/// The longest time that following may take, making a key included.
const FOLLOW_TIMEOUT: Duration = Duration::from_secs(60);
const NOT_FOLLOWED: &str = "the signing keys could not be followed";

/// Takes over what others did to the keys, and does what is due: immediately on a notice of another
/// instance, and every [`LOOK_EVERY`] without one.
pub(super) async fn follow(app: Arc<Issuer>) {
    let mut interval = every(LOOK_EVERY);
    let mut recorded = HashSet::new();
    loop {
        tokio::select! {
            _ = interval.tick() => {}
            () = app.keys_changed.notified() => {}
        }
        // A token (HSM) may hang, and what others did must be followed all the same.
        let followed = tokio::time::timeout(FOLLOW_TIMEOUT, follow_once(&app, &mut recorded)).await;
        match followed {
            Ok(Ok(())) => {}
            // The present ring goes on serving.
            Ok(Err(error)) => tracing::warn!(error = format!("{error:#}"), "{NOT_FOLLOWED}"),
            Err(_) => tracing::warn!("{NOT_FOLLOWED}"),
        }
    }
}

async fn follow_once(app: &Issuer, recorded: &mut HashSet<(String, Kind)>) -> Result<()> {
    let now = app.clock.now();
    app.keys.reload(now).await?;
    let maintained = app.key_management.maintain(now).await;
    // What is wrong with a key is recorded whether or not the next one can be made.
    app.key_management.record_steps(recorded, now).await?;
    Ok(maintained?)
}

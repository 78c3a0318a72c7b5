//! Following the signing keys: what other instances did to them, and what is due.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;

use super::every;
use crate::app::App;
use crate::domain::audit::Kind;

/// How often an instance looks for what others did to the keys.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How long that may take; making a key included.
const FOLLOW_TIMEOUT: Duration = Duration::from_secs(60);
const NOT_FOLLOWED: &str = "the signing keys could not be followed";

/// Takes over what others did to the keys, and does what is due. At once when another instance
/// says that something has changed, and every now and then in any case.
pub async fn follow(app: Arc<App>) {
    let mut interval = every(LOOK_EVERY);
    let mut recorded = HashSet::new();
    loop {
        tokio::select! {
            _ = interval.tick() => {}
            () = app.keys_changed() => {}
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

async fn follow_once(app: &App, recorded: &mut HashSet<(String, Kind)>) -> Result<()> {
    let now = app.clock.now();
    app.keys.reload(now).await?;
    let maintained = app.key_management.maintain(now).await;
    // What is wrong with a key is recorded whether or not the next one can be made.
    app.key_management.record_steps(recorded, now).await?;
    Ok(maintained?)
}

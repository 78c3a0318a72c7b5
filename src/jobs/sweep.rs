//! Removing what has expired from the SQL store, in batches.

use std::sync::Arc;
use std::time::Duration;

use crate::app::Issuer;
use crate::storage::Stored;

const SWEEP_EVERY: Duration = Duration::from_secs(60);
const BATCH: u32 = 1000;

/// Removes expired sessions, login attempts, audit events and revocations every [`SWEEP_EVERY`].
pub(super) async fn sweep(app: Arc<Issuer>) {
    let mut interval = tokio::time::interval(SWEEP_EVERY);
    loop {
        interval.tick().await;
        let now = app.clock.now();
        purge_all("sessions", || app.stores.sessions.purge(now, BATCH)).await;
        purge_all("login attempts", || app.login_limits.purge(now, BATCH)).await;
        let audit = || app.stores.audit.purge(&app.config.audit, now, BATCH);
        purge_all("audit events", audit).await;
        purge_all("revocations", || app.revocations.purge(now, BATCH)).await;
        app.revocations.forget(&app.signer, app.clock.now());
    }
}

async fn purge_all<F: Future<Output = Stored<u64>>>(what: &str, remove: impl Fn() -> F) {
    loop {
        match remove().await {
            Ok(removed) if removed >= u64::from(BATCH) => tokio::task::yield_now().await,
            Ok(_) => break,
            Err(error) => {
                tracing::warn!(%error, "expired {what} were not removed");
                break;
            }
        }
    }
}

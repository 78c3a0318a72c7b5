//! Folding SQLite's write-ahead log into its file.

use std::sync::Arc;
use std::time::Duration;

use super::every;
use crate::app::Issuer;

const CHECKPOINT_EVERY: Duration = Duration::from_secs(1);

/// Folds it every [`CHECKPOINT_EVERY`].
pub(super) async fn checkpoint(app: Arc<Issuer>) {
    let mut interval = every(CHECKPOINT_EVERY);
    loop {
        interval.tick().await;
        if let Err(error) = app.db.checkpoint().await {
            tracing::warn!(%error, "the write-ahead log was not folded into the database file");
        }
    }
}

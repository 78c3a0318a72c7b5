//! The background loops of the service, one file each. Each goes on after a failure, which it logs.

mod checkpoint;
mod keys;
mod outbox;
mod revocations;
mod sweep;

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::app::App;

/// The running loops.
pub struct Jobs {
    tasks: Vec<JoinHandle<()>>,
    outbox: outbox::Loops,
}

impl Jobs {
    /// Starts them.
    pub fn start(app: &Arc<App>) -> Self {
        let listening = app.clone();
        let tasks = vec![
            tokio::spawn(keys::follow(app.clone())),
            tokio::spawn(async move { listening.listen().await }),
            tokio::spawn(revocations::follow(app.clone())),
            tokio::spawn(revocations::beat(app.clone())),
            tokio::spawn(revocations::restore(app.clone())),
            tokio::spawn(sweep::sweep(app.clone())),
            tokio::spawn(checkpoint::checkpoint(app.clone())),
        ];
        Self { tasks, outbox: outbox::Loops::start(app) }
    }

    /// Lets each mail that is being sent come to its end, within `limit`, and ends all loops.
    pub async fn finish(self, limit: Duration) {
        self.outbox.finish(limit).await;
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// Ticks that are missed are not made up for: the work is done as often as it can be.
fn every(period: Duration) -> tokio::time::Interval {
    let mut interval = tokio::time::interval(period);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    interval
}

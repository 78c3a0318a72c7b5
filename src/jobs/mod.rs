//! The background loops of the service, one file each. Each goes on after a failure, which it logs.

mod checkpoint;
mod keys;
mod outbox;
mod revocations;
mod sweep;

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::app::Issuer;

pub(crate) struct Jobs {
    tasks: Vec<JoinHandle<()>>,
    outbox: outbox::Loops,
}

impl Jobs {
    pub(crate) fn start(app: &Arc<Issuer>) -> Self {
        let listening = app.clone();
        let tasks = vec![
            tokio::spawn(keys::follow(app.clone())),
            tokio::spawn(async move { listening.receive_notices().await }),
            tokio::spawn(revocations::follow(app.clone())),
            tokio::spawn(revocations::beat(app.clone())),
            tokio::spawn(revocations::restore(app.clone())),
            tokio::spawn(sweep::sweep(app.clone())),
            tokio::spawn(checkpoint::checkpoint(app.clone())),
        ];
        Self { tasks, outbox: outbox::Loops::start(app) }
    }

    /// Lets the messages in flight finish, within `limit`, and ends all loops.
    pub(crate) async fn finish(self, limit: Duration) {
        self.outbox.finish(limit).await;
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// An interval that does not make up for missed ticks.
fn every(period: Duration) -> tokio::time::Interval {
    let mut interval = tokio::time::interval(period);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    interval
}

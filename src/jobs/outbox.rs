//! The loops that send mail: one that sorts what was asked for, and as many that deliver as there
//! may be connections. At the end of the service each finishes the message that it is sending.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::every;
use crate::app::Issuer;
use crate::domain::mail::Connection;
use crate::services::notifications::{Delivery, Notifier};
use crate::storage::{StorageError, Stored};

/// The time between two looks for messages of other instances, or messages that are due again.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The time between two counts of waiting messages, at which messages that are over are removed too.
const COUNT_EVERY: Duration = Duration::from_secs(10);
const BATCH: i64 = 20;

pub(super) struct Loops {
    stop: watch::Sender<bool>,
    sorting: Vec<JoinHandle<()>>,
    delivering: Vec<JoinHandle<()>>,
}

impl Loops {
    /// Starts them; none where no mail is sent.
    pub(super) fn start(app: &Arc<Issuer>) -> Self {
        let (stop, stopping) = watch::channel(false);
        let lanes = app.notifier.as_ref().map_or(0, |notifier| notifier.transport.lanes());
        let mut sorting = Vec::new();
        if lanes > 0 {
            sorting.push(tokio::spawn(sort(app.clone())));
            sorting.push(tokio::spawn(count(app.clone())));
        }
        let lane = |_| tokio::spawn(deliver(app.clone(), stopping.clone()));
        Self { stop, sorting, delivering: (0..lanes).map(lane).collect() }
    }

    /// Lets each finish the message that it is sending, within `limit`. One that is cut off is sent
    /// again.
    pub(super) async fn finish(self, limit: Duration) {
        self.sorting.iter().for_each(JoinHandle::abort);
        // There is no receiver where no mail is sent.
        let _ = self.stop.send(true);
        let aborts: Vec<_> = self.delivering.iter().map(JoinHandle::abort_handle).collect();
        let all = futures_util::future::join_all(self.delivering);
        if tokio::time::timeout(limit, all).await.is_err() {
            tracing::warn!("a mail was not finished in time, and is sent again at the next start");
            aborts.iter().for_each(tokio::task::AbortHandle::abort);
        }
    }
}

async fn sort(app: Arc<Issuer>) {
    let Some(notifier) = &app.notifier else { return };
    loop {
        match notifier.sort(app.clock.now()).await {
            Ok(true) => tokio::task::yield_now().await,
            Ok(false) => {
                // Either way it is time to look.
                let _ = tokio::time::timeout(LOOK_EVERY, notifier.outbox.asked()).await;
            }
            Err(error) => {
                log(&error);
                tokio::time::sleep(LOOK_EVERY).await;
            }
        }
    }
}

async fn deliver(app: Arc<Issuer>, mut stopping: watch::Receiver<bool>) {
    let Some(notifier) = &app.notifier else { return };
    let mut connection = notifier.transport.connection();
    while !is_over(&app, &stopping) {
        match deliver_due(&app, notifier, &mut connection, &stopping).await {
            Ok(true) => continue,
            Ok(false) => {}
            Err(error) => log(&error),
        }
        connection.hang_up().await;
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = notifier.outbox.sorted() => {}
            _ = stopping.changed() => {}
        }
    }
    connection.hang_up().await;
}

/// Whether no further message is begun: true once the service is stopping, so that the delivery in
/// progress has as long as the requests in progress.
fn is_over(app: &Issuer, stopping: &watch::Receiver<bool>) -> bool {
    app.is_draining() || *stopping.borrow()
}

/// Delivers what is due; returns whether it took any message.
async fn deliver_due(
    app: &Issuer,
    notifier: &Notifier,
    connection: &mut Connection,
    stopping: &watch::Receiver<bool>,
) -> Stored<bool> {
    let mut took = false;
    for id in notifier.outbox.due(BATCH, app.clock.now()).await? {
        if is_over(app, stopping) {
            return Ok(false);
        }
        // A message that lets the code panic is tried again later, and holds up no other.
        let delivery = AssertUnwindSafe(notifier.deliver(id, connection, app.clock.now()));
        let Ok(delivery) = delivery.catch_unwind().await else {
            *connection = notifier.transport.connection();
            continue;
        };
        if let Some(delivery) = delivery? {
            took = true;
            match delivery {
                Delivery::Sent => app.metrics.count_mail("sent"),
                Delivery::PutOff => app.metrics.count_mail("put_off"),
                Delivery::GivenUp => app.metrics.count_mail("given_up"),
                Delivery::Void => {}
            }
        }
    }
    Ok(took)
}

async fn count(app: Arc<Issuer>) {
    let Some(notifier) = &app.notifier else { return };
    let mut interval = every(COUNT_EVERY);
    loop {
        interval.tick().await;
        match notifier.outbox.count().await {
            Ok(waiting) => app.metrics.mails_waiting.set(waiting),
            Err(error) => log(&error),
        }
        if let Err(error) = notifier.purge(app.clock.now()).await {
            log(&error);
        }
    }
}

fn log(error: &StorageError) {
    let cause = std::error::Error::source(error).map(ToString::to_string);
    tracing::warn!(%error, cause, "mail has to wait");
}

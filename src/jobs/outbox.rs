//! The loops that send mail: one that sorts what was asked for, and as many that deliver as there
//! may be connections. At the end of the service each finishes the letter in its hands.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::every;
use crate::app::App;
use crate::domain::mail::Connection;
use crate::services::notifications::{Delivery, Postman};
use crate::storage::StorageError;

/// How often a loop looks for what other instances left, or what is due again.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often what waits is counted, and what does not matter any more is forgotten.
const COUNT_EVERY: Duration = Duration::from_secs(10);
/// How many letters a loop takes note of at once.
const BATCH: i64 = 20;

/// The running loops.
pub struct Loops {
    stop: watch::Sender<bool>,
    sorting: Vec<JoinHandle<()>>,
    delivering: Vec<JoinHandle<()>>,
}

impl Loops {
    /// Starts them; none where no mail is sent.
    pub fn start(app: &Arc<App>) -> Self {
        let (stop, stopping) = watch::channel(false);
        let lanes = app.postman.as_ref().map_or(0, Postman::lanes);
        let mut sorting = Vec::new();
        if lanes > 0 {
            sorting.push(tokio::spawn(sort(app.clone())));
            sorting.push(tokio::spawn(count(app.clone())));
        }
        let lane = |_| tokio::spawn(deliver(app.clone(), stopping.clone()));
        Self { stop, sorting, delivering: (0..lanes).map(lane).collect() }
    }

    /// Lets each finish the letter in its hands, within `limit`. One that is cut off is sent again.
    pub async fn finish(self, limit: Duration) {
        self.sorting.iter().for_each(JoinHandle::abort);
        // Nobody listens where no mail is sent.
        let _ = self.stop.send(true);
        let aborts: Vec<_> = self.delivering.iter().map(JoinHandle::abort_handle).collect();
        let all = futures_util::future::join_all(self.delivering);
        if tokio::time::timeout(limit, all).await.is_err() {
            tracing::warn!("a mail was not finished in time, and is sent again at the next start");
            aborts.iter().for_each(tokio::task::AbortHandle::abort);
        }
    }
}

async fn sort(app: Arc<App>) {
    let Some(postman) = &app.postman else { return };
    loop {
        match postman.sort(app.clock.now()).await {
            Ok(true) => tokio::task::yield_now().await,
            Ok(false) => {
                // Either way it is time to look.
                let _ = tokio::time::timeout(LOOK_EVERY, postman.outbox().asked()).await;
            }
            Err(error) => {
                log(&error);
                tokio::time::sleep(LOOK_EVERY).await;
            }
        }
    }
}

async fn deliver(app: Arc<App>, mut stopping: watch::Receiver<bool>) {
    let Some(postman) = &app.postman else { return };
    let mut courier = postman.courier();
    while !is_over(&app, &stopping) {
        match deliver_due(&app, postman, &mut courier, &stopping).await {
            Ok(true) => continue,
            Ok(false) => {}
            Err(error) => log(&error),
        }
        courier.hang_up().await;
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = postman.outbox().sorted() => {}
            _ = stopping.changed() => {}
        }
    }
    courier.hang_up().await;
}

/// Whether no further letter is begun: from when the service is told to stop, so that the one in
/// flight has as long as the requests in flight.
fn is_over(app: &App, stopping: &watch::Receiver<bool>) -> bool {
    app.is_draining() || *stopping.borrow()
}

/// Delivers what is due; returns whether there was anything to take.
async fn deliver_due(
    app: &App,
    postman: &Postman,
    courier: &mut Connection,
    stopping: &watch::Receiver<bool>,
) -> Result<bool, StorageError> {
    let mut took = false;
    for id in postman.outbox().due(BATCH, app.clock.now()).await? {
        if is_over(app, stopping) {
            return Ok(false);
        }
        // A letter that lets the code panic is tried again later, and holds up no other.
        let delivery = AssertUnwindSafe(postman.deliver(id, courier, app.clock.now()));
        let Ok(delivery) = delivery.catch_unwind().await else {
            *courier = postman.courier();
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

async fn count(app: Arc<App>) {
    let Some(postman) = &app.postman else { return };
    let mut interval = every(COUNT_EVERY);
    loop {
        interval.tick().await;
        match postman.outbox().count().await {
            Ok(waiting) => app.metrics.mails_waiting.set(waiting),
            Err(error) => log(&error),
        }
        if let Err(error) = postman.purge(app.clock.now()).await {
            log(&error);
        }
    }
}

fn log(error: &StorageError) {
    let cause = std::error::Error::source(error).map(ToString::to_string);
    tracing::warn!(%error, cause, "mail has to wait");
}

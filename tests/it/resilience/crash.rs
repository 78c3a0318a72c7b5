//! kill -9 in the middle of a thousand refreshes: every client goes on from the newest token that
//! it holds, and none is logged out.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;

use crate::support::client::{Client, User};
use crate::support::on_every_backend;
use crate::support::signet::{Backend, Signet};

const CLIENTS: usize = 50;
const REFRESHES: usize = 1000;

on_every_backend!(nobody_is_logged_out);

/// Refreshes until the connection breaks; returns the newest token received.
async fn refresh_until_it_dies(client: &Client, first: String, done: &AtomicUsize) -> String {
    let mut newest = first;
    while let Ok(answer) = client.try_refresh(&newest).await {
        newest = answer.tokens().refresh_token;
        done.fetch_add(1, Ordering::Relaxed);
    }
    newest
}

async fn nobody_is_logged_out(backend: Backend) {
    let mut signet = Signet::builder().backend(backend).start();
    let client = Client::new(signet.base());
    let users = join_all((0..CLIENTS).map(|_| client.new_user())).await;
    let mut newest: Vec<_> =
        users.into_iter().map(|User { tokens, .. }| tokens.refresh_token).collect();
    // Twice, so that sessions that went through one crash go through another.
    for _ in 0..2 {
        let done = AtomicUsize::new(0);
        let client = Client::new(signet.base());
        let chains =
            join_all(newest.into_iter().map(|token| refresh_until_it_dies(&client, token, &done)));
        let kill = async {
            while done.load(Ordering::Relaxed) < REFRESHES / 2 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            signet.kill9();
        };
        (newest, _) = futures_util::future::join(chains, kill).await;
        assert!(done.into_inner() >= REFRESHES / 2);

        signet.restart();
        let client = Client::new(signet.base());
        let answers = join_all(newest.iter().map(|token| client.refresh(token))).await;
        newest = answers.into_iter().map(|answer| answer.tokens().refresh_token).collect();
    }
    let client = Client::new(signet.base());
    for token in &newest {
        client.refresh(token).await.tokens();
    }
}

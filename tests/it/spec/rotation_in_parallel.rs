//! One refresh token presented many times at once, through two processes on the same store.

use std::collections::HashSet;

use futures_util::future::join_all;

use crate::support::client::{Client, User};
use crate::support::on_every_backend;
use crate::support::signet::{Backend, Signet};

on_every_backend!(fifty_at_once_give_one_successor, a_race_with_revocation_leaves_nothing_alive);

async fn fifty_at_once_give_one_successor(backend: Backend) {
    let signet = Signet::builder().backend(backend).start();
    let mut sibling = signet.sibling();
    sibling.restart();
    let clients = [Client::new(signet.base()), Client::new(sibling.base())];
    let User { tokens, .. } = clients[0].new_user().await;
    let mut token = tokens.refresh_token;
    for _ in 0..3 {
        let answers = join_all((0..50).map(|number| clients[number % 2].refresh(&token))).await;
        let successors: HashSet<_> =
            answers.into_iter().map(|answer| answer.tokens().refresh_token).collect();
        assert_eq!(successors.len(), 1, "{successors:?}");
        token = successors.into_iter().next().expect("one");
    }
    clients[1].refresh(&token).await.tokens();
}

async fn a_race_with_revocation_leaves_nothing_alive(backend: Backend) {
    let signet = Signet::builder().backend(backend).start();
    let mut sibling = signet.sibling();
    sibling.restart();
    let clients = [Client::new(signet.base()), Client::new(sibling.base())];
    for _ in 0..5 {
        let User { tokens, .. } = clients[0].new_user().await;
        let refreshes =
            join_all((0..10).map(|number| clients[number % 2].refresh(&tokens.refresh_token)));
        let logout = async {
            let request = clients[1].post("/logout").bearer_auth(&tokens.access_token);
            crate::support::client::Send::answer(request).await
        };
        let (answers, logout) = futures_util::future::join(refreshes, logout).await;
        assert!((200..300).contains(&logout.status), "{logout:?}");
        for answer in answers {
            // Before the logout they succeed, and what they gave is dead all the same.
            if answer.status == 200 {
                let tokens = answer.tokens();
                clients[0].me(&tokens.access_token).await.expect(401);
                let refused = clients[0].refresh(&tokens.refresh_token).await;
                refused.expect_oauth_error(400, "invalid_grant");
            } else {
                answer.expect_oauth_error(400, "invalid_grant");
            }
        }
    }
}

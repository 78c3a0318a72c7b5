//! Two instances on one store: both started at once on nothing, and then one in all they know.

use crate::support::client::Client;
use crate::support::jwt::Jwt;
use crate::support::on_every_backend;
use crate::support::signet::{Backend, Signet};

on_every_backend!(they_come_up_with_the_same_keys);

async fn they_come_up_with_the_same_keys(backend: Backend) {
    let mut first = Signet::builder().backend(backend).without_ready_keys().prepare();
    let mut second = first.sibling();
    first.spawn();
    second.spawn();
    first.wait_until_ready();
    second.wait_until_ready();
    let clients = [&first, &second].map(|signet| Client::new(signet.base()));
    let jwks = clients[0].jwks().await;
    // The first key and its spare.
    assert_eq!(jwks["keys"].as_array().expect("keys").len(), 2, "{jwks}");
    assert_eq!(jwks, clients[1].jwks().await);

    for (here, there) in [(&clients[0], &clients[1]), (&clients[1], &clients[0])] {
        let user = here.new_user().await;
        Jwt::verify(&user.tokens.access_token, &jwks);
        there.me(&user.tokens.access_token).await.expect(200);
        let next = there.refresh(&user.tokens.refresh_token).await.tokens();
        let next = here.refresh(&next.refresh_token).await.tokens();
        // Ended there, dead here.
        let fields = [("token", next.refresh_token.as_str()), ("client_id", "signet-first-party")];
        there.form("/oauth2/revoke", &fields).await.expect(200);
        here.me(&next.access_token).await.expect(401);
        let refused = here.refresh(&next.refresh_token).await;
        refused.expect_oauth_error(400, "invalid_grant");
    }
    // One of them shows the administrator that it made, not both.
    let shown = |signet: &Signet| signet.output().matches("password").count();
    assert_eq!(shown(&first) + shown(&second), 1, "{}\n{}", first.output(), second.output());
}

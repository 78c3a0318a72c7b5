//! PostgreSQL's text cannot hold NUL: names with one are unknown, not a failure of the server.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::support::client::{Client, FIRST_PARTY, PASSWORD, Send};
use crate::support::on_every_backend;
use crate::support::signet::{Backend, Signet};

const NAMES: [&str; 3] = ["\0", "nul\0@example.com", "a@example.com\0"];
const CLIENTS: [&str; 3] = ["\0", "nul\0nul", "signet-first-party\0"];

on_every_backend!(users_with_nul_are_unknown, clients_with_nul_are_unknown);

async fn users_with_nul_are_unknown(backend: Backend) {
    let signet = Signet::builder().backend(backend).start();
    let client = Client::new(signet.base());
    for name in NAMES {
        let fields = [
            ("grant_type", "password"),
            ("username", name),
            ("password", PASSWORD),
            ("client_id", FIRST_PARTY),
        ];
        for path in ["/login", "/oauth2/token"] {
            client.form(path, &fields).await.expect_oauth_error(400, "invalid_grant");
        }
        for member in ["username", "email"] {
            let body = json!({ member: name, "password": PASSWORD });
            let answer = client.post("/login").json(&body).answer().await;
            answer.expect_oauth_error(400, "invalid_grant");
        }
    }
}

async fn clients_with_nul_are_unknown(backend: Backend) {
    let signet = Signet::builder().backend(backend).start();
    let client = Client::new(signet.base());
    let user = client.new_user().await;
    let login = [("username", user.email.as_str()), ("password", PASSWORD)];
    let refresh =
        [("grant_type", "refresh_token"), ("refresh_token", user.tokens.refresh_token.as_str())];
    let token = [("token", user.tokens.refresh_token.as_str())];
    for id in CLIENTS {
        for (path, fields) in
            [("/login", &login[..]), ("/oauth2/token", &refresh), ("/oauth2/revoke", &token)]
        {
            for more in [&[("client_id", id)][..], &[("client_id", id), ("client_secret", "x")]] {
                let answer = client.form(path, &[fields, more].concat()).await;
                answer.expect_oauth_error(401, "invalid_client");
            }
            // Inside Basic it may stand as it is or encoded.
            for id in [id.to_owned(), id.replace('\0', "%00")] {
                let header = format!("Basic {}", STANDARD.encode(format!("{id}:secret")));
                let request = client.post(path).header("authorization", header);
                let answer = request.form(fields).answer().await;
                answer.expect_oauth_error(401, "invalid_client");
            }
        }
        let body = json!({ "email": user.email, "password": PASSWORD, "client_id": id });
        let answer = client.post("/login").json(&body).answer().await;
        answer.expect_oauth_error(401, "invalid_client");
    }
    client.refresh(&user.tokens.refresh_token).await.tokens();
}

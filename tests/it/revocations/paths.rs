//! Every way to end a session or a token is told to siblings, and nobody else's tokens are.

use std::time::Duration;

use serde_json::{Value, json};

use super::{expect_refused, refuses, snapshot};
use crate::api::administration::{Admin, id_of};
use crate::support::client::{Client, FIRST_PARTY, PASSWORD, Send, Tokens};
use crate::support::jwt::Jwt;
use crate::support::on_every_backend;
use crate::support::signet::{Backend, Signet};

on_every_backend!(whatever_ends_is_told);

const NEW_PASSWORD: &str = "twelve orange wagons";
const SERVICE: &str = "reports";
const MAX_SESSIONS: usize = 4;

/// An instance, an administrator, and a user who is signed in twice.
struct World {
    admin: Admin,
    email: String,
    path: String,
    first: Tokens,
    second: Tokens,
}

impl World {
    async fn of(admin: Admin) -> Self {
        let email = crate::support::client::unique_email();
        let path = admin.add_user(&email, json!({})).await;
        let first = admin.client.login(&email, PASSWORD).await;
        let second = admin.client.login(&email, PASSWORD).await;
        Self { admin, email, path, first, second }
    }

    fn client(&self) -> &Client {
        &self.admin.client
    }

    fn both(&self) -> Vec<String> {
        [&self.first, &self.second].map(|tokens| tokens.access_token.clone()).into()
    }

    fn one(&self) -> Vec<String> {
        vec![self.first.access_token.clone()]
    }

    fn sid(&self) -> String {
        let claims = Jwt::decode(&self.first.access_token).claims;
        claims["sid"].as_str().expect("a sid").to_owned()
    }

    async fn mine(&self, method: &str, path: &str) {
        let method = method.parse().expect("a method");
        let request = self.client().request(method, path).bearer_auth(&self.first.access_token);
        request.answer().await.expect(204);
    }

    async fn revoke(&self, token: &str) {
        let fields = [("token", token), ("client_id", FIRST_PARTY)];
        self.client().form("/oauth2/revoke", &fields).await.expect(200);
    }

    async fn patch(&self, body: Value) {
        self.admin.patch(&self.path, body).await.expect(200);
    }

    async fn delete(&self, path: &str) {
        let etag = self.admin.etag(path).await;
        self.admin.change("DELETE", path, &etag, json!({})).await.expect(204);
    }

    fn cli(&self, arguments: &[&str], input: &str) {
        self.admin.signet.cli_ok(arguments, input);
    }

    /// A token of a client of its own, registered anew.
    async fn service_token(&self, client_id: &str) -> String {
        let secret = self.admin.signet.add_confidential(client_id, &[]);
        self.client().client_token((client_id, &secret)).await
    }
}

/// What is done, in a word; [`end`] does it and says which tokens are dead then.
const PATHS: [&str; 20] = [
    "refresh token revoked",
    "access token revoked",
    "logout",
    "reuse",
    "own password changed",
    "own sessions ended",
    "own other sessions ended",
    "own session ended",
    "own account removed",
    "beyond the limit of sessions",
    "disabled by an administrator",
    "removed by an administrator",
    "password set by an administrator",
    "address changed by an administrator",
    "session ended by an administrator",
    "sessions ended by an administrator",
    "disabled at the command line",
    "password set at the command line",
    "client disabled",
    "client removed",
];

async fn end(world: &World, path: &str) -> Vec<String> {
    match path {
        "refresh token revoked" => world.revoke(&world.first.refresh_token).await,
        "access token revoked" => world.revoke(&world.first.access_token).await,
        "logout" => world.mine("POST", "/logout").await,
        "reuse" => {
            // Displaced twice, so that it is none that a lost answer left behind.
            let next = world.client().refresh(&world.first.refresh_token).await.tokens();
            let last = world.client().refresh(&next.refresh_token).await.tokens();
            let reused = world.client().refresh(&world.first.refresh_token).await;
            reused.expect_oauth_error(400, "invalid_grant");
            return vec![world.first.access_token.clone(), next.access_token, last.access_token];
        }
        "own password changed" => {
            let body = json!({ "current_password": PASSWORD, "new_password": NEW_PASSWORD });
            let request = world.client().post("/users/me/password").json(&body);
            request.bearer_auth(&world.first.access_token).answer().await.expect(204);
            return world.both();
        }
        "own sessions ended" => {
            world.mine("DELETE", "/users/me/sessions").await;
            return world.both();
        }
        "own other sessions ended" => {
            world.mine("DELETE", "/users/me/sessions?except_current=true").await;
            return vec![world.second.access_token.clone()];
        }
        "own session ended" => {
            world.mine("DELETE", &format!("/users/me/sessions/{}", world.sid())).await;
        }
        "own account removed" => {
            let request = world.client().request(reqwest::Method::DELETE, "/users/me");
            let request = request.json(&json!({ "current_password": PASSWORD }));
            request.bearer_auth(&world.first.access_token).answer().await.expect(204);
            return world.both();
        }
        "beyond the limit of sessions" => {
            for _ in 0..MAX_SESSIONS {
                world.client().login(&world.email, PASSWORD).await;
            }
            return world.both();
        }
        "disabled by an administrator" => {
            world.patch(json!({ "disabled": true })).await;
            return world.both();
        }
        "removed by an administrator" => {
            world.delete(&world.path).await;
            return world.both();
        }
        "password set by an administrator" => {
            let path = format!("{}/password", world.path);
            world.admin.send("PUT", &path, json!({ "password": NEW_PASSWORD })).await.expect(204);
            return world.both();
        }
        "address changed by an administrator" => {
            world.patch(json!({ "email": crate::support::client::unique_email() })).await;
            return world.both();
        }
        "session ended by an administrator" => {
            let user = id_of(&world.path);
            let path = format!("/admin/sessions/{}?user_id={user}", world.sid());
            world.admin.request("DELETE", &path).answer().await.expect(204);
        }
        "sessions ended by an administrator" => {
            let path = format!("{}/sessions", world.path);
            world.admin.request("DELETE", &path).answer().await.expect(204);
            return world.both();
        }
        "disabled at the command line" => {
            world.cli(&["users", "disable", &world.email], "");
            return world.both();
        }
        "password set at the command line" => {
            let set = ["users", "set-password", &world.email, "--password-stdin"];
            world.cli(&set, NEW_PASSWORD);
            return world.both();
        }
        "client disabled" => {
            let token = world.service_token(SERVICE).await;
            let path = format!("/admin/clients/{SERVICE}");
            world.admin.patch(&path, json!({ "disabled": true })).await.expect(200);
            return vec![token];
        }
        "client removed" => {
            let token = world.service_token("invoices").await;
            world.delete("/admin/clients/invoices").await;
            return vec![token];
        }
        other => panic!("{other} is none of the table"),
    }
    world.one()
}

async fn whatever_ends_is_told(backend: Backend) {
    let signet = Signet::builder().backend(backend);
    let signet = signet.set("sessions.max_per_user", &MAX_SESSIONS.to_string());
    // The clock of "displaced long ago" is the retry window.
    let signet = signet.set("sessions.retry_window", "0s").start();
    let mut admin = Admin::of(signet).await;
    let bystander = admin.client.new_user().await;
    for path in PATHS {
        let world = World::of(admin).await;
        let dead = end(&world, path).await;
        let dead: Vec<_> = dead.iter().map(String::as_str).collect();
        expect_refused(world.client(), &dead, path).await;
        let known = snapshot(world.client()).await.claims;
        for token in [&bystander.tokens.access_token, &world.admin.token] {
            assert!(!refuses(&known, token), "{path}: {known}");
        }
        if path == "access token revoked" {
            // It alone: its session goes on.
            let next = world.client().refresh(&world.first.refresh_token).await.tokens();
            assert!(!refuses(&snapshot(world.client()).await.claims, &next.access_token));
        }
        admin = world.admin;
    }
    // Last, since they end the tokens of all.
    let token = &bystander.tokens.access_token;
    let kid = Jwt::decode(token).header["kid"].as_str().expect("a kid").to_owned();
    let why = ["--force", "--reason", "a test"];
    admin.signet.cli_ok(&[&["keys", "rotate", "--activate-in", "0s"], &why[..]].concat(), "");
    admin.signet.cli_ok(&[&["keys", "retire", &kid], &why[..]].concat(), "");
    an_ended_key_is_told(&admin, &kid, token).await;
    let next = admin.client.refresh(&bystander.tokens.refresh_token).await.tokens().access_token;
    let kid = Jwt::decode(&next).header["kid"].as_str().expect("a kid").to_owned();
    admin.signet.cli_ok(&["keys", "revoke", &kid, "--reason", "a test"], "");
    an_ended_key_is_told(&admin, &kid, &next).await;
}

async fn an_ended_key_is_told(admin: &Admin, kid: &str, token: &str) {
    let start = std::time::Instant::now();
    loop {
        let known = snapshot(&admin.client).await;
        if refuses(&known.claims, token) {
            assert_ne!(known.header["kid"], kid, "nobody believes that key");
            return;
        }
        // The keys themselves are looked for every two seconds.
        assert!(start.elapsed().as_secs() < 5, "{}", known.claims);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

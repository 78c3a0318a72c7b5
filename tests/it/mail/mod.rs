//! Mail, through a real SMTP server: what users are sent, what its tokens do, and that none is lost.

mod commands;
mod enumeration;
mod flows;
mod outage;
mod pending;
mod proofs;
pub mod server;
mod settings;
mod strangers;
mod tokens;

use std::time::Duration;

use serde_json::json;

use crate::support::client::{Answer, Client, PASSWORD, Send, Tokens};
use crate::support::signet::{Backend, Signet};
use server::SmtpServer;

pub const NEW_PASSWORD: &str = "twelve orange bicycles";

/// An instance that sends its mail to a server of its own.
pub fn start(backend: Backend) -> (Signet, SmtpServer) {
    let server = SmtpServer::start();
    // Long enough that no machine is too slow to be told to wait.
    let builder = Signet::builder().backend(backend).set("login_limits.shortest_delay", "1m");
    (server.used_by(builder).start(), server)
}

/// The mail endpoints.
pub trait MailClient {
    fn forgot(&self, email: &str) -> impl Future<Output = Answer>;
    fn reset(&self, token: &str, password: &str) -> impl Future<Output = Answer>;
    fn ask_verification(&self, email: &str) -> impl Future<Output = Answer>;
    /// The mailed token alone.
    fn verify(&self, token: &str) -> impl Future<Output = Answer>;
    /// The mailed token with one member more.
    fn prove(&self, token: &str, name: &str, value: &str) -> impl Future<Output = Answer>;
    /// The mailed token with a bearer token.
    fn prove_as(&self, token: &str, access_token: &str) -> impl Future<Output = Answer>;
    fn change_email(&self, access_token: &str, email: &str) -> impl Future<Output = Answer>;
    fn is_verified(&self, tokens: &Tokens) -> impl Future<Output = bool>;
}

impl MailClient for Client {
    async fn forgot(&self, email: &str) -> Answer {
        self.post("/password/forgot").json(&json!({ "email": email })).answer().await
    }

    async fn reset(&self, token: &str, password: &str) -> Answer {
        let body = json!({ "token": token, "password": password });
        self.post("/password/reset").json(&body).answer().await
    }

    async fn ask_verification(&self, email: &str) -> Answer {
        self.post("/email/verification").json(&json!({ "email": email })).answer().await
    }

    async fn verify(&self, token: &str) -> Answer {
        self.post("/email/verify").json(&json!({ "token": token })).answer().await
    }

    async fn prove(&self, token: &str, name: &str, value: &str) -> Answer {
        self.post("/email/verify").json(&json!({ "token": token, name: value })).answer().await
    }

    async fn prove_as(&self, token: &str, access_token: &str) -> Answer {
        let request = self.post("/email/verify").bearer_auth(access_token);
        request.json(&json!({ "token": token })).answer().await
    }

    async fn change_email(&self, access_token: &str, email: &str) -> Answer {
        let body = json!({ "email": email, "current_password": PASSWORD });
        self.post("/users/me/email").bearer_auth(access_token).json(&body).answer().await
    }

    async fn is_verified(&self, tokens: &Tokens) -> bool {
        let me = self.me(&tokens.access_token).await.expect(200).json();
        me["email_verified"].as_bool().expect("a boolean")
    }
}

/// Checks that a token is refused, as every one that is not good is.
#[track_caller]
pub fn assert_refused(answer: Answer) {
    let answer = answer.expect_problem(400);
    assert_eq!(answer.problem_fields(), ["token"], "{answer:?}");
    let message = &answer.json()["errors"][0]["message"];
    assert_eq!(message, "is not valid, was used, or has expired");
}

/// The signup token of an answer to a sign-up.
#[track_caller]
pub fn signup_token(answer: &Answer) -> String {
    let token = answer.json()["signup_token"].as_str().map(str::to_owned);
    let token = token.unwrap_or_else(|| panic!("no signup token: {answer:?}"));
    let is_safe = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    assert!(token.len() == 43 && token.chars().all(is_safe), "{token}");
    token
}

/// What waits in the outbox.
pub fn outbox(signet: &Signet) -> Vec<serde_json::Value> {
    let list = signet.cli_json(&["mail", "outbox"], "");
    list.as_array().expect("a list").clone()
}

/// Waits until nothing waits in the outbox.
pub async fn outbox_empties(signet: &Signet, limit: Duration) {
    let empty = async || {
        while !outbox(signet).is_empty() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let emptied = tokio::time::timeout(limit, empty()).await;
    assert!(emptied.is_ok(), "there wait {:?}", outbox(signet));
}

/// The database of an instance, to look at and to set clocks in.
pub async fn database(signet: &Signet) -> signet::storage::Db {
    let url = signet.environment().find(|(name, _)| *name == "SIGNET__DATABASE__URL");
    let file = format!("sqlite://{}/data/signet.db", signet.folder().display());
    let url = url.map_or(file, |(_, url)| url.clone());
    signet::storage::Db::connect(&url, 2).await.expect("the database")
}

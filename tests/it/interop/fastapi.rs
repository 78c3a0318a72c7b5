//! A FastAPI service with `OAuth2PasswordBearer(tokenUrl=…/login)` accepts who logged in by the
//! form, as its own documentation page would send it.

use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::time::Duration;

use super::{folder, python};
use crate::support::client::{Client, PASSWORD, Send};
use crate::support::process::{Process, free_port, poll};
use crate::support::signet::Signet;

/// A client of the one service that trusts the shared Signet.
pub fn shared() -> Client {
    static SHARED: LazyLock<(Process, String)> = LazyLock::new(|| start(Signet::shared().issuer()));
    Client::new(&SHARED.1)
}

/// Starts the service, which ends with the value, and gives its address.
fn start(issuer: &str) -> (Process, String) {
    let port = free_port();
    let mut command = Command::new(python());
    command.arg(folder().join("fastapi_app.py")).args([issuer, &port.to_string()]);
    let mut process = Process::spawn(command.stdin(Stdio::null()), "TERM");
    let ready = poll(Duration::from_secs(60), || {
        assert!(process.ended().is_none(), "the FastAPI service ended");
        std::net::TcpStream::connect(("127.0.0.1", port)).ok()
    });
    assert!(ready.is_some(), "the FastAPI service does not listen");
    (process, format!("http://127.0.0.1:{port}"))
}

#[tokio::test]
async fn a_user_who_logged_in_by_the_form_is_accepted() {
    let signet = Signet::shared();
    let user = Client::shared().new_user().await;
    let service = shared();

    let document = service.get("/openapi.json").answer().await.expect(200).json();
    let flow = document
        .pointer("/components/securitySchemes/OAuth2PasswordBearer/flows/password")
        .expect("the password flow");
    let login = flow["tokenUrl"].as_str().and_then(|url| url.strip_prefix(signet.base()));
    let fields = [
        ("grant_type", "password"),
        ("username", &user.email),
        ("password", PASSWORD),
        ("scope", ""),
        ("client_id", ""),
        ("client_secret", ""),
    ];
    let answer = Client::shared().form(login.expect("Signet's"), &fields).await.expect(200).json();
    // The scheme is taken from the answer, as clients do.
    assert_eq!(answer["token_type"], "Bearer");
    let token = answer["access_token"].as_str().expect("a token");
    let whoami = async |token: &str| service.get("/whoami").bearer_auth(token).answer().await;
    assert_eq!(whoami(token).await.expect(200).json()["sub"], user.id.as_str());

    let refreshed = Client::shared().refresh(&user.tokens.refresh_token).await.tokens();
    whoami(&refreshed.access_token).await.expect(200);
    whoami(&token[..token.len() - 3]).await.expect(401);
    service.get("/whoami").answer().await.expect(401);
}

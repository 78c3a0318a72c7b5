//! The extractors, asked over HTTP.

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::issuer::{Issuer, now};

/// Status and `WWW-Authenticate` of the answer to a request with these `Authorization` headers.
async fn ask(port: u16, path: &str, authorizations: &[&str]) -> (u16, String) {
    let mut connection = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let mut request = format!("GET {path} HTTP/1.1\r\nHost: api\r\nConnection: close\r\n");
    for authorization in authorizations {
        request.push_str(&format!("Authorization: {authorization}\r\n"));
    }
    request.push_str("\r\n");
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer).to_ascii_lowercase();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    let challenge = answer.lines().find_map(|line| line.strip_prefix("www-authenticate: "));
    (status, challenge.unwrap_or_default().to_owned())
}

/// What both have to answer: `/` takes any token, `/admin` one with the scope `admin`.
async fn check(issuer: &Issuer, port: u16) {
    let good = format!("Bearer {}", issuer.token(json!({})));
    assert_eq!(ask(port, "/", &[&good]).await, (200, String::new()));
    let lowercase = good.replacen("Bearer", "bearer", 1);
    assert_eq!(ask(port, "/", &[&lowercase]).await.0, 200);
    let (status, challenge) = ask(port, "/admin", &[&good]).await;
    assert_eq!(status, 403);
    assert!(challenge.contains("error=\"insufficient_scope\""), "{challenge}");
    assert!(challenge.contains("scope=\"admin\""), "{challenge}");
    let admin = format!("Bearer {}", issuer.token(json!({ "scope": "admin" })));
    assert_eq!(ask(port, "/admin", &[&admin]).await.0, 200);
    assert_eq!(ask(port, "/", &[]).await, (401, "bearer".to_owned()));
    assert_eq!(ask(port, "/", &["Basic YTpi"]).await, (401, "bearer".to_owned()));
    let expired = format!("Bearer {}", issuer.token(json!({ "exp": now() - 60 })));
    for bad in [expired.as_str(), "Bearer x", "Bearer a.b.c"] {
        let (status, challenge) = ask(port, "/", &[bad]).await;
        assert_eq!(status, 401, "{bad}");
        assert!(challenge.contains("error=\"invalid_token\""), "{challenge}");
    }
    for bad in [&[good.as_str(), good.as_str()][..], &["Basic YTpi", &good], &["Bearer"]] {
        let (status, challenge) = ask(port, "/", bad).await;
        assert_eq!(status, 400, "{bad:?}");
        assert!(challenge.contains("error=\"invalid_request\""), "{challenge}");
    }
}

#[cfg(feature = "axum")]
mod with_axum {
    use axum::Router;
    use axum::routing::get;
    use signet_verifier::Error;
    use signet_verifier::axum::AccessToken;

    use super::*;

    async fn whoami(token: AccessToken) -> String {
        token.subject().to_owned()
    }

    async fn admin(token: AccessToken) -> Result<&'static str, Error> {
        token.require_scope("admin").map(|()| "welcome")
    }

    #[tokio::test]
    async fn axum_lets_in_whom_the_verifier_does() {
        let issuer = Issuer::start().await;
        let router = Router::new().route("/", get(whoami)).route("/admin", get(admin));
        let router = router.with_state(issuer.verifier().await);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move { axum::serve(listener, router).await });
        check(&issuer, port).await;
    }
}

#[cfg(feature = "actix")]
mod with_actix {
    use actix_web::{App, HttpServer, web};
    use signet_verifier::Error;
    use signet_verifier::actix::AccessToken;

    use super::*;

    async fn whoami(token: AccessToken) -> String {
        token.subject().to_owned()
    }

    async fn admin(token: AccessToken) -> Result<&'static str, Error> {
        token.require_scope("admin").map(|()| "welcome")
    }

    #[tokio::test]
    async fn actix_lets_in_whom_the_verifier_does() {
        let issuer = Issuer::start().await;
        let verifier = web::Data::new(issuer.verifier().await);
        let server = HttpServer::new(move || {
            let app = App::new().app_data(verifier.clone());
            app.route("/", web::get().to(whoami)).route("/admin", web::get().to(admin))
        });
        let server = server.workers(1).disable_signals().bind(("127.0.0.1", 0)).unwrap();
        let port = server.addrs()[0].port();
        let server = server.run();
        let handle = server.handle();
        let serving = tokio::spawn(server);
        check(&issuer, port).await;
        handle.stop(false).await;
        serving.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn an_app_without_a_verifier_says_so() {
        let server = HttpServer::new(|| App::new().route("/", web::get().to(whoami)));
        let server = server.workers(1).disable_signals().bind(("127.0.0.1", 0)).unwrap();
        let port = server.addrs()[0].port();
        let server = server.run();
        let handle = server.handle();
        let serving = tokio::spawn(server);
        assert_eq!(ask(port, "/", &["Bearer a.b.c"]).await.0, 500);
        handle.stop(false).await;
        serving.await.unwrap().unwrap();
    }
}

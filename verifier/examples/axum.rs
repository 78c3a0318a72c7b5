//! An API on axum that takes access tokens:
//! `cargo run --example axum --features axum -- https://id.example.com https://api.example.com`

use std::time::Duration;

use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use signet_verifier::axum::AccessToken;
use signet_verifier::{AllowHttp, Beyond, Error, Feed, Verifier};

/// Any good token will do.
async fn whoami(token: AccessToken) -> Json<Value> {
    Json(json!({ "subject": token.subject(), "scopes": token.scopes().collect::<Vec<_>>() }))
}

/// 403 without the scope.
async fn reports(token: AccessToken) -> Result<Json<Value>, Error> {
    token.require_scope("reports:read")?;
    Ok(Json(json!(["first", "second"])))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let issuer = arguments.next().unwrap_or_else(|| "http://127.0.0.1:8080".into());
    let audience = arguments.next().unwrap_or_else(|| issuer.clone());
    let verifier = Verifier::builder(issuer)
        .audience(audience)
        .allow_http(AllowHttp::Loopback)
        .feed(Feed::new(Duration::from_secs(10), Beyond::Refuse))
        .observer(|event| eprintln!("{event:?}"))
        .build()?;
    verifier.ready().await?;
    let router = Router::new()
        .route("/whoami", get(whoami))
        .route("/reports", get(reports))
        .with_state(verifier);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:8081").await?;
    println!("http://{}/whoami", listener.local_addr()?);
    axum::serve(listener, router).await?;
    Ok(())
}

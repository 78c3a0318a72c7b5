//! An API on actix-web that takes access tokens:
//! `cargo run --example actix --features actix -- https://id.example.com https://api.example.com`

use std::time::Duration;

use actix_web::{App, HttpServer, web};
use serde_json::{Value, json};
use signet_verifier::actix::AccessToken;
use signet_verifier::{AllowHttp, Beyond, Error, Feed, Verifier};

/// Any good token will do.
async fn whoami(token: AccessToken) -> web::Json<Value> {
    web::Json(json!({ "subject": token.subject(), "scopes": token.scopes().collect::<Vec<_>>() }))
}

/// 403 without the scope.
async fn reports(token: AccessToken) -> Result<web::Json<Value>, Error> {
    token.require_scope("reports:read")?;
    Ok(web::Json(json!(["first", "second"])))
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
    let verifier = web::Data::new(verifier);
    let server = HttpServer::new(move || {
        App::new()
            .app_data(verifier.clone())
            .route("/whoami", web::get().to(whoami))
            .route("/reports", web::get().to(reports))
    });
    println!("http://127.0.0.1:8081/whoami");
    server.bind(("127.0.0.1", 8081))?.run().await?;
    Ok(())
}

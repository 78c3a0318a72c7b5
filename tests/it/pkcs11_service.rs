//! The whole service with its signing keys on a token: issued, verified, rotated, restarted, and the
//! token lost and found.

use std::time::Duration;

use serde_json::Value;
use signet::storage::Db;

use crate::support::client::{Client, Send};
use crate::support::jwt::Jwt;
use crate::support::keys::published;
use crate::support::process::poll;
use crate::support::signet::{Builder, Signet};
use crate::support::softhsm::{SoftHsm, on_a_token};

on_a_token! {
    tokens_are_signed_on_the_token,
    without_its_token_the_service_does_not_start,
    a_token_that_is_away_gives_503_and_comes_back,
    keys_of_before_are_authenticated_if_the_token_holds_them,
}

fn builder(hsm: &SoftHsm) -> Builder {
    let set = |builder: Builder, (name, value): (String, String)| builder.variable(&name, &value);
    hsm.environment().into_iter().fold(Signet::builder(), set)
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(work)
}

fn add_client(signet: &Signet) -> (&'static str, String) {
    ("program", signet.add_confidential("program", &["--grants", "client_credentials"]))
}

/// A token, verified by the published keys; returns its kid.
async fn issue(client: &Client, (id, secret): &(&str, String)) -> String {
    let token = client.client_token((id, secret)).await;
    let header = Jwt::verify(&token, &client.jwks().await).header;
    header["kid"].as_str().expect("a kid").to_owned()
}

fn kid_in_state(signet: &Signet, state: &str) -> String {
    let keys = signet.cli_json(&["keys", "list"], "");
    let found = keys.as_array().expect("keys").iter().find(|key| key["state"] == state);
    let key: &Value = found.unwrap_or_else(|| panic!("no key is {state}: {keys}"));
    assert!(key["sealed_under"].is_null(), "nothing of it is in the database: {key}");
    key["kid"].as_str().expect("a kid").to_owned()
}

fn tokens_are_signed_on_the_token(hsm: &SoftHsm) {
    let mut signet = builder(hsm).start();
    let credentials = add_client(&signet);
    let client = Client::new(signet.base());
    let first = block_on(issue(&client, &credentials));
    assert_eq!(first, kid_in_state(&signet, "active"));

    // The spare is on the token too, and takes over.
    let spare = kid_in_state(&signet, "pending");
    signet.cli_ok(&["keys", "revoke", &first, "--reason", "a drill"], "");
    // A token from before this process learned of it would be checked by the keys from after it.
    let gone = poll(Duration::from_secs(20), || {
        let jwks = block_on(client.jwks());
        (!published(&jwks).contains(&first)).then_some(())
    });
    assert!(gone.is_some(), "the revoked key is not published");
    assert_eq!(block_on(issue(&client, &credentials)), spare, "the spare signs");

    signet.restart();
    assert_eq!(block_on(issue(&client, &credentials)), spare);
    let pem = signet.cli_ok(&["keys", "export", &spare, "--pem"], "");
    assert!(pem.starts_with("-----BEGIN PUBLIC KEY-----"), "{pem}");
}

fn without_its_token_the_service_does_not_start(hsm: &SoftHsm) {
    let signet = builder(hsm).start();
    let without = signet.sibling_with(|builder| builder.unset("keys.pkcs11.module"));
    let output = without.cli(&["keys", "rotate", "--activate-in", "1h"], "");
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("is on a PKCS#11 token"), "{error}");
}

fn keys_of_before_are_authenticated_if_the_token_holds_them(hsm: &SoftHsm) {
    let mut signet = builder(hsm).start();
    let credentials = add_client(&signet);
    let (active, spare) = (kid_in_state(&signet, "active"), kid_in_state(&signet, "pending"));
    signet.term();
    // As the version before had it; with a row besides whose key the token does not hold.
    block_on(async {
        let url = format!("sqlite://{}/data/signet.db", signet.folder().display());
        let db = Db::connect(&url, 1).await.expect("the database");
        for statement in [
            "UPDATE signing_keys SET tag = NULL",
            "DELETE FROM sealed_secrets WHERE name LIKE '%adopted%'",
            "INSERT INTO signing_keys (kid, algorithm, public_key, sealed_private_key, created_at, \
             activates_at, deactivates_at, retires_at) SELECT 'elsewhere', algorithm, public_key, \
             'pkcs11.00112233445566778899aabbccddeeff', created_at, created_at, 253402300799, \
             253402300799 FROM signing_keys WHERE deactivates_at IS NULL",
        ] {
            db.execute(sqlx::query(statement)).await.expect(statement);
        }
        db.close().await;
    });
    // What else is sealed says that this is not the first time.
    let told = signet.cli_ok(&["migrate"], "");
    assert!(!told.contains("is authenticated"), "{told}");
    block_on(async {
        let url = format!("sqlite://{}/data/signet.db", signet.folder().display());
        let db = Db::connect(&url, 1).await.expect("the database");
        db.execute(sqlx::query("DELETE FROM sealed_secrets")).await.expect("what has the mark");
        db.close().await;
    });
    let told = signet.cli_ok(&["migrate"], "");
    for kid in [&active, &spare] {
        assert!(told.contains(&format!("key {kid} is authenticated")), "{told}");
    }
    assert!(told.contains("signet keys adopt elsewhere"), "{told}");
    signet.restart();
    let client = Client::new(signet.base());
    assert_eq!(block_on(issue(&client, &credentials)), active);
    assert!(!published(&block_on(client.jwks())).contains(&"elsewhere".to_owned()));
}

fn a_token_that_is_away_gives_503_and_comes_back(hsm: &SoftHsm) {
    let signet = builder(hsm).start();
    let credentials = add_client(&signet);
    let client = Client::new(signet.base());
    block_on(issue(&client, &credentials));

    let away = hsm.tokens().with_extension("away");
    std::fs::rename(hsm.tokens(), &away).expect("the token is taken away");
    let (id, secret) = &credentials;
    let form = [("grant_type", "client_credentials"), ("client_id", id), ("client_secret", secret)];
    let refused = poll(Duration::from_secs(10), || {
        let answer = block_on(client.token(&form));
        (answer.status != 200).then_some(answer)
    });
    let refused = refused.expect("it cannot sign");
    refused.expect_oauth_error(503, "temporarily_unavailable");
    assert_eq!(block_on(client.get("/.well-known/jwks.json").answer()).status, 200);
    std::fs::rename(&away, hsm.tokens()).expect("the token is back");
    let back = poll(Duration::from_secs(20), || {
        (block_on(client.token(&form)).status == 200).then_some(())
    });
    assert!(back.is_some(), "it signs again");
}

//! What siblings hear of tokens that are dead before their time, read as they read it.

mod durability;
mod foreign;
mod limits;
mod listeners;
mod paths;
mod snapshot;

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::client::{Client, Send};
use crate::support::jwt::Jwt;
use crate::support::sse::Event;

/// Siblings are to hear within this time.
const SOON: Duration = Duration::from_secs(1);

/// The snapshot of all revocations, its signature checked. One that was signed by a key that has left
/// JWKS since is read again: a key may leave between the two reads.
async fn snapshot(client: &Client) -> Jwt {
    let start = Instant::now();
    loop {
        let answer = client.get("/revocations").answer().await.expect(200);
        assert_eq!(answer.header("content-type"), Some("application/jwt"));
        let (jwks, signer) = (client.jwks().await, Jwt::decode(&answer.body).header["kid"].clone());
        let keys = jwks["keys"].as_array().expect("the keys");
        if keys.iter().any(|key| key["kid"] == signer) {
            let jwt = Jwt::verify(&answer.body, &jwks);
            assert_eq!(jwt.header["typ"], "revocations+jwt");
            return jwt;
        }
        assert!(start.elapsed() < 5 * SOON, "{signer} is not in JWKS");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The claims of a change that was heard, its signature checked.
async fn change(client: &Client, event: &Event) -> Value {
    let jwt = Jwt::verify(&event.data, &client.jwks().await);
    assert_eq!(jwt.header["typ"], "secevent+jwt");
    let (seq, lane) = (&jwt.claims["seq"], &jwt.claims["lane"]);
    assert_eq!((lane, &jwt.claims["first_seq"]), (&Value::from("0"), seq));
    assert_eq!(event.id.as_deref(), Some(format!("0:{seq}").as_str()));
    jwt.claims
}

/// Whether a sibling that knows `claims`, of a statement or a change, refuses the token.
fn refuses(claims: &Value, token: &str) -> bool {
    let Jwt { header, claims: token } = Jwt::decode(token);
    let before = |entry: &Value| token["iat"].as_i64() < entry["before"].as_i64();
    claims["revocations"].as_array().expect("entries").iter().any(|entry| {
        let is = |name: &str, of: &Value| entry.get(name).is_some_and(|value| value == of);
        is("sid", &token["sid"])
            || is("jti", &token["jti"])
            || is("kid", &header["kid"])
            || (is("sub", &token["sub"]) && before(entry))
            || (is("client_id", &token["client_id"]) && before(entry))
    })
}

/// Waits until the statement refuses all of `dead`, which must be soon.
async fn expect_refused(client: &Client, dead: &[&str], what: &str) {
    let start = Instant::now();
    loop {
        let known = snapshot(client).await;
        if dead.iter().all(|token| refuses(&known.claims, token)) {
            return;
        }
        assert!(start.elapsed() < SOON, "{what}: {}", known.claims);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

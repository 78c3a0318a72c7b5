//! Tokens that another issuer signs, whose key is here to verify: they end alone, and nobody who holds
//! that key ends sessions or floods the feed.

use std::time::Duration;

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rsa::pkcs8::{EncodePrivateKey, EncodePublicKey, LineEnding};
use serde_json::{Value, json};
use signet::base::random::Random;
use signet::base::time::Clock;
use uuid::Uuid;

use super::{expect_refused, snapshot};
use crate::support::client::{Answer, Client, FIRST_PARTY};
use crate::support::jwt::Jwt;
use crate::support::keys::{foreign_key, published};
use crate::support::on_every_backend;
use crate::support::signet::{Backend, Signet};

on_every_backend!(forged_tokens_end_alone);

/// An issuer of before, whose tokens are still taken.
struct Issuer {
    key: EncodingKey,
    name: String,
}

impl Issuer {
    async fn known_to(signet: &Signet, client: &Client) -> Self {
        let (private, _) = foreign_key();
        let public = private.to_public_key().to_public_key_pem(LineEnding::LF).expect("PEM");
        signet.cli_ok(&["keys", "import", "-", "--kid", "old", "--verify-for", "1h"], &public);
        for _ in 0..400 {
            if published(&client.jwks().await).iter().any(|kid| kid == "old") {
                let pem = private.to_pkcs8_pem(LineEnding::LF).expect("PEM");
                let key = EncodingKey::from_rsa_pem(pem.as_bytes()).expect("a key");
                return Self { key, name: signet.issuer().to_owned() };
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the key is not published");
    }

    /// A token of the bundled client with these claims beside or instead of the usual ones.
    fn forge(&self, more: Value) -> String {
        let now = seconds_now();
        let mut claims = json!({
            "iss": self.name, "aud": self.name, "sub": "somebody", "client_id": FIRST_PARTY,
            "jti": new_id().to_string(), "iat": now, "exp": now + 600,
        });
        let more = more.as_object().expect("claims").clone();
        claims.as_object_mut().expect("claims").extend(more);
        let mut header = Header::new(Algorithm::RS256);
        (header.typ, header.kid) = (Some("at+jwt".into()), Some("old".into()));
        jsonwebtoken::encode(&header, &claims, &self.key).expect("a token")
    }
}

fn new_id() -> Uuid {
    Random::system().uuid()
}

fn seconds_now() -> u64 {
    Clock::system().now().as_unix().unsigned_abs()
}

async fn try_revoke(client: &Client, token: &str) -> Answer {
    client.form("/oauth2/revoke", &[("token", token), ("client_id", FIRST_PARTY)]).await
}

async fn forged_tokens_end_alone(backend: Backend) {
    let signet = Signet::builder().backend(backend).start();
    let client = Client::new(signet.base());
    let old = Issuer::known_to(&signet, &client).await;
    let victim = client.new_user().await;
    let known = Jwt::decode(&victim.tokens.access_token).claims;
    let (now, year) = (seconds_now(), 366 * 86_400);
    let mut dead = Vec::new();
    for _ in 0..12 {
        let forged = old.forge(json!({
            "sub": known["sub"], "sid": known["sid"], "iat": now + year, "exp": now + 31 * year,
        }));
        try_revoke(&client, &forged).await.expect(200);
        dead.push(forged);
    }
    let dead: Vec<_> = dead.iter().map(String::as_str).collect();
    expect_refused(&client, &dead, "each of them").await;
    client.me(&victim.tokens.access_token).await.expect(200);
    client.refresh(&victim.tokens.refresh_token).await.tokens();
    let told = snapshot(&client).await.claims;
    let entries = told["revocations"].as_array().expect("entries");
    assert_eq!(entries.len(), 12, "{told}");
    for entry in entries {
        assert!(entry["jti"].is_string(), "{entry}");
        let latest = seconds_now() + 86_400 + 60;
        assert!(entry["exp"].as_u64().expect("seconds") <= latest, "{entry}");
    }
    // What would not be bounded is refused.
    for jti in ["x".repeat(129), "x".repeat(8000), String::new(), "a\0b".into()] {
        let forged = old.forge(json!({ "jti": jti }));
        try_revoke(&client, &forged).await.expect_oauth_error(400, "invalid_request");
    }
    let forged = old.forge(json!({ "sub": "x".repeat(129) }));
    try_revoke(&client, &forged).await.expect_oauth_error(400, "invalid_request");
    assert_eq!(snapshot(&client).await.claims["seq"], told["seq"]);
    // Once more adds nothing.
    try_revoke(&client, dead[0]).await.expect(200);
    assert_eq!(snapshot(&client).await.claims["seq"], told["seq"]);
}

#[tokio::test]
async fn all_tokens_of_a_foreign_key_draw_on_one_bucket() {
    let signet = Signet::builder()
        .set("revocation_limits.burst", "5")
        .set("revocation_limits.per_second", "1")
        .start();
    let client = Client::new(signet.base());
    let old = Issuer::known_to(&signet, &client).await;
    let limited = async {
        for _ in 0..200 {
            let answer = try_revoke(&client, &old.forge(json!({ "sid": new_id() }))).await;
            if answer.status != 200 {
                return answer;
            }
        }
        panic!("nobody stops it");
    };
    limited.await.expect_oauth_error(429, "temporarily_unavailable");
    // Nobody else is slowed down.
    let user = client.new_user().await;
    try_revoke(&client, &user.tokens.access_token).await.expect(200);
}

//! What RFC 9068 wants of a token, one rule broken at a time, by an issuer that signs anything.

use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::json;

use super::AUDIENCE;
use super::issuer::{Issuer, Key, now};
use super::services::Example;
use super::world::expect_challenge;
use crate::support::client::Send;

async fn check(example: Example) {
    let issuer = Issuer::start();
    let service = example.start(&issuer.base, 10, "secret");
    let token = |changes| issuer.token(changes);
    for (what, good) in [
        ("a good one", token(json!({}))),
        ("several audiences", token(json!({ "aud": ["https://other.example.com", AUDIENCE] }))),
        ("expired within the leeway", token(json!({ "iat": now() - 90, "exp": now() - 30 }))),
        ("of a client, without session and roles", token(json!({ "sid": null, "roles": null }))),
        (
            "by the other key",
            issuer.keys[1].sign(json!({ "typ": "at+jwt" }), &issuer.claims(json!({}))),
        ),
        ("several scopes", token(json!({ "scope": "openid orders:read" }))),
    ] {
        let answer = service.orders(&good).await;
        assert_eq!(answer.status, 200, "{example:?}, {what}: {answer:?}");
    }

    let claims = issuer.claims(json!({}));
    let signed = |header| issuer.keys[0].sign(header, &claims);
    let mut public = Key::new();
    public.private = EncodingKey::from_secret(b"of the public key");
    let confused = json!({ "typ": "at+jwt", "alg": Algorithm::HS256, "kid": issuer.keys[0].kid });
    let stranger = Key::new();
    let pretended = json!({ "typ": "at+jwt", "kid": issuer.keys[0].kid });
    let deep = format!("{}.e30.e30", "W1tb".repeat(2000));
    let mut bad = vec![
        ("of the type JWT", signed(json!({ "typ": "JWT" }))),
        ("of the type of a snapshot", signed(json!({ "typ": "revocations+jwt" }))),
        ("of the type of a change", signed(json!({ "typ": "secevent+jwt" }))),
        ("of no type", signed(json!({}))),
        ("by another algorithm", signed(json!({ "typ": "at+jwt", "alg": "RS512" }))),
        ("by PSS", signed(json!({ "typ": "at+jwt", "alg": "PS256" }))),
        ("by a shared secret", public.sign(confused, &claims)),
        ("by an unknown key", stranger.sign(json!({ "typ": "at+jwt" }), &claims)),
        ("by a key that pretends", stranger.sign(pretended, &claims)),
        ("with an empty kid", signed(json!({ "typ": "at+jwt", "kid": "" }))),
        ("with a number for a kid", signed(json!({ "typ": "at+jwt", "kid": 5 }))),
        ("with null for a kid", signed(json!({ "typ": "at+jwt", "kid": null }))),
        (
            "without a kid",
            issuer.keys[0].sign_as_is(json!({ "typ": "at+jwt", "alg": "RS256" }), &claims),
        ),
        ("with crit", signed(json!({ "typ": "at+jwt", "crit": ["x"], "x": 1 }))),
        ("nested without end", deep),
        ("too long", token(json!({ "x": "x".repeat(20_000) }))),
        ("of another issuer", token(json!({ "iss": "https://evil.example.com" }))),
        ("for another", token(json!({ "aud": "https://other.example.com" }))),
        ("for a part of the audience", token(json!({ "aud": &AUDIENCE[..AUDIENCE.len() - 1] }))),
        ("expired", token(json!({ "iat": now() - 900, "exp": now() - 70 }))),
    ];
    for claim in ["iss", "aud", "exp", "iat", "sub", "jti", "client_id"] {
        bad.push((claim, token(json!({ claim: null }))));
    }
    let challenge = r#"Bearer realm="orders", error="invalid_token""#;
    for (what, token) in bad {
        let answer = service.orders(&token).await;
        if what == "too long" && answer.status == 431 {
            // Node's HTTP server has said so already.
            continue;
        }
        assert_eq!(answer.status, 401, "{example:?}, {what}: {answer:?}");
        expect_challenge(answer, 401, challenge);
    }

    for (what, roles) in [("none", json!(null)), ("others", json!(["managers", "manage"]))] {
        let answer = service.delete(&token(json!({ "roles": roles }))).await;
        assert_eq!(answer.status, 403, "{example:?}, {what}: {answer:?}");
    }
    for scope in [json!("orders:reads xorders:read"), json!(null), json!("")] {
        let answer = service.orders(&token(json!({ "scope": scope }))).await;
        assert_eq!(answer.status, 403, "{example:?}, {scope}: {answer:?}");
    }
    // A scheme is a scheme in any case (RFC 9110 section 11.1).
    let lower = format!("bearer {}", token(json!({})));
    service.client.get("/orders").header("authorization", lower).answer().await.expect(200);
}

#[tokio::test]
async fn fastapi_keeps_every_rule() {
    check(Example::FastApi).await;
}

#[tokio::test]
async fn django_keeps_every_rule() {
    check(Example::Django).await;
}

#[tokio::test]
async fn express_keeps_every_rule() {
    check(Example::Express).await;
}

#[tokio::test]
async fn go_keeps_every_rule() {
    check(Example::Go).await;
}

#[tokio::test]
async fn spring_boot_4_keeps_every_rule() {
    check(Example::Spring).await;
}

#[tokio::test]
async fn spring_boot_3_5_keeps_every_rule() {
    check(Example::Spring35).await;
}

#[tokio::test]
async fn java_keeps_every_rule() {
    check(Example::Java).await;
}

//! RFC 6750: how bearer tokens are taken, and which challenge answers bad ones.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Method;
use rsa::pkcs8::{EncodePublicKey, LineEnding};
use serde_json::json;

use crate::support::client::{Answer, Client, Send, User};
use crate::support::fixtures::confidential;
use crate::support::jwt::{Jwt, public_key};
use crate::support::signet::Signet;

const PROTECTED: [(Method, &str); 8] = [
    (Method::GET, "/oauth2/userinfo"),
    (Method::POST, "/oauth2/userinfo"),
    (Method::GET, "/users/me"),
    (Method::DELETE, "/users/me"),
    (Method::POST, "/users/me/delete"),
    (Method::GET, "/users/me/sessions"),
    (Method::DELETE, "/users/me/sessions"),
    (Method::POST, "/logout"),
];

fn challenge(answer: &Answer) -> &str {
    answer.header("www-authenticate").unwrap_or_else(|| panic!("no challenge: {answer:?}"))
}

#[tokio::test]
async fn a_request_without_a_token_hears_which_scheme_to_use() {
    let client = Client::shared();
    for (method, path) in PROTECTED {
        let answer = client.request(method.clone(), path).answer().await.expect(401);
        let challenge = challenge(&answer);
        assert!(challenge.starts_with("Bearer"), "{method} {path}: {challenge}");
        // Section 3.1: no error code where no authentication was tried.
        assert!(!challenge.contains("error"), "{method} {path}: {challenge}");
    }
}

#[tokio::test]
async fn bad_tokens_are_invalid_tokens_on_every_protected_route() {
    let client = Client::shared();
    for (method, path) in PROTECTED {
        let request = client.request(method.clone(), path).bearer_auth("nonsense");
        let answer = request.answer().await.expect(401);
        let challenge = challenge(&answer);
        assert!(challenge.starts_with("Bearer "), "{method} {path}: {challenge}");
        assert!(challenge.contains("error=\"invalid_token\""), "{method} {path}: {challenge}");
        if path.starts_with("/oauth2/") {
            answer.expect_oauth_error(401, "invalid_token");
        } else {
            answer.expect_problem(401);
        }
    }
}

/// The token with its claims changed and the signature kept.
fn with_other_subject(token: &str) -> String {
    let parts: Vec<_> = token.split('.').collect();
    let mut claims = Jwt::decode(token).claims;
    claims["sub"] = json!("00000000-0000-0000-0000-000000000000");
    format!("{}.{}.{}", parts[0], URL_SAFE_NO_PAD.encode(claims.to_string()), parts[2])
}

/// The same claims without a signature (RFC 8725 section 2.1).
fn unsigned(token: &str) -> String {
    let Jwt { mut header, claims } = Jwt::decode(token);
    header["alg"] = json!("none");
    let [header, claims] = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
    format!("{header}.{claims}.")
}

/// The same claims under HMAC, with the public key's text as its secret (RFC 8725 section 2.1).
fn confused(token: &str, jwks: &serde_json::Value) -> String {
    let Jwt { mut header, claims } = Jwt::decode(token);
    header["alg"] = json!("HS256");
    let [header, claims] = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
    let secret = public_key(&jwks["keys"][0]).to_public_key_pem(LineEnding::LF).expect("a PEM");
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret.as_bytes());
    let signed = format!("{header}.{claims}");
    let tag = aws_lc_rs::hmac::sign(&key, signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag))
}

#[tokio::test]
async fn forged_tokens_are_refused() {
    let client = Client::shared();
    let User { tokens, .. } = client.new_user().await;
    let good = tokens.access_token.as_str();
    client.me(good).await.expect(200);
    let elsewhere = Signet::start();
    let foreign = Client::new(elsewhere.base()).new_user().await.tokens.access_token;
    let (signed, _) = good.rsplit_once('.').expect("a signature");
    for forged in [
        with_other_subject(good),
        unsigned(good),
        confused(good, &client.jwks().await),
        foreign,
        format!("{signed}."),
        signed.to_owned(),
        good[..good.len() - 4].to_owned(),
        format!("{good}.{good}"),
        tokens.refresh_token.clone(),
        "a.b.c".to_owned(),
        "..".to_owned(),
    ] {
        let answer = client.me(&forged).await.expect_problem(401);
        assert!(challenge(&answer).contains("error=\"invalid_token\""), "{forged}: {answer:?}");
        assert!(!client.is_active(confidential(), &forged).await, "{forged}");
    }
}

#[tokio::test]
async fn tokens_end_when_they_say() {
    let mut signet = Signet::builder().set("tokens.access_token_lifetime", "10s").start();
    let secret = signet.add_confidential("asks", &["--grants", "client_credentials"]);
    let client = Client::new(signet.base());
    let User { tokens, .. } = client.new_user().await;
    client.me(&tokens.access_token).await.expect(200);
    signet.advance(12);
    let answer = client.me(&tokens.access_token).await.expect_problem(401);
    assert!(challenge(&answer).contains("error=\"invalid_token\""));
    assert!(!client.is_active(("asks", &secret), &tokens.access_token).await);
    // The session is older than its first access token.
    client.refresh(&tokens.refresh_token).await.tokens();
}

#[tokio::test]
async fn the_scheme_is_compared_without_case_and_must_be_bearer() {
    let client = Client::shared();
    let User { tokens, .. } = client.new_user().await;
    let token = tokens.access_token;
    let get =
        async |header: &str| client.get("/users/me").header("authorization", header).answer().await;
    get(&format!("bearer {token}")).await.expect(200);
    get(&format!("BEARER {token}")).await.expect(200);
    for header in ["Bearer", "Bearer ", &format!("Token {token}"), &token] {
        let answer = get(header).await;
        assert!([400, 401].contains(&answer.status), "{header}: {answer:?}");
    }
    // Never from the address, where it would end up in logs.
    client.get(&format!("/users/me?access_token={token}")).answer().await.expect(401);
}

#[tokio::test]
async fn a_clients_own_token_is_no_users() {
    let client = Client::shared();
    let token = client.client_token(confidential()).await;
    for (method, path) in PROTECTED.into_iter().filter(|(_, path)| path.starts_with("/users")) {
        let answer = client.request(method.clone(), path).bearer_auth(&token).answer().await;
        assert!([401, 403].contains(&answer.status), "{method} {path}: {answer:?}");
        answer.clone().expect_problem(answer.status);
    }
}

#[tokio::test]
async fn the_challenge_names_the_realm() {
    let client = Client::shared();
    for (method, path) in PROTECTED {
        let answer = client.request(method.clone(), path).answer().await.expect(401);
        assert_eq!(challenge(&answer), "Bearer realm=\"signet\"", "{method} {path}");
    }
}

#[tokio::test]
async fn two_tokens_at_once_are_an_invalid_request() {
    let client = Client::shared();
    let User { tokens, .. } = client.new_user_with_scope("openid").await;
    let good = format!("Bearer {}", tokens.access_token);
    for (method, path) in PROTECTED {
        // Which of them counts must not be up to the reader, so none does.
        for second in [good.as_str(), "Bearer nonsense", "Basic eDp5"] {
            let request = client.request(method.clone(), path).header("authorization", &good);
            let answer = request.header("authorization", second).answer().await.expect(400);
            let challenge = challenge(&answer);
            assert!(challenge.contains("error=\"invalid_request\""), "{path}: {challenge}");
            if path.starts_with("/oauth2/") {
                answer.expect_oauth_error(400, "invalid_request");
            } else {
                answer.expect_problem(400);
            }
        }
    }
    // None of them was carried out, and the token is as good as before.
    client.me(&tokens.access_token).await.expect(200);
    client.get("/oauth2/userinfo").bearer_auth(&tokens.access_token).answer().await.expect(200);
}

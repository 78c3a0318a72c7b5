//! RFC 7517 and RFC 7638: the published keys, and how they are cached.

use reqwest::Method;
use rsa::traits::PublicKeyParts;

use crate::support::client::{Client, Send};
use crate::support::jwt::{public_key, thumbprint};
use crate::support::signet::Signet;

const JWKS: &str = "/.well-known/jwks.json";

#[tokio::test]
async fn every_key_is_a_public_rsa_key_named_by_its_thumbprint() {
    let answer = Client::shared().get(JWKS).answer().await.expect(200);
    assert!(
        ["application/json", "application/jwk-set+json"].contains(&answer.media_type()),
        "{answer:?}"
    );
    let document = answer.json();
    let keys = document["keys"].as_array().expect("keys");
    assert!(!keys.is_empty());
    for key in keys {
        let mut members: Vec<_> = key.as_object().expect("a key").keys().collect();
        members.sort();
        // Above all none of d, p, q, dp, dq, qi.
        assert_eq!(members, ["alg", "e", "kid", "kty", "n", "use"]);
        assert_eq!(
            (&key["kty"], &key["use"], &key["alg"]),
            (&"RSA".into(), &"sig".into(), &"RS256".into())
        );
        assert_eq!(key["kid"], thumbprint(key));
        assert_eq!(public_key(key).size() * 8, 2048);
    }
}

#[tokio::test]
async fn a_larger_key_is_made_when_asked_for() {
    let signet = Signet::builder().set("keys.rsa_bits", "3072").start();
    let jwks = Client::new(signet.base()).jwks().await;
    assert_eq!(public_key(&jwks["keys"][0]).size() * 8, 3072);
}

#[tokio::test]
async fn answers_may_be_cached_as_long_as_configured() {
    let answer = Client::shared().get(JWKS).answer().await.expect(200);
    assert_eq!(answer.header("cache-control"), Some("public, max-age=600"));
    let signet = Signet::builder().set("keys.jwks_max_age", "60s").start();
    let answer = Client::new(signet.base()).get(JWKS).answer().await.expect(200);
    assert_eq!(answer.header("cache-control"), Some("public, max-age=60"));
}

#[tokio::test]
async fn a_strong_etag_saves_the_body() {
    let client = Client::shared();
    let full = client.get(JWKS).answer().await.expect(200);
    let etag = full.header("etag").expect("an ETag").to_owned();
    assert!(etag.starts_with('"') && etag.ends_with('"') && etag.len() > 2, "{etag}");
    // RFC 9110 section 13.1.2: a list, `*`, and weak comparison.
    for condition in
        [etag.clone(), format!("\"other\", {etag}"), "*".to_owned(), format!("W/{etag}")]
    {
        let answer = client.get(JWKS).header("if-none-match", &condition).answer().await;
        assert_eq!((answer.status, answer.body.as_str()), (304, ""), "{condition}");
        assert_eq!(answer.header("etag"), Some(etag.as_str()), "{condition}");
        assert_eq!(answer.header("cache-control"), full.header("cache-control"), "{condition}");
    }
    for condition in ["\"other\"", "W/\"other\"", "nonsense"] {
        let answer = client.get(JWKS).header("if-none-match", condition).answer().await;
        assert_eq!((answer.status, &answer.body), (200, &full.body), "{condition}");
    }
}

#[tokio::test]
async fn head_answers_like_get_without_the_body() {
    let client = Client::shared();
    let get = client.get(JWKS).answer().await.expect(200);
    let head = client.request(Method::HEAD, JWKS).answer().await.expect(200);
    assert_eq!(head.body, "");
    for header in ["etag", "cache-control", "content-type", "content-length"] {
        assert_eq!(head.header(header), get.header(header), "{header}");
    }
}

//! RFC 6749 sections 3.2, 4.4 and 5: the token endpoint's form, its answers and its errors.

use std::collections::BTreeSet;

use reqwest::Method;

use crate::support::client::{Answer, Client, FIRST_PARTY, Send};
use crate::support::fixtures::{bystander, confidential, public};

const FORM: &str = "application/x-www-form-urlencoded";

async fn raw(client: &Client, media_type: &str, body: impl Into<reqwest::Body>) -> Answer {
    let (id, secret) = confidential();
    let request = client.post("/oauth2/token").basic_auth(id, Some(secret));
    request.header("content-type", media_type).body(body).answer().await
}

#[tokio::test]
async fn a_client_gets_a_token_of_its_own() {
    let client = Client::shared();
    let answer = client.token_as(confidential(), &[("grant_type", "client_credentials")]).await;
    let answer = answer.expect(200);
    assert_eq!(answer.media_type(), "application/json");
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let body = answer.json();
    let members: BTreeSet<_> = body.as_object().unwrap().keys().map(String::as_str).collect();
    // RFC 6749 section 4.4.3: no refresh token.
    assert_eq!(members, ["access_token", "expires_in", "scope", "token_type"].into());
    assert_eq!(body["token_type"], "Bearer");
    assert_eq!(body["expires_in"], 600);
    assert_eq!(body["scope"], "openid profile email read write");
}

#[tokio::test]
async fn malformed_requests_are_invalid_requests() {
    let client = Client::shared();
    for body in [
        "",
        "grant_type=",
        "scope=read",
        "grant_type=client_credentials&grant_type=client_credentials",
        "grant_type=client_credentials&grant_type=password",
        "grant_type=client_credentials&scope=read&scope=write",
        "grant_type=client_credentials&unknown=1&unknown=2",
        "grant_type=password&username=a%40example.com",
        "grant_type=password&password=secret-enough",
        "grant_type=password&username=&password=secret-enough",
        "grant_type=password&username=a%40example.com&password=",
        "grant_type=refresh_token",
        "grant_type=refresh_token&refresh_token=",
        // Not UTF-8.
        "grant_type=client_credentials&scope=%FF%FE",
    ] {
        let answer = raw(&client, FORM, body).await.expect_oauth_error(400, "invalid_request");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{body}");
    }
}

#[tokio::test]
async fn empty_and_unknown_parameters_count_as_absent() {
    let client = Client::shared();
    for body in [
        "grant_type=client_credentials&scope=&client_id=&client_secret=&resource=",
        "grant_type=client_credentials&something=else",
        "&grant_type=client_credentials&",
    ] {
        let answer = raw(&client, FORM, body).await.expect(200).json();
        assert_eq!(answer["scope"], "openid profile email read write", "{body}");
    }
}

#[tokio::test]
async fn the_media_type_is_a_form_however_it_is_written() {
    let client = Client::shared();
    let body = "grant_type=client_credentials";
    for media_type in [
        FORM,
        "application/x-www-form-urlencoded; charset=UTF-8",
        "Application/X-WWW-Form-URLEncoded",
    ] {
        raw(&client, media_type, body).await.expect(200);
    }
    for media_type in ["application/json", "text/plain", "multipart/form-data; boundary=x"] {
        let answer = raw(&client, media_type, body).await;
        let answer = answer.expect_oauth_error(415, "invalid_request");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{media_type}");
    }
    let (id, secret) = confidential();
    let request = client.post("/oauth2/token").basic_auth(id, Some(secret)).body(body);
    request.answer().await.expect_oauth_error(415, "invalid_request");
}

#[tokio::test]
async fn forms_are_at_most_16_kib() {
    let client = Client::shared();
    let form = "grant_type=client_credentials&padding=";
    let padded = |length: usize| format!("{form}{}", "x".repeat(length - form.len()));
    raw(&client, FORM, padded(16 * 1024)).await.expect(200);
    let answer = raw(&client, FORM, padded(16 * 1024 + 1)).await;
    let answer = answer.expect_oauth_error(413, "invalid_request");
    assert_eq!(answer.header("cache-control"), Some("no-store"));
}

#[tokio::test]
async fn only_post_is_served() {
    let client = Client::shared();
    for path in ["/oauth2/token", "/oauth2/revoke", "/oauth2/introspect", "/login"] {
        for method in [Method::GET, Method::PUT, Method::DELETE, Method::PATCH] {
            let answer = client.request(method.clone(), path).answer().await.expect(405);
            let allow = answer.header("allow").unwrap_or_default();
            let allowed: BTreeSet<_> = allow.split(',').map(str::trim).collect();
            assert!(allowed.contains("POST"), "{method} {path}: {allow}");
            assert!(!allowed.contains(method.as_str()), "{method} {path}: {allow}");
            answer.expect_oauth_error(405, "invalid_request");
        }
    }
}

#[tokio::test]
async fn unknown_grants_are_told_from_those_the_client_may_not_use() {
    let client = Client::shared();
    for grant in ["authorization_code", "implicit", "PASSWORD", "urn:ietf:params:oauth:x"] {
        let answer = client.token_as(confidential(), &[("grant_type", grant)]).await;
        answer.expect_oauth_error(400, "unsupported_grant_type");
    }
    let fields =
        [("grant_type", "password"), ("username", "a@example.com"), ("password", "whatever it is")];
    let answer = client.token_as(bystander(), &fields).await;
    answer.expect_oauth_error(400, "unauthorized_client");
    let fields = [("grant_type", "refresh_token"), ("refresh_token", "whatever")];
    let answer = client.token_as(bystander(), &fields).await;
    answer.expect_oauth_error(400, "unauthorized_client");
    for id in [FIRST_PARTY, public()] {
        let fields = [("grant_type", "client_credentials"), ("client_id", id)];
        client.token(&fields).await.expect_oauth_error(400, "unauthorized_client");
    }
}

#[tokio::test]
async fn scope_is_narrowed_as_asked_and_never_widened() {
    let client = Client::shared();
    let scoped = async |scope: &str| {
        let fields = [("grant_type", "client_credentials"), ("scope", scope)];
        client.token_as(confidential(), &fields).await
    };
    for (asked, given) in [
        ("read", "read"),
        ("write read", "write read"),
        ("read  read", "read"),
        ("  write ", "write"),
    ] {
        let body = scoped(asked).await.expect(200).json();
        assert_eq!(body["scope"], given, "{asked:?}");
        let claims =
            crate::support::jwt::Jwt::decode(body["access_token"].as_str().unwrap()).claims;
        assert_eq!(claims["scope"], given, "{asked:?}");
    }
    for asked in ["read delete", "unknown", "READ", "signet:admin", "read \"quoted\"", "r\\ead"] {
        scoped(asked).await.expect_oauth_error(400, "invalid_scope");
    }
}

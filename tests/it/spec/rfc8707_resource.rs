//! RFC 8707: resource indicators decide the audience.

use serde_json::json;

use crate::support::client::{Answer, Client, PASSWORD, Send};
use crate::support::fixtures::{API, OTHER_API, confidential};
use crate::support::jwt::Jwt;
use crate::support::signet::Signet;

fn audience(answer: &Answer) -> serde_json::Value {
    Jwt::decode(answer.json()["access_token"].as_str().expect("a token")).claims["aud"].clone()
}

#[tokio::test]
async fn the_audience_is_the_resource_that_was_named() {
    let client = Client::shared();
    for (resources, expected) in [
        (vec![], json!(Signet::shared().issuer())),
        (vec![""], json!(Signet::shared().issuer())),
        (vec![API], json!(API)),
        (vec![OTHER_API], json!(OTHER_API)),
        (vec![API, OTHER_API], json!([API, OTHER_API])),
        (vec![API, API], json!(API)),
        (vec![API, OTHER_API, API], json!([API, OTHER_API])),
    ] {
        let mut fields = vec![("grant_type", "client_credentials")];
        fields.extend(resources.iter().map(|resource| ("resource", *resource)));
        let answer = client.token_as(confidential(), &fields).await.expect(200);
        assert_eq!(audience(&answer), expected, "{resources:?}");
    }
}

#[tokio::test]
async fn a_login_as_json_names_one_or_a_list() {
    let client = Client::shared();
    let user = client.new_user().await;
    let (id, secret) = confidential();
    let login = async |resource: serde_json::Value| {
        let body = json!({
            "email": user.email, "password": PASSWORD, "client_id": id, "client_secret": secret,
            "resource": resource,
        });
        client.post("/login").json(&body).answer().await
    };
    for (resource, expected) in [
        (json!(null), json!(Signet::shared().issuer())),
        (json!(""), json!(Signet::shared().issuer())),
        (json!([]), json!(Signet::shared().issuer())),
        (json!(API), json!(API)),
        (json!([API, OTHER_API, "", API]), json!([API, OTHER_API])),
    ] {
        assert_eq!(audience(&login(resource).await.expect(200)), expected);
    }
    for (resource, error) in [
        (json!([API, "https://unknown.example.com"]), "invalid_target"),
        (json!([API, 1]), "invalid_request"),
        (json!({ "0": API }), "invalid_request"),
    ] {
        login(resource).await.expect_oauth_error(400, error);
    }
}

#[tokio::test]
async fn resources_that_are_not_registered_are_invalid_targets() {
    let client = Client::shared();
    for resources in [
        vec!["https://unknown.example.com"],
        vec![API, "https://unknown.example.com"],
        vec!["https://api.example.com.evil.example"],
        vec!["https://api.example.com#fragment"],
        vec!["/relative"],
        vec!["not a uri"],
    ] {
        let mut fields = vec![("grant_type", "client_credentials")];
        fields.extend(resources.iter().map(|resource| ("resource", *resource)));
        let answer = client.token_as(confidential(), &fields).await;
        answer.expect_oauth_error(400, "invalid_target");
    }
}

#[tokio::test]
async fn a_refresh_may_choose_among_the_resources_of_the_login() {
    let client = Client::shared();
    let user = client.new_user().await;
    let login = [
        ("grant_type", "password"),
        ("username", user.email.as_str()),
        ("password", PASSWORD),
        ("resource", API),
        ("resource", OTHER_API),
    ];
    let answer = client.token_as(confidential(), &login).await.expect(200);
    assert_eq!(audience(&answer), json!([API, OTHER_API]));
    let mut refresh_token = answer.tokens().refresh_token;
    for (resource, expected) in [
        ("", json!([API, OTHER_API])),
        (OTHER_API, json!(OTHER_API)),
        ("", json!([API, OTHER_API])),
    ] {
        let fields = [
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh_token.as_str()),
            ("resource", resource),
        ];
        let answer = client.token_as(confidential(), &fields).await.expect(200);
        assert_eq!(audience(&answer), expected, "{resource}");
        refresh_token = answer.tokens().refresh_token;
    }
    let fields = [
        ("grant_type", "refresh_token"),
        ("refresh_token", refresh_token.as_str()),
        ("resource", "https://unknown.example.com"),
    ];
    let answer = client.token_as(confidential(), &fields).await;
    answer.expect_oauth_error(400, "invalid_target");
}

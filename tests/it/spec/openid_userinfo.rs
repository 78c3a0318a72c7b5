//! OpenID Connect Core section 5.3: userinfo, each claim behind its scope.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::client::{Client, PASSWORD, Send, unique_email};

async fn userinfo(client: &Client, method: Method, scope: &str) -> (Value, String) {
    let email = unique_email();
    let body = json!({ "email": email, "password": PASSWORD, "name": "Ada Lovelace" });
    client.post("/signup").json(&body).answer().await.expect(201);
    let fields = [("username", email.as_str()), ("password", PASSWORD), ("scope", scope)];
    let tokens = client.form("/login", &fields).await.tokens();
    let request = client.request(method, "/oauth2/userinfo").bearer_auth(tokens.access_token);
    let answer = request.answer().await.expect(200);
    assert_eq!(answer.media_type(), "application/json");
    (answer.json(), email)
}

#[tokio::test]
async fn claims_follow_the_scope() {
    let client = Client::shared();
    for method in [Method::GET, Method::POST] {
        for (scope, expected) in [
            ("openid", "sub"),
            ("openid profile", "sub name updated_at"),
            ("openid email", "sub email email_verified"),
            ("openid profile email", "sub name updated_at email email_verified"),
        ] {
            let (claims, email) = userinfo(&client, method.clone(), scope).await;
            let members: BTreeSet<_> =
                claims.as_object().unwrap().keys().map(String::as_str).collect();
            let mut expected: BTreeSet<_> = expected.split(' ').collect();
            // An optional standard claim of the profile scope.
            if !members.contains("updated_at") {
                expected.remove("updated_at");
            }
            assert_eq!(members, expected, "{method} {scope}");
            if scope.contains("email") {
                assert_eq!(
                    (&claims["email"], &claims["email_verified"]),
                    (&json!(email), &json!(false))
                );
            }
            if scope.contains("profile") {
                assert_eq!(claims["name"], "Ada Lovelace");
            }
        }
    }
}

#[tokio::test]
async fn the_subject_is_the_tokens() {
    let client = Client::shared();
    let user = client.new_user_with_scope("openid").await;
    let request = client.get("/oauth2/userinfo").bearer_auth(&user.tokens.access_token);
    assert_eq!(request.answer().await.expect(200).json(), json!({ "sub": user.id }));
}

#[tokio::test]
async fn without_openid_the_scope_does_not_suffice() {
    let client = Client::shared();
    let user = client.new_user_with_scope("profile email").await;
    for method in [Method::GET, Method::POST] {
        let request = client.request(method, "/oauth2/userinfo");
        let answer = request.bearer_auth(&user.tokens.access_token).answer().await;
        let answer = answer.expect_oauth_error(403, "insufficient_scope");
        let challenge = answer.header("www-authenticate").expect("a challenge");
        assert!(challenge.starts_with("Bearer "), "{challenge}");
        assert!(challenge.contains("error=\"insufficient_scope\""), "{challenge}");
        assert!(challenge.contains("scope=\"openid\""), "{challenge}");
    }
}

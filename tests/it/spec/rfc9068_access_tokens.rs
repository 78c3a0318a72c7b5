//! RFC 9068: what stands in an access token, exactly.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::client::{Client, FIRST_PARTY, User};
use crate::support::fixtures::{CONFIDENTIAL, confidential};
use crate::support::jwt::Jwt;
use crate::support::signet::Signet;

fn members(value: &Value) -> BTreeSet<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

async fn verified(client: &Client, token: &str) -> Jwt {
    Jwt::verify(token, &client.jwks().await)
}

#[tokio::test]
async fn a_users_token_carries_these_claims_and_no_more() {
    let client = Client::shared();
    let user = client.new_user_with_scope("openid profile email").await;
    let Jwt { header, claims } = verified(&client, &user.tokens.access_token).await;
    assert_eq!(members(&header), ["alg", "kid", "typ"].into());
    assert_eq!(header["typ"], "at+jwt");
    // No roles, no claim: validators refuse an empty list.
    let expected = "iss sub aud exp iat jti client_id scope auth_time sid";
    assert_eq!(members(&claims), expected.split(' ').collect());
    let issuer = Signet::shared().issuer();
    assert_eq!(claims["iss"], issuer);
    assert_eq!(claims["sub"], user.id.as_str());
    assert_eq!(claims["aud"], issuer);
    assert_eq!(claims["client_id"], FIRST_PARTY);
    assert_eq!(claims["scope"], "openid profile email");
    let times = ["auth_time", "iat", "exp"].map(|name| claims[name].as_i64().expect("seconds"));
    assert!(times[0] <= times[1], "{claims}");
    assert_eq!(times[2] - times[1], 600);
    assert_eq!(user.tokens.expires_in, 600);
    let now = std::time::UNIX_EPOCH.elapsed().expect("after 1970").as_secs() as i64;
    assert!((now - times[1]).abs() < 60, "{claims}");
    // No personal data by default.
    assert!(!claims.to_string().contains(&user.email));
}

#[tokio::test]
async fn a_clients_own_token_has_the_client_as_subject() {
    let client = Client::shared();
    let token = client.client_token(confidential()).await;
    let claims = verified(&client, &token).await.claims;
    let expected = "iss sub aud exp iat jti client_id scope";
    assert_eq!(members(&claims), expected.split(' ').collect());
    assert_eq!(
        (&claims["sub"], &claims["client_id"]),
        (&json!(CONFIDENTIAL), &json!(CONFIDENTIAL))
    );
}

#[tokio::test]
async fn a_refreshed_token_belongs_to_the_same_login() {
    let client = Client::shared();
    let User { tokens, .. } = client.new_user().await;
    let first = verified(&client, &tokens.access_token).await.claims;
    // Times are in whole seconds: the next one begins.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let refreshed = client.refresh(&tokens.refresh_token).await.tokens();
    let second = verified(&client, &refreshed.access_token).await.claims;
    for claim in ["iss", "sub", "aud", "client_id", "scope", "auth_time", "sid", "roles"] {
        assert_eq!(first[claim], second[claim], "{claim}");
    }
    assert_ne!(first["jti"], second["jti"]);
    assert!(first["iat"].as_i64() < second["iat"].as_i64());
}

#[tokio::test]
async fn logins_differ_in_session_and_token_id() {
    let client = Client::shared();
    let user = client.new_user().await;
    let again = client.login(&user.email, crate::support::client::PASSWORD).await;
    let claims = [&user.tokens, &again].map(|tokens| Jwt::decode(&tokens.access_token).claims);
    assert_eq!(claims[0]["sub"], claims[1]["sub"]);
    assert_ne!(claims[0]["sid"], claims[1]["sid"]);
    assert_ne!(claims[0]["jti"], claims[1]["jti"]);
}

#[tokio::test]
async fn roles_lifetime_and_audience_follow_the_settings() {
    let signet = Signet::builder()
        .set("tokens.access_token_lifetime", "90s")
        .set("tokens.audience", "https://services.example.com")
        .start();
    let arguments =
        ["users", "add", "boss@example.com", "--password-stdin", "--roles", "editor,reviewer"];
    signet.cli_ok(&arguments, "a password for the boss");
    let client = Client::new(signet.base());
    let tokens = client.login("boss@example.com", "a password for the boss").await;
    let claims = verified(&client, &tokens.access_token).await.claims;
    assert_eq!(claims["roles"], json!(["editor", "reviewer"]));
    assert_eq!(claims["aud"], "https://services.example.com");
    assert_eq!(tokens.expires_in, 90);
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 90);
    // Signet's own endpoints accept the tokens it issues, whoever else they are for.
    client.me(&tokens.access_token).await.expect(200);
}

#[tokio::test]
async fn what_is_issued_is_accepted_however_long() {
    let (signet, client) = (Signet::shared(), Client::shared());
    let words: Vec<_> = (0..64).map(|n| format!("{n:0>128}")).collect();
    let resources: Vec<_> =
        (0..16).map(|n| format!("https://{n:0>60}.example.com/{}", "x".repeat(200))).collect();
    let options = [
        "--grants",
        "client_credentials",
        "--scopes",
        &words.join(" "),
        "--audiences",
        &resources.join(","),
    ];
    let secret = signet.add_confidential("wordy", &options);
    let credentials = ("wordy", secret.as_str());
    let ask = async |count: usize| {
        let mut fields = vec![("grant_type", "client_credentials")];
        fields.extend(resources[..count].iter().map(|resource| ("resource", resource.as_str())));
        client.token_as(credentials, &fields).await
    };
    let answer = ask(0).await.expect(200).json();
    let token = answer["access_token"].as_str().expect("a token");
    assert!(token.len() > 11_000, "{}", token.len());
    assert!(client.is_active(credentials, token).await);
    let refused = ask(16).await.expect_oauth_error(400, "invalid_scope").json();
    assert!(refused["error_description"].as_str().expect("text").contains("15 KiB"), "{refused}");
}

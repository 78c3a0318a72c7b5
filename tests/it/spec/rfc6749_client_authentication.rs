//! RFC 6749 section 2.3: how clients prove who they are, and what they hear when they do not.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::support::client::{Answer, Client, FIRST_PARTY, PASSWORD, Send};
use crate::support::fixtures::{CONFIDENTIAL, PUBLIC, confidential, public};
use crate::support::signet::Signet;

const GRANT: (&str, &str) = ("grant_type", "client_credentials");

/// A token request with this Authorization header and these further fields.
async fn with_header(client: &Client, header: &str, fields: &[(&str, &str)]) -> Answer {
    let request = client.post("/oauth2/token").header("authorization", header);
    request.form(&[&[GRANT], fields].concat()).answer().await
}

fn basic(credentials: &str) -> String {
    format!("Basic {}", STANDARD.encode(credentials))
}

/// Every byte of the text percent-encoded: what a form encoder may do to any of them.
fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[tokio::test]
async fn basic_and_post_both_serve() {
    let client = Client::shared();
    let (id, secret) = confidential();
    client.token(&[GRANT, ("client_id", id), ("client_secret", secret)]).await.expect(200);
    let plain = format!("{id}:{secret}");
    with_header(&client, &basic(&plain), &[]).await.expect(200);
    // RFC 9110 section 11.1: the scheme is compared without case.
    with_header(&client, &basic(&plain).replace("Basic", "bAsIC"), &[]).await.expect(200);
    // Naming oneself in the form too is no second method, as long as it is the same name.
    with_header(&client, &basic(&plain), &[("client_id", id)]).await.expect(200);
}

#[tokio::test]
async fn basic_credentials_are_form_encoded_inside() {
    let client = Client::shared();
    let (id, secret) = confidential();
    let header = basic(&format!("{}:{}", encoded(id), encoded(secret)));
    with_header(&client, &header, &[]).await.expect(200);
}

#[tokio::test]
async fn both_methods_at_once_are_an_invalid_request() {
    let client = Client::shared();
    let (id, secret) = confidential();
    let header = basic(&format!("{id}:{secret}"));
    for fields in [
        vec![("client_id", id), ("client_secret", secret)],
        vec![("client_secret", secret)],
        vec![("client_id", id), ("client_secret", "wrong")],
        vec![("client_id", FIRST_PARTY)],
    ] {
        let answer = with_header(&client, &header, &fields).await;
        answer.expect_oauth_error(400, "invalid_request");
    }
}

#[tokio::test]
async fn failures_look_the_same_and_name_basic_where_it_was_tried() {
    let client = Client::shared();
    let (id, secret) = confidential();
    let short = &secret[..secret.len() - 1];
    let mut bodies = Vec::new();
    for (id, secret) in [
        (id, "wrong"),
        (id, short),
        (id, ""),
        ("nobody", secret),
        ("nobody", ""),
        (public(), secret),
        ("", secret),
    ] {
        let answer = with_header(&client, &basic(&format!("{id}:{secret}")), &[]).await;
        let answer = answer.expect_oauth_error(401, "invalid_client");
        let challenge = answer.header("www-authenticate").unwrap_or_default();
        assert!(challenge.starts_with("Basic realm=\""), "{id}: {challenge:?}");
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        bodies.push(answer.body);
    }
    for (id, secret) in
        [(id, "wrong"), (id, short), (id, ""), ("nobody", secret), ("nobody", ""), (PUBLIC, secret)]
    {
        let fields = [GRANT, ("client_id", id), ("client_secret", secret)];
        let answer = client.token(&fields).await.expect_oauth_error(401, "invalid_client");
        bodies.push(answer.body);
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "{bodies:?}");
}

#[tokio::test]
async fn without_any_client_there_is_no_token_of_a_clients_own() {
    Client::shared().token(&[GRANT]).await.expect_oauth_error(401, "invalid_client");
}

#[tokio::test]
async fn headers_that_are_not_basic_credentials_give_nothing() {
    let client = Client::shared();
    let (id, secret) = confidential();
    let wrong_encoding = format!("{CONFIDENTIAL}:%ZZ");
    for header in [
        "Basic",
        "Basic !!!",
        "Basic Zm9v",
        "Basic /////w==",
        &basic(&wrong_encoding),
        &format!("Bearer {secret}"),
        &format!("Digest username=\"{id}\""),
    ] {
        let answer = with_header(&client, header, &[]).await;
        assert!([400, 401].contains(&answer.status), "{header}: {answer:?}");
        let error = answer.json()["error"].clone();
        assert!(
            ["invalid_client", "invalid_request"].contains(&error.as_str().unwrap()),
            "{header}"
        );
    }
}

#[tokio::test]
async fn basic_with_an_empty_name_and_secret_is_no_authentication() {
    // Swagger UI sends it when its client fields are left empty.
    let client = Client::shared();
    let user = client.new_user().await;
    let fields =
        [("grant_type", "password"), ("username", user.email.as_str()), ("password", PASSWORD)];
    for path in ["/oauth2/token", "/login"] {
        let request = client.post(path).header("authorization", "Basic Og==").form(&fields);
        request.answer().await.tokens();
    }
}

#[tokio::test]
async fn two_secrets_are_valid_during_a_change() {
    let signet = Signet::shared();
    let client = Client::shared();
    let options = ["--grants", "client_credentials", "--scopes", "read"];
    let old = signet.add_confidential("changes-secrets", &options);
    let rotated = signet.cli_json(&["clients", "rotate-secret", "changes-secrets"], "");
    let new = rotated["client_secret"].as_str().expect("the new secret, once");
    assert_ne!(old, new);
    for secret in [old.as_str(), new] {
        client.token_as(("changes-secrets", secret), &[GRANT]).await.expect(200);
    }
}

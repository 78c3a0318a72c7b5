//! RFC 8414 and OpenID Connect Discovery 1.0: both documents, and nothing in them that is not
//! served.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::client::{Client, Send};
use crate::support::jwt::Jwt;
use crate::support::signet::Signet;

const DOCUMENTS: [&str; 2] =
    ["/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"];

fn words(value: &Value) -> BTreeSet<&str> {
    let values = value.as_array().unwrap_or_else(|| panic!("an array: {value}"));
    values.iter().map(|word| word.as_str().expect("a word")).collect()
}

#[tokio::test]
async fn both_documents_name_the_endpoints_below_the_issuer() {
    let signet = Signet::shared();
    let client = Client::shared();
    for path in DOCUMENTS {
        let answer = client.get(path).answer().await.expect(200);
        assert_eq!(answer.media_type(), "application/json");
        let document = answer.json();
        let issuer = signet.issuer();
        assert_eq!(document["issuer"], issuer, "{path}");
        for (member, endpoint) in [
            ("jwks_uri", "/.well-known/jwks.json"),
            ("token_endpoint", "/oauth2/token"),
            ("revocation_endpoint", "/oauth2/revoke"),
            ("introspection_endpoint", "/oauth2/introspect"),
            ("userinfo_endpoint", "/oauth2/userinfo"),
        ] {
            assert_eq!(document[member], format!("{issuer}{endpoint}"), "{path} {member}");
        }
    }
}

#[tokio::test]
async fn both_documents_list_what_is_supported() {
    let client = Client::shared();
    for path in DOCUMENTS {
        let document = client.get(path).answer().await.expect(200).json();
        let grants = words(&document["grant_types_supported"]);
        assert_eq!(grants, ["client_credentials", "password", "refresh_token"].into(), "{path}");
        // RFC 8414 requires the member; without an authorization endpoint it is empty.
        assert_eq!(document["response_types_supported"], json!([]), "{path}");
        let methods = words(&document["token_endpoint_auth_methods_supported"]);
        let expected = ["client_secret_basic", "client_secret_post", "none"];
        assert_eq!(methods, expected.into(), "{path}");
        let methods = words(&document["revocation_endpoint_auth_methods_supported"]);
        assert_eq!(methods, expected.into(), "{path}");
        // Public clients may not introspect.
        let methods = words(&document["introspection_endpoint_auth_methods_supported"]);
        assert_eq!(methods, ["client_secret_basic", "client_secret_post"].into(), "{path}");
        let scopes = words(&document["scopes_supported"]);
        let expected =
            ["openid", "profile", "email", "signet:admin", "users:read", "revocations:read"];
        assert_eq!(scopes, expected.into(), "{path}");
    }
}

#[tokio::test]
async fn every_algorithm_that_signs_is_listed_and_rs256_always() {
    let settings = [
        ("keys.algorithm", "ES256"),
        ("keys.also", "EdDSA"),
        ("keys.audience_algorithms", "https://orders.example.com=PS256"),
    ];
    for (number, expected) in [
        (0, ["RS256"].as_slice()),
        (1, &["RS256", "ES256"]),
        (2, &["RS256", "ES256", "EdDSA"]),
        (3, &["RS256", "PS256", "ES256", "EdDSA"]),
    ] {
        let mut builder = Signet::builder();
        for (name, value) in &settings[..number] {
            builder = builder.set(name, value);
        }
        let signet = builder.start();
        for path in DOCUMENTS {
            let document = Client::new(signet.base()).get(path).answer().await.expect(200).json();
            let listed = words(&document["id_token_signing_alg_values_supported"]);
            assert_eq!(listed, expected.iter().copied().collect(), "{path} with {number} settings");
        }
    }
}

#[tokio::test]
async fn nothing_is_listed_that_is_not_served() {
    let client = Client::shared();
    for path in DOCUMENTS {
        let document = client.get(path).answer().await.expect(200).json();
        for member in [
            "authorization_endpoint",
            "pushed_authorization_request_endpoint",
            "device_authorization_endpoint",
            "registration_endpoint",
            "end_session_endpoint",
            "code_challenge_methods_supported",
        ] {
            assert!(document.get(member).is_none(), "{path} lists {member}");
        }
        // RFC 8414 section 3.2: members without values are left out, nothing is null.
        for (member, value) in document.as_object().expect("an object") {
            assert!(!value.is_null(), "{path}: {member} is null");
        }
        for (member, value) in document.as_object().expect("an object") {
            let Some(address) = value.as_str().filter(|_| member.ends_with("_endpoint")) else {
                continue;
            };
            let route = address.strip_prefix(Signet::shared().issuer()).expect("ours");
            let status = client.get(route).answer().await.status;
            assert_ne!(status, 404, "{path}: {member} is not served");
        }
    }
}

#[tokio::test]
async fn the_issuer_is_what_was_configured_whatever_the_request_says() {
    let client = Client::shared();
    for (name, value) in [
        ("host", "evil.example"),
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-proto", "https"),
        ("forwarded", "host=evil.example;proto=https"),
    ] {
        for path in DOCUMENTS {
            let answer = client.get(path).header(name, value).answer().await.expect(200);
            assert!(!answer.body.contains("evil.example"), "{name}: {}", answer.body);
            assert_eq!(answer.json()["issuer"], Signet::shared().issuer(), "{name}");
        }
    }
}

#[tokio::test]
async fn an_issuer_with_a_path_keeps_it_in_every_address() {
    for path in ["/tenant", "/oauth2", "/oauth2/default"] {
        let issuer = format!("http://127.0.0.1:9{path}");
        let signet = Signet::builder().set("issuer", &issuer).start();
        let client = Client::new(signet.base());
        let document = client.get("/.well-known/openid-configuration").answer().await;
        let document = document.expect(200).json();
        assert_eq!(document["issuer"], issuer.as_str());
        assert_eq!(document["jwks_uri"], format!("{issuer}/.well-known/jwks.json"));
        // The addresses lead somewhere behind a proxy that passes the path on, and what no route has
        // fails in the form of its neighbours.
        client.get(&format!("{path}/.well-known/jwks.json")).answer().await.expect(200);
        client.get(&format!("{path}/oauth2/token")).answer().await.expect(405);
        let unknown = client.get(&format!("{path}/oauth2/none")).answer().await;
        unknown.expect_oauth_error(404, "invalid_request");
        client.get("/oauth2/none").answer().await.expect(404);
    }
}

#[tokio::test]
async fn the_development_issuer_follows_the_port() {
    let signet = Signet::builder().unset("issuer").start();
    let client = Client::new(signet.base());
    for path in DOCUMENTS {
        let document = client.get(path).answer().await.expect(200).json();
        assert_eq!(document["issuer"], signet.base(), "{path}");
        assert_eq!(document["jwks_uri"], format!("{}/.well-known/jwks.json", signet.base()));
    }
    // Tokens say the same, or no verifier that was given the metadata takes them.
    let token = client.new_user().await.tokens.access_token;
    assert_eq!(Jwt::decode(&token).claims["iss"], signet.base());
}

#[tokio::test]
async fn an_issuer_of_the_operators_own_file_stands() {
    let mut signet = Signet::builder().unset("issuer").prepare();
    let folder = signet.folder().join("config");
    std::fs::create_dir(&folder).expect("a folder");
    let issuer = "http://localhost:9";
    std::fs::write(folder.join("development.toml"), format!("issuer = \"{issuer}\"\n"))
        .expect("a file");
    signet.restart();
    let answer = Client::new(signet.base()).get(DOCUMENTS[0]).answer().await.expect(200);
    assert_eq!(answer.json()["issuer"], issuer);
}

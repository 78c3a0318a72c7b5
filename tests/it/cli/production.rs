//! The production profile is closed until it is opened, and development does not leave the machine.

use crate::support::client::{Client, Send};
use crate::support::signet::{Builder, Signet};

/// 32 printable bytes, as an operator may have typed them.
const WEAK_KEY: &str = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVowMTIzNDU=";

fn in_production(builder: Builder) -> Builder {
    builder
        .set("profile", "production")
        .set("issuer", "https://id.example.com")
        .set("database.url", "sqlite://data/signet.db")
        .set("sessions.store", "sql")
        .set("signup.enabled", "false")
}

/// What the service says as it refuses to start.
#[track_caller]
fn refusal(signet: &Signet) -> String {
    let output = signet.cli(&["serve"], "");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8(output.stderr).expect("UTF-8")
}

#[tokio::test]
async fn a_typed_key_opens_but_does_not_seal() {
    let mut signet = Signet::builder().set("keys.encryption_key", WEAK_KEY).start();
    signet.term();
    let with_keys = |keys: &str| {
        signet.sibling_with(|builder| in_production(builder.set("keys.encryption_key", keys)))
    };
    let random = signet::secret::Random::system();
    let new = signet::secret::SealingKey::generate(&random);
    let new = new.expose();
    for refused in [WEAK_KEY.to_owned(), format!("{WEAK_KEY},{new}")] {
        let said = refusal(&with_keys(&refused));
        assert!(said.contains("keys.encryption_key must not seal with a key"), "{said}");
        assert!(!said.contains(WEAK_KEY) && !said.contains(new), "{said}");
    }
    let mut both = with_keys(&format!("{new},{WEAK_KEY}"));
    both.restart();
    both.cli_ok(&["keys", "rewrap"], "");
    both.term();
    let mut alone = with_keys(new);
    alone.restart();
    let client = Client::new(alone.base());
    for path in ["/docs", "/docs/", "/openapi.json"] {
        assert_eq!(client.get(path).answer().await.status, 404, "{path}");
    }
    client.try_signup("ann@example.com", "seven-quiet-otters").await.expect(403);
}

#[test]
fn sign_up_has_to_be_named() {
    let key = signet::secret::SealingKey::generate(&signet::secret::Random::system());
    let builder = Signet::builder().set("keys.encryption_key", key.expose());
    let said = refusal(&in_production(builder).unset("signup.enabled").prepare());
    assert!(said.contains("signup.enabled is required in the production profile"), "{said}");
    assert!(!said.contains("places"), "it is all that is missing: {said}");
}

#[test]
fn development_does_not_listen_on_a_network() {
    let on_all = |builder: Builder| {
        let port = crate::support::process::free_port();
        builder.set("http.listen", &format!("0.0.0.0:{port}"))
    };
    let said = refusal(&on_all(Signet::builder()).prepare());
    assert!(said.contains("http.listen must be a loopback address"), "{said}");
    let mut allowed = Signet::builder().set("http.allow_public_development", "true").prepare();
    let port = allowed.address().rsplit(':').next().expect("a port").to_owned();
    allowed.change("http.listen", &format!("0.0.0.0:{port}"));
    allowed.restart();
}

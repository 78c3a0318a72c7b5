//! The production profile is closed until it is opened, and development does not leave the machine.

use std::path::Path;

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
    let random = signet::base::random::Random::system();
    let new = signet::base::sealing::SealingKey::generate(&random);
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
    let key = signet::base::sealing::SealingKey::generate(&signet::base::random::Random::system());
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

/// The variables that the last stage of the Dockerfile sets, by their names and values.
fn variables_of_the_image() -> Vec<(String, String)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("Dockerfile");
    let text = std::fs::read_to_string(path).expect("the Dockerfile");
    let (_, last_stage) = text.rsplit_once("\nFROM ").expect("a stage");
    // Comments may stand between the lines of an instruction.
    let lines = last_stage.lines().filter(|line| !line.trim_start().starts_with('#'));
    let joined = lines.collect::<Vec<_>>().join("\n").replace("\\\n", " ");
    let settings = joined.lines().filter_map(|line| line.strip_prefix("ENV "));
    let pairs = settings.flat_map(str::split_whitespace).filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.trim_matches('"').to_owned())).collect()
}

/// In a container the development profile would be open to whoever reaches the port.
#[test]
fn the_image_runs_in_the_production_profile() {
    let variables = variables_of_the_image();
    let named = |name: &str| -> Vec<_> {
        let same = variables.iter().filter(|(known, _)| known == name);
        same.map(|(_, value)| value.as_str()).collect()
    };
    assert_eq!(named("SIGNET__PROFILE"), ["production"], "{variables:?}");
    assert_eq!(named("SIGNET__HTTP__LISTEN"), ["0.0.0.0:8080"], "{variables:?}");
    let opened = named("SIGNET__HTTP__ALLOW_PUBLIC_DEVELOPMENT");
    assert!(opened.is_empty(), "{variables:?}");
}

/// With nothing else configured the image starts nothing, and says what is missing.
#[test]
fn an_image_without_a_configuration_does_not_start() {
    let mut builder = Signet::builder();
    for name in
        ["issuer", "database.url", "sessions.store", "keys.encryption_key", "signup.enabled"]
    {
        builder = builder.unset(name);
    }
    for (name, value) in variables_of_the_image() {
        let setting =
            name.strip_prefix("SIGNET__").map(|name| name.replace("__", ".").to_lowercase());
        if let Some(setting) = setting {
            builder = builder.set(&setting, &value);
        }
    }
    let said = refusal(&builder.prepare());
    for required in ["issuer", "database.url", "sessions.store", "signup.enabled"] {
        assert!(
            said.contains(&format!("{required} is required in the production profile")),
            "{said}"
        );
    }
}

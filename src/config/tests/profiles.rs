//! What the profiles stand for: production is closed until it is opened, development stays on this
//! machine.

use super::*;

const WEAK_KEY: &str = "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE=";

#[test]
fn production_says_at_once_all_that_is_missing() {
    assert_eq!(
        messages(load(Some("production"), &[])),
        [
            "issuer is required in the production profile: the https address that clients use",
            "database.url is required in the production profile: postgres://… or sqlite://…",
            "sessions.store is required in the production profile: redis or sql",
            "keys.encryption_key is required in the production profile: 32 bytes in base64, as \
             made by `openssl rand -base64 32`; during a change several, the newest first",
            "signup.enabled is required in the production profile: true or false, whether anyone \
             may make an account",
        ]
    );
}

#[test]
fn in_development_all_that_the_issuer_names_follows_the_port() {
    let listening = |variables: &[(&str, &str)]| {
        let config = load(None, variables).unwrap();
        config.listening_on("127.0.0.1:4711".parse().unwrap()).tokens
    };
    let tokens = listening(&[]);
    assert_eq!(tokens.issuer, "http://127.0.0.1:4711");
    assert_eq!(tokens.audience, tokens.issuer);
    assert_eq!(tokens.admin_audience, "http://127.0.0.1:4711/admin");
    let tokens = listening(&[("SIGNET__TOKENS__AUDIENCE", "https://api.example")]);
    assert_eq!(tokens.audience, "https://api.example");
    assert_eq!(tokens.admin_audience, "http://127.0.0.1:4711/admin");
    let tokens = listening(&[("SIGNET__ISSUER", "http://localhost:9999")]);
    assert_eq!(tokens.issuer, "http://localhost:9999");
    assert_eq!(tokens.admin_audience, "http://localhost:9999/admin");
}

#[test]
fn production_is_closed_unless_it_is_opened() {
    let config = load(None, &production()).unwrap();
    assert!(!config.signup_enabled && !config.docs_enabled);
    let mut open = production();
    open.retain(|(name, _)| *name != "SIGNET__SIGNUP__ENABLED");
    open.extend([("SIGNET__SIGNUP__ENABLED", "true"), ("SIGNET__DOCS__ENABLED", "true")]);
    let config = load(None, &open).unwrap();
    assert!(config.signup_enabled && config.docs_enabled);
    // A file's flag is as good as a variable's text, and nothing is not.
    let folder = TempDir::new().unwrap();
    for (text, message) in [
        ("[signup]\nenabled = true", None),
        ("[signup]\nenabled = \"\"", Some("signup.enabled is required in the production profile")),
        ("[signup]\nenabled = []", Some("signup.enabled must be true or false, not \"\"")),
    ] {
        fs::write(folder.path().join("my.toml"), text).unwrap();
        let mut unnamed = production();
        unnamed.retain(|(name, _)| *name != "SIGNET__SIGNUP__ENABLED");
        let said = messages(load_in(folder.path(), None, Some("my.toml"), &unnamed));
        assert_eq!(said.len(), usize::from(message.is_some()), "{said:?}");
        assert!(message.is_none_or(|message| said[0].starts_with(message)), "{said:?}");
    }
}

#[test]
fn production_seals_with_no_key_that_can_be_guessed() {
    let (old_first, new_first) = (format!("{WEAK_KEY} {KEY}"), format!("{KEY},{WEAK_KEY}"));
    for (keys, good) in
        [(WEAK_KEY, false), (old_first.as_str(), false), (new_first.as_str(), true), (KEY, true)]
    {
        let mut all = production();
        all.push(("SIGNET__KEYS__ENCRYPTION_KEY", keys));
        let said = messages(load(None, &all));
        assert_eq!(said.is_empty(), good, "{said:?}");
        if !good {
            let message = "keys.encryption_key must not seal with a key that can be guessed";
            assert!(said[0].starts_with(message) && said[0].contains("rewrap"), "{said:?}");
            assert!(!said[0].contains(WEAK_KEY), "{said:?}");
        }
        // Development is not reachable from outside.
        load(None, &[("SIGNET__KEYS__ENCRYPTION_KEY", keys)]).unwrap();
    }
}

#[test]
fn development_stays_on_this_machine_unless_told_otherwise() {
    for (address, is_loopback) in [
        ("127.0.0.1:8080", true),
        ("127.9.9.9:0", true),
        ("[::1]:8080", true),
        ("[::ffff:127.0.0.1]:8080", true),
        ("0.0.0.0:8080", false),
        ("[::]:8080", false),
        ("10.1.2.3:8080", false),
        ("[::ffff:10.1.2.3]:8080", false),
        ("[fe80::1]:8080", false),
    ] {
        let listen = ("SIGNET__HTTP__LISTEN", address);
        let said = messages(load(None, &[listen]));
        assert_eq!(said.is_empty(), is_loopback, "{address}: {said:?}");
        if !is_loopback {
            let told = said[0].starts_with("http.listen must be a loopback address")
                && said[0].contains("http.allow_public_development")
                && said[0].ends_with("(from SIGNET__HTTP__LISTEN)");
            assert!(told, "{said:?}");
        }
        load(None, &[listen, ("SIGNET__HTTP__ALLOW_PUBLIC_DEVELOPMENT", "true")]).unwrap();
        let mut all = production();
        all.push(listen);
        load(None, &all).unwrap();
    }
}

#[test]
fn production_starts_when_all_is_named() {
    let config = load(None, &production()).unwrap();
    assert_eq!(config.profile, Profile::Production);
    assert_eq!(config.issuer, "https://id.example.com", "one trailing slash is trimmed");
    assert_eq!(config.log.format, LogFormat::Json);
    assert_eq!(config.http.drain_delay, Duration::from_secs(5));
    assert!(matches!(
        config.sessions.backend,
        SessionBackend::Redis(RedisConfig { servers: Servers::Single { .. }, .. })
    ));
}

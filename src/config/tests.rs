//! What configuration accepts, refuses and shows, over all layers. Each test has a folder of its
//! own as the working directory and passes its variables, so they run side by side.

mod mail;
mod profiles;

use crate::base::telemetry::LogFormat;
use crate::domain::keys::Algorithm;
use crate::storage::redis::Servers;
use std::fs;
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;

use super::*;

/// The SHA-256 of nothing: no secret, and as good as random.
const KEY: &str = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";

fn load(profile: Option<&str>, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let folder = TempDir::new().unwrap();
    load_in(folder.path(), profile, None, variables)
}

fn load_in(
    folder: &Path,
    profile: Option<&str>,
    file: Option<&str>,
    variables: &[(&str, &str)],
) -> Result<Config, ConfigError> {
    let variables = variables.iter().map(|(name, value)| (name.to_string(), value.to_string()));
    Config::load_in(folder, profile, file.map(Path::new), variables)
}

fn messages(result: Result<Config, ConfigError>) -> Vec<String> {
    match result {
        Ok(_) => vec![],
        Err(error) => error.problems.iter().map(ToString::to_string).collect(),
    }
}

fn setting<'c>(config: &'c Config, key: &str) -> &'c Setting {
    config.settings.iter().find(|setting| setting.key == key).unwrap()
}

fn production() -> Vec<(&'static str, &'static str)> {
    vec![
        ("SIGNET__PROFILE", "production"),
        ("SIGNET__ISSUER", "https://id.example.com/"),
        ("SIGNET__DATABASE__URL", "postgres://signet:hunter2@db/signet"),
        ("SIGNET__SESSIONS__STORE", "redis"),
        ("SIGNET__REDIS__URL", "redis://:hunter2@cache:6379"),
        ("SIGNET__KEYS__ENCRYPTION_KEY", KEY),
        ("SIGNET__SIGNUP__ENABLED", "false"),
    ]
}

#[test]
fn development_needs_nothing() {
    let config = load(None, &[]).unwrap();
    assert_eq!(config.profile, Profile::Development);
    assert_eq!(config.issuer, "http://127.0.0.1:8080");
    assert_eq!(config.tokens.audience, config.issuer);
    assert_eq!(config.database.url.expose(), "sqlite://data/signet.db");
    assert!(matches!(config.sessions.backend, SessionBackend::Sql));
    assert!(config.keys.encryption_key.is_none());
    assert_eq!(config.keys.policy.rotate_every, Some(Duration::from_secs(90 * 86_400)));
    assert!(config.http.workers >= 1);
    assert_eq!(config.passwords.queue, 64 * config.passwords.threads);
    assert!(config.signup_enabled && config.docs_enabled);
    assert_eq!(config.log.format, LogFormat::Text);
}

#[test]
fn keys_take_several_algorithms_and_several_key_encryption_keys() {
    let both = format!("{KEY}\n{KEY}");
    let keys = load(
        None,
        &[
            ("SIGNET__KEYS__ALGORITHM", "EdDSA"),
            ("SIGNET__KEYS__ALSO", "RS256"),
            ("SIGNET__KEYS__AUDIENCE_ALGORITHMS", "https://a.example/?b=c=ES256, d=PS256"),
            ("SIGNET__KEYS__ROTATE_EVERY", "24h 5s"),
            ("SIGNET__KEYS__ENCRYPTION_KEY", &both),
        ],
    )
    .unwrap()
    .keys;
    let algorithms = &keys.policy.algorithms;
    assert_eq!(algorithms.default, Algorithm::EdDsa);
    assert_eq!(algorithms.all(), Algorithm::ALL);
    let by_audience = [("https://a.example/?b=c", Algorithm::Es256), ("d", Algorithm::Ps256)];
    assert_eq!(algorithms.by_audience, by_audience.map(|(name, of)| (name.to_owned(), of)));
    assert_eq!(keys.policy.rotate_every, Some(Duration::from_secs(86_405)));
    assert!(keys.encryption_key.is_some());
    for (several, good) in [(format!("{KEY},{KEY}"), true), (format!("{KEY} short"), false)] {
        let loaded = load(None, &[("SIGNET__KEYS__ENCRYPTION_KEY", &several)]);
        assert_eq!(loaded.is_ok(), good, "{several}");
    }
}

#[test]
fn every_file_that_is_shipped_loads() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut seen = 0;
    for entry in fs::read_dir(root.join("config")).unwrap() {
        let path = entry.unwrap().path();
        // production.toml alone lacks the required keys; the variables set them.
        for variables in [vec![], production()] {
            let is_production = path.ends_with("production.toml");
            if !is_production || !variables.is_empty() {
                load_in(root, None, path.to_str(), &variables).unwrap();
            }
        }
        seen += 1;
    }
    assert!(seen >= 3);
}

#[test]
fn later_layers_win_and_tell_their_origin() {
    let folder = TempDir::new().unwrap();
    fs::create_dir(folder.path().join("config")).unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("config/default.toml", "[http]\nworkers = 2\nlisten = \"127.0.0.1:1\"");
    write("config/development.toml", "[http]\nlisten = \"127.0.0.1:2\"\ndrain_delay = \"1s\"");
    write("my.toml", "[http]\ndrain_delay = \"2s\"\nshutdown_timeout = \"3s\"");
    write("origins", "https://a.example.com, https://b.example.com\n");
    let variables = [
        ("SIGNET__HTTP__SHUTDOWN_TIMEOUT", "4s"),
        ("SIGNET__HTTP__CORS_ORIGINS_FILE", "origins"),
        ("SIGNET__LOG__LEVEL", ""),
        ("SIGNET__HTTP__TRUSTED_PROXIES", "10.0.0.0/8,::1"),
        ("PATH", "/bin"),
    ];
    let config = load_in(folder.path(), None, Some("my.toml"), &variables).unwrap();
    for (key, value, origin) in [
        ("database.max_connections", "10", "default"),
        ("log.level", "\"info\"", "default"),
        ("issuer", "\"http://127.0.0.1:8080\"", "config/development.toml (built in)"),
        ("http.workers", "2", "config/default.toml"),
        ("http.listen", "\"127.0.0.1:2\"", "config/development.toml"),
        ("http.drain_delay", "\"2s\"", "my.toml"),
        ("http.shutdown_timeout", "\"4s\"", "SIGNET__HTTP__SHUTDOWN_TIMEOUT"),
    ] {
        let setting = setting(&config, key);
        assert_eq!((setting.value.to_string().as_str(), setting.origin.as_str()), (value, origin));
    }
    let origins: Vec<_> = config.http.cors_origins.iter().map(CorsOrigin::to_string).collect();
    assert_eq!(origins, ["https://a.example.com", "https://b.example.com"]);
    assert_eq!(config.http.trusted_proxies.len(), 2);
    assert_eq!(config.http.shutdown_timeout, Duration::from_secs(4));
}

#[test]
fn the_profile_is_taken_from_the_nearest() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("my.toml"), "profile = \"production\"").unwrap();
    let profile = |argument, variables: &[(&str, &str)]| {
        let mut all = production();
        all.remove(0);
        all.extend(variables);
        load_in(folder.path(), argument, Some("my.toml"), &all).unwrap().profile
    };
    assert_eq!(profile(None, &[]), Profile::Production);
    assert_eq!(profile(None, &[("SIGNET__PROFILE", "development")]), Profile::Development);
    let production = [("SIGNET__PROFILE", "production")];
    assert_eq!(profile(Some("development"), &production), Profile::Development);
}

/// Variable, value, and what is said.
#[test]
fn bad_values_are_refused_with_a_reason() {
    let long = "must be redis://host:6379 or rediss://host:6379, with user:password@ before the \
                host where needed (special characters in the password as %XX)";
    for (name, value, message) in [
        ("PROFILE", "prod", "profile must be development or production, not \"prod\""),
        ("ISSUER", "id.example.com", "must be an absolute URL such as https://id.example.com"),
        ("ISSUER", "https://a:b@id.example.com", "must not contain a user or a password"),
        ("ISSUER", "https://id.example.com/?a", "must have neither a query nor a fragment"),
        ("ISSUER", "http://id.example.com", "plain http is allowed for loopback hosts"),
        ("ISSUER", "ftp://id.example.com", "issuer must be an https URL"),
        ("ISSUER", "https://ID.example.com:443", "must be written as https://id.example.com,"),
        ("HTTP__LISTEN", "8080", "must be an address and a port such as 127.0.0.1:8080"),
        ("HTTP__WORKERS", "many", "http.workers must be a whole number, not \"many\""),
        ("HTTP__WORKERS", "-1", "http.workers must be from 0 to 1024, not -1"),
        ("HTTP__TRUSTED_PROXIES", "proxy", "\"proxy\" is not an address or a network"),
        ("HTTP__CORS_ORIGINS", "https://a.example.com/", "such as https://a.example.com"),
        ("HTTP__CORS_ORIGINS", "*", "must hold web origins such as https://app.example.com"),
        ("HTTP__DRAIN_DELAY", "1h", "http.drain_delay must be at most 10m"),
        ("HTTP__DRAIN_DELAY", "500ms", "must be a duration in whole seconds"),
        ("HTTP__DRAIN_DELAY", "5", "must be a duration in whole seconds"),
        ("DATABASE__URL", "mysql://a", "must be sqlite://path/to/file or postgres://"),
        ("DATABASE__MAX_CONNECTIONS", "0", "must be from 1 to 1000, not 0"),
        ("SESSIONS__STORE", "memory", "must be sql or redis, not \"memory\""),
        ("SESSIONS__STORE", "redis", "redis.url is required, since sessions.store is redis"),
        ("SESSIONS__RETRY_WINDOW", "1h", "sessions.retry_window must be at most 5m"),
        ("SESSIONS__RECOVERY", "maybe", "must be recover or revoke"),
        ("TOKENS__ACCESS_TOKEN_LIFETIME", "0s", "tokens.access_token_lifetime must be from"),
        ("TOKENS__AUDIENCE", "a b", "must be one name or URL, without spaces"),
        ("KEYS__ENCRYPTION_KEY", "short", "keys.encryption_key must be 32 bytes in base64"),
        ("KEYS__DIRECTORY", " ", "must name a folder"),
        ("KEYS__ALGORITHM", "HS256", "must be one of RS256, PS256, ES256, EdDSA, not \"HS256\""),
        ("KEYS__ALSO", "RS256,ES512", "keys.also must be one of RS256, PS256, ES256, EdDSA"),
        ("KEYS__AUDIENCE_ALGORITHMS", "https://a", "must hold entries such as"),
        ("KEYS__AUDIENCE_ALGORITHMS", "=ES256", "must hold entries such as"),
        ("KEYS__AUDIENCE_ALGORITHMS", "https://a=none", "must be one of RS256, PS256,"),
        ("KEYS__RSA_BITS", "1024", "keys.rsa_bits must be 2048, 3072 or 4096"),
        ("KEYS__ROTATE_EVERY", "24h 4s", "must be off or at least 5s more than publish_ahead"),
        ("KEYS__ROTATE_EVERY", "never", "keys.rotate_every must be a duration"),
        ("KEYS__PUBLISH_AHEAD", "1m", "keys.publish_ahead must be at least"),
        ("LOGIN_LIMITS__NETWORK", "0", "login_limits.network must be from 1 to 1000000"),
        ("LOGIN_LIMITS__SHORTEST_DELAY", "0s", "login_limits.shortest_delay must be at least 1s"),
        ("LOGIN_LIMITS__LONGEST_DELAY", "2h", "login_limits.longest_delay must be from"),
        ("LOGIN_LIMITS__LONGEST_SHARED_DELAY", "0s", "login_limits.longest_shared_delay must be"),
        ("LOGIN_LIMITS__KNOWN_NETWORK", "1h", "login_limits.known_network must be from 1d"),
        ("SIGNUP_LIMITS__NETWORK", "0", "signup_limits.network must be from 1 to 1000000"),
        ("MAIL_LIMITS__NETWORK", "1000001", "mail_limits.network must be from 1 to 1000000"),
        ("MAIL_LIMITS__ENABLED", "maybe", "mail_limits.enabled must be true or false"),
        ("AUDIT__RETENTION", "0s", "audit.retention must be at least 1s"),
        ("AUDIT__LOGIN_RETENTION", "ever", "audit.login_retention must be a duration"),
        ("REFRESH_LIMITS__BURST", "0", "refresh_limits.burst must be from 1 to 1000000"),
        (
            "REVOCATION_LIMITS__PER_SECOND",
            "0",
            "revocation_limits.per_second must be from 1 to 1000000",
        ),
        ("PASSWORDS__MEMORY_KIB", "4", "passwords.memory_kib must be from 8 times"),
        ("SIGNUP__ENABLED", "yes", "signup.enabled must be true or false, not \"yes\""),
        ("LOG__FORMAT", "xml", "log.format must be text or json, not \"xml\""),
        ("LOG__LEVEL", "inof", "log.level must be error, warn, info"),
        (
            "HTTP__LISTN",
            "x",
            "SIGNET__HTTP__LISTN is unknown; the nearest known variable is \
                              SIGNET__HTTP__LISTEN",
        ),
        ("http__listen", "x", "is unknown; the nearest known variable is SIGNET__HTTP__LISTEN"),
        ("ISSUER_FILE", "/nowhere", "issuer the file /nowhere cannot be read"),
        ("REDIS__URL", "http://a", long),
        ("MAIL__TRANSPORT", "pigeon", "must be off or files or smtp, not \"pigeon\""),
        ("MAIL__TRANSPORT", "smtp", "mail.smtp.host is required, since mail.transport is smtp"),
        ("MAIL__FROM", "Shop", "must be an address such as Example <no-reply@example.com>"),
        ("MAIL__DIRECTORY", " ", "mail.directory must name a folder"),
        ("MAIL__VERIFICATION_URL", "/verify", "must be an absolute https URL such as"),
        ("MAIL__RESET_URL", "http://app.example.com/", "must be an absolute https URL such as"),
        ("MAIL__RESET_URL", "https://a.example.com/#/reset", "must have no fragment"),
        ("MAIL__RESET_LIFETIME", "1m", "mail.reset_lifetime must be from 5m to 1day"),
        ("MAIL__VERIFICATION_LIFETIME", "8d", "must be from 5m to 7days"),
        ("MAIL__GIVE_UP_AFTER", "30d", "mail.give_up_after must be from 1m to 14days"),
        ("MAIL__OUTBOX_LIMIT", "1", "mail.outbox_limit must be from 100 to 1000000"),
        ("MAIL__SMTP__HOST", "smtp.example.com:587", "must be a host name or address, without a"),
        ("MAIL__SMTP__HELLO", "a b", "mail.smtp.hello must be a host name or address"),
        ("MAIL__SMTP__HELLO", "a\r\nQUIT", "mail.smtp.hello must be a host name or address"),
        ("MAIL__SMTP__TLS", "ssl", "must be starttls or tls or off, not \"ssl\""),
        ("MAIL__SMTP__USERNAME", "signet", "mail.smtp.password is required with"),
        ("MAIL__SMTP__PASSWORD", "hunter2", "mail.smtp.username is required with"),
        ("MAIL__SMTP__TIMEOUT", "0s", "mail.smtp.timeout must be from 1s to 10m"),
        ("MAIL__SMTP__CONNECTIONS", "0", "mail.smtp.connections must be from 1 to 32, not 0"),
    ] {
        let name = format!("SIGNET__{name}");
        let mut variables = vec![(name.as_str(), value)];
        if name == "SIGNET__REDIS__URL" {
            variables.push(("SIGNET__SESSIONS__STORE", "redis"));
        }
        let said = messages(load(None, &variables));
        assert_eq!(said.len(), 1, "{name}={value}: {said:?}");
        assert!(said[0].contains(message), "{name}={value}: {said:?}");
        let known = !message.contains("unknown") && !message.contains("is required");
        assert!(!known || said[0].ends_with(&format!("(from {name})")), "{said:?}");
    }
}

#[test]
fn bad_files_are_refused_without_showing_them() {
    let folder = TempDir::new().unwrap();
    for (text, message) in [
        ("[http]\nlistn = 1", "http.listn is unknown; the nearest known key is http.listen"),
        ("[redis.url]", "redis.url must be text in quotes"),
        ("[keys]\nencryption_key = 'hunter2", "my.toml line 2 is not TOML: "),
        ("[keys]\nencryption_key = 12345", "keys.encryption_key must be text in quotes (from my"),
        ("[database]\nurl = ['hunter2']", "database.url must be text in quotes (from my"),
        ("[http]\ncors_origins = [1]", "http.cors_origins must be a list of texts in quotes"),
    ] {
        fs::write(folder.path().join("my.toml"), text).unwrap();
        let said = messages(load_in(folder.path(), None, Some("my.toml"), &[]));
        assert_eq!(said.len(), 1, "{text}: {said:?}");
        assert!(said[0].contains(message), "{text}: {said:?}");
        assert!(!said[0].contains("hunter2") && !said[0].contains("12345"), "{said:?}");
    }
    let said = messages(load_in(folder.path(), None, Some("absent.toml"), &[]));
    assert!(said[0].starts_with("absent.toml cannot be read"), "{said:?}");

    fs::create_dir(folder.path().join("config")).unwrap();
    let path = folder.path().join("config/development.toml");
    fs::write(path, "profile = \"production\"").unwrap();
    let said = messages(load_in(folder.path(), None, None, &[]));
    assert_eq!(
        said,
        ["profile cannot be set in a profile's own file (from config/development.toml)"]
    );
}

#[test]
fn a_secret_comes_from_a_file_but_not_from_both() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("kek"), format!("{KEY}\n")).unwrap();
    fs::write(folder.path().join("empty"), "\n").unwrap();
    let file = ("SIGNET__KEYS__ENCRYPTION_KEY_FILE", "kek");
    let config = load_in(folder.path(), None, None, &[file]).unwrap();
    assert_eq!(config.keys.encryption_key.unwrap().expose(), KEY);

    let both = [file, ("SIGNET__KEYS__ENCRYPTION_KEY", KEY)];
    let said = messages(load_in(folder.path(), None, None, &both));
    assert_eq!(
        said,
        ["keys.encryption_key is given twice, by SIGNET__KEYS__ENCRYPTION_KEY and \
          SIGNET__KEYS__ENCRYPTION_KEY_FILE"]
    );
    let empty = [("SIGNET__KEYS__ENCRYPTION_KEY_FILE", "empty")];
    let said = messages(load_in(folder.path(), None, None, &empty));
    assert!(said[0].contains("the file empty is empty"), "{said:?}");
}

#[test]
fn redis_is_single_or_cluster_or_watched_by_sentinels() {
    let redis = |variables: &[(&str, &str)]| {
        let mut all = vec![("SIGNET__SESSIONS__STORE", "redis")];
        all.extend(variables);
        load(None, &all).map(|config| match config.sessions.backend {
            SessionBackend::Redis(redis) => redis.servers,
            SessionBackend::Sql => panic!("sessions are in Redis"),
        })
    };
    let url = ("SIGNET__REDIS__URL", "redis://:p,w@a");
    let cluster = ("SIGNET__REDIS__CLUSTER", "redis://a, redis://b");
    let sentinel = ("SIGNET__REDIS__SENTINEL", "redis://a:26379,redis://b:26379");
    let master = ("SIGNET__REDIS__SENTINEL_MASTER", "signet");

    assert!(matches!(redis(&[url]), Ok(Servers::Single { .. })));
    assert!(matches!(redis(&[cluster]),
        Ok(Servers::Cluster { nodes }) if nodes.len() == 2));
    assert!(matches!(redis(&[sentinel, master, url]),
        Ok(Servers::Sentinel { sentinels, login: Some(_), .. })
            if sentinels.len() == 2));
    for bad in [vec![sentinel], vec![url, cluster], vec![cluster, sentinel, master]] {
        assert!(redis(&bad).is_err(), "{bad:?}");
    }
}

#[test]
fn nothing_that_is_shown_holds_a_secret() {
    let config = load(None, &production()).unwrap();
    let text = config.show(false);
    let json = config.show(true);
    for shown in [&text, &json, &format!("{config:?}")] {
        assert!(!shown.contains("hunter2") && !shown.contains(KEY), "{shown}");
    }
    assert!(text.contains("database.url = \"postgres://signet:********@db/signet\""), "{text}");
    let settings: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&json).unwrap();
    assert_eq!(settings.len(), config.settings.len());

    let mut bad = production();
    bad[2].1 = "hunter2";
    bad[4].1 = "hunter2";
    bad[5].1 = "hunter2";
    bad.push(("SIGNET__MAIL__SMTP__PASSWORD", "hunter2"));
    let said = messages(load(None, &bad)).join("\n");
    assert!(said.contains("database.url") && said.contains("keys.encryption_key"), "{said}");
    assert!(!said.contains("hunter2"), "{said}");
}

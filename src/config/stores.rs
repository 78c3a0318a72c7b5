//! The section `database`, and the store of sessions: `sessions.store` and the section `redis`.
//! Messages never contain an address, which may carry a password.

use url::Url;

use super::check::{Check, read};
use super::{DatabaseConfig, Pooler, SessionBackend};
use crate::base::secret::Secret;
use crate::storage::redis::address::{Place, check_address, check_parameters};
use crate::storage::redis::{Certificates, RedisConfig, Servers};
use crate::storage::sqlite;

const POSTGRES_PARAMETERS: &[&str] = &[
    "application_name",
    "dbname",
    "host",
    "hostaddr",
    "options",
    "password",
    "port",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "statement-cache-capacity",
    "user",
    // Other spellings that the driver accepts.
    "ssl-ca",
    "ssl-cert",
    "ssl-key",
    "ssl-mode",
    "ssl-root-cert",
];
const SQLITE_PARAMETERS: &[&str] = &["cache", "immutable", "mode", "vfs"];

impl Check<'_> {
    pub(super) fn database(&mut self) -> Option<DatabaseConfig> {
        let max_connections = self.number("database.max_connections", 1, 1000);
        let pooler = self.choice(
            "database.pooler",
            &[("none", Pooler::None), ("transaction", Pooler::Transaction)],
        );
        let url = self.required("database.url", "postgres://… or sqlite://…")?;
        self.accept("database.url", check_database_url(&url))?;
        let (max_connections, pooler) = (max_connections?, pooler?);
        if pooler == Pooler::Transaction && url.starts_with("sqlite:") {
            return self
                .refuse("database.pooler", "must be none, since database.url names a SQLite file");
        }
        Some(DatabaseConfig { url: Secret::new(url), max_connections, pooler })
    }

    pub(super) fn backend(&mut self) -> Option<SessionBackend> {
        let key = "sessions.store";
        let redis_settings = self.redis_settings();
        self.required(key, "redis or sql")?;
        match self.choice(key, &[("sql", false), ("redis", true)])? {
            false => Some(SessionBackend::Sql),
            true => self.redis(redis_settings?).map(SessionBackend::Redis),
        }
    }

    /// The section `redis`. It is checked even if it is not used, so that a mistake shows before it
    /// matters.
    fn redis_settings(&mut self) -> Option<RedisSettings> {
        let settings = read!(RedisSettings {
            url: self.text("redis.url").and_then(|url| match url.as_str() {
                "" => Some(None),
                _ => self.accept("redis.url", check_address(&url, Place::Server)).map(Some),
            }),
            nodes: self.items("redis.cluster", |url| check_address(url, Place::ClusterNode)),
            sentinels: self.items("redis.sentinel", |url| check_address(url, Place::Sentinel)),
            master: self.text("redis.sentinel_master"),
            certificates: self.certificates(),
        })?;
        if !settings.certificates.is_empty() && !settings.speaks_tls() {
            let key = match self.text("redis.ca_file")?.is_empty() {
                true => "redis.client_certificate",
                false => "redis.ca_file",
            };
            return self
                .refuse(key, "is without effect: no address of Redis begins with rediss://");
        }
        Some(settings)
    }

    fn redis(&mut self, settings: RedisSettings) -> Option<RedisConfig> {
        let RedisSettings { url, nodes, sentinels, master, certificates } = settings;
        let config = |servers| Some(RedisConfig { servers, certificates });
        let (key, problem) = match url {
            url if !nodes.is_empty() => {
                if url.is_none() && sentinels.is_empty() {
                    return config(Servers::Cluster { nodes });
                }
                ("redis.cluster", "cannot be given together with redis.url or redis.sentinel")
            }
            login if !sentinels.is_empty() => {
                if !master.is_empty() {
                    return config(Servers::Sentinel { sentinels, master, login });
                }
                ("redis.sentinel_master", "is required with redis.sentinel")
            }
            Some(url) => return config(Servers::Single { url }),
            None => ("redis.url", "is required, since sessions.store is redis"),
        };
        self.refuse(key, problem)
    }

    /// Empty settings stand for the system's authorities and for no client certificate.
    fn certificates(&mut self) -> Option<Certificates> {
        let authority = self.path("redis.ca_file");
        let client = self.path("redis.client_certificate");
        let key = self.path("redis.client_key");
        let (authority, client, key) = (authority?, client?, key?);
        let mut certificates = Certificates::default();
        if let Some(file) = authority {
            certificates = self.accept("redis.ca_file", certificates.with_authority(&file))?;
        }
        match (client, key) {
            (None, None) => Some(certificates),
            (Some(client), Some(key)) => match certificates.with_client(&client, &key) {
                Ok(certificates) => Some(certificates),
                Err((is_of_key, message)) => {
                    let key =
                        if is_of_key { "redis.client_key" } else { "redis.client_certificate" };
                    self.refuse(key, message)
                }
            },
            (Some(_), None) => {
                self.refuse("redis.client_key", "is required with redis.client_certificate")
            }
            (None, Some(_)) => {
                self.refuse("redis.client_certificate", "is required with redis.client_key")
            }
        }
    }
}

struct RedisSettings {
    url: Option<Secret<String>>,
    nodes: Vec<Secret<String>>,
    sentinels: Vec<Secret<String>>,
    master: String,
    certificates: Certificates,
}

impl RedisSettings {
    fn speaks_tls(&self) -> bool {
        let mut urls = self.url.iter().chain(&self.nodes).chain(&self.sentinels);
        urls.any(|url| url.expose().starts_with("rediss:"))
    }
}

fn check_database_url(text: &str) -> Result<(), String> {
    match text.split_once("://") {
        Some(("sqlite", path)) if !path.is_empty() && !path.starts_with('?') => {
            // A path may contain characters that no URL may; only the query is checked.
            let (_, query) = sqlite::parse_url(text)?;
            let url = format!("sqlite:///file?{}", query.unwrap_or_default());
            let url = Url::parse(&url).map_err(|_| WRONG_DATABASE)?;
            check_parameters(&url, SQLITE_PARAMETERS)
        }
        Some(("postgres" | "postgresql", _)) => {
            let url = Url::parse(text).map_err(|_| WRONG_DATABASE)?;
            check_parameters(&url, POSTGRES_PARAMETERS)
        }
        _ => Err(WRONG_DATABASE.into()),
    }
}

const WRONG_DATABASE: &str = "must be sqlite://path/to/file or postgres://user:password@host/name \
                              (special characters in the password as %XX)";

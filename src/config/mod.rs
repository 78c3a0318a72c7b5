//! Configuration: layers of files and environment variables in, one checked [`Config`] out. Later
//! layers win: built-in defaults, `config/default.toml`, `config/<profile>.toml`, the file given by
//! `--config`, `SIGNET__SECTION__KEY` (or `SIGNET__SECTION__KEY_FILE` for a secret kept in a file).
//! Invariants: nothing starts on a configuration with a problem, all problems are reported
//! together, and no secret is ever shown.

mod check;
mod keys;
mod limits;
mod mail;
mod origins;
mod outbound;
mod raw;
mod show;
mod stores;
#[cfg(test)]
mod tests;
mod typed;

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use origins::CorsOrigin;
pub use show::Setting;

use crate::base::named::named;
use crate::base::secret::Secret;
use crate::base::telemetry::LogConfig;
use crate::domain::credentials;
use crate::domain::login_limits;
use crate::domain::sessions;
use crate::domain::tokens;
use crate::storage::redis::RedisConfig;

const DEVELOPMENT_ISSUER: &str = "http://127.0.0.1:8080";

named! {
    /// The purpose of the defaults.
    pub enum Profile {
        /// Works without any setting, and listens on loopback.
        Development = "development",
        /// Starts only when every setting that matters is configured.
        Production = "production",
    }
}

/// The whole configuration, checked. Each part belongs to one module.
#[derive(Clone, Debug)]
pub struct Config {
    pub(crate) profile: Profile,
    /// The `iss` claim: an absolute URL without a trailing slash.
    pub(crate) issuer: String,
    pub(crate) http: HttpConfig,
    /// How long a start waits for stores that do not answer yet.
    pub(crate) startup_timeout: Duration,
    pub(crate) database: DatabaseConfig,
    pub(crate) sessions: SessionsConfig,
    pub(crate) tokens: tokens::Policy,
    pub(crate) keys: KeysConfig,
    pub(crate) passwords: credentials::PasswordPolicy,
    pub(crate) login_limits: login_limits::Policy,
    pub(crate) signup_limits: login_limits::LimitPolicy,
    pub(crate) mail_limits: login_limits::LimitPolicy,
    pub(crate) refresh_limits: login_limits::RatePolicy,
    /// How often tokens of one session or client may be revoked.
    pub(crate) revocation_limits: login_limits::RatePolicy,
    pub(crate) revocations: RevocationsConfig,
    pub(crate) audit: crate::domain::audit::Retention,
    /// How mail is sent; `None` if it is off.
    pub(crate) mail: Option<crate::domain::mail::Config>,
    /// The client for addresses that clients register.
    pub outbound: crate::storage::outbound::OutboundPolicy,
    pub(crate) signup_enabled: bool,
    /// Whether an address has to be proven before its user can log in.
    pub(crate) require_verified_email: bool,
    pub(crate) docs_enabled: bool,
    pub(crate) log: LogConfig,
    settings: Vec<Setting>,
}

/// The HTTP server.
#[derive(Clone, Debug)]
pub struct HttpConfig {
    /// Where it listens; port 0 takes a free one.
    pub(crate) listen: SocketAddr,
    pub(crate) workers: usize,
    pub(crate) trusted_proxies: Vec<crate::base::network::Network>,
    /// Web origins that may call the token and account endpoints.
    pub(crate) cors_origins: Vec<CorsOrigin>,
    pub(crate) shutdown_timeout: Duration,
    /// How long readiness is false before the listener closes.
    pub(crate) drain_delay: Duration,
}

/// The SQL database.
#[derive(Clone, Debug)]
pub struct DatabaseConfig {
    /// `sqlite://…` or `postgres://…`.
    pub(crate) url: Secret<String>,
    pub(crate) max_connections: usize,
    pub(crate) pooler: Pooler,
}

/// The pooler between this process and PostgreSQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooler {
    /// None, or one that keeps a server for the whole connection.
    None,
    /// A pooler that assigns a server for one transaction only.
    Transaction,
}

/// Where sessions are stored, and how refresh tokens rotate.
#[derive(Clone, Debug)]
pub struct SessionsConfig {
    pub(crate) backend: SessionBackend,
    pub(crate) policy: sessions::Policy,
}

/// The revocation feed.
#[derive(Clone, Debug)]
pub struct RevocationsConfig {
    /// Whether every caller may follow; otherwise the scope `revocations:read` is required.
    pub(crate) open: bool,
    pub(crate) max_age: Duration,
    pub(crate) heartbeat: Duration,
    pub(crate) max_listeners: usize,
    /// The maximum number of them from one address, while every caller may follow.
    pub(crate) max_listeners_per_address: usize,
}

/// The store of sessions.
#[derive(Clone, Debug)]
pub enum SessionBackend {
    /// The SQL database.
    Sql,
    /// Redis.
    Redis(RedisConfig),
}

/// Signing keys.
#[derive(Clone, Debug)]
pub struct KeysConfig {
    /// The key-encryption key, or several with the newest first. Never absent in production.
    pub(crate) encryption_key: Option<Secret<String>>,
    /// Where development keeps the key-encryption key that it made.
    pub(crate) directory: PathBuf,
    pub(crate) pkcs11: Option<crate::domain::keys::Pkcs11Config>,
    pub(crate) policy: crate::domain::keys::Policy,
}

impl Config {
    /// Reads all layers and checks the result. Paths are relative to the working directory.
    /// `profile` and `file` come from the command line; `environment` is usually [`environment`].
    pub fn load(
        profile: Option<&str>,
        file: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        Self::load_in(Path::new(""), profile, file, environment)
    }

    /// The same with paths relative to `folder`.
    fn load_in(
        folder: &Path,
        profile: Option<&str>,
        file: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let mut problems = Vec::new();
        let (profile, values) =
            raw::Reader::new(&mut problems).read(profile, folder, file, environment);
        let config = profile.and_then(|profile| check::check(profile, &values, &mut problems));
        match config {
            Some(config) if problems.is_empty() => Ok(config),
            _ => Err(ConfigError { problems }),
        }
    }

    /// The same for a service that listens on `address`. In development the issuer follows the port
    /// unless it was configured, so that tokens name the service that issued them.
    pub fn listening_on(mut self, address: SocketAddr) -> Self {
        // A checkout's own copy of the profile is the same as the built-in one.
        let is_default = self.settings.iter().any(|setting| {
            setting.key == "issuer"
                && setting.value == DEVELOPMENT_ISSUER
                && setting.origin.starts_with("config/development.toml")
        });
        if self.profile == Profile::Development && is_default {
            let issuer = format!("http://127.0.0.1:{}", address.port());
            self.tokens = self.tokens.moved_to(issuer.clone());
            self.issuer = issuer;
        }
        self
    }

    /// The settings as text for people or as JSON for scripts; secrets are masked.
    pub fn show(&self, json: bool) -> String {
        show::render(&self.settings, json)
    }
}

/// The environment variables of this process that are Signet's.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    // `std::env::vars` would panic on another program's variable that is not UTF-8.
    std::env::vars_os().filter_map(|(name, value)| {
        let name = name.into_string().ok()?;
        Some((name, value.to_string_lossy().into_owned()))
    })
}

/// One problem of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The key, or the file or variable where there is no key.
    key: String,
    /// What is wrong and what was expected. Never a secret.
    message: String,
    origin: Option<String>,
}

impl Problem {
    fn new(key: &str, message: impl Into<String>) -> Self {
        Self { key: key.to_owned(), message: message.into(), origin: None }
    }

    fn from(self, value: &config::Value) -> Self {
        Self { origin: Some(raw::origin(value).to_owned()), ..self }
    }
}

/// `issuer must be … (from SIGNET__ISSUER)`
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.key, self.message)?;
        self.origin.iter().try_for_each(|origin| write!(f, " (from {origin})"))
    }
}

/// All problems of the configuration.
#[derive(Debug)]
pub struct ConfigError {
    problems: Vec<Problem>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problems.as_slice() {
            [problem] => write!(f, "the configuration is wrong: {problem}"),
            problems => {
                write!(f, "the configuration is wrong in {} places:", problems.len())?;
                problems.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
            }
        }
    }
}

impl std::error::Error for ConfigError {}

//! The checks of the merged values: types, bounds, and the requirements of a profile, with a
//! checked [`Config`] as the result. Every reader records a problem and continues, so that one run
//! reports all problems. Messages repeat a value only if it cannot be a secret.

use std::net::SocketAddr;
use std::num::NonZero;
use std::str::FromStr;

use url::{Host, Url};

use super::raw::Values;
use super::{Config, CorsOrigin, HttpConfig, Problem, Profile, SessionsConfig, show};
use crate::base::network::Network;
use crate::base::telemetry::{LogConfig, LogFormat};
use crate::domain::credentials;
use crate::domain::sessions;
use crate::domain::sessions::Recovery;
use crate::domain::tokens;

/// Checks everything; `None` when there is a problem.
pub(super) fn check(
    profile: Profile,
    values: &Values,
    problems: &mut Vec<Problem>,
) -> Option<Config> {
    let mut check = Check { profile, values, problems };
    let issuer = check.issuer();
    let http = check.http();
    let startup_timeout = check.duration_below("startup_timeout", 3600);
    let database = check.database();
    let sessions = check.sessions();
    let tokens = check.tokens(issuer.as_deref());
    let keys = check.keys();
    let passwords = check.passwords();
    let login_limits = check.login_limits();
    let signup_limits = check.network_limit("signup_limits", login_limits.as_ref());
    let mail_limits = check.network_limit("mail_limits", login_limits.as_ref());
    let refresh_limits = check.rate_limits("refresh_limits");
    let revocation_limits = check.rate_limits("revocation_limits");
    let revocations = check.revocations();
    let audit = check.audit();
    let mail = check.mail(issuer.as_deref());
    let outbound = check.outbound();
    // Required in production, so that no instance is open by an oversight.
    let signup_enabled =
        check.required_flag("signup.enabled", "true or false, whether anyone may make an account");
    let require_verified_email = check.require_verified_email();
    let docs_enabled = check.flag("docs.enabled");
    let log = check.log();
    Some(Config {
        profile,
        issuer: issuer?,
        http: http?,
        startup_timeout: startup_timeout?,
        database: database?,
        sessions: sessions?,
        tokens: tokens?,
        keys: keys?,
        passwords: passwords?,
        login_limits: login_limits?,
        signup_limits: signup_limits?,
        mail_limits: mail_limits?,
        refresh_limits: refresh_limits?,
        revocation_limits: revocation_limits?,
        revocations: revocations?,
        audit: audit?,
        mail: mail?,
        outbound: outbound?,
        signup_enabled: signup_enabled?,
        require_verified_email: require_verified_email?,
        docs_enabled: docs_enabled?,
        log: log?,
        settings: show::settings(values),
    })
}

/// The state of a check, with the readers of `typed`.
pub(super) struct Check<'a> {
    pub(super) profile: Profile,
    pub(super) values: &'a Values,
    pub(super) problems: &'a mut Vec<Problem>,
}

impl Check<'_> {
    fn issuer(&mut self) -> Option<String> {
        let text = self.required("issuer", "the https address that clients use")?;
        let text = text.strip_suffix('/').unwrap_or(&text).to_owned();
        self.accept("issuer", check_issuer(&text, self.profile))?;
        Some(text)
    }

    fn http(&mut self) -> Option<HttpConfig> {
        let listen = self.listen();
        let workers = self.number("http.workers", 0, 1024);
        let trusted_proxies = self.items("http.trusted_proxies", Network::from_str);
        let cors_origins = self.items("http.cors_origins", CorsOrigin::from_str);
        let shutdown_timeout = self.duration_below("http.shutdown_timeout", 600);
        let drain_delay = self.duration_below("http.drain_delay", 600);
        Some(HttpConfig {
            listen: listen?,
            workers: or_cores(workers?),
            trusted_proxies: trusted_proxies?,
            cors_origins: cors_origins?,
            shutdown_timeout: shutdown_timeout?,
            drain_delay: drain_delay?,
        })
    }

    /// The development profile listens on loopback only, unless configured otherwise.
    fn listen(&mut self) -> Option<SocketAddr> {
        let key = "http.listen";
        let address = self.parsed(key, "an address and a port such as 127.0.0.1:8080");
        let allowed = self.flag("http.allow_public_development");
        let (address, allowed): (SocketAddr, bool) = (address?, allowed?);
        let is_public = !address.ip().to_canonical().is_loopback();
        if self.profile == Profile::Development && is_public && !allowed {
            let problem = "must be a loopback address such as 127.0.0.1:8080 in the development \
                           profile, whose defaults are open to everyone who can reach it; use \
                           the production profile, or set http.allow_public_development to true";
            self.problem(key, problem);
            return None;
        }
        Some(address)
    }

    fn sessions(&mut self) -> Option<SessionsConfig> {
        let backend = self.backend();
        let retry_window = self.duration("sessions.retry_window");
        let recovery = self.choice(
            "sessions.recovery",
            &[("recover", Recovery::Recover), ("revoke", Recovery::Revoke)],
        );
        let idle_lifetime = self.duration("sessions.idle_lifetime");
        let absolute_lifetime = self.duration("sessions.absolute_lifetime");
        let max_per_user = self.number("sessions.max_per_user", 1, u32::MAX);
        let policy = sessions::Policy::new(
            retry_window?,
            recovery?,
            idle_lifetime?,
            absolute_lifetime?,
            max_per_user?,
        );
        let policy = self.accept_policy("sessions", policy);
        Some(SessionsConfig { backend: backend?, policy: policy? })
    }

    fn tokens(&mut self, issuer: Option<&str>) -> Option<tokens::Policy> {
        let lifetime = self.duration("tokens.access_token_lifetime");
        let audience = self.text("tokens.audience");
        let (lifetime, audience, issuer) = (lifetime?, audience?, issuer?.to_owned());
        if audience.contains(char::is_whitespace) {
            self.problem("tokens.audience", "must be one name or URL, without spaces");
            return None;
        }
        let audience = if audience.is_empty() { issuer.clone() } else { audience };
        self.accept_policy("tokens", tokens::Policy::new(issuer, audience, lifetime))
    }

    fn passwords(&mut self) -> Option<credentials::PasswordPolicy> {
        let memory_kib = self.number("passwords.memory_kib", 0, u32::MAX);
        let iterations = self.number("passwords.iterations", 0, u32::MAX);
        let parallelism = self.number("passwords.parallelism", 0, u32::MAX);
        let threads = self.number("passwords.threads", 0, usize::MAX);
        let queue = self.number("passwords.queue", 0, usize::MAX);
        let threads = or_cores(threads?);
        let queue = if queue? == 0 { threads.saturating_mul(64) } else { queue? };
        let policy = credentials::PasswordPolicy::new(
            memory_kib?,
            iterations?,
            parallelism?,
            threads,
            queue,
        );
        self.accept_policy("passwords", policy)
    }

    fn log(&mut self) -> Option<LogConfig> {
        let format =
            self.choice("log.format", &[("text", LogFormat::Text), ("json", LogFormat::Json)]);
        let level = self.text("log.level")?;
        self.accept("log.level", crate::base::telemetry::check_level(&level))?;
        Some(LogConfig { format: format?, level })
    }
}

/// Zero stands for the number of cores.
fn or_cores(count: usize) -> usize {
    match count {
        0 => std::thread::available_parallelism().map_or(1, NonZero::get),
        count => count,
    }
}

/// Verifiers compare the issuer as text, so only the canonical spelling is allowed.
fn check_issuer(text: &str, profile: Profile) -> Result<(), String> {
    let url = Url::parse(text).ok().filter(Url::has_host);
    let url = url.ok_or("must be an absolute URL such as https://id.example.com")?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not contain a user or a password".into());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("must have neither a query nor a fragment".into());
    }
    match (url.scheme(), profile) {
        ("https", _) => {}
        ("http", Profile::Development) if is_loopback(&url) => {}
        ("http", Profile::Development) => {
            return Err(
                "must be https: plain http is allowed for loopback hosts such as 127.0.0.1 \
                        only, since requests carry passwords and tokens"
                    .into(),
            );
        }
        _ => return Err("must be an https URL".into()),
    }
    let canonical = url.as_str().trim_end_matches('/');
    if canonical != text {
        return Err(format!("must be written as {canonical}, since verifiers compare it as text"));
    }
    Ok(())
}

pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

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
use crate::domain::credentials::PasswordPolicy;
use crate::domain::sessions::{self, Recovery};
use crate::domain::tokens;

/// The struct, of settings all of which are read before one that is wrong ends the section, so that one
/// run reports all problems. Those further down may name those further up.
macro_rules! read {
    ($name:ident { $($field:ident: $value:expr),* $(,)? }) => {{
        $(let $field = $value;)*
        Some($name { $($field: $field?),* })
    }};
}
pub(super) use read;

const RECOVERY: [(&str, Recovery); 2] =
    [("recover", Recovery::Recover), ("revoke", Recovery::Revoke)];

pub(super) fn check(
    profile: Profile,
    values: &Values,
    problems: &mut Vec<Problem>,
) -> Option<Config> {
    let mut check = Check { profile, values, problems };
    read!(Config {
        profile: Some(profile),
        issuer: check.issuer(),
        http: check.http(),
        startup_timeout: check.duration_below("startup_timeout", 3600),
        database: check.database(),
        sessions: check.sessions(),
        tokens: check.tokens(issuer.as_deref()),
        keys: check.keys(),
        passwords: check.passwords(),
        login_limits: check.login_limits(),
        signup_limits: check.network_limit("signup_limits", login_limits.as_ref()),
        mail_limits: check.network_limit("mail_limits", login_limits.as_ref()),
        refresh_limits: check.rate_limits("refresh_limits"),
        revocation_limits: check.rate_limits("revocation_limits"),
        revocations: check.revocations(),
        audit: check.audit(),
        mail: check.mail(issuer.as_deref()),
        outbound: check.outbound(),
        // Required in production, so that no instance is open by an oversight.
        signup_enabled: check
            .required_flag("signup.enabled", "true or false, whether anyone may make an account"),
        require_verified_email: check.require_verified_email(),
        docs_enabled: check.flag("docs.enabled"),
        log: check.log(),
        settings: Some(show::settings(values)),
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
        read!(HttpConfig {
            listen: self.listen(),
            workers: self.number("http.workers", 0, 1024).map(or_cores),
            trusted_proxies: self.items("http.trusted_proxies", Network::from_str),
            cors_origins: self.items("http.cors_origins", CorsOrigin::from_str),
            shutdown_timeout: self.duration_below("http.shutdown_timeout", 600),
            drain_delay: self.duration_below("http.drain_delay", 600),
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
            return self.refuse(key, problem);
        }
        Some(address)
    }

    fn sessions(&mut self) -> Option<SessionsConfig> {
        let backend = self.backend();
        let retry_window = self.duration("sessions.retry_window");
        let recovery = self.choice("sessions.recovery", &RECOVERY);
        let idle = self.duration("sessions.idle_lifetime");
        let absolute = self.duration("sessions.absolute_lifetime");
        let max_per_user = self.number("sessions.max_per_user", 1, u32::MAX);
        let policy =
            sessions::Policy::new(retry_window?, recovery?, idle?, absolute?, max_per_user?);
        let policy = self.accept_policy("sessions", policy);
        Some(SessionsConfig { backend: backend?, policy: policy? })
    }

    fn tokens(&mut self, issuer: Option<&str>) -> Option<tokens::Policy> {
        let lifetime = self.duration("tokens.access_token_lifetime");
        let audience = self.text("tokens.audience");
        let (lifetime, audience, issuer) = (lifetime?, audience?, issuer?.to_owned());
        if audience.contains(char::is_whitespace) {
            return self.refuse("tokens.audience", "must be one name or URL, without spaces");
        }
        let audience = if audience.is_empty() { issuer.clone() } else { audience };
        self.accept_policy("tokens", tokens::Policy::new(issuer, audience, lifetime))
    }

    fn passwords(&mut self) -> Option<PasswordPolicy> {
        let memory_kib = self.number("passwords.memory_kib", 0, u32::MAX);
        let iterations = self.number("passwords.iterations", 0, u32::MAX);
        let parallelism = self.number("passwords.parallelism", 0, u32::MAX);
        let threads = self.number("passwords.threads", 0, usize::MAX);
        let queue = self.number("passwords.queue", 0, usize::MAX);
        let threads = or_cores(threads?);
        let queue = if queue? == 0 { threads.saturating_mul(64) } else { queue? };
        let (memory_kib, iterations, parallelism) = (memory_kib?, iterations?, parallelism?);
        let policy = PasswordPolicy::new(memory_kib, iterations, parallelism, threads, queue);
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
            let problem = "must be https: plain http is allowed for loopback hosts such as 127.0.0.1 \
                           only, since requests carry passwords and tokens";
            return Err(problem.into());
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

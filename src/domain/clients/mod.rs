//! Clients (RFC 6749 section 2): who may request tokens, by which grants, for which scopes and
//! audiences. Secrets are made by Signet, shown once and stored as fingerprints; two may be valid
//! during a rotation.

pub(crate) mod authentication;
pub(crate) mod change;
pub(crate) mod registry;
pub(crate) mod store;

use std::time::Duration;

use crate::base::named::named;
use crate::base::random::Random;
use crate::base::secret::{Fingerprint, Secret};
use crate::base::time::Timestamp;
use crate::domain::tokens::{LEEWAY, Policy as TokenPolicy, Scope, claims};

pub(crate) use authentication::{Credentials, MalformedCredentials, Method};
pub(crate) use registry::ClientRegistry;
pub(crate) use store::ClientStore;

/// The bundled public client of `/login` and of the docs page.
pub(crate) const FIRST_PARTY: &str = "signet-first-party";

named! {
    /// RFC 6749 section 2.1.
    pub(crate) enum ClientType {
        /// A client that cannot keep a secret.
        Public = "public",
        /// A client that authenticates by a secret.
        Confidential = "confidential",
    }
}

named! {
    /// The grants that Signet serves (RFC 6749 sections 4.3, 4.4 and 6).
    pub(crate) enum GrantType {
        /// The user's name and password, for first-party clients.
        Password = "password",
        RefreshToken = "refresh_token",
        /// The client's own credentials.
        ClientCredentials = "client_credentials",
    }
}

/// A secret of a client, without its text.
#[derive(Clone, Debug)]
pub(crate) struct ClientSecret {
    pub(crate) fingerprint: Fingerprint,
    pub(crate) created_at: Timestamp,
    pub(crate) expires_at: Option<Timestamp>,
}

#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) client_id: String,
    pub(crate) name: Option<String>,
    pub(crate) client_type: ClientType,
    pub(crate) grant_types: Vec<GrantType>,
    pub(crate) scope: Scope,
    /// The resources that it may name (RFC 8707).
    pub(crate) audiences: Vec<String>,
    /// The lifetime of its access tokens, if it differs from the configured one.
    pub(crate) access_token_lifetime: Option<Duration>,
    pub(crate) disabled_at: Option<Timestamp>,
    pub(crate) secrets: Vec<ClientSecret>,
    pub(crate) created_at: Timestamp,
    /// The members of the user's metadata that its tokens contain.
    pub(crate) claims: Vec<String>,
    /// The version, raised by every change that an administrator can see.
    pub(crate) version: i64,
}

impl Client {
    pub(crate) fn may_use(&self, grant: GrantType) -> bool {
        self.grant_types.contains(&grant)
    }

    /// Whether a grant made at `then` was made to an earlier client with the same id. Has a leeway
    /// for clocks that differ a little.
    pub(crate) fn is_younger_than(&self, then: Timestamp) -> bool {
        then.plus(LEEWAY) < self.created_at
    }

    /// Makes a secret for it: the text to show once, and the form to store.
    pub(crate) fn new_secret(random: &Random, now: Timestamp) -> (Secret<String>, ClientSecret) {
        let text = random.token();
        let fingerprint = Fingerprint::of(text.expose().as_bytes());
        (text, ClientSecret { fingerprint, created_at: now, expires_at: None })
    }
}

/// An operator's request to register a client, not yet checked.
#[derive(Debug, Default)]
pub(crate) struct Registration {
    pub(crate) client_id: String,
    pub(crate) name: Option<String>,
    pub(crate) confidential: bool,
    pub(crate) grants: Vec<String>,
    pub(crate) scope: String,
    pub(crate) audiences: Vec<String>,
    pub(crate) access_token_lifetime: Option<Duration>,
    pub(crate) claims: Vec<String>,
}

impl Registration {
    /// Makes the client, without secrets. The error is the sentence for the operator.
    pub(crate) fn check(self, now: Timestamp) -> Result<Client, String> {
        if uuid::Uuid::try_parse(&self.client_id).is_ok() {
            return Err(
                "client_id must not be a UUID, which could be taken for a user's id: choose \
                        a name such as orders-service"
                    .into(),
            );
        }
        if !is_client_id(&self.client_id) {
            return Err("client_id must be 1 to 100 characters of A-Z a-z 0-9 - . _ ~".into());
        }
        let client_type =
            if self.confidential { ClientType::Confidential } else { ClientType::Public };
        let name =
            crate::base::display_name::check_display_name(self.name.as_deref().unwrap_or_default())
                .map_err(|problem| format!("name {problem}"))?;
        check_lifetime(self.access_token_lifetime)
            .map_err(|problem| format!("access_token_lifetime {problem}"))?;
        Ok(Client {
            grant_types: check_grants(&self.grants, client_type)?,
            scope: Scope::parse(&self.scope).map_err(|error| error.to_string())?,
            audiences: check_audiences(self.audiences)?,
            client_id: self.client_id,
            name,
            client_type,
            access_token_lifetime: self.access_token_lifetime,
            disabled_at: None,
            secrets: Vec::new(),
            created_at: now,
            claims: claims::check(&self.claims)?,
            version: 0,
        })
    }
}

fn is_client_id(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-._~".contains(c);
    // The audit trail uses these names for other actors.
    let reserved = ["cli", "command-line", "system", "anonymous"];
    (1..=100).contains(&text.len()) && text.chars().all(allowed) && !reserved.contains(&text)
}

fn check_lifetime(lifetime: Option<Duration>) -> Result<(), &'static str> {
    let bounds = Duration::from_secs(1)..=TokenPolicy::MAX_ACCESS_TOKEN_LIFETIME;
    match lifetime {
        Some(lifetime) if !bounds.contains(&lifetime) => Err("must be from 1s to 1d"),
        _ => Ok(()),
    }
}

fn check_grants(names: &[String], client_type: ClientType) -> Result<Vec<GrantType>, String> {
    if names.is_empty() {
        return Ok(match client_type {
            // The password grant is for first-party apps, so it must be named.
            ClientType::Public => vec![GrantType::RefreshToken],
            ClientType::Confidential => vec![GrantType::ClientCredentials],
        });
    }
    let mut grants = Vec::new();
    for name in names {
        let grant = GrantType::parse(name).ok_or_else(|| {
            let known = GrantType::ALL.map(GrantType::as_str).join(", ");
            format!("unknown grant {name}: the grants are {known}")
        })?;
        if grant == GrantType::ClientCredentials && client_type == ClientType::Public {
            return Err("client_credentials is for confidential clients".into());
        }
        if !grants.contains(&grant) {
            grants.push(grant);
        }
    }
    Ok(grants)
}

/// RFC 8707 section 2: an absolute URI without a fragment.
fn check_audiences(audiences: Vec<String>) -> Result<Vec<String>, String> {
    if audiences.len() > 32 {
        return Err("a client may have at most 32 audiences".into());
    }
    for audience in &audiences {
        let uri = url::Url::parse(audience).ok();
        let sound = uri.is_some_and(|uri| uri.fragment().is_none())
            && audience.len() <= 500
            && !audience.contains(|c: char| c.is_whitespace() || c.is_control());
        if !sound {
            return Err(format!("audience {audience} must be an absolute URI without a fragment"));
        }
    }
    Ok(audiences)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn client(client_type: ClientType) -> Client {
        let confidential = client_type == ClientType::Confidential;
        Registration { client_id: "app".into(), confidential, ..Registration::default() }
            .check(Timestamp::from_unix(0))
            .unwrap()
    }

    #[test]
    fn registrations_are_checked() {
        let check = |registration: Registration| registration.check(Timestamp::from_unix(0));
        let base = || Registration { client_id: "app".into(), ..Registration::default() };
        assert!(check(base()).unwrap().may_use(GrantType::RefreshToken));
        for (bad, word) in [
            (Registration { client_id: "a b".into(), ..base() }, "client_id"),
            (Registration { client_id: String::new(), ..base() }, "client_id"),
            (Registration { grants: vec!["implicit".into()], ..base() }, "implicit"),
            (Registration { grants: vec!["client_credentials".into()], ..base() }, "confidential"),
            (Registration { scope: "a\"b".into(), ..base() }, "scope"),
            (Registration { claims: vec!["sub".into()], ..base() }, "claim"),
            (Registration { audiences: vec!["api".into()], ..base() }, "absolute"),
            (Registration { audiences: vec!["https://a/#b".into()], ..base() }, "fragment"),
            (
                Registration { access_token_lifetime: Some(Duration::ZERO), ..base() },
                "access_token_lifetime",
            ),
        ] {
            let error = check(bad).unwrap_err();
            assert!(error.contains(word), "{error}");
        }
    }
}

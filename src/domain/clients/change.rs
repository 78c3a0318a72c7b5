//! Changes of a registered client, checked field by field.

use std::time::Duration;

use super::{Client, check_audiences, check_grants, check_lifetime};
use crate::base::time::Timestamp;
use crate::domain::tokens::{Scope, claims};

/// The requested change; a field of `None` stays unchanged.
#[derive(Clone, Debug, Default)]
pub struct ClientChange {
    /// A name for people; empty to remove it.
    pub name: Option<String>,
    /// Names of grants.
    pub grants: Option<Vec<String>>,
    /// Scope words.
    pub scopes: Option<Vec<String>>,
    /// Resource addresses.
    pub audiences: Option<Vec<String>>,
    /// Names of claims from the user's metadata.
    pub claims: Option<Vec<String>>,
    /// The lifetime of its access tokens, or the configured one.
    pub access_token_lifetime: Option<Option<Duration>>,
    /// Whether the client is disabled.
    pub disabled: Option<bool>,
}

/// A field, and the sentence that says what is wrong with it.
pub type FieldProblem = (&'static str, String);

impl ClientChange {
    /// Checks everything and returns the client after the change, or all errors.
    pub fn applied_to(self, client: &Client, now: Timestamp) -> Result<Client, Vec<FieldProblem>> {
        let mut next = client.clone();
        let mut problems = Vec::new();
        let mut note = |field, problem: &str| problems.push((field, problem.to_owned()));
        if let Some(name) = self.name {
            match crate::base::display_name::check_display_name(&name) {
                Ok(name) => next.name = name,
                Err(problem) => note("name", problem),
            }
        }
        if let Some(grants) = self.grants {
            match check_grants(&grants, client.client_type) {
                Ok(_) if grants.is_empty() => note("grants", "must name at least one grant"),
                Ok(grants) => next.grant_types = grants,
                Err(problem) => note("grants", &problem),
            }
        }
        if let Some(scopes) = self.scopes {
            match Scope::parse(&scopes.join(" ")) {
                Ok(scope) => next.scope = scope,
                Err(error) => note("scopes", &error.to_string()),
            }
        }
        if let Some(audiences) = self.audiences {
            match check_audiences(audiences) {
                Ok(audiences) => next.audiences = audiences,
                Err(problem) => note("audiences", &problem),
            }
        }
        if let Some(names) = self.claims {
            match claims::check(&names) {
                Ok(names) => next.claims = names,
                Err(problem) => note("claims", &problem),
            }
        }
        if let Some(lifetime) = self.access_token_lifetime {
            match check_lifetime(lifetime) {
                Ok(()) => next.access_token_lifetime = lifetime,
                Err(problem) => note("access_token_lifetime", problem),
            }
        }
        if let Some(disabled) = self.disabled {
            next.disabled_at = disabled.then(|| client.disabled_at.unwrap_or(now));
        }
        if problems.is_empty() { Ok(next) } else { Err(problems) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::client;
    use super::super::{ClientType, GrantType};
    use super::*;

    const LIFETIME: &str = "access_token_lifetime";

    fn apply(change: ClientChange) -> Result<Client, Vec<FieldProblem>> {
        change.applied_to(&client(ClientType::Public), Timestamp::from_unix(5))
    }

    #[test]
    fn what_is_not_named_stays() {
        let name = ClientChange { name: Some("Shop".into()), ..ClientChange::default() };
        let next = apply(name).unwrap();
        assert_eq!(next.name.as_deref(), Some("Shop"));
        assert_eq!(next.grant_types, [GrantType::RefreshToken]);
        let disabled = ClientChange { disabled: Some(true), ..ClientChange::default() };
        let next = apply(disabled).unwrap();
        assert_eq!(next.disabled_at, Some(Timestamp::from_unix(5)));
    }

    #[test]
    fn every_error_names_its_field() {
        let words = |words: &[&str]| Some(words.iter().map(|word| (*word).to_owned()).collect());
        let problems = apply(ClientChange {
            name: Some("x".repeat(201)),
            grants: words(&["client_credentials"]),
            scopes: words(&["a\"b"]),
            audiences: words(&["api"]),
            claims: words(&["sub"]),
            access_token_lifetime: Some(Some(Duration::from_secs(90_000))),
            disabled: None,
        })
        .unwrap_err();
        let fields: Vec<_> = problems.iter().map(|(field, _)| *field).collect();
        assert_eq!(fields, ["name", "grants", "scopes", "audiences", "claims", LIFETIME]);
        let none = ClientChange { grants: words(&[]), ..ClientChange::default() };
        assert_eq!(apply(none).unwrap_err()[0].0, "grants");
    }
}

//! Changes of a registered client, checked field by field.

use std::time::Duration;

use super::{Client, check_audiences, check_grants, check_lifetime};
use crate::base::display_name::check_display_name;
use crate::base::time::Timestamp;
use crate::domain::tokens::{Scope, claims};

/// The requested change; a field of `None` stays unchanged.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClientChange {
    pub(crate) name: Option<String>,
    pub(crate) grants: Option<Vec<String>>,
    pub(crate) scopes: Option<Vec<String>>,
    pub(crate) audiences: Option<Vec<String>>,
    pub(crate) claims: Option<Vec<String>>,
    /// The lifetime of its access tokens, or the configured one.
    pub(crate) access_token_lifetime: Option<Option<Duration>>,
    pub(crate) disabled: Option<bool>,
}

/// A field, and the sentence that says what is wrong with it.
pub(crate) type FieldProblem = (&'static str, String);

impl ClientChange {
    /// Checks everything and returns the client after the change, or all errors.
    pub(crate) fn applied_to(
        self,
        client: &Client,
        now: Timestamp,
    ) -> Result<Client, Vec<FieldProblem>> {
        let mut next = client.clone();
        let grants = |names: Vec<String>| match names.is_empty() {
            true => Err("must name at least one grant".into()),
            false => check_grants(&names, client.client_type),
        };
        let lifetime = |lifetime| check_lifetime(lifetime).map(|()| lifetime);
        let problems = [
            put(&mut next.name, "name", self.name.map(|name| check_display_name(&name))),
            put(&mut next.grant_types, "grants", self.grants.map(grants)),
            put(&mut next.scope, "scopes", self.scopes.map(|words| Scope::parse(&words.join(" ")))),
            put(&mut next.audiences, "audiences", self.audiences.map(check_audiences)),
            put(&mut next.claims, "claims", self.claims.map(|names| claims::check(&names))),
            put(
                &mut next.access_token_lifetime,
                "access_token_lifetime",
                self.access_token_lifetime.map(lifetime),
            ),
        ];
        if let Some(disabled) = self.disabled {
            next.disabled_at = disabled.then(|| client.disabled_at.unwrap_or(now));
        }
        let problems: Vec<_> = problems.into_iter().flatten().collect();
        if problems.is_empty() { Ok(next) } else { Err(problems) }
    }
}

fn put<T, E: ToString>(
    place: &mut T,
    field: &'static str,
    checked: Option<Result<T, E>>,
) -> Option<FieldProblem> {
    match checked? {
        Ok(value) => *place = value,
        Err(problem) => return Some((field, problem.to_string())),
    }
    None
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

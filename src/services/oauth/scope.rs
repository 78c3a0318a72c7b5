//! What a token may carry: what the client may ask, the user has, and the request names.

use serde_json::{Map, Value};

use super::{AuthorizationServer, TokenError};
use crate::domain::clients::Client;
use crate::domain::roles::Catalogue;
use crate::domain::tokens::{Scope, claims, scope};
use crate::domain::users::User;

impl AuthorizationServer {
    /// The scope of a token of `user`; `granted` is what the session was begun with.
    pub(super) async fn scope_of_user(
        &self,
        client: &Client,
        granted: Option<&Scope>,
        user: &User,
        wished: Option<&Scope>,
    ) -> Result<Scope, TokenError> {
        let catalogue = self.stores.roles.catalogue().await?;
        grant_scope(&client.scope, granted, Some((&user.roles, &catalogue)), wished)
    }
}

/// `allowed` is the client's. A session has what was granted at its start, as far as client and user
/// still have it. A client's own token, which has no user, is bounded by the client alone. Built-in
/// words are granted only where the request names them, or named them when the session began.
pub(super) fn grant_scope(
    allowed: &Scope,
    granted: Option<&Scope>,
    user: Option<(&[String], &Catalogue)>,
    wished: Option<&Scope>,
) -> Result<Scope, TokenError> {
    let held = |word: &str| user.is_none_or(|(roles, catalogue)| catalogue.holds(roles, word));
    let may = granted.unwrap_or(allowed).filtered(|word| allowed.contains(word) && held(word));
    match wished {
        None if granted.is_some() => Ok(may),
        None => Ok(may.filtered(|word| !scope::is_built_in(word))),
        Some(wished) if wished.is_within(&may) => Ok(wished.clone()),
        Some(_) => Err(TokenError::InvalidScope("the scope goes beyond what may be granted")),
    }
}

/// The claims that tokens of `client` have of `user` beyond Signet's own.
pub(super) fn claims_of(client: &Client, user: &User) -> Map<String, Value> {
    claims::select(&client.claims, &user.metadata).unwrap_or_else(|claims::TooLarge| {
        tracing::warn!(
            user = %user.id,
            client_id = client.client_id,
            "the user's metadata is too large for claims in a token; all were left out"
        );
        Map::new()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::Timestamp;
    use crate::domain::roles::Role;

    fn scope(words: &str) -> Scope {
        Scope::parse(words).unwrap()
    }

    fn catalogue() -> Catalogue {
        let role = |name: &str, words: &str| Role {
            name: name.into(),
            scope: scope(words),
            ..Role::admin(Timestamp::from_unix(0))
        };
        Catalogue::new(&[role("clerk", "read write"), role("auditor", "read")])
    }

    /// The scope that is granted to a user with `roles`, or the client itself.
    fn granted(
        allowed: &str,
        granted: Option<&str>,
        roles: Option<&str>,
        wished: Option<&str>,
    ) -> Option<String> {
        let catalogue = catalogue();
        let roles: Option<Vec<String>> =
            roles.map(|roles| roles.split_whitespace().map(str::to_owned).collect());
        let user = roles.as_deref().map(|roles| (roles, &catalogue));
        let (granted, wished) = (granted.map(scope), wished.map(scope));
        let scope = grant_scope(&scope(allowed), granted.as_ref(), user, wished.as_ref());
        scope.map(|scope| scope.to_string()).ok()
    }

    #[test]
    fn a_login_gets_what_client_and_user_have_and_the_request_names() {
        const ALL: &str = "openid read write signet:admin";
        const OWN: &str = "openid signet:admin signet:x users:read revocations:read";
        for (allowed, roles, wished, expected) in [
            (ALL, "", None, Some("openid")),
            (ALL, "clerk", None, Some("openid read write")),
            (ALL, "auditor", None, Some("openid read")),
            (ALL, "admin", None, Some("openid")),
            (ALL, "admin", Some("signet:admin"), Some("signet:admin")),
            (ALL, "admin clerk", None, Some("openid read write")),
            (ALL, "admin clerk", Some(ALL), Some(ALL)),
            // The words of Signet itself have to be named, each of them.
            (OWN, "admin", None, Some("openid")),
            (OWN, "admin", Some("users:read"), Some("users:read")),
            (OWN, "", Some("revocations:read openid"), Some("revocations:read openid")),
            (ALL, "undefined", None, Some("openid")),
            // What the client may not ask, no role brings.
            ("openid", "admin clerk", None, Some("openid")),
            ("openid", "clerk", Some("read"), None),
            // What is named is given, or refused as a whole.
            (ALL, "clerk", Some("write read"), Some("write read")),
            (ALL, "auditor", Some("read write"), None),
            (ALL, "", Some("signet:admin"), None),
            (ALL, "clerk", Some("other"), None),
            (ALL, "clerk", Some(""), Some("")),
            ("", "clerk", None, Some("")),
        ] {
            let scope = granted(allowed, None, Some(roles), wished);
            assert_eq!(scope.as_deref(), expected, "{allowed:?} {roles:?} {wished:?}");
        }
    }

    #[test]
    fn a_refresh_gets_what_was_granted_and_is_still_had() {
        const ALL: &str = "openid read write";
        for (allowed, session, roles, wished, expected) in [
            (ALL, "read write", "clerk", None, Some("read write")),
            // A role was taken away, or the client lost a word.
            (ALL, "openid read write", "auditor", None, Some("openid read")),
            (ALL, "openid read write", "", None, Some("openid")),
            ("openid read", "openid read write", "clerk", None, Some("openid read")),
            (ALL, "openid read write", "auditor", Some("write"), None),
            (ALL, "openid read write", "auditor", Some("read"), Some("read")),
            // What was named at the login is not named again.
            (
                "read signet:admin",
                "read signet:admin",
                "clerk admin",
                None,
                Some("read signet:admin"),
            ),
            ("read signet:admin", "read signet:admin", "clerk", None, Some("read")),
            // What was not granted then, a role of now does not bring.
            (ALL, "openid", "clerk", None, Some("openid")),
            (ALL, "openid", "clerk", Some("openid read"), None),
        ] {
            let scope = granted(allowed, Some(session), Some(roles), wished);
            assert_eq!(scope.as_deref(), expected, "{session:?} {roles:?} {wished:?}");
        }
    }

    #[test]
    fn a_clients_own_token_is_bounded_by_the_client_alone() {
        let own = |wished| granted("read users:read", None, None, wished);
        assert_eq!(own(None).as_deref(), Some("read"));
        assert_eq!(own(Some("users:read")).as_deref(), Some("users:read"));
        assert_eq!(own(Some("write")), None);
    }
}

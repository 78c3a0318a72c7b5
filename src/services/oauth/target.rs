//! What a token is for (RFC 8707): the resources that a request names, within those that the client is
//! registered for, or the administration of Signet, which a scope word brings and nothing else.
//! Invariant: a token with an administrative word has the audience of administration and no other, and
//! only a grant that named such a word has this audience.

use super::{TokenError, Wish};
use crate::domain::clients::Client;
use crate::domain::sessions::Session;
use crate::domain::tokens::{Policy, Scope, scope};
use crate::storage::{StorageError, Stored};

const NOT_REGISTERED: TokenError =
    TokenError::InvalidTarget("the resource is not registered for this client");
/// An administrative word beside a resource of somebody else.
const ADMINISTRATION_ALONE: TokenError = TokenError::InvalidTarget(
    "a token with a scope word of administration is for Signet alone: name no other resource, or \
     ask for two tokens",
);
/// The audience of administration without a word that opens something there.
const NO_WORD: TokenError = TokenError::InvalidTarget(
    "the resource is the administration of Signet: name the scope word that is needed there, such \
     as signet:admin",
);

/// What a session for administration has in the place of resources. No resource is called so: it is an
/// absolute URI without a fragment (RFC 8707 section 2). The audience of administration itself is no
/// mark: an earlier version may have granted it as a resource like any other.
const ADMINISTRATION: &str = "#administration";

/// The resources of a new grant; none for the default audience. Administrative words are granted only
/// where they are named, so what the request names decides.
pub(super) fn of_grant(
    client: &Client,
    wish: &Wish,
    policy: &Policy,
) -> Result<Vec<String>, TokenError> {
    if wish.scope.as_ref().is_some_and(Scope::is_administrative) {
        return of_administration(wish, policy);
    }
    check_registered(client, &wish.resources, policy)?;
    Ok(wish.resources.clone())
}

/// How a session keeps the `resources` that [`of_grant`] gave its login.
pub(super) fn kept(resources: &[String], policy: &Policy) -> String {
    match resources {
        [one] if *one == policy.admin_audience => ADMINISTRATION.to_owned(),
        resources => resources.join(" "),
    }
}

/// The resources of a refresh (RFC 8707 section 2.2): those of the session, or fewer of them. A
/// session begun without any may name what its client is registered for.
pub(super) fn of_refresh(
    client: &Client,
    session: &Session,
    wish: &Wish,
    policy: &Policy,
) -> Result<Vec<String>, TokenError> {
    if administers(session) {
        return of_administration(wish, policy);
    }
    let granted: Vec<String> = session.audience.split_whitespace().map(str::to_owned).collect();
    if wish.resources.is_empty() {
        check_registered(client, &granted, policy)?;
        return Ok(granted);
    }
    check_registered(client, &wish.resources, policy)?;
    if granted.is_empty() || wish.resources.iter().all(|resource| granted.contains(resource)) {
        return Ok(wish.resources.clone());
    }
    Err(NOT_REGISTERED)
}

/// The scope that `session` can still be refreshed with. One of a version that had no audience of
/// administration keeps its other words.
pub(super) fn granted_scope(session: &Session) -> Stored<Scope> {
    let granted =
        Scope::parse(&session.scope).map_err(|_| StorageError::corrupt("scope of a session"))?;
    if administers(session) {
        return Ok(granted);
    }
    Ok(granted.filtered(|word| !scope::is_administrative(word)))
}

/// Whether the login of `session` named an administrative word.
fn administers(session: &Session) -> bool {
    session.audience == ADMINISTRATION
}

fn of_administration(wish: &Wish, policy: &Policy) -> Result<Vec<String>, TokenError> {
    let admin = &policy.admin_audience;
    match wish.resources.iter().all(|resource| resource == admin) {
        true => Ok(vec![admin.clone()]),
        false => Err(ADMINISTRATION_ALONE),
    }
}

/// Every resource must be registered for the client, or be the default audience, which every client
/// may name.
fn check_registered(
    client: &Client,
    resources: &[String],
    policy: &Policy,
) -> Result<(), TokenError> {
    // Also where an earlier version has registered it for the client.
    if resources.contains(&policy.admin_audience) {
        return Err(NO_WORD);
    }
    let known =
        |resource: &String| *resource == policy.audience || client.audiences.contains(resource);
    if resources.iter().all(known) { Ok(()) } else { Err(NOT_REGISTERED) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use uuid::Uuid;

    use super::*;
    use crate::base::time::Timestamp;
    use crate::domain::clients::Registration;

    const ADMIN: &str = "https://id.example/admin";
    const API: &str = "https://api.example";
    const OTHER: &str = "https://other.example";

    fn policy() -> Policy {
        Policy::new("https://id.example".into(), API.into(), Duration::from_secs(600)).unwrap()
    }

    fn client(audiences: &[&str]) -> Client {
        Registration {
            client_id: "app".into(),
            audiences: audiences.iter().map(|audience| (*audience).to_owned()).collect(),
            ..Registration::default()
        }
        .check(Timestamp::from_unix(0))
        .unwrap()
    }

    fn wish(scope: &str, resources: &str) -> Wish {
        let scope = Some(Scope::parse(scope).unwrap()).filter(|scope| !scope.is_empty());
        Wish { scope, resources: resources.split_whitespace().map(str::to_owned).collect() }
    }

    fn session(scope: &str, audience: &str) -> Session {
        Session {
            sid: Uuid::nil(),
            user_id: Uuid::nil(),
            client_id: "app".into(),
            scope: scope.into(),
            audience: audience.into(),
            epoch: 0,
            started_at: Timestamp::from_unix(0),
            login: crate::domain::sessions::Login::by_password(Timestamp::from_unix(0)),
            current: 1,
            parent: 0,
            advanced_at: Timestamp::from_unix(0),
            origin: crate::domain::sessions::Origin::default(),
        }
    }

    /// The resources, separated by spaces, or `None` where the target is refused.
    fn told(result: Result<Vec<String>, TokenError>) -> Option<String> {
        match result {
            Ok(resources) => Some(resources.join(" ")),
            Err(TokenError::InvalidTarget(_)) => None,
            Err(error) => panic!("{error}"),
        }
    }

    /// tests/it/api/admin_audience.rs has the rest.
    #[test]
    fn the_audience_alone_opens_nothing_whatever_an_earlier_version_registered() {
        let client = client(&[OTHER, ADMIN]);
        for (scope, resources, expected) in [
            ("", "https://unknown.example", None),
            ("signet:admin", "https://id.example/admin https://other.example", None),
            ("signet:admin", OTHER, None),
            ("signet:admin", "", Some(ADMIN)),
            ("read", OTHER, Some(OTHER)),
            ("read", ADMIN, None),
            ("revocations:read", ADMIN, None),
        ] {
            let found = told(of_grant(&client, &wish(scope, resources), &policy()));
            assert_eq!(found.as_deref(), expected, "{scope:?} {resources:?}");
        }
    }

    #[test]
    fn a_refresh_keeps_to_the_audience_of_the_login() {
        for (audience, resources, expected) in [
            (ADMINISTRATION, "", Some(ADMIN)),
            (ADMINISTRATION, ADMIN, Some(ADMIN)),
            (ADMINISTRATION, OTHER, None),
            (ADMINISTRATION, API, None),
            ("", "", Some("")),
            ("", OTHER, Some(OTHER)),
            ("", ADMIN, None),
            (OTHER, "", Some(OTHER)),
            (OTHER, ADMIN, None),
            (OTHER, API, None),
            // Of an earlier version, by a client that was registered for it.
            (ADMIN, "", None),
            (ADMIN, ADMIN, None),
            (ADMIN, OTHER, None),
            ("https://id.example/admin https://other.example", "", None),
            ("https://id.example/admin https://other.example", OTHER, Some(OTHER)),
        ] {
            let session = session("read signet:admin", audience);
            let client = client(&[OTHER, ADMIN]);
            let found = told(of_refresh(&client, &session, &wish("", resources), &policy()));
            assert_eq!(found.as_deref(), expected, "{audience:?} {resources:?}");
        }
    }

    #[test]
    fn a_session_of_an_earlier_version_loses_the_word_and_nothing_else() {
        for (audience, expected) in
            ["", OTHER, ADMIN].map(|audience| (audience, "read revocations:read"))
        {
            let words = "read signet:admin users:read revocations:read";
            let granted = granted_scope(&session(words, audience)).unwrap();
            assert_eq!(granted.to_string(), expected, "{audience:?}");
        }
        let kept =
            kept(&of_grant(&client(&[]), &wish("signet:admin", ""), &policy()).unwrap(), &policy());
        let granted = granted_scope(&session("read signet:admin", &kept)).unwrap();
        assert_eq!(granted.to_string(), "read signet:admin");
    }
}

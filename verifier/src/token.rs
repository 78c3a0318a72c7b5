//! A verified token: its subject, client, audience and scope.

use std::fmt;

use serde::de::DeserializeOwned;

use crate::claims::Claims;
use crate::error::{Error, Requirement};

/// A verified access token.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    claims: Claims,
    payload: Vec<u8>,
}

impl Token {
    pub(crate) fn new(claims: Claims, payload: Vec<u8>) -> Self {
        Self { claims, payload }
    }

    /// The user, or the client that acts for itself (`sub`).
    pub fn subject(&self) -> &str {
        &self.claims.sub
    }

    /// The client that it was issued to (`client_id`).
    pub fn client_id(&self) -> &str {
        &self.claims.client_id
    }

    /// Who it is for (`aud`).
    pub fn audiences(&self) -> impl Iterator<Item = &str> {
        self.claims.aud.iter().map(AsRef::as_ref)
    }

    /// Its own name (`jti`).
    pub fn id(&self) -> &str {
        &self.claims.jti
    }

    /// The session that it belongs to (`sid`), for a user's.
    pub fn session(&self) -> Option<&str> {
        self.claims.sid.as_deref()
    }

    /// When it was issued, in seconds since the Unix epoch (`iat`).
    pub fn issued_at(&self) -> i64 {
        self.claims.iat
    }

    /// When it expires, in seconds since the Unix epoch (`exp`).
    pub fn expires_at(&self) -> i64 {
        self.claims.exp
    }

    /// What it allows (`scope`), word by word.
    pub fn scopes(&self) -> impl Iterator<Item = &str> {
        self.claims.scope.split(' ').filter(|word| !word.is_empty())
    }

    /// The user's roles (`roles`).
    pub fn roles(&self) -> impl Iterator<Item = &str> {
        self.claims.roles.iter().map(AsRef::as_ref)
    }

    /// Whether it allows `scope`, one word.
    pub fn has_scope(&self, scope: &str) -> bool {
        self.scopes().any(|word| word == scope)
    }

    /// Whether its user has `role`.
    pub fn has_role(&self, role: &str) -> bool {
        self.roles().any(|name| name == role)
    }

    /// Refuses with [`Error::Insufficient`] (403) unless it allows `scope`.
    pub fn require_scope(&self, scope: &str) -> Result<(), Error> {
        let lacking = || Error::Insufficient(Requirement::Scope(scope.into()));
        self.has_scope(scope).then_some(()).ok_or_else(lacking)
    }

    /// Refuses with [`Error::Insufficient`] (403) unless its user has `role`.
    pub fn require_role(&self, role: &str) -> Result<(), Error> {
        let lacking = || Error::Insufficient(Requirement::Role(role.into()));
        self.has_role(role).then_some(()).ok_or_else(lacking)
    }

    /// Reads claims of your own out of the payload.
    ///
    /// ```
    /// #[derive(serde::Deserialize)]
    /// struct Department {
    ///     department: String,
    /// }
    ///
    /// fn department(token: &signet_verifier::Token) -> Option<String> {
    ///     token.claims::<Department>().ok().map(|claims| claims.department)
    /// }
    /// ```
    pub fn claims<T: DeserializeOwned>(&self) -> serde_json::Result<T> {
        serde_json::from_slice(&self.payload)
    }
}

/// Whose it is, and no more: the rest may be personal.
impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut token = formatter.debug_struct("Token");
        token.field("subject", &self.subject()).field("client_id", &self.client_id());
        token.finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_and_roles_are_whole_words() {
        let claims = Claims {
            sub: "u".into(),
            aud: vec!["api".into()],
            exp: 2,
            iat: 1,
            jti: "t".into(),
            client_id: "c".into(),
            scope: "reports:read  a".into(),
            roles: vec!["admin".into()],
            sid: None,
        };
        let payload = br#"{"department":"R&D"}"#.to_vec();
        let token = Token::new(claims, payload);
        assert!(token.require_scope("reports:read").is_ok() && token.require_scope("a").is_ok());
        for scope in ["reports", "read", "", "reports:read  a", "A"] {
            let lacking = Error::Insufficient(Requirement::Scope(scope.into()));
            assert_eq!(token.require_scope(scope), Err(lacking));
        }
        assert!(token.require_role("admin").is_ok());
        let lacking = Error::Insufficient(Requirement::Role("adm".into()));
        assert_eq!(token.require_role("adm"), Err(lacking));
        let own: serde_json::Value = token.claims().unwrap();
        assert_eq!(own["department"], "R&D");
        assert!(!format!("{token:?}").contains("R&D"));
    }
}

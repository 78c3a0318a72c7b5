//! The metadata documents (RFC 8414, OpenID Connect Discovery 1.0): only what works is listed.

use serde::Serialize;

use crate::domain::clients::GrantType;
use crate::domain::keys::{Algorithm, Algorithms};
use crate::domain::tokens::scope;

pub(crate) mod path {
    /// OpenID Connect Discovery 1.0 section 4.
    pub(crate) const OPENID_CONFIGURATION: &str = "/.well-known/openid-configuration";
    /// RFC 8414 section 3.
    pub(crate) const AUTHORIZATION_SERVER: &str = "/.well-known/oauth-authorization-server";
    /// RFC 7517.
    pub(crate) const JWKS: &str = "/.well-known/jwks.json";
    /// RFC 6749 section 3.2.
    pub(crate) const TOKEN: &str = "/oauth2/token";
    /// RFC 7009.
    pub(crate) const REVOKE: &str = "/oauth2/revoke";
    /// RFC 7662.
    pub(crate) const INTROSPECT: &str = "/oauth2/introspect";
    /// OpenID Connect Core 1.0 section 5.3.
    pub(crate) const USERINFO: &str = "/oauth2/userinfo";
    /// What is revoked, for who verifies locally.
    pub(crate) const REVOCATIONS: &str = "/revocations";
    pub(crate) const REVOCATIONS_STREAM: &str = "/revocations/stream";
}

/// One document serves both standards; each ignores the other's members.
#[derive(Serialize)]
pub(crate) struct Metadata {
    issuer: String,
    token_endpoint: String,
    revocation_endpoint: String,
    introspection_endpoint: String,
    userinfo_endpoint: String,
    jwks_uri: String,
    /// Ours (RFC 8414 section 2 allows it), named as `jwks_uri` is.
    revocations_uri: String,
    revocations_stream_uri: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_documentation: Option<String>,
    grant_types_supported: [&'static str; 3],
    /// Required by both standards, and empty: there is no authorization endpoint.
    response_types_supported: [&'static str; 0],
    scopes_supported: [&'static str; 6],
    token_endpoint_auth_methods_supported: [&'static str; 3],
    revocation_endpoint_auth_methods_supported: [&'static str; 3],
    introspection_endpoint_auth_methods_supported: [&'static str; 2],
    subject_types_supported: [&'static str; 1],
    id_token_signing_alg_values_supported: Vec<&'static str>,
    claims_supported: [&'static str; 12],
}

impl Metadata {
    /// The metadata of the service at `issuer`, whose tokens are signed by `algorithms`. Clients take
    /// their list of allowed algorithms from here, for access tokens too. RS256 is always among them
    /// (OpenID Connect Discovery 1.0 section 3).
    pub(crate) fn new(issuer: &str, algorithms: &Algorithms, docs: bool) -> Self {
        let at = |path: &str| format!("{issuer}{path}");
        let used = algorithms.all();
        Self {
            issuer: issuer.to_owned(),
            token_endpoint: at(path::TOKEN),
            revocation_endpoint: at(path::REVOKE),
            introspection_endpoint: at(path::INTROSPECT),
            userinfo_endpoint: at(path::USERINFO),
            jwks_uri: at(path::JWKS),
            revocations_uri: at(path::REVOCATIONS),
            revocations_stream_uri: at(path::REVOCATIONS_STREAM),
            service_documentation: docs.then(|| at("/docs")),
            grant_types_supported: GrantType::ALL.map(GrantType::as_str),
            response_types_supported: [],
            scopes_supported: [
                scope::OPENID,
                scope::PROFILE,
                scope::EMAIL,
                scope::ADMIN,
                scope::USERS_READ,
                scope::REVOCATIONS_READ,
            ],
            token_endpoint_auth_methods_supported: METHODS,
            revocation_endpoint_auth_methods_supported: METHODS,
            introspection_endpoint_auth_methods_supported: [METHODS[0], METHODS[1]],
            subject_types_supported: ["public"],
            id_token_signing_alg_values_supported: Algorithm::ALL
                .into_iter()
                .filter(|algorithm| *algorithm == Algorithm::Rs256 || used.contains(algorithm))
                .map(Algorithm::as_str)
                .collect(),
            claims_supported: [
                "iss",
                "sub",
                "aud",
                "exp",
                "iat",
                "jti",
                "auth_time",
                "sid",
                "roles",
                "name",
                "email",
                "email_verified",
            ],
        }
    }
}

const METHODS: [&str; 3] = ["client_secret_basic", "client_secret_post", "none"];

//! Endpoints that client apps and resource servers call by OAuth 2.0 and OpenID Connect, all found
//! through the metadata.

pub(super) mod discovery;
pub(super) mod introspect;
pub(super) mod revoke;
pub(super) mod token;
pub(super) mod userinfo;

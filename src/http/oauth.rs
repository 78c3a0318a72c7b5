//! Endpoints that client apps and resource servers call by OAuth 2.0 and OpenID Connect, all found
//! through the metadata.

pub mod discovery;
pub mod introspect;
pub mod revoke;
pub mod token;
pub mod userinfo;

//! The standards that Signet claims, a file for each, from outside.

mod openid_userinfo;
mod rfc6749_client_authentication;
mod rfc6749_password;
mod rfc6749_token_endpoint;
mod rfc6750_bearer_tokens;
mod rfc7009_revocation;
mod rfc7517_jwks;
mod rfc7662_introspection;
mod rfc8414_metadata;
mod rfc8707_resource;
mod rfc9068_access_tokens;
mod rfc9700_rotation;
mod rotation_in_parallel;

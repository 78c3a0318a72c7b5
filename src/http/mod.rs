//! HTTP: the edge of the service. Here requests are read strictly and within bounds, the clock is
//! read once, and what the domains say becomes an answer. Nothing below this module knows HTTP.

mod account;
mod account_removal;
mod admin;
mod administrator;
mod bearer;
mod discovery;
mod docs;
mod email;
mod error;
mod extract;
mod finish;
mod health;
mod introspect;
mod listeners;
mod my_sessions;
mod observe;
mod openapi;
mod paging;
mod precondition;
mod present_password;
mod proxies;
mod recovery;
mod revocations;
mod revoke;
mod routes;
mod server;
mod signed_in;
mod table;
mod token;
mod userinfo;
mod verify;

pub use server::serve;

/// The OpenAPI document of the service.
pub fn openapi() -> utoipa::openapi::OpenApi {
    docs::openapi(&table::forms())
}

//! HTTP: the edge of the service. Here requests are read strictly and within bounds, the clock is
//! read once, and the result of a service becomes an answer. Nothing below this module knows HTTP.

mod account;
mod admin;
mod administrator;
mod docs;
mod error;
mod extract;
mod finish;
mod health;
mod listeners;
mod oauth;
mod observe;
mod openapi;
mod paging;
mod precondition;
mod proxies;
mod revocations;
mod routes;
mod server;
mod signed_in;
mod table;

pub(crate) use server::serve;

pub(crate) fn openapi() -> utoipa::openapi::OpenApi {
    docs::openapi(&table::forms())
}

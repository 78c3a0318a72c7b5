//! The use cases, each written once and complete: its checks, its guard, its transaction, its audit
//! events, its notices. The edges parse, call and render.

pub mod accounts;
pub(crate) mod authentication;
pub(crate) mod client_management;
pub(crate) mod key_management;
pub(crate) mod notifications;
pub(crate) mod oauth;
pub mod role_management;

//! The use cases, each written once and complete: its checks, its guard, its transaction, its audit
//! events, its notices. The edges parse, call and render.

pub mod accounts;
pub mod authentication;
pub mod client_management;
pub mod key_management;
pub mod notifications;
pub mod oauth;
pub mod role_management;

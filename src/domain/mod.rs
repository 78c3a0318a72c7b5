//! The rules and their stores, one room a subject. No domain knows HTTP, the command line or the
//! configuration, and none reaches into another's store.

pub mod audit;
pub(crate) mod clients;
pub mod credentials;
pub mod keys;
pub mod login_limits;
pub(crate) mod mail;
pub mod outbox;
pub mod revocations;
pub mod roles;
pub mod sessions;
pub mod tokens;
pub mod users;

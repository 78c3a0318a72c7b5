//! Signet: a token-issuing identity service.

pub mod clients;
pub mod config;
pub mod keys;
pub mod secret;
pub mod sessions;
pub mod storage;
pub mod telemetry;
pub mod time;
pub mod tokens;
pub mod users;

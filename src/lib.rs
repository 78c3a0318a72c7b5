//! Signet: a token-issuing identity service.

pub mod accounts;
pub mod app;
pub mod audit;
pub mod cli;
pub mod clients;
pub mod config;
pub mod http;
pub mod keys;
pub mod metrics;
pub mod oauth;
pub mod secret;
pub mod sessions;
pub mod storage;
pub mod telemetry;
pub mod time;
pub mod tokens;
pub mod users;

//! The integration tests: the real binary, real PostgreSQL and Redis, real clients, from outside.

mod api;
mod architecture;
mod cli;
mod debug_builds;
mod integrate;
mod interop;
mod keys;
mod mail;
mod openapi;
#[cfg(feature = "pkcs11")]
mod pkcs11;
#[cfg(feature = "pkcs11")]
mod pkcs11_service;
mod readme;
mod resilience;
mod revocations;
mod secrecy;
mod spec;
mod stores;
mod support;
mod timing;
mod tutorials;
mod verifier;

//! The integration tests: the real binary, real PostgreSQL and Redis, real clients, from outside.

mod api;
mod interop;
mod resilience;
mod secrecy;
mod spec;
mod support;

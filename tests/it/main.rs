//! The integration tests: the real binary, real PostgreSQL and Redis, real clients, from outside.

mod stores;
mod support;

//! Contracts of the stores, each written once and run on every engine.

mod engines;
mod keys;
mod mail;
mod redis_connection;
mod sessions;
mod sessions_model;
mod sessions_redis;

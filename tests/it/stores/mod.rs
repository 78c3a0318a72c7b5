//! Contracts of the stores, each written once and run on every engine.

mod attempts;
mod audit;
mod checkpoint;
mod engines;
mod keys;
mod limits;
mod mail;
mod pending;
mod pooler;
mod records;
mod redis_acl;
mod redis_connection;
mod revocation_limits;
mod revocations;
mod roles;
mod session_logins;
mod session_pages;
mod sessions;
mod sessions_model;
mod sessions_of_a_user;
mod sessions_redis;
mod sqlite_paths;
mod tls;

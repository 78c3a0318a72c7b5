//! Signet's own endpoints, a file for each resource, from outside.

mod account;
mod admin_keys;
mod admin_keys_import;
mod bodies;
mod cors;
mod docs;
mod framework;
mod limits;
mod login;
mod login_limits;
mod logout;
mod logs;
mod nul;
mod operations;
mod password_change;
mod password_change_races;
mod password_hashing;
mod refresh_limits;
mod sessions;
mod signup;

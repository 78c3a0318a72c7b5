//! Signet's own endpoints, a file for each resource, from outside.

mod account;
mod admin_audit;
mod admin_clients;
mod admin_keys;
mod admin_keys_import;
mod admin_sessions;
mod admin_users;
mod admin_users_changes;
mod admin_users_lists;
mod administration;
mod bodies;
mod cors;
mod docs;
mod framework;
mod limits;
mod login;
mod logout;
mod logs;
mod nul;
mod operations;
mod password_change;
mod password_change_races;
mod password_hashing;
mod sessions;
mod signup;

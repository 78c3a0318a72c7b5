//! Signet's own endpoints, a file for each resource, from outside.

mod account;
mod cors;
mod docs;
mod framework;
mod limits;
mod login;
mod logout;
mod logs;
mod operations;
mod password_change;
mod password_hashing;
mod sessions;
mod signup;

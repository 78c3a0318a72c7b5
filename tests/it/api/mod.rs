//! Signet's own endpoints, a file for each resource, from outside.

mod account;
mod cors;
mod docs;
mod framework;
mod login;
mod logout;
mod operations;
mod password_change;
mod sessions;
mod signup;

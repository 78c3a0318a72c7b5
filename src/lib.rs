//! Signet: a token-issuing identity service. People sign up and log in, programs authenticate, and
//! resource servers verify the tokens locally, with the keys that Signet publishes.
//! `docs/architecture.md` is the map of the code: its layers, who may import whom, walks from file to
//! file, and recipes for the usual changes. A path names its layer, a folder its subject, a file its
//! use. Imports go down only: `http` and `cli`, `views`, `jobs`, `app`, `config`, `services`, `domain`,
//! `storage`, `base`.
//!
//! # Invariants
//!
//! - Decisions are pure functions of values, `now` among them. A store offers single atomic steps,
//!   and the one that changes something comes last: an interrupted operation leaves a whole change or
//!   none.
//! - A session's counter is advanced once for each refresh, however many run concurrently, and a
//!   revoked session has no live successor.
//! - A revocation is on record for resource servers before the request that caused it is answered.
//! - Exactly one key of an algorithm signs at any moment, and all but the first were published
//!   ahead.
//! - No store holds a password, token or private key in the clear; no log, error or answer shows one
//!   to anyone but its receiver.
//! - One active administrator stays, except at the command line.
//! - No password is hashed for a check before the attempt has been reserved within its limits.
//! - A store that does not answer gives "unavailable", never "invalid".
//! - Password hashing has its own threads, and nothing else waits behind it.

#![cfg_attr(
    not(test),
    warn(
        missing_docs,
        unreachable_pub,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing
    )
)]

pub(crate) mod app;
pub mod base;
pub mod cli;
pub mod config;
pub mod domain;
pub(crate) mod http;
pub(crate) mod jobs;
pub mod services;
pub mod storage;
pub(crate) mod views;

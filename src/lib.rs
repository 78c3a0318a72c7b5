//! Signet: a token-issuing identity service. People sign up and log in, programs authenticate, and
//! resource servers verify the tokens locally, with the keys that Signet publishes. This page is the
//! map of the code. A path names its layer, a folder its subject, a file its use.
//! `docs/architecture.md` has walks through the code and recipes for the usual changes.
//!
//! # The layers, from below
//!
//! - [`base`]: values and tools without a rule of the service in them: time, random values, secrets,
//!   sealing, log, metrics.
//! - [`storage`]: SQLite, PostgreSQL and Redis, with time limits and an error type of the failures that
//!   matter; small expiring records; the HTTP client for addresses that others give.
//! - [`domain`]: the rules and their stores, one room for each subject.
//!   - [`domain::keys`]: signing keys: sealed, published, rotated.
//!   - [`domain::tokens`]: access tokens, the form of refresh tokens, scopes.
//!   - [`domain::users`]: accounts, their addresses and mailed tokens.
//!   - [`domain::credentials`]: passwords, and the threads that hash them.
//!   - [`domain::roles`]: which users may have which scopes.
//!   - `domain::clients`: who may request tokens, and which ones.
//!   - [`domain::revocations`]: the record of tokens that end before their `exp`, and its feed.
//!   - [`domain::sessions`]: one small record for each login, and the rotation of its refresh tokens.
//!   - [`domain::login_limits`]: limits on guessing passwords, refreshes, sign-ups, mails and own
//!     changes.
//!   - [`domain::audit`]: who did what to whom.
//!   - [`domain::outbox`]: messages to be delivered: claims, back-off, bounds.
//!   - `domain::mail`: templates, messages, and the transport to an SMTP server.
//! - [`services`]: the use cases, each written once.
//!   - `services::authentication`: who a caller is: a user by password, a bearer.
//!   - `services::oauth`: the grants, revocation, introspection, metadata; one file a use case.
//!   - [`services::accounts`]: sign-up, a new password or address, disabling, removal, roles.
//!   - `services::key_management`, `services::client_management`, [`services::role_management`]:
//!     what operators and the service itself do to signing keys, clients and roles.
//!   - `services::notifications`: which mail goes to whom.
//! - [`config`]: layers of settings in, one checked configuration out.
//! - `app`: a process and the issuer that it serves; the only place that picks engines.
//! - `jobs`: the background loops of the service.
//! - `views`: what is shown of a thing, one form each.
//! - `http` and [`cli`]: the edges: they parse, call a use case, and render.
//!
//! # Dependencies
//!
//! Imports go down only, and no files stand in a circle but a module and its own children. Between
//! domains, `tokens` imports `keys`; `revocations`, `clients` and `roles` import `tokens`; `sessions`
//! imports `revocations`; `credentials` imports `users`; `mail` imports `outbox`. No domain imports another's store, HTTP or
//! the configuration. `tests/it/architecture/` holds all this.
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
//! - One active administrator stays, unless the command line is told otherwise.
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

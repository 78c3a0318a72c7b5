//! Signet: a token-issuing identity service. People sign up and log in, programs authenticate, and
//! every other service verifies the tokens by itself, with the keys that Signet publishes. This page
//! is the map of the code.
//!
//! # Modules, in reading order
//!
//! What everything stands on:
//!
//! - [`time`]: time as a value; the clock is read at the edge only.
//! - [`secret`]: secrets that do not print, random bytes, fingerprints, sealing.
//! - [`storage`]: SQLite, PostgreSQL and Redis, with time limits and failures told apart.
//! - [`telemetry`]: the log.
//! - [`metrics`]: what is counted.
//!
//! The domains, each with its own rules and its own store:
//!
//! - [`keys`]: signing keys, sealed, published, rotated.
//! - [`tokens`]: access tokens, the form of refresh tokens, scopes.
//! - [`users`]: e-mail addresses, passwords, and the threads that hash them.
//! - [`roles`]: which scope words are for whom.
//! - [`clients`]: who may ask for tokens, and for which.
//! - [`revocations`]: what siblings must hear of tokens that are dead before their time.
//! - [`sessions`]: one small record a login, and the rotation of its refresh tokens.
//! - [`attempts`]: how often a password may be guessed, a session refreshed, and how many sign-ups,
//!   mails and own changes there may be.
//! - [`audit`]: who did what to whom.
//! - [`mail`]: the outbox, templates, and the way to an SMTP server.
//!
//! What spans domains:
//!
//! - [`accounts`]: sign-up, a new password or address, disabling, removal; roles and who has them.
//! - [`postman`]: who is written to, and what.
//! - [`custody`]: what operators and the service itself do to signing keys.
//! - [`registrar`]: what operators do to clients.
//! - [`oauth`]: the grants, revocation, introspection, metadata; one file a use case.
//!
//! The service:
//!
//! - [`config`]: layers of settings in, one checked configuration out.
//! - [`app`]: puts everything together; the only place that picks engines.
//! - [`http`]: the edge: routes, strict reading, answers and errors.
//! - [`cli`]: the commands, `signet serve` among them.
//!
//! # Who depends on whom
//!
//! Downwards only: `main` → `cli` → `http` → `app` → `config`, and `http` and `cli` → `oauth`,
//! `accounts`, `postman`, `custody` and `registrar` → domains → `storage`. `config` knows the domains,
//! whose policies it builds. Between domains, `tokens` knows `keys`, `revocations` knows `tokens`,
//! `sessions` knows `revocations`, and `clients` and `roles` the plain values of `tokens` and `users`.
//! No domain imports another's store, HTTP or the configuration.
//! `tests/it/architecture.rs` holds all this.
//!
//! # What always holds
//!
//! - Decisions are pure functions of values, `now` among them. A store offers single atomic steps,
//!   and the one that changes something comes last: what is cut off left a whole change or none.
//! - A session's counter is advanced once for each refresh, however many run at once, and a revoked
//!   session has no live successor.
//! - What ends is on record for siblings before whoever asked for it is answered.
//! - Exactly one key of an algorithm signs at any moment, and all but the first were published
//!   ahead.
//! - No store holds a password, token or private key in the clear; no log, error or answer shows one
//!   that is not its receiver's.
//! - No password is hashed to be checked before the attempt has been reserved within its limits.
//! - A store that does not answer gives "unavailable", never "invalid".
//! - Password hashing has its own threads, and nothing else waits behind it.

pub mod accounts;
pub mod app;
pub mod attempts;
pub mod audit;
pub mod cli;
pub mod clients;
pub mod config;
pub mod custody;
mod fault;
pub mod http;
pub mod keys;
pub mod mail;
pub mod metrics;
pub mod oauth;
pub mod postman;
pub mod registrar;
pub mod revocations;
pub mod roles;
pub mod secret;
pub mod sessions;
pub mod storage;
pub mod telemetry;
pub mod time;
pub mod tokens;
pub mod users;

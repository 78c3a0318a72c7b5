//! Signet: a token-issuing identity service. People sign up and log in, programs authenticate, and
//! every other service verifies the tokens itself, with the keys that Signet publishes. This page is
//! the map of the code. A path names its layer, a folder its subject, a file its use.
//!
//! # The layers, from below
//!
//! - [`base`]: values and tools without a rule of the service in them: time, secrets, log, metrics.
//! - [`storage`]: SQLite, PostgreSQL and Redis, with time limits and failures told apart; small
//!   expiring records; the HTTP client for addresses that others give.
//! - [`domain`]: the rules and their stores, one room a subject.
//!   - [`domain::keys`]: signing keys, sealed, published, rotated.
//!   - [`domain::tokens`]: access tokens, the form of refresh tokens, scopes.
//!   - [`domain::users`]: addresses, passwords, and the threads that hash them.
//!   - [`domain::roles`]: which scope words are for whom.
//!   - [`domain::clients`]: who may ask for tokens, and for which.
//!   - [`domain::revocations`]: the record of tokens that are dead before their time, and its feed.
//!   - [`domain::sessions`]: one small record a login, and the rotation of its refresh tokens.
//!   - [`domain::login_limits`]: how often a password may be guessed, a session refreshed, and how
//!     many sign-ups, mails and own changes there may be.
//!   - [`domain::audit`]: who did what to whom.
//!   - [`domain::outbox`]: messages to be delivered: claims, back-off, bounds.
//!   - [`domain::mail`]: templates, messages, and the transport to an SMTP server.
//! - [`services`]: the use cases, each written once.
//!   - [`services::authentication`]: who a caller is: a user by password, a bearer.
//!   - [`services::oauth`]: the grants, revocation, introspection, metadata; one file a use case.
//!   - [`services::accounts`]: sign-up, a new password or address, disabling, removal, roles.
//!   - [`services::key_management`], [`services::client_management`]: what operators and the service
//!     itself do to signing keys and clients.
//!   - [`services::notifications`]: which mail goes to whom.
//! - [`config`]: layers of settings in, one checked configuration out.
//! - [`app`]: a process and the issuer that it serves; the only place that picks engines.
//! - [`jobs`]: the background loops of the service.
//! - [`views`]: what is shown of a thing, one form each.
//! - [`http`] and [`cli`]: the edges: they parse, call a use case, and render.
//!
//! # Who depends on whom
//!
//! Imports go down only, and no files stand in a circle but a module and its own children. Between
//! domains, `tokens` knows `keys`, `revocations` knows `tokens`, `sessions` knows `revocations`, and
//! `clients` and `roles` know `tokens`. No domain imports another's store, HTTP or the configuration.
//! `tests/it/architecture/` holds all this.
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

pub mod app;
pub mod base;
pub mod cli;
pub mod config;
pub mod domain;
pub mod http;
pub mod jobs;
pub mod services;
pub mod storage;
pub mod views;

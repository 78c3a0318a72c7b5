//! Verifies OAuth 2.0 access tokens (RFC 9068) in the service that receives them: without a request
//! for each token, and with revocations within a second.
//!
//! ```no_run
//! use std::time::Duration;
//! use signet_verifier::{Beyond, Feed, Verifier};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let verifier = Verifier::builder("https://id.example.com")
//!     .audience("https://api.example.com")
//!     .feed(Feed::new(Duration::from_secs(10), Beyond::Refuse))
//!     .build()?;
//! verifier.ready().await?;
//!
//! let token = verifier.verify("eyJ…").await?;
//! token.require_scope("reports:read")?;
//! println!("{} by {}", token.subject(), token.client_id());
//! # Ok(())
//! # }
//! ```
//!
//! # Any issuer
//!
//! Any issuer works that issues tokens by RFC 9068 and publishes its keys: the metadata is found by
//! RFC 8414 or OpenID Connect Discovery, has to name the issuer, and leads to the JWK Set. The feed
//! of revocations is Signet's, and optional.
//!
//! # What is refused
//!
//! Everything but a compact JWS of the type `at+jwt`, signed by RS256, PS256, ES256 or EdDSA with
//! the key that its `kid` names and by that key's algorithm, from the issuer, for one of the
//! audiences, within its times, with all claims that RFC 9068 requires and no repeated member. A
//! header's `crit` is refused; keys inside a header are ignored. [`Error`] distinguishes invalid
//! tokens (401) from those that do not allow the request (403), and has the `WWW-Authenticate` of
//! RFC 6750.
//!
//! # What is fetched, and when
//!
//! One background task keeps the keys: it fetches them before the server's `max-age` is over, and
//! once for all requests with an unknown `kid`, within [`Builder::refetch_budget`]. Verification waits
//! for it only if there are no keys. Keys stay in use during an outage up to
//! [`Builder::stale_if_error`].
//!
//! A second one follows the feed ([`Feed`]): a stream of changes, and a signed snapshot of all
//! entries at the beginning, after a gap, and whenever nothing was confirmed for a while. The caller
//! decides how old its state may be and what happens beyond: [`Beyond`].
//!
//! Both end when the last clone of the [`Verifier`] is dropped.
//!
//! # Extractors
//!
//! With the feature `actix`, `signet_verifier::actix::AccessToken`; with `axum`,
//! `signet_verifier::axum::AccessToken`. Both answer 401 and 403.
//!
//! # Dependencies
//!
//! All cryptography is aws-lc-rs, TLS included; trusted roots are the system's (`SSL_CERT_FILE` and
//! `SSL_CERT_DIR` are heeded). The HTTP client is hyper with hyper-rustls rather than reqwest, which is
//! built on the same two: 55 crates in all instead of a hundred. What reqwest adds (a URL parser with
//! the tables of Unicode for it, tower, redirects and compression of its own) is not wanted here: a
//! verifier asks few addresses, which are ASCII, and follows a redirect nowhere else. Proxies are not
//! supported.

#![cfg_attr(
    not(test),
    warn(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)
)]

#[cfg(feature = "actix")]
pub mod actix;
mod algorithm;
#[cfg(feature = "axum")]
pub mod axum;
mod backoff;
#[cfg(any(feature = "actix", feature = "axum", test))]
mod bearer;
mod builder;
mod claims;
mod clock;
mod error;
mod feed;
mod http;
mod json;
mod jws;
mod keys;
mod metadata;
mod observer;
mod token;
mod verifier;

pub use crate::http::{AllowHttp, FetchError};
pub use algorithm::Algorithm;
pub use builder::{BuildError, Builder};
pub use error::{Error, Reason, Requirement, Unavailable};
pub use feed::{Beyond, Feed, Status};
pub use observer::Event;
pub use token::Token;
pub use verifier::Verifier;

/// The examples of the README, so that they keep compiling.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

//! The verifier against an issuer of the tests' own, which can be as hostile as they like.

#[cfg(any(feature = "actix", feature = "axum"))]
mod extractors;
mod feed;
mod feed_faults;
mod feed_lanes;
mod fetching;
mod https;
mod support;
mod tokens;

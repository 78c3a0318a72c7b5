//! The services and gateways of docs/integrate, run as a reader would run them, beside a real Signet
//! and beside an issuer that can say what Signet never would.

mod feed;
mod gateways;
mod issuer;
mod outages;
mod pages;
mod rules;
mod services;
mod world;

use std::path::{Path, PathBuf};

/// The audience that the examples are told.
const AUDIENCE: &str = "https://orders.example.com";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/integrate")
}

/// A file of docs/integrate.
fn text(path: &str) -> String {
    let file = folder().join(path);
    std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

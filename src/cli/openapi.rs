//! `signet openapi`: the document of the HTTP interface.

use anyhow::Result;

use super::output;

pub(super) fn run() -> Result<()> {
    output::print(&crate::http::openapi().to_pretty_json()?)
}

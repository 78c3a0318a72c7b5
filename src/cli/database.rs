//! `signet migrate`.

use anyhow::{Context, Result};

use super::output;
use crate::app::open_database;
use crate::config::Config;

/// Applies what is missing. `serve` does the same at its start.
pub async fn migrate(config: &Config) -> Result<()> {
    let db = open_database(config).await?;
    let (known, applied) = db.migrations().await.context("the migrations cannot be read")?;
    db.close().await;
    output::print(&format!("the database is up to date: {applied} of {known} migrations applied"))
}

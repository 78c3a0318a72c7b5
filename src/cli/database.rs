//! `signet migrate`.

use anyhow::{Context, Result};

use super::output;
use crate::app::{open_database, open_key_management};
use crate::base::time::Clock;
use crate::config::Config;
use crate::domain::keys::Keys;

/// Applies the missing migrations; `serve` does so at its start too.
pub(super) async fn migrate(config: &Config) -> Result<()> {
    let db = open_database(config).await?;
    let (known, applied) = db.migrations().await.context("the migrations cannot be read")?;
    let adopts = Keys::await_adoption(&db).await.context("the keys cannot be read")?;
    db.close().await;
    output::print(&format!("the database is up to date: {applied} of {known} migrations applied"))?;
    if adopts { adopt(config).await } else { Ok(()) }
}

/// Authenticates the signing keys of versions without tags, once, and prints each one. Without the
/// key-encryption key, the first start that has it authenticates them instead.
async fn adopt(config: &Config) -> Result<()> {
    let key_management = match open_key_management(config, Clock::system().now()).await {
        Ok(key_management) => key_management,
        Err(error) => {
            let error = anyhow::Error::new(error);
            eprintln!("signet: the next start authenticates the signing keys: {error:#}");
            return Ok(());
        }
    };
    let Some(adoption) = key_management.adoption else { return Ok(()) };
    for key in &adoption.adopted {
        output::print(&format!("key {} is authenticated: {key}", key.kid))?;
    }
    for (kid, reason) in &adoption.waiting {
        output::print(&format!(
            "key {kid} is not used: {reason}; to vouch for it, run: signet keys adopt {kid} \
             --reason TEXT"
        ))?;
    }
    Ok(())
}

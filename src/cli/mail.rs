//! `signet mail`: try the settings, see what waits, take the templates to change them.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Subcommand;
use serde::Serialize;

use super::output::{self, Json};
use crate::app::open_database;
use crate::base::random::Random;
use crate::base::time::Clock;
use crate::config::Config;
use crate::domain::mail::template;
use crate::domain::outbox::{Outbox, Waiting};
use crate::domain::users::Email;
use crate::services::notifications;

const PAGE: i64 = 500;

#[derive(Subcommand)]
pub(super) enum Command {
    /// Send a test mail now, and say what the server answered.
    Test {
        /// The address to send it to.
        address: String,
    },
    /// List what waits: how often it was tried, when it is next, what went wrong.
    Outbox(Json),
    /// Write the built-in templates to a folder, but for those that are there already.
    Templates {
        /// The folder, to be named by mail.templates.
        folder: PathBuf,
    },
}

#[derive(Serialize)]
struct WaitingRow {
    id: String,
    kind: &'static str,
    recipient: String,
    created_at: String,
    attempts: i64,
    next_attempt_at: String,
    last_error: Option<String>,
}

pub(super) async fn run(command: Command, config: &Config) -> Result<()> {
    match command {
        Command::Test { address } => test(&address, config).await,
        Command::Outbox(Json { json }) => list(json, config).await,
        Command::Templates { folder } => {
            let shown = folder.display();
            let written = template::export(&folder);
            let written = written.with_context(|| format!("{shown} cannot be written"))?;
            output::print(&format!("wrote {} templates to {shown}", written.len()))
        }
    }
}

async fn test(address: &str, config: &Config) -> Result<()> {
    let Some(mail) = &config.mail else { bail!("mail.transport is off") };
    let to = Email::parse(address).map_err(|problem| anyhow::anyhow!("ADDRESS {problem}"))?;
    let (random, now) = (Random::system(), Clock::system().now());
    let answer = notifications::send_test(mail, &config.issuer, &to, &random, now).await?;
    output::print(&format!("sent to {}: {answer}", to.address()))
}

async fn list(json: bool, config: &Config) -> Result<()> {
    let db = open_database(config).await?;
    let outbox = Outbox::new(db.clone(), 0);
    let mut rows: Vec<WaitingRow> = Vec::new();
    let mut after = String::new();
    loop {
        let page = outbox.list(&after, PAGE).await.context("the outbox cannot be read")?;
        let Some(last) = page.last() else { break };
        after = last.entry.id.to_string();
        rows.extend(page.into_iter().map(
            |Waiting { entry, created_at, attempts, due_at, last_error }| WaitingRow {
                id: entry.id.to_string(),
                kind: entry.kind.as_str(),
                recipient: entry.recipient,
                created_at: created_at.to_string(),
                attempts,
                next_attempt_at: due_at.to_string(),
                last_error,
            },
        ));
    }
    db.close().await;
    let cells = |row: WaitingRow| {
        [
            row.kind.to_owned(),
            row.recipient,
            row.created_at,
            row.attempts.to_string(),
            row.next_attempt_at,
            output::cell(row.last_error.as_ref()),
        ]
    };
    let headings = ["kind", "recipient", "created", "attempts", "next", "last error"];
    output::list(json, headings, rows, cells)
}

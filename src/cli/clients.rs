//! `signet clients`. A change is acknowledged only once every instance has taken it over.

mod administration;

use std::time::Duration;

use anyhow::{Context, Result};
use clap::Subcommand;

use super::output;
use crate::app::Stores;
use crate::base::secret::Secret;
use crate::base::time::Timestamp;
use crate::config::Config;
use crate::domain::audit::Initiator;
use crate::domain::clients::{Client, Registration};
use crate::views::client::{ClientView, listed};

/// The most clients that a list has.
const MAX_LISTED: i64 = 10_000;

#[derive(Subcommand)]
pub(super) enum Command {
    /// Register a client. The secret of a confidential one is shown once.
    #[command(group(clap::ArgGroup::new("kind").required(true).args(["public", "confidential"])))]
    Add {
        /// Its public name.
        client_id: String,
        /// It cannot keep a secret: a browser or mobile app.
        #[arg(long)]
        public: bool,
        /// It keeps a secret: a service.
        #[arg(long)]
        confidential: bool,
        /// Grants, separated by commas: password, refresh_token, client_credentials.
        #[arg(long, value_delimiter = ',')]
        grants: Vec<String>,
        /// What it may ask for, separated by spaces.
        #[arg(long, default_value = "")]
        scopes: String,
        /// The resources it may name (RFC 8707), separated by commas.
        #[arg(long, value_delimiter = ',')]
        audiences: Vec<String>,
        /// Members of the user's metadata for its tokens, separated by commas.
        #[arg(long, value_delimiter = ',')]
        claims: Vec<String>,
        /// A name for people.
        #[arg(long)]
        name: Option<String>,
        /// How long its access tokens live; tokens.access_token_lifetime if absent.
        #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
        access_token_lifetime: Option<Duration>,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// List clients.
    List {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Make a new secret, shown once. The present one stays valid for a while.
    RotateSecret {
        /// The client.
        client_id: String,
        /// How long the present secret stays valid; 0s ends it immediately.
        #[arg(long, value_name = "DURATION", default_value = "24h",
              value_parser = humantime::parse_duration)]
        overlap: Duration,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Remove a client. Its tokens are refused from then on.
    Remove {
        /// The client.
        client_id: String,
    },
    #[command(flatten)]
    Administration(administration::Command),
}

/// Runs the command.
pub(super) async fn run(command: Command, config: &Config) -> Result<()> {
    let (now, stores) = super::open(config).await?;
    match command {
        Command::Add {
            client_id,
            public: _,
            confidential,
            grants,
            scopes: scope,
            audiences,
            claims,
            name,
            access_token_lifetime,
            json,
        } => {
            let not_empty = |words: Vec<String>| {
                words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>()
            };
            let registration = Registration {
                client_id,
                name,
                confidential,
                grants: not_empty(grants),
                scope,
                audiences: not_empty(audiences),
                access_token_lifetime,
                claims: not_empty(claims),
            };
            add(&stores, registration.check(now).map_err(anyhow::Error::msg)?, json, now).await
        }
        Command::List { json } => list(&stores, json).await,
        Command::RotateSecret { client_id, overlap, json } => {
            rotate_secret(&stores, &client_id, overlap, json, now).await
        }
        Command::Remove { client_id } => {
            let client = stores.client_management.load(&client_id).await?;
            let deleted =
                stores.client_management.delete(&client, &Initiator::command_line(), now).await;
            deleted.context("the client cannot be removed")?;
            output::print(&format!("removed {client_id}"))
        }
        Command::Administration(command) => administration::run(command, &stores, now).await,
    }
}

async fn add(stores: &Stores, client: Client, json: bool, now: Timestamp) -> Result<()> {
    let created = stores.client_management.create(client, &Initiator::command_line(), now).await;
    let (client, secret) = created.context("the client cannot be added")?;
    show(&client, secret.as_ref(), json, &format!("added {}", client.client_id))
}

/// Prints `client` with the secret that was just made for it.
fn show(client: &Client, secret: Option<&Secret<String>>, json: bool, text: &str) -> Result<()> {
    if json {
        return output::json(&listed(client, secret)?);
    }
    output::print(text)?;
    match secret {
        Some(secret) => {
            output::print(&format!("client_secret (shown this once): {}", secret.expose()))
        }
        None => Ok(()),
    }
}

async fn list(stores: &Stores, json: bool) -> Result<()> {
    let clients = stores.client_management.page("", MAX_LISTED).await;
    let clients = clients.context("the clients cannot be read")?;
    if json {
        let rows: Result<Vec<_>, _> = clients.iter().map(|client| listed(client, None)).collect();
        return output::json(&rows?);
    }
    let rows: Vec<_> = clients.iter().map(|client| ClientView::from(client).row()).collect();
    output::table(ClientView::COLUMNS, &rows)
}

async fn rotate_secret(
    stores: &Stores,
    client_id: &str,
    overlap: Duration,
    json: bool,
    now: Timestamp,
) -> Result<()> {
    let by = &Initiator::command_line();
    let client = stores.client_management.load(client_id).await?;
    let rotated = stores.client_management.rotate_secret(&client, overlap, by, now).await;
    let (client, secret) = rotated.context("the secret cannot be rotated")?;
    let until = now.plus(overlap);
    let text = format!("made a new secret for {client_id}; the present one ends at {until}");
    show(&client, Some(&secret), json, &text)
}

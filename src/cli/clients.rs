//! `signet clients`. A change is acknowledged only once every instance has taken it over.

mod administration;

use std::time::Duration;

use anyhow::{Context, Result};
use clap::Subcommand;
use serde::Serialize;

use super::output;
use crate::app::Stores;
use crate::base::time::Timestamp;
use crate::config::Config;
use crate::domain::audit::Initiator;
use crate::domain::clients::{Client, ClientType, Registration};
use crate::services::client_management::{cut_off, taken_over};

#[derive(Subcommand)]
pub enum Command {
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
        /// How long the present secret stays valid; 0s ends it at once.
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

#[derive(Serialize)]
struct ClientRow {
    client_id: String,
    name: Option<String>,
    #[serde(rename = "type")]
    client_type: ClientType,
    grants: Vec<&'static str>,
    scope: String,
    audiences: Vec<String>,
    claims: Vec<String>,
    access_token_lifetime: Option<u64>,
    disabled: bool,
    secrets: usize,
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret: Option<String>,
}

impl ClientRow {
    fn new(client: &Client, client_secret: Option<String>) -> Self {
        Self {
            client_id: client.client_id.clone(),
            name: client.name.clone(),
            client_type: client.client_type,
            grants: client.grant_types.iter().map(|grant| grant.as_str()).collect(),
            scope: client.scope.to_string(),
            audiences: client.audiences.clone(),
            claims: client.claims.clone(),
            access_token_lifetime: client.access_token_lifetime.map(|l| l.as_secs()),
            disabled: client.disabled_at.is_some(),
            secrets: client.secrets.len(),
            created_at: client.created_at.to_string(),
            client_secret,
        }
    }
}

/// Runs the command.
pub async fn run(command: Command, config: &Config) -> Result<()> {
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
        Command::Remove { client_id } => remove(&stores, &client_id, now).await,
        Command::Administration(command) => administration::run(command, &stores, now).await,
    }
}

async fn add(stores: &Stores, client: Client, json: bool, now: Timestamp) -> Result<()> {
    let registered = stores.registrar.register(client, &Initiator::command_line(), now).await;
    let (client, secret) = registered.context("the client cannot be added")?;
    let secret = secret.map(|secret| secret.expose().clone());
    if json {
        return output::json(&ClientRow::new(&client, secret));
    }
    output::print(&format!("added {}", client.client_id))?;
    show_secret(secret)
}

fn show_secret(secret: Option<String>) -> Result<()> {
    match secret {
        Some(secret) => output::print(&format!("client_secret (shown this once): {secret}")),
        None => Ok(()),
    }
}

async fn list(stores: &Stores, json: bool) -> Result<()> {
    let clients = stores.clients.list().await.context("the clients cannot be read")?;
    let rows: Vec<_> = clients.iter().map(|client| ClientRow::new(client, None)).collect();
    if json {
        return output::json(&rows);
    }
    let cells = |row: &ClientRow| {
        [
            row.client_id.clone(),
            row.client_type_name(),
            row.grants.join(","),
            if row.scope.is_empty() { "-".into() } else { row.scope.clone() },
            row.secrets.to_string(),
            if row.claims.is_empty() { "-".into() } else { row.claims.join(",") },
            output::cell(row.name.as_ref()),
        ]
    };
    let rows: Vec<_> = rows.iter().map(cells).collect();
    output::table(["client_id", "type", "grants", "scope", "secrets", "claims", "name"], &rows)
}

impl ClientRow {
    fn client_type_name(&self) -> String {
        self.client_type.as_str().to_owned()
    }
}

async fn rotate_secret(
    stores: &Stores,
    client_id: &str,
    overlap: Duration,
    json: bool,
    now: Timestamp,
) -> Result<()> {
    let client = find(stores, client_id).await?;
    let rotated =
        stores.registrar.rotate_secret(&client, overlap, &Initiator::command_line(), now).await;
    let (client, secret) = rotated.context("the secret cannot be rotated")?;
    let secret = Some(secret.expose().clone());
    if json {
        output::json(&ClientRow::new(&client, secret))?;
    } else {
        let until = now.plus(overlap);
        let text = format!("made a new secret for {client_id}; the present one ends at {until}");
        output::print(&text)?;
        show_secret(secret)?;
    }
    // Instances go on with the present secret for a moment; then it ends when it should.
    taken_over().await;
    Ok(())
}

async fn remove(stores: &Stores, client_id: &str, now: Timestamp) -> Result<()> {
    let client = find(stores, client_id).await?;
    stores
        .registrar
        .remove(&client, &Initiator::command_line(), now)
        .await
        .context("the client cannot be removed")?;
    cut_off().await;
    output::print(&format!("removed {client_id}"))
}

async fn find(stores: &Stores, client_id: &str) -> Result<Client> {
    let client = stores.clients.find(client_id).await.context("the clients cannot be read")?;
    client.with_context(|| format!("there is no client {client_id}"))
}

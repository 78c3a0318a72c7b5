//! `signet clients`. A change is acknowledged only once every instance has taken it over.

use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};

use super::output::{self, Json};
use crate::app::Stores;
use crate::base::secret::Secret;
use crate::base::time::Timestamp;
use crate::config::Config;
use crate::domain::audit::Initiator;
use crate::domain::clients::change::ClientChange;
use crate::domain::clients::{Client, Registration};
use crate::views::client::{ClientView, listed};

const MAX_LISTED: i64 = 10_000;

#[derive(Args)]
pub(super) struct Which {
    /// The client.
    client_id: String,
}

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
    List(Json),
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
    Remove(Which),
    /// Show a client.
    Show {
        /// The client.
        client_id: String,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Change a client. What is not named stays as it is.
    #[command(group(clap::ArgGroup::new("change").required(true).multiple(true)
        .args(["name", "grants", "scopes", "audiences", "claims", "access_token_lifetime"])))]
    Set {
        /// The client.
        client_id: String,
        /// A name for people; empty for none.
        #[arg(long)]
        name: Option<String>,
        /// Grants, separated by commas: password, refresh_token, client_credentials.
        #[arg(long, value_delimiter = ',')]
        grants: Option<Vec<String>>,
        /// What it may ask for, separated by spaces; empty for nothing.
        #[arg(long)]
        scopes: Option<String>,
        /// The resources it may name (RFC 8707), separated by commas; empty for none.
        #[arg(long, value_delimiter = ',')]
        audiences: Option<Vec<String>>,
        /// Members of the user's metadata for its tokens, separated by commas; empty for none.
        #[arg(long, value_delimiter = ',')]
        claims: Option<Vec<String>>,
        /// How long its access tokens live; `default` for tokens.access_token_lifetime.
        #[arg(long, value_name = "DURATION", value_parser = lifetime)]
        access_token_lifetime: Option<Lifetime>,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Let a client get no more tokens.
    Disable(Which),
    /// Let a client get tokens again.
    Enable(Which),
}

/// A lifetime, or the configured one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lifetime(Option<Duration>);

fn lifetime(text: &str) -> Result<Lifetime, humantime::DurationError> {
    if text == "default" {
        return Ok(Lifetime(None));
    }
    humantime::parse_duration(text).map(|lifetime| Lifetime(Some(lifetime)))
}

fn not_empty(words: Vec<String>) -> Vec<String> {
    words.into_iter().filter(|word| !word.is_empty()).collect()
}

pub(super) async fn run(command: Command, config: &Config) -> Result<()> {
    let (now, stores) = super::open(config).await?;
    let clients = &stores.client_management;
    let by = &Initiator::command_line(now);
    let disable = |disabled| ClientChange { disabled: Some(disabled), ..ClientChange::default() };
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
            let client = registration.check(now).map_err(anyhow::Error::msg)?;
            let created = clients.create(client, by).await;
            let (client, secret) = created.context("the client cannot be added")?;
            show_secret(&client, secret.as_ref(), json, &format!("added {}", client.client_id))
        }
        Command::List(Json { json }) => list(&stores, json).await,
        Command::RotateSecret { client_id, overlap, json } => {
            let client = clients.load(&client_id).await?;
            let rotated = clients.rotate_secret(&client, overlap, by).await;
            let (client, secret) = rotated.context("the secret cannot be rotated")?;
            let until = now.plus(overlap);
            let text =
                format!("made a new secret for {client_id}; the present one ends at {until}");
            show_secret(&client, Some(&secret), json, &text)
        }
        Command::Remove(Which { client_id }) => {
            let client = clients.load(&client_id).await?;
            let deleted = clients.delete(&client, by).await;
            deleted.context("the client cannot be removed")?;
            output::print(&format!("removed {client_id}"))
        }
        Command::Show { client_id, json } => show(&clients.load(&client_id).await?, json),
        Command::Set {
            client_id,
            name,
            grants,
            scopes,
            audiences,
            claims,
            access_token_lifetime,
            json,
        } => {
            let change = ClientChange {
                name,
                grants: grants.map(not_empty),
                scopes: scopes.map(|scopes| scopes.split(' ').map(str::to_owned).collect()),
                audiences: audiences.map(not_empty),
                claims: claims.map(not_empty),
                access_token_lifetime: access_token_lifetime.map(|Lifetime(lifetime)| lifetime),
                disabled: None,
            };
            show(&update(&stores, &client_id, change, now).await?, json)
        }
        Command::Disable(Which { client_id }) => {
            update(&stores, &client_id, disable(true), now).await?;
            output::print(&format!("disabled {client_id}"))
        }
        Command::Enable(Which { client_id }) => {
            update(&stores, &client_id, disable(false), now).await?;
            output::print(&format!("enabled {client_id}"))
        }
    }
}

/// Prints `client` with the secret that was just made for it.
fn show_secret(
    client: &Client,
    secret: Option<&Secret<String>>,
    json: bool,
    text: &str,
) -> Result<()> {
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

async fn update(
    stores: &Stores,
    client_id: &str,
    change: ClientChange,
    now: Timestamp,
) -> Result<Client> {
    let client = stores.client_management.load(client_id).await?;
    let next = change.applied_to(&client, now).map_err(|problems| {
        let problems = problems.iter().map(|(field, problem)| format!("{field} {problem}"));
        anyhow::anyhow!("{}", problems.collect::<Vec<_>>().join("; "))
    })?;
    let by = &Initiator::command_line(now);
    let updated = stores.client_management.update(&client, next, by).await;
    updated.context("the client cannot be changed")
}

fn show(client: &Client, json: bool) -> Result<()> {
    let view = ClientView::from(client);
    if json { output::json(&view) } else { output::fields(&view.fields()) }
}

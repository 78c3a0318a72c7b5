//! `signet clients show`, `set`, `disable` and `enable`. The same as under `/admin/clients`.

use std::time::Duration;

use anyhow::{Context, Result};
use clap::Subcommand;

use crate::app::Stores;
use crate::base::time::Timestamp;
use crate::cli::output;
use crate::domain::audit::Initiator;
use crate::domain::clients::Client;
use crate::domain::clients::change::ClientChange;
use crate::views::client::ClientView;

#[derive(Subcommand)]
pub(crate) enum Command {
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
    Disable {
        /// The client.
        client_id: String,
    },
    /// Let a client get tokens again.
    Enable {
        /// The client.
        client_id: String,
    },
}

/// A lifetime, or the configured one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lifetime(Option<Duration>);

fn lifetime(text: &str) -> Result<Lifetime, humantime::DurationError> {
    if text == "default" {
        return Ok(Lifetime(None));
    }
    humantime::parse_duration(text).map(|lifetime| Lifetime(Some(lifetime)))
}

/// Runs the command.
pub(super) async fn run(command: Command, stores: &Stores, now: Timestamp) -> Result<()> {
    let disable = |disabled| ClientChange { disabled: Some(disabled), ..ClientChange::default() };
    match command {
        Command::Show { client_id, json } => {
            show(&stores.client_management.load(&client_id).await?, json)
        }
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
            let not_empty =
                |words: Vec<String>| words.into_iter().filter(|word| !word.is_empty()).collect();
            let change = ClientChange {
                name,
                grants: grants.map(not_empty),
                scopes: scopes.map(|scopes| scopes.split(' ').map(str::to_owned).collect()),
                audiences: audiences.map(not_empty),
                claims: claims.map(not_empty),
                access_token_lifetime: access_token_lifetime.map(|Lifetime(lifetime)| lifetime),
                disabled: None,
            };
            show(&update(stores, &client_id, change, now).await?, json)
        }
        Command::Disable { client_id } => {
            update(stores, &client_id, disable(true), now).await?;
            output::print(&format!("disabled {client_id}"))
        }
        Command::Enable { client_id } => {
            update(stores, &client_id, disable(false), now).await?;
            output::print(&format!("enabled {client_id}"))
        }
    }
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
    let by = &Initiator::command_line();
    let updated = stores.client_management.update(&client, next, by, now).await;
    updated.context("the client cannot be changed")
}

fn show(client: &Client, json: bool) -> Result<()> {
    let view = ClientView::from(client);
    if json { output::json(&view) } else { output::fields(&view.fields()) }
}

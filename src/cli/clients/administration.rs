//! `signet clients show`, `set`, `disable` and `enable`. The same as under `/admin/clients`.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Subcommand;

use super::find;
use crate::app::Stores;
use crate::base::time::Timestamp;
use crate::cli::output;
use crate::domain::audit::Initiator;
use crate::domain::clients::Client;
use crate::domain::clients::change::ClientChange;
use crate::services::client_management::{ClientView, cut_off, taken_over};

#[derive(Subcommand)]
pub enum Command {
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
pub struct Lifetime(Option<Duration>);

fn lifetime(text: &str) -> Result<Lifetime, humantime::DurationError> {
    if text == "default" {
        return Ok(Lifetime(None));
    }
    humantime::parse_duration(text).map(|lifetime| Lifetime(Some(lifetime)))
}

/// Runs the command.
pub async fn run(command: Command, stores: &Stores, now: Timestamp) -> Result<()> {
    match command {
        Command::Show { client_id, json } => show(&find(stores, &client_id).await?, json),
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
            show(&change_to(stores, &client_id, change, now).await?, json)
        }
        Command::Disable { client_id } => {
            let change = ClientChange { disabled: Some(true), ..ClientChange::default() };
            change_to(stores, &client_id, change, now).await?;
            output::print(&format!("disabled {client_id}"))
        }
        Command::Enable { client_id } => {
            let change = ClientChange { disabled: Some(false), ..ClientChange::default() };
            change_to(stores, &client_id, change, now).await?;
            output::print(&format!("enabled {client_id}"))
        }
    }
}

async fn change_to(
    stores: &Stores,
    client_id: &str,
    change: ClientChange,
    now: Timestamp,
) -> Result<Client> {
    let client = find(stores, client_id).await?;
    let next = match change.applied_to(&client, now) {
        Ok(next) => next,
        Err(problems) => {
            let told = problems.iter().map(|(field, problem)| format!("{field} {problem}"));
            bail!("{}", told.collect::<Vec<_>>().join("; "));
        }
    };
    let changed = stores.registrar.change(&client, next, &Initiator::command_line(), now).await;
    let client = changed.context("the client cannot be changed")?;
    if client.disabled_at.is_some() {
        cut_off().await
    } else {
        taken_over().await
    }
    Ok(client)
}

fn show(client: &Client, json: bool) -> Result<()> {
    let view = ClientView::from(client);
    if json {
        return output::json(&view);
    }
    let secret =
        |secret: &crate::services::client_management::view::SecretView| match &secret.expires_at {
            Some(at) => format!("made {}, ends {at}", secret.created_at),
            None => format!("made {}", secret.created_at),
        };
    let secrets: Vec<_> = view.secrets.iter().map(secret).collect();
    let lifetime = view.access_token_lifetime.map(|seconds| format!("{seconds}s"));
    output::fields(&[
        ("client_id", view.client_id),
        ("type", view.client_type.as_str().to_owned()),
        ("name", output::cell(view.name)),
        ("grants", output::words(&view.grants)),
        ("scopes", output::words(&view.scopes)),
        ("audiences", output::words(&view.audiences)),
        ("claims", output::words(&view.claims)),
        ("lifetime", output::cell(lifetime)),
        ("state", if view.disabled { "disabled" } else { "active" }.to_owned()),
        ("secrets", if secrets.is_empty() { "-".to_owned() } else { secrets.join("; ") }),
        ("created", view.created_at),
    ])
}

//! `signet keys`: what there is, and the next one.

use std::time::Duration;

use anyhow::{Context, Result};
use clap::Subcommand;
use serde::Serialize;

use super::output;
use crate::app::{self, Stores};
use crate::audit::{Actor, Event, Kind, Origin};
use crate::config::Config;
use crate::keys::rotation::{Handover, State};
use crate::keys::store::{KeyStore, StoredKey};
use crate::time::Timestamp;

#[derive(Subcommand)]
pub enum Command {
    /// List the keys with their states and times, newest first.
    List {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Make the next key: published now, signing later.
    Rotate {
        /// When it starts to sign, such as 1h; keys.publish_ahead if absent.
        #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
        activate_in: Option<Duration>,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Serialize)]
struct KeyRow {
    kid: String,
    algorithm: String,
    state: State,
    created_at: String,
    activates_at: String,
    deactivates_at: Option<String>,
    retires_at: Option<String>,
    next_state: Option<State>,
    next_at: Option<String>,
}

impl KeyRow {
    fn new(key: StoredKey, now: Timestamp) -> Self {
        let next = key.times.next(now);
        Self {
            state: key.times.state(now),
            created_at: key.times.created_at.to_string(),
            activates_at: key.times.activates_at.to_string(),
            deactivates_at: key.times.deactivates_at.map(|at| at.to_string()),
            retires_at: key.times.retires_at.map(|at| at.to_string()),
            next_state: next.map(|(state, _)| state),
            next_at: next.map(|(_, at)| at.to_string()),
            kid: key.kid,
            algorithm: key.algorithm,
        }
    }
}

#[derive(Serialize)]
struct Rotated {
    kid: String,
    activates_at: String,
    old_retires_at: String,
}

/// Runs the command.
pub async fn run(command: Command, config: &Config) -> Result<()> {
    let (now, stores) = super::open(config).await?;
    match command {
        Command::List { json } => list(&stores, json, now).await,
        Command::Rotate { activate_in, json } => {
            rotate(config, &stores, activate_in, json, now).await
        }
    }
}

async fn list(stores: &Stores, json: bool, now: Timestamp) -> Result<()> {
    let keys = KeyStore::new(stores.db.clone()).load_all().await;
    let rows: Vec<_> = keys
        .context("the keys cannot be read")?
        .into_iter()
        .map(|key| KeyRow::new(key, now))
        .collect();
    if json {
        return output::json(&rows);
    }
    let cells = |row: &KeyRow| {
        [
            row.kid.clone(),
            row.algorithm.clone(),
            row.state.to_string(),
            row.activates_at.clone(),
            match (&row.next_state, &row.next_at) {
                (Some(state), Some(at)) => format!("{state} at {at}"),
                _ => "-".into(),
            },
        ]
    };
    let rows: Vec<_> = rows.iter().map(cells).collect();
    output::table(["kid", "algorithm", "state", "signs from", "next"], &rows)
}

/// The audit event of a rotation.
pub fn key_rotated(actor: Actor, kid: String, handover: Handover, origin: &Origin) -> Event<'_> {
    Event {
        kind: Kind::KeyRotated,
        actor,
        subject: Some(kid),
        client_id: None,
        detail: Some(format!("signs from {}", handover.at)),
        origin,
    }
}

async fn rotate(
    config: &Config,
    stores: &Stores,
    activate_in: Option<Duration>,
    json: bool,
    now: Timestamp,
) -> Result<()> {
    let keys = app::open_keys(config, stores, now).await?;
    let lifetime = app::longest_token_life(config, &stores.clients).await?;
    let (kid, handover) = keys.rotate(activate_in, lifetime, now).await?;
    let origin = Origin::default();
    let event = key_rotated(Actor::CommandLine, kid.clone(), handover, &origin);
    stores.audit.record(event, now).await;
    let rotated = Rotated {
        kid,
        activates_at: handover.at.to_string(),
        old_retires_at: handover.old_retires_at.to_string(),
    };
    if json {
        return output::json(&rotated);
    }
    output::print(&format!(
        "key {} is published; it signs from {} on, and the present key leaves JWKS at {}",
        rotated.kid, rotated.activates_at, rotated.old_retires_at
    ))
}

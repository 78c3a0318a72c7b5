//! `signet roles`. A change is acknowledged only once every instance has taken it over.

use anyhow::{Context, Result};
use clap::Subcommand;

use super::output::{self, Json};
use crate::app::Stores;
use crate::config::Config;
use crate::domain::audit::Initiator;
use crate::domain::roles::{Change, Expect, Refusal, What};
use crate::domain::tokens::Scope;
use crate::services::role_management::{RoleChangeError, users};
use crate::views::role::RoleView;

#[derive(Subcommand)]
pub(super) enum Command {
    /// List roles.
    List(Json),
    /// Define a role. A scope word that some role carries is held only by users with such a role.
    Add {
        /// Its name.
        name: String,
        /// The scope words that it carries, separated by spaces.
        #[arg(long)]
        scopes: String,
        /// What it is for.
        #[arg(long)]
        description: Option<String>,
        /// Also where users who have the name already would administer Signet by it.
        #[arg(long)]
        force: bool,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Change a role; what is not given stays.
    #[command(group(clap::ArgGroup::new("change").required(true).multiple(true)
        .args(["scopes", "description"])))]
    Set {
        /// The role.
        name: String,
        /// The scope words that it carries, separated by spaces; all of them.
        #[arg(long)]
        scopes: Option<String>,
        /// What it is for; nothing if empty.
        #[arg(long)]
        description: Option<String>,
        /// Also where a scope word that no role carries any more is then open to every user.
        #[arg(long)]
        force: bool,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Remove a role.
    Remove {
        /// The role.
        name: String,
        /// Also from users who have it, and where a scope word that no role carries any more is
        /// then open to every user.
        #[arg(long)]
        force: bool,
    },
}

pub(super) async fn run(command: Command, config: &Config) -> Result<()> {
    let (now, stores) = super::open(config).await?;
    let (did, name, what, expect, force, json) = match command {
        Command::List(Json { json }) => return list(&stores, json).await,
        Command::Add { name, scopes, description, force, json } => {
            let what = put(Some(&scopes), Some(description))?;
            ("defined", name, what, Expect::Absent, force, json)
        }
        Command::Set { name, scopes, description, force, json } => {
            let what = put(scopes.as_deref(), description.map(Some))?;
            ("changed", name, what, Expect::Present, force, json)
        }
        Command::Remove { name, force } => {
            ("removed", name, What::Remove, Expect::Present, force, false)
        }
    };
    let is_new = matches!(expect, Expect::Absent);
    let change = Change { name: name.clone(), what, expect, force };
    let made = stores.role_management.change(change, &Initiator::command_line(now)).await;
    let decision = made.map_err(|error| match error {
        RoleChangeError::Refused(Refusal::NotForced(_)) => anyhow::anyhow!("{error} (--force)"),
        error => error.into(),
    })?;
    if is_new && decision.holders > 0 {
        let users = users(decision.holders);
        eprintln!("signet: {users} had {name} already and hold what it carries");
    }
    let (closes, opens) = (decision.closes.join(" "), decision.opens.join(" "));
    if !closes.is_empty() {
        eprintln!("signet: only users with such a role hold from now on: {closes}");
    }
    if !opens.is_empty() {
        eprintln!("signet: no role carries any more, so every user holds: {opens}");
    }
    match decision.step.role() {
        Some(role) if json => output::json(&RoleView::from(role)),
        _ => output::print(&format!("{did} {name}")),
    }
}

fn put(scopes: Option<&str>, description: Option<Option<String>>) -> Result<What> {
    let scope = scopes.map(Scope::parse).transpose().map_err(|error| anyhow::anyhow!("{error}"))?;
    Ok(What::Put { scope, description })
}

async fn list(stores: &Stores, json: bool) -> Result<()> {
    let roles = stores.role_management.list().await.context("the roles cannot be read")?;
    let views = roles.iter().map(RoleView::from).collect();
    output::list(json, RoleView::COLUMNS, views, |view| view.row())
}

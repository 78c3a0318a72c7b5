//! `signet users show`, `set`, `delete` and `sessions`. The same as under `/admin/users`.

use crate::base::display_name::check_display_name;
use anyhow::{Context, Result};
use clap::Subcommand;

use super::{Act, Shown, Who, checked_roles, find, wrong};
use crate::app::Stores;
use crate::base::time::Timestamp;
use crate::cli::output;
use crate::domain::users::{Email, User};
use crate::services::accounts::administration::UserChange;
use crate::views::session::SessionView;
use crate::views::user::ManagedUserView;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Show a user.
    Show(Shown),
    /// Change a user. What is not named stays as it is.
    #[command(group(clap::ArgGroup::new("change").required(true).multiple(true)
        .args(["name", "email", "roles", "email_verified"])))]
    Set {
        /// The e-mail address or id.
        user: String,
        /// A display name; empty for none.
        #[arg(long)]
        name: Option<String>,
        /// A new e-mail address, which counts as not verified unless it is said to be.
        #[arg(long)]
        email: Option<String>,
        /// All roles, separated by commas; empty for none.
        #[arg(long, value_delimiter = ',')]
        roles: Option<Vec<String>>,
        /// Whether the address is known to be the user's.
        #[arg(long, value_name = "true|false")]
        email_verified: Option<bool>,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Remove a user, and end all sessions.
    Delete(Who),
    /// List the sessions of a user, newest first.
    Sessions(Shown),
}

pub(super) async fn run(command: Command, act: &Act<'_>) -> Result<()> {
    let Act { stores, by, .. } = *act;
    match command {
        Command::Show(Shown { user, json }) => show(find(stores, &user).await?, json),
        Command::Set { user, name, email, roles, email_verified, json } => {
            let change = UserChange {
                name: name
                    .as_deref()
                    .map(check_display_name)
                    .transpose()
                    .map_err(wrong("--name"))?,
                email: email.as_deref().map(Email::parse).transpose().map_err(wrong("--email"))?,
                roles: roles.map(checked_roles).transpose()?,
                email_verified,
                force: true,
                ..UserChange::default()
            };
            let user = find(stores, &user).await?;
            let changed = stores.accounts.change(&user, change, by).await;
            show(changed.context("the user cannot be changed")?, json)
        }
        Command::Delete(Who { user }) => {
            let user = find(stores, &user).await?;
            let removed = stores.accounts.remove(&user, true, by).await;
            removed.context("the user cannot be removed")?;
            output::print(&format!("removed {}", user.email))
        }
        Command::Sessions(Shown { user, json }) => {
            let user = find(stores, &user).await?;
            sessions(stores, &user, json, by.at).await
        }
    }
}

fn show(user: User, json: bool) -> Result<()> {
    let view = ManagedUserView::printed(user);
    if json { output::json(&view) } else { output::fields(&view.fields()) }
}

async fn sessions(stores: &Stores, user: &User, json: bool, now: Timestamp) -> Result<()> {
    let found = stores.accounts.sessions(user, now).await.context("the sessions cannot be read")?;
    let policy = stores.sessions.policy();
    let views = found.into_iter().map(|session| SessionView::new(session, policy)).collect();
    output::list(json, SessionView::COLUMNS, views, SessionView::row)
}

//! `signet users`.

mod addresses;
mod administration;
mod cell;
mod details;
mod export;
mod import;

use crate::base::display_name::check_display_name;
use crate::domain::credentials::Password;
use crate::domain::roles::check_roles;
use std::io::IsTerminal;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};

use super::output::{self, Json};
use crate::app::{Issuer, Stores, open_login_limits_alone};
use crate::base::random::Random;
use crate::base::secret::Secret;
use crate::base::time::Timestamp;
use crate::config::Config;
use crate::domain::audit::Initiator;
use crate::domain::credentials::password::{self, HashMemory};
use crate::domain::users::{Email, User};
use crate::services::accounts::administration::UserChange;
use crate::storage::StorageError;
use crate::views::user::ManagedUserView;

const PAGE: i64 = 500;

#[derive(Args)]
pub(super) struct Who {
    /// The e-mail address or id.
    user: String,
}

#[derive(Args)]
pub(super) struct Shown {
    /// The e-mail address or id.
    user: String,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Subcommand)]
pub(super) enum Command {
    /// Add a user. The password is asked for, or read from standard input.
    Add {
        /// The e-mail address.
        email: String,
        /// Read the password from standard input, one line.
        #[arg(long)]
        password_stdin: bool,
        /// A display name.
        #[arg(long)]
        name: Option<String>,
        /// Roles, separated by commas.
        #[arg(long, value_delimiter = ',')]
        roles: Vec<String>,
        /// The address is known to be the user's.
        #[arg(long)]
        email_verified: bool,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// List users by address.
    List(Json),
    /// Bar a user from signing in, and end all sessions.
    Disable(Who),
    /// Let a user sign in again.
    Enable(Who),
    /// Give a user a role.
    GrantRole {
        #[command(flatten)]
        who: Who,
        /// The role.
        role: String,
    },
    /// Take a role from a user.
    RevokeRole {
        #[command(flatten)]
        who: Who,
        /// The role.
        role: String,
        /// Revoke it even if no administrator is left.
        #[arg(long)]
        force: bool,
    },
    /// Set what the application keeps of a user: a JSON object on standard input, in place of what
    /// was there.
    SetMetadata(Shown),
    /// Forget a user's wrong passwords, so that the next login need not wait.
    Unlock(Who),
    /// Give a user a new password, and end all sessions.
    SetPassword {
        /// The e-mail address or id.
        user: String,
        /// Read the password from standard input, one line.
        #[arg(long)]
        password_stdin: bool,
    },
    /// End all sessions of a user, who may sign in again.
    RevokeSessions(Who),
    /// List addresses that are compatibility spellings of others, and accounts that share a mailbox
    /// for their domain being spelled in two forms.
    CheckAddresses(Json),
    #[command(flatten)]
    Administration(administration::Command),
    /// Import users from JSON, JSON Lines, CSV, or files of Django, Keycloak, Auth0 or Clerk. Users that
    /// exist already are left unchanged.
    Import(import::Arguments),
    /// Write out all users, in the form that import reads.
    Export(export::Arguments),
}

struct Act<'a> {
    config: &'a Config,
    stores: &'a Stores,
    by: &'a Initiator,
}

pub(super) async fn run(command: Command, config: &Config) -> Result<()> {
    let (now, stores) = super::open(config).await?;
    let (stores, by) = (&stores, &Initiator::command_line(now));
    let act = &Act { config, stores, by };
    match command {
        Command::Add { email, password_stdin, name, roles, email_verified, json } => {
            let email = Email::parse(&email).map_err(wrong("EMAIL"))?;
            let name =
                check_display_name(name.as_deref().unwrap_or_default()).map_err(wrong("--name"))?;
            let roles = checked_roles(roles)?;
            let password = read_password(password_stdin, email.address())?;
            let password_hash = hash(config, &stores.random, &password);
            let new = stores.accounts.new_user(&email, name, password_hash, now);
            let email_verified_at = email_verified.then_some(now);
            let new = User { roles, email_verified_at, ..new };
            let user = match stores.accounts.create(new, by).await {
                Err(StorageError::Conflict) => {
                    bail!("a user with this e-mail address exists already")
                }
                result => result.context("the user cannot be added")?,
            };
            let text = format!("added {} ({})", user.email, user.id);
            output::show(json, &ManagedUserView::listed(user), &text)
        }
        Command::List(Json { json }) => list(stores, json).await,
        Command::Disable(Who { user }) => act.set_disabled(&user, true).await,
        Command::Enable(Who { user }) => act.set_disabled(&user, false).await,
        Command::GrantRole { who, role } => act.grant_role(&who.user, &role).await,
        Command::RevokeRole { who, role, force } => act.revoke_role(&who.user, &role, force).await,
        Command::SetMetadata(Shown { user, json }) => act.set_metadata(&user, json).await,
        Command::Unlock(Who { user }) => {
            let user = find(stores, &user).await?;
            let attempts = open_login_limits_alone(config, stores, now).await?;
            let unlocked = stores.accounts.unlock(&user, &attempts, by).await;
            unlocked.context("the wrong passwords cannot be forgotten")?;
            output::print(&format!("forgot the wrong passwords for {}", user.email))
        }
        Command::SetPassword { user, password_stdin } => {
            let user = find(stores, &user).await?;
            let password = read_password(password_stdin, &user.email)?;
            let hash = hash(config, &stores.random, &password);
            let attempts = open_login_limits_alone(config, stores, now).await?;
            if !stores.accounts.set_password(&user, &hash, &attempts, by).await? {
                bail!("{} was removed in the meantime: no password was set", user.email);
            }
            output::print(&format!("set a new password for {}; all sessions ended", user.email))
        }
        Command::RevokeSessions(Who { user }) => {
            let user = find(stores, &user).await?;
            if !stores.accounts.end_sessions(user.id, by).await? {
                bail!("{} was removed in the meantime", user.email);
            }
            output::print(&format!("ended all sessions of {}", user.email))
        }
        Command::CheckAddresses(Json { json }) => addresses::check(stores, json).await,
        Command::Administration(command) => administration::run(command, act).await,
        Command::Import(arguments) => import::run(arguments, act).await,
        Command::Export(arguments) => export::run(arguments, act).await,
    }
}

impl Act<'_> {
    async fn set_disabled(&self, user: &str, disabled: bool) -> Result<()> {
        let user = find(self.stores, user).await?;
        let change = UserChange { disabled: Some(disabled), force: true, ..UserChange::default() };
        let accounts = &self.stores.accounts;
        let changed = accounts.change_present(user.id, &change, self.by).await;
        changed.with_context(|| format!("{} cannot be changed", user.email))?;
        output::print(&match (disabled, user.is_active()) {
            (true, true) => format!("disabled {}", user.email),
            (true, false) => format!("{} was disabled already", user.email),
            (false, false) => format!("enabled {}", user.email),
            (false, true) => format!("{} was not disabled", user.email),
        })
    }
}

fn wrong(what: &'static str) -> impl Fn(&'static str) -> anyhow::Error {
    move |problem| anyhow::anyhow!("{what} {problem}")
}

fn checked_roles(mut roles: Vec<String>) -> Result<Vec<String>> {
    roles.retain(|role| !role.is_empty());
    check_roles(&roles).map_err(wrong("--roles:"))
}

fn hash(config: &Config, random: &Random, password: &Password) -> Secret<String> {
    password::hash(password, &config.passwords, random, &mut HashMemory::default())
}

async fn list(stores: &Stores, json: bool) -> Result<()> {
    let mut views = Vec::new();
    for_each(stores, |user| {
        views.push(ManagedUserView::listed(user));
        Ok(())
    })
    .await?;
    output::list(json, ManagedUserView::COLUMNS, views, ManagedUserView::row)
}

/// Gives all users to `take`, by address, page by page.
async fn for_each(stores: &Stores, mut take: impl FnMut(User) -> Result<()>) -> Result<()> {
    let mut after = String::new();
    loop {
        let page = stores.users.list(&after, PAGE).await.context("the users cannot be read")?;
        let Some(last) = page.last() else { return Ok(()) };
        after.clone_from(&last.email_key);
        page.into_iter().try_for_each(&mut take)?;
    }
}

async fn find(stores: &Stores, user: &str) -> Result<User> {
    let found = match user.parse() {
        Ok(id) => stores.users.find(id).await,
        Err(_) => stores.users.find_by_address(user).await,
    };
    found.context("the users cannot be read")?.with_context(|| format!("there is no user {user}"))
}

/// A password that may be chosen for `login`, from standard input or, at a terminal, asked twice.
fn read_password(from_stdin: bool, login: &str) -> Result<Password> {
    let text = if from_stdin {
        super::read_line("password")?
    } else if std::io::stdin().is_terminal() {
        let first = Secret::new(rpassword::prompt_password("Password: ")?);
        let second = Secret::new(rpassword::prompt_password("Once more: ")?);
        if first.expose() != second.expose() {
            bail!("the two passwords differ");
        }
        first
    } else {
        bail!("there is no terminal to ask for the password: use --password-stdin");
    };
    let password = Password::new(text.expose());
    password.check_new(login).map_err(wrong("the password"))?;
    Ok(password)
}

/// Makes the first administrator, for a development start; the password to show once.
pub(super) async fn bootstrap_administrator(
    app: &Issuer,
    now: Timestamp,
) -> Result<Option<(String, Secret<String>)>> {
    if !app.stores.users.is_empty().await? {
        return Ok(None);
    }
    let text = app.stores.random.token();
    let email = Email::parse("admin@example.com").map_err(anyhow::Error::msg)?;
    let password_hash = hash(&app.config, &app.stores.random, &Password::new(text.expose()));
    let new = User {
        roles: vec![crate::domain::roles::ADMIN_ROLE.into()],
        // No one reads its mail, and it must be able to log in.
        email_verified_at: Some(now),
        ..app.accounts.new_user(&email, Some("Administrator".into()), password_hash, now)
    };
    match app.accounts.create(new, &Initiator::system(now)).await {
        Ok(user) => Ok(Some((user.email, text))),
        // Another instance has just made it, and has shown its password.
        Err(StorageError::Conflict) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

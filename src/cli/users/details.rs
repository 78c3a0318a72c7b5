//! `signet users grant-role`, `revoke-role` and `set-metadata`.

use crate::domain::roles::check_role;
use std::io::Read;

use anyhow::{Context, Result, bail};

use super::super::output;
use super::{Act, find, wrong};
use crate::domain::users::check_metadata;
use crate::domain::users::metadata::MAX_METADATA_BYTES;
use crate::services::accounts::administration::{ChangeError, UserChange};
use crate::views::user::ManagedUserView;

/// The length in bytes of metadata with white space between.
const MAX_INPUT: u64 = 4 * MAX_METADATA_BYTES as u64;

impl Act<'_> {
    pub(super) async fn grant_role(&self, user: &str, role: &str) -> Result<()> {
        let Self { stores, by, .. } = *self;
        let user = find(stores, user).await?;
        check_role(role).map_err(anyhow::Error::msg)?;
        let granted = stores.accounts.set_role(user.id, role, true, false, by).await?;
        if stores.role_management.find(role).await.context("the roles cannot be read")?.is_none() {
            eprintln!("signet: no role {role} is defined yet, so it carries no scopes");
        }
        if !granted {
            return output::print(&format!("{} has the role {role} already", user.email));
        }
        output::print(&format!(
            "granted {role} to {}; what it carries comes with the next login",
            user.email
        ))
    }

    pub(super) async fn revoke_role(&self, user: &str, role: &str, force: bool) -> Result<()> {
        let Self { stores, by, .. } = *self;
        let user = find(stores, user).await?;
        let revoked = stores.accounts.set_role(user.id, role, false, force, by).await;
        let revoked = revoked.map_err(|error| match error {
            ChangeError::LastAdministrator => anyhow::anyhow!(
                "no other user who may sign in has the role admin: force it to go on (--force)"
            ),
            error => error.into(),
        });
        if !revoked? {
            return output::print(&format!("{} has no role {role}", user.email));
        }
        output::print(&format!(
            "revoked {role} from {email}; new logins and refreshes go without it, and tokens issued \
         before have it until they end (to end the sessions as well: signet users revoke-sessions {email})",
            email = user.email
        ))
    }

    pub(super) async fn set_metadata(&self, user: &str, json: bool) -> Result<()> {
        let Self { stores, by, .. } = *self;
        let user = find(stores, user).await?;
        let mut text = String::new();
        let read = std::io::stdin().lock().take(MAX_INPUT + 1).read_to_string(&mut text);
        read.context("the metadata cannot be read from standard input")?;
        if text.len() as u64 > MAX_INPUT {
            bail!("the metadata must have at most 16 KiB as JSON");
        }
        let value = serde_json::from_str(&text).context("the metadata is not JSON")?;
        let metadata = check_metadata(value).map_err(wrong("the metadata"))?;
        let change = UserChange { metadata: Some(metadata), force: true, ..UserChange::default() };
        let user = stores.accounts.change(&user, change, by).await?;
        let text = format!("set the metadata of {}", user.email);
        output::show(json, &ManagedUserView::listed(user), &text)
    }
}

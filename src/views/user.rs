//! A user as it is shown to itself, to administrators and at the command line. No view has anything
//! of a password.

use serde::Serialize;
use utoipa::ToSchema;

use super::cell::{cell, words};
use crate::domain::users::{Metadata, User};

/// A user, as the user may see it.
#[derive(Serialize, ToSchema)]
#[schema(as = UserBody)]
pub(crate) struct UserView {
    /// The `sub` of the user's tokens.
    pub id: String,
    /// The address as it was written.
    pub email: String,
    /// The display name.
    pub name: Option<String>,
    /// Role names.
    pub roles: Vec<String>,
    /// Whether the address was proven to be the user's.
    pub email_verified: bool,
    /// Whether the user is barred from signing in.
    pub disabled: bool,
    /// RFC 3339.
    pub created_at: String,
    /// RFC 3339.
    #[schema(value_type = String, required = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<String>,
}

impl From<User> for UserView {
    fn from(user: User) -> Self {
        Self {
            id: user.id.to_string(),
            email_verified: user.email_verified_at.is_some(),
            disabled: !user.is_active(),
            email: user.email,
            name: user.name,
            roles: user.roles,
            created_at: user.created_at.to_string(),
            updated_at: Some(user.updated_at.to_string()),
        }
    }
}

/// A user, as an administrator sees it.
#[derive(Serialize, ToSchema)]
#[schema(as = ManagedUserBody)]
pub(crate) struct ManagedUserView {
    /// The user.
    #[serde(flatten)]
    pub user: UserView,
    /// What the application keeps of the user.
    #[schema(value_type = Object, required = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Metadata>,
}

impl From<User> for ManagedUserView {
    fn from(mut user: User) -> Self {
        let metadata = std::mem::take(&mut user.metadata);
        Self { user: user.into(), metadata: Some(metadata) }
    }
}

impl ManagedUserView {
    /// The form of `user` at the command line, without metadata where there is none.
    pub(crate) fn printed(user: User) -> Self {
        let view = Self::from(user);
        Self { metadata: view.metadata.filter(|metadata| !metadata.is_empty()), ..view }
    }

    /// The form of `user` as one of a list at the command line.
    pub(crate) fn listed(user: User) -> Self {
        let mut view = Self::printed(user);
        view.user.updated_at = None;
        view
    }

    pub(crate) const COLUMNS: [&str; 6] = ["email", "name", "roles", "state", "created", "id"];

    pub(crate) fn row(self) -> [String; 6] {
        let state = self.state();
        let UserView { id, email, name, roles, created_at, .. } = self.user;
        [email, cell(name), words(&roles), state, created_at, id]
    }

    pub(crate) fn fields(self) -> [(&'static str, String); 9] {
        let state = self.state();
        let Self { user, metadata } = self;
        [
            ("id", user.id),
            ("email", user.email),
            ("email_verified", user.email_verified.to_string()),
            ("name", cell(user.name)),
            ("roles", words(&user.roles)),
            ("state", state),
            ("created", user.created_at),
            ("updated", cell(user.updated_at)),
            ("metadata", serde_json::Value::Object(metadata.unwrap_or_default()).to_string()),
        ]
    }

    fn state(&self) -> String {
        if self.user.disabled { "disabled" } else { "active" }.into()
    }
}

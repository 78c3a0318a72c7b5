//! A role as it is shown to administrators.

use serde::Serialize;
use utoipa::ToSchema;

use super::cell::cell;
use crate::domain::roles::Role;

/// A role.
#[derive(Serialize, ToSchema)]
#[schema(as = RoleBody, example = json!({
    "name": "clerk",
    "scope": "orders:read orders:write",
    "description": "Takes orders",
    "built_in": false,
    "created_at": "2026-01-31T09:30:00Z",
    "updated_at": "2026-01-31T09:30:00Z",
}))]
pub(crate) struct RoleView {
    /// The name of the role, as users carry it.
    pub name: String,
    /// The scope words that it carries, separated by spaces.
    pub scope: String,
    /// What the role is for.
    pub description: Option<String>,
    /// Whether the role is part of Signet: it cannot be removed and keeps its scope.
    pub built_in: bool,
    /// When the role was defined, in RFC 3339.
    pub created_at: String,
    /// When the role was last changed, in RFC 3339.
    pub updated_at: String,
}

impl From<&Role> for RoleView {
    fn from(role: &Role) -> Self {
        Self {
            name: role.name.clone(),
            scope: role.scope.to_string(),
            description: role.description.clone(),
            built_in: role.is_built_in(),
            created_at: role.created_at.to_string(),
            updated_at: role.updated_at.to_string(),
        }
    }
}

impl RoleView {
    pub(crate) const COLUMNS: [&str; 3] = ["role", "scope", "description"];

    pub(crate) fn row(&self) -> [String; 3] {
        let scope = Some(&self.scope).filter(|scope| !scope.is_empty());
        [self.name.clone(), cell(scope), cell(self.description.as_ref())]
    }
}

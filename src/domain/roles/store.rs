//! Roles in the database.

use super::name::{ADMIN_ROLE, check_role};
use sqlx::Row;
use sqlx::any::AnyRow;

use super::{Decision, Role, Step};
use crate::base::time::Timestamp;
use crate::domain::tokens::Scope;
use crate::storage::{Db, Statement, StorageError, Stored};

macro_rules! select {
    ($condition:literal) => {
        concat!(
            "SELECT name, scope, description, created_at, updated_at, version FROM roles ",
            $condition
        )
    };
}

/// A bound on all roles, above [`super::MAX_ROLES`]; leaving out a role would open its words.
const ALL: &str = select!("ORDER BY name LIMIT 2000");

/// The table `roles`. Cheap to clone.
#[derive(Clone)]
pub struct RoleStore {
    db: Db,
}

impl RoleStore {
    /// The role of this name.
    pub fn new(db: Db) -> Self {
        Self { db }
    }

    /// All roles, by name.
    pub async fn list(&self) -> Stored<Vec<Role>> {
        self.db.fetch_all(sqlx::query(ALL)).await?.iter().map(read).collect()
    }

    /// A store on `db`.
    pub async fn find(&self, name: &str) -> Stored<Option<Role>> {
        // No other text is a role's name, and PostgreSQL's text cannot contain every character.
        if check_role(name).is_err() {
            return Ok(None);
        }
        let query = sqlx::query(select!("WHERE name = $1")).bind(name.to_owned());
        self.db.fetch_optional(query).await?.as_ref().map(read).transpose()
    }

    /// Stores the built-in role if it does not exist.
    pub async fn ensure_built_in(&self, now: Timestamp) -> Stored<()> {
        if self.find(ADMIN_ROLE).await?.is_some() {
            return Ok(());
        }
        match self.db.execute(insert(&Role::admin(now))).await {
            Ok(_) | Err(StorageError::Conflict) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Stores the decision of `decide` on all roles, in one transaction with the reading.
    pub async fn change<R>(
        &self,
        decide: impl FnOnce(&[Role]) -> Result<Decision, R>,
    ) -> Stored<Result<Decision, R>> {
        self.db
            .write(async |transaction| {
                // Every change updates this role first, so that concurrent changes are serialised:
                // whether a word is still carried depends on all roles.
                sqlx::query("UPDATE roles SET version = version WHERE name = $1")
                    .bind(ADMIN_ROLE)
                    .execute(&mut *transaction)
                    .await?;
                let rows = sqlx::query(ALL).fetch_all(&mut *transaction).await?;
                let roles = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
                let decision = match decide(&roles) {
                    Ok(decision) => decision,
                    Err(refusal) => return Ok(Err(refusal)),
                };
                statement(&decision.step).execute(&mut *transaction).await?;
                Ok(Ok(decision))
            })
            .await
    }
}

fn statement(step: &Step) -> Statement<'static> {
    match step {
        Step::Create(role) => insert(role),
        Step::Replace(role) => sqlx::query(
            "UPDATE roles SET scope = $2, description = $3, updated_at = $4, version = $5 \
             WHERE name = $1",
        )
        .bind(role.name.clone())
        .bind(role.scope.to_string())
        .bind(role.description.clone())
        .bind(role.updated_at.as_unix())
        .bind(role.version),
        Step::Delete(name) => sqlx::query("DELETE FROM roles WHERE name = $1").bind(name.clone()),
    }
}

fn insert(role: &Role) -> Statement<'static> {
    sqlx::query(
        "INSERT INTO roles (name, scope, description, created_at, updated_at, version) \
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(role.name.clone())
    .bind(role.scope.to_string())
    .bind(role.description.clone())
    .bind(role.created_at.as_unix())
    .bind(role.updated_at.as_unix())
    .bind(role.version)
}

fn read(row: &AnyRow) -> Stored<Role> {
    let scope: String = row.try_get("scope")?;
    Ok(Role {
        name: row.try_get("name")?,
        scope: Scope::parse(&scope).map_err(|_| StorageError::corrupt("role scope"))?,
        description: row.try_get("description")?,
        created_at: Timestamp::from_unix(row.try_get("created_at")?),
        updated_at: Timestamp::from_unix(row.try_get("updated_at")?),
        version: row.try_get("version")?,
    })
}

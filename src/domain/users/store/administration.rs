//! What administrators do to users: list them, and change or delete one as long as it is as they
//! saw it. Invariant: one active administrator stays, unless the caller forces the change.

use sqlx::{AssertSqlSafe, Row};

use super::{UserStore, metadata_text, read};
use crate::domain::users::{User, email};
use crate::storage::{Statement, StorageError, Stored, statement};

/// The condition of [`User::is_administrator`], in the words of the index `users_administrators`,
/// which finds the few among many.
macro_rules! is_administrator {
    () => {
        "' ' || roles || ' ' LIKE '% admin %' AND disabled_at IS NULL"
    };
}

impl User {
    /// Whether the user may sign in and has the role `admin`.
    pub fn is_administrator(&self) -> bool {
        self.is_active() && self.has_role("admin")
    }
}

/// The filter of a list.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// The beginning of the address, compared without case and composition.
    pub email_prefix: Option<String>,
    /// A role that the users have.
    pub role: Option<String>,
    /// Whether the users are disabled.
    pub disabled: Option<bool>,
}

/// The outcome of a change to a user who was read before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changed {
    /// The change is stored.
    Done,
    /// The user was changed or removed concurrently.
    Stale,
    /// No active administrator would be left.
    LastAdministrator,
}

impl From<u64> for Changed {
    fn from(rows: u64) -> Self {
        if rows > 0 { Self::Done } else { Self::Stale }
    }
}

/// A page of users.
#[derive(Debug)]
pub struct Page {
    /// The users, by address.
    pub users: Vec<User>,
    /// The address after which the next page begins, in its comparison form.
    pub next: Option<String>,
}

/// The number of users with roles that one page searches for a role: if few have it, a page has
/// few, and no page takes longer than allowed.
const MAX_SEARCHED: i64 = 5_000;

impl UserStore {
    /// Up to `limit` users of `filter` whose address sorts after `after`, by address.
    pub async fn page(&self, filter: &Filter, after: &str, limit: u32) -> Stored<Page> {
        let [prefix, other] =
            email::prefix_keys(filter.email_prefix.as_deref().unwrap_or_default());
        let mut bounds = vec![prefix.clone(), end_of(&prefix), after.to_owned()];
        let mut from = "FROM users WHERE email_key >= $1 AND email_key < $2 AND email_key > $3";
        if other != prefix {
            bounds.extend([other.clone(), end_of(&other)]);
            from = "FROM users WHERE ((email_key >= $1 AND email_key < $2) \
                    OR (email_key >= $4 AND email_key < $5)) AND email_key > $3";
        }
        let (limit_at, role_at) = (bounds.len() + 1, bounds.len() + 2);
        // Each combination has a text of its own, so that each uses its index.
        let disabled = match filter.disabled {
            None => "",
            Some(true) => " AND disabled_at IS NOT NULL",
            Some(false) => " AND disabled_at IS NULL",
        };
        let text = match filter.role {
            None => {
                format!("{} {from}{disabled} ORDER BY email_key LIMIT ${limit_at}", columns!())
            }
            Some(_) => format!(
                "{columns} FROM ({columns} {from}{disabled} AND roles <> '' \
                 ORDER BY email_key LIMIT {MAX_SEARCHED}) looked_through \
                 WHERE ' ' || roles || ' ' LIKE ${role_at} ESCAPE '!' \
                 ORDER BY email_key LIMIT ${limit_at}",
                columns = columns!()
            ),
        };
        let mut query = sqlx::query(AssertSqlSafe(text));
        for bound in &bounds {
            query = query.bind(bound.clone());
        }
        // One user more than a page shows whether others follow.
        query = query.bind(i64::from(limit) + 1);
        if let Some(role) = &filter.role {
            query = query.bind(format!("% {} %", role.replace('_', "!_")));
        }
        let rows = self.db.fetch_all(query).await?;
        let users: Result<Vec<_>, _> = rows.iter().take(limit as usize).map(read).collect();
        let users = users?;
        let next = match users.last() {
            Some(last) if rows.len() > users.len() => Some(last.email_key.clone()),
            _ if filter.role.is_some() => self.end_of_look(from, disabled, bounds).await?,
            _ => None,
        };
        Ok(Page { users, next })
    }

    /// The last address that was searched for a role, unless it was the last of all.
    async fn end_of_look(
        &self,
        from: &str,
        disabled: &str,
        bounds: Vec<String>,
    ) -> Stored<Option<String>> {
        let text = format!(
            "SELECT email_key {from}{disabled} AND roles <> '' ORDER BY email_key \
             LIMIT 1 OFFSET {}",
            MAX_SEARCHED - 1
        );
        let mut query = sqlx::query(AssertSqlSafe(text));
        for bound in bounds {
            query = query.bind(bound);
        }
        let row = self.db.fetch_optional(query).await?;
        Ok(row.map(|row| row.try_get("email_key")).transpose()?)
    }

    /// Whether any user but `user` is an active administrator.
    pub async fn has_other_administrator(&self, user: &User) -> Stored<bool> {
        let query = sqlx::query(concat!(
            "SELECT id FROM users WHERE ",
            is_administrator!(),
            " AND id <> $1 LIMIT 1"
        ));
        Ok(self.db.fetch_optional(query.bind(user.id.to_string())).await?.is_some())
    }

    /// Puts `next` in the place of `user`, as long as that is as it was read; where `next` has a
    /// later epoch, the sessions of `user` are dead from then on. The last administrator stays one
    /// unless `force` is set. `Conflict` when the address is taken.
    pub async fn replace(&self, user: &User, next: &User, force: bool) -> Stored<Changed> {
        let loses_one = user.is_administrator() && !next.is_administrator() && !force;
        self.guarded(replacement(user, next), Some(next), loses_one).await
    }

    /// Deletes `user`, as long as that is as it was read. The last administrator stays unless
    /// `force` is set.
    pub async fn delete(&self, user: &User, force: bool) -> Stored<Changed> {
        let text = "DELETE FROM users WHERE id = $1 AND version = $2";
        let deletion = statement(text, &[&user.id, &user.version]);
        self.guarded(deletion, None, user.is_administrator() && !force).await
    }

    /// Runs `change`, after which there is one administrator less if `loses_one`: not where that is
    /// the last one. `next` is the user after it; `Conflict` when another account has its address
    /// in another form.
    async fn guarded(
        &self,
        change: Statement<'static>,
        next: Option<&User>,
        loses_one: bool,
    ) -> Stored<Changed> {
        let next = next.filter(|next| email::stored_keys(&next.email).len() > 1);
        if next.is_none() && !loses_one {
            return Ok(self.db.execute(change).await?.into());
        }
        self.db
            .write(async |transaction| {
                // Locked before they are counted: of the last two who lose the role concurrently,
                // the second waits here, and counts without the first.
                let lock =
                    concat!("UPDATE users SET version = version WHERE ", is_administrator!());
                if loses_one && transaction.execute(sqlx::query(lock)).await? < 2 {
                    return Ok(Changed::LastAdministrator);
                }
                if let Some(next) = next
                    && self.is_taken_in(transaction, next).await?
                {
                    return Err(StorageError::Conflict);
                }
                Ok(transaction.execute(change).await?.into())
            })
            .await
    }
}

fn replacement(user: &User, next: &User) -> Statement<'static> {
    statement(
        "UPDATE users SET email = $3, email_key = $4, name = $5, roles = $6, \
         email_verified_at = $7, disabled_at = $8, metadata = $9, \
         session_epoch = session_epoch + $10, updated_at = $11, version = version + 1 \
         WHERE id = $1 AND version = $2",
        &[
            &user.id,
            &user.version,
            &next.email,
            &next.email_key,
            &next.name,
            &next.roles.join(" "),
            &next.email_verified_at,
            &next.disabled_at,
            &metadata_text(&next.metadata),
            &(next.session_epoch - user.session_epoch),
            &next.updated_at,
        ],
    )
}

/// The least text that sorts after every text that begins with `prefix`, by code points.
fn end_of(prefix: &str) -> String {
    let mut end = prefix.to_owned();
    while let Some(last) = end.pop() {
        // Between the two ranges are the surrogates, which are no characters.
        let next =
            if last == '\u{d7ff}' { Some('\u{e000}') } else { char::from_u32(last as u32 + 1) };
        if let Some(next) = next {
            end.push(next);
            return end;
        }
    }
    after_all()
}

/// Sorts after every address: none is as long, so none can begin with it.
fn after_all() -> String {
    "\u{10ffff}".repeat(64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_where_the_next_begins() {
        let after_all = &*after_all();
        for (prefix, end) in [
            ("ann", "ano"),
            ("a%", "a&"),
            ("z\u{d7ff}", "z\u{e000}"),
            ("a\u{10ffff}", "b"),
            ("\u{10ffff}", after_all),
            ("", after_all),
        ] {
            assert_eq!(end_of(prefix), end, "{prefix:?}");
            for rest in ["", "a", "@example.com", "\u{ffff}", "\u{10ffff}@example.com"] {
                assert!(*format!("{prefix}{rest}") < *end, "{prefix:?} {rest:?}");
            }
        }
    }
}

//! Lookups of users by address. An internationalised domain has several spellings, and accounts of
//! earlier versions keep theirs: so an address is looked up in all of its forms, and a new account
//! cannot have an address that exists in another form. Pairs from earlier versions are left alone.

use std::collections::HashSet;

use sqlx::{AssertSqlSafe, Row};

use super::UserStore;
use crate::base::time::Timestamp;
use crate::domain::users::{User, email};
use crate::storage::{Stored, Transaction, rows_of_values, statement};

impl UserStore {
    /// The user with the address `text`, in any of its forms; of a pair of accounts with one
    /// address, the one with the same form. A compatibility spelling finds only an account with the
    /// same spelling.
    pub async fn find_by_address(&self, text: &str) -> Stored<Option<User>> {
        // PostgreSQL's text cannot contain NUL, and the query would fail.
        if text.contains('\0') {
            return Ok(None);
        }
        let keys = email::stored_keys(text);
        let mut found = match &keys[..] {
            [key] => self.find_by_email_key(key).await?.into_iter().collect(),
            keys => self.find_where("email_key", keys.iter().cloned()).await?,
        };
        let rank = |user: &User| keys.iter().position(|key| *key == user.email_key);
        found.sort_by_key(rank);
        let is_spelled_so = |user: &User| {
            !email::is_compatibility_spelling(text) || email::is_spelled_like(text, &user.email)
        };
        Ok(found.into_iter().next().filter(is_spelled_so))
    }

    /// Whether another account has the address of `user` in another form; the unique index covers
    /// the same form. A user who is already stored in this form is one of a pair, which stays,
    /// unless the address is now spelled like the other one's.
    pub(in crate::domain::users) async fn is_taken_in(
        &self,
        transaction: &mut Transaction<'_>,
        user: &User,
    ) -> Stored<bool> {
        let mut keys = email::stored_keys(&user.email);
        let spelled = keys.first().cloned().unwrap_or_default();
        keys.retain(|key| *key != user.email_key);
        if keys.is_empty() {
            return Ok(false);
        }
        let places: Vec<_> = (4..keys.len() + 4).map(|number| format!("${number}")).collect();
        let text = format!(
            "SELECT id FROM users WHERE id <> $1 AND email_key IN ({}) \
             AND (email_key = $3 OR NOT EXISTS \
             (SELECT 1 FROM users WHERE id = $1 AND email_key = $2)) LIMIT 1",
            places.join(", ")
        );
        let query = statement(AssertSqlSafe(text), &[&user.id, &user.email_key, &spelled]);
        let query = keys.into_iter().fold(query, |query, key| query.bind(key));
        Ok(query.fetch_optional(&mut *transaction).await?.is_some())
    }

    /// Those of `keys`, addresses in every form that they may be stored under, that have an account
    /// or a pending sign-up.
    pub async fn known_email_keys(
        &self,
        keys: &[String],
        now: Timestamp,
    ) -> Stored<HashSet<String>> {
        // PostgreSQL's text cannot contain NUL, and the query would fail.
        let keys: Vec<_> = keys.iter().filter(|key| !key.contains('\0')).collect();
        if keys.is_empty() {
            return Ok(HashSet::new());
        }
        let values = rows_of_values(1, keys.len());
        let query = format!(
            "SELECT email_key FROM users WHERE email_key IN {values} UNION \
             SELECT email_key FROM pending_signups WHERE email_key IN {values} \
             AND expires_at > ${}",
            keys.len() + 1
        );
        let query = sqlx::query(AssertSqlSafe(query));
        let query = keys.into_iter().fold(query, |query, key| query.bind(key.clone()));
        let rows = self.db.fetch_all(query.bind(now.as_unix())).await?;
        rows.iter().map(|row| Ok(row.try_get("email_key")?)).collect()
    }
}

//! Pending sign-ups, and the signup tokens of accounts that were created immediately. Only
//! fingerprints of tokens are stored.

use sqlx::Row;
use sqlx::any::AnyRow;
use uuid::Uuid;

use super::pending::{MAX_PENDING, PendingSignup};
use super::{User, UserStore, email};
use crate::base::secret::{Fingerprint, Secret};
use crate::base::time::Timestamp;
use crate::storage::{StorageError, Stored, Transaction, statement};

impl UserStore {
    /// Stores a sign-up within `transaction`. Removes expired ones, and the oldest of its address
    /// if there are too many.
    pub async fn add_pending_in(
        &self,
        transaction: &mut Transaction<'_>,
        signup: &PendingSignup,
        now: Timestamp,
    ) -> Stored<()> {
        let key = email::key_of(&signup.email);
        let delete = statement(
            "DELETE FROM pending_signups WHERE email_key = $1 AND id NOT IN \
             (SELECT id FROM pending_signups WHERE email_key = $1 AND expires_at > $2 \
             ORDER BY id DESC LIMIT $3)",
            &[&key, &now, &(MAX_PENDING as i64 - 1)],
        );
        transaction.execute(delete).await?;
        let PendingSignup { id, email, name, password_hash, fingerprint, expires_at } = signup;
        let insert = statement(
            "INSERT INTO pending_signups \
             (id, email, email_key, name, password_hash, fingerprint, expires_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
            &[id, email, &key, name, password_hash.expose(), fingerprint, expires_at],
        );
        transaction.execute(insert).await.map(drop)
    }

    /// The sign-ups of an address, given in its comparison form, newest first. The table may have
    /// more rows if several came at the same moment: the oldest are not valid any more.
    pub async fn find_pending(&self, key: &str, now: Timestamp) -> Stored<Vec<PendingSignup>> {
        // PostgreSQL's text cannot contain NUL, and the query would fail.
        if key.contains('\0') {
            return Ok(Vec::new());
        }
        let query = statement(
            "SELECT id, email, name, password_hash, fingerprint, expires_at FROM pending_signups \
             WHERE email_key = $1 AND expires_at > $2 ORDER BY id DESC LIMIT $3",
            &[&key, &now, &(MAX_PENDING as i64)],
        );
        self.db.fetch_all(query).await?.iter().map(read_signup).collect()
    }

    /// Removes the sign-up within `transaction`. Returns `false` when it is gone or has expired.
    pub async fn take_pending_in(
        &self,
        transaction: &mut Transaction<'_>,
        id: Uuid,
        now: Timestamp,
    ) -> Stored<bool> {
        let delete = statement(
            "DELETE FROM pending_signups WHERE id = $1 AND expires_at > $2",
            &[&id, &now],
        );
        Ok(transaction.execute(delete).await? > 0)
    }

    /// Ends every sign-up of an address, given in its comparison form, and every token that was
    /// mailed for one.
    pub async fn end_pending_in(
        &self,
        transaction: &mut Transaction<'_>,
        key: &str,
        now: Timestamp,
    ) -> Stored<()> {
        let delete = statement("DELETE FROM pending_signups WHERE email_key = $1", &[&key]);
        transaction.execute(delete).await?;
        let update = statement(
            "UPDATE pending_tokens SET used_at = $2 WHERE email_key = $1 AND used_at IS NULL",
            &[&key, &now],
        );
        transaction.execute(update).await.map(drop)
    }

    /// Stores the signup token of `user`, who is created within `transaction`.
    pub async fn keep_signup_token_in(
        &self,
        transaction: &mut Transaction<'_>,
        user: &User,
        fingerprint: &Fingerprint,
    ) -> Stored<()> {
        let insert = statement(
            "INSERT INTO signup_tokens (user_id, fingerprint, epoch) VALUES ($1, $2, $3)",
            &[&user.id, fingerprint, &user.session_epoch],
        );
        transaction.execute(insert).await.map(drop)
    }

    /// Whether `fingerprint` is that of the signup token of `user`, and no session epoch has ended
    /// since.
    pub async fn has_signup_token(&self, user: &User, fingerprint: &Fingerprint) -> Stored<bool> {
        let query = statement(
            "SELECT fingerprint FROM signup_tokens WHERE user_id = $1 AND epoch = $2",
            &[&user.id, &user.session_epoch],
        );
        let Some(row) = self.db.fetch_optional(query).await? else { return Ok(false) };
        let kept: String = row.try_get("fingerprint")?;
        Ok(Fingerprint::parse(&kept).is_some_and(|kept| kept == *fingerprint))
    }
}

fn read_signup(row: &AnyRow) -> Stored<PendingSignup> {
    let corrupt = || StorageError::corrupt("pending sign-up");
    let text = |column| -> Stored<String> { Ok(row.try_get(column)?) };
    Ok(PendingSignup {
        id: text("id")?.parse().map_err(|_| corrupt())?,
        email: text("email")?,
        name: row.try_get("name")?,
        password_hash: Secret::new(text("password_hash")?),
        fingerprint: Fingerprint::parse(&text("fingerprint")?).ok_or_else(corrupt)?,
        expires_at: Timestamp::from_unix(row.try_get("expires_at")?),
    })
}

//! Pending sign-ups, the tokens mailed for them, and the signup tokens of accounts that were
//! created immediately. Only fingerprints of tokens are stored.

use sqlx::Row;
use sqlx::any::AnyRow;
use uuid::Uuid;

use super::mailed_token::Purpose;
use super::pending::{MAX_PENDING, PendingSignup, PendingToken};
use super::{User, UserStore, email};
use crate::base::secret::{Fingerprint, Secret};
use crate::base::time::Timestamp;
use crate::storage::{StorageError, Stored, Transaction};

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
        let delete = sqlx::query(
            "DELETE FROM pending_signups WHERE email_key = $1 AND id NOT IN \
             (SELECT id FROM pending_signups WHERE email_key = $1 AND expires_at > $2 \
             ORDER BY id DESC LIMIT $3)",
        )
        .bind(key.clone())
        .bind(now.as_unix())
        .bind(MAX_PENDING as i64 - 1);
        delete.execute(&mut *transaction).await?;
        let insert = sqlx::query(
            "INSERT INTO pending_signups \
             (id, email, email_key, name, password_hash, fingerprint, expires_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(signup.id.to_string())
        .bind(signup.email.clone())
        .bind(key)
        .bind(signup.name.clone())
        .bind(signup.password_hash.expose().clone())
        .bind(signup.fingerprint.to_string())
        .bind(signup.expires_at.as_unix());
        insert.execute(&mut *transaction).await?;
        Ok(())
    }

    /// The sign-ups of an address, given in its comparison form, newest first. The table may have
    /// more rows if several came at the same moment: the oldest are not valid any more.
    pub async fn find_pending(&self, key: &str, now: Timestamp) -> Stored<Vec<PendingSignup>> {
        // PostgreSQL's text cannot contain NUL, and the query would fail.
        if key.contains('\0') {
            return Ok(Vec::new());
        }
        let query = sqlx::query(
            "SELECT id, email, name, password_hash, fingerprint, expires_at FROM pending_signups \
             WHERE email_key = $1 AND expires_at > $2 ORDER BY id DESC LIMIT $3",
        )
        .bind(key.to_owned())
        .bind(now.as_unix())
        .bind(MAX_PENDING as i64);
        self.db.fetch_all(query).await?.iter().map(read_signup).collect()
    }

    /// Removes the sign-up within `transaction`. Returns `false` when it is gone or has expired.
    pub async fn take_pending_in(
        &self,
        transaction: &mut Transaction<'_>,
        id: Uuid,
        now: Timestamp,
    ) -> Stored<bool> {
        let delete = sqlx::query("DELETE FROM pending_signups WHERE id = $1 AND expires_at > $2")
            .bind(id.to_string())
            .bind(now.as_unix());
        Ok(delete.execute(&mut *transaction).await?.rows_affected() > 0)
    }

    /// Ends every sign-up of an address, given in its comparison form, and every token that was
    /// mailed for one.
    pub async fn end_pending_in(
        &self,
        transaction: &mut Transaction<'_>,
        key: &str,
        now: Timestamp,
    ) -> Stored<()> {
        let delete =
            sqlx::query("DELETE FROM pending_signups WHERE email_key = $1").bind(key.to_owned());
        delete.execute(&mut *transaction).await?;
        let update = sqlx::query(
            "UPDATE pending_tokens SET used_at = $2 WHERE email_key = $1 AND used_at IS NULL",
        )
        .bind(key.to_owned())
        .bind(now.as_unix());
        update.execute(&mut *transaction).await?;
        Ok(())
    }

    /// Makes the token of `fingerprint` valid, from now until it expires; again if its message is
    /// sent again. It changes nothing about the sign-ups that it can prove, since those of a taken
    /// address, for which no message is sent, must live as long. Returns `false` when it was used,
    /// or its message is gone.
    pub async fn issue_pending_token(
        &self,
        token: &PendingToken,
        fingerprint: &Fingerprint,
    ) -> Stored<bool> {
        let insert = sqlx::query(
            "INSERT INTO pending_tokens (id, fingerprint, purpose, signup_id, email, \
             email_key, expires_at, used_at) \
             SELECT $1, $2, $3, CAST($4 AS TEXT), $5, $6, $7, NULL \
             WHERE EXISTS (SELECT 1 FROM mail_outbox WHERE id = $1) \
             ON CONFLICT (id) DO UPDATE SET expires_at = $7 \
             WHERE pending_tokens.used_at IS NULL",
        )
        .bind(token.id.to_string())
        .bind(fingerprint.to_string())
        .bind(token.purpose.as_str())
        .bind(token.signup_id.map(|id| id.to_string()))
        .bind(token.email.clone())
        .bind(email::key_of(&token.email))
        .bind(token.expires_at.as_unix());
        Ok(self.db.execute(insert).await? > 0)
    }

    /// The token with this fingerprint, if it is valid now.
    pub async fn find_pending_token(
        &self,
        fingerprint: &Fingerprint,
        now: Timestamp,
    ) -> Stored<Option<PendingToken>> {
        let query = sqlx::query(
            "SELECT id, purpose, signup_id, email, expires_at FROM pending_tokens \
             WHERE fingerprint = $1 AND used_at IS NULL AND expires_at > $2",
        )
        .bind(fingerprint.to_string())
        .bind(now.as_unix());
        self.db.fetch_optional(query).await?.as_ref().map(read_token).transpose()
    }

    /// Uses `token` up. Returns `false` when another request was faster, or it has expired.
    pub async fn redeem_pending_in(
        &self,
        transaction: &mut Transaction<'_>,
        token: &PendingToken,
        now: Timestamp,
    ) -> Stored<bool> {
        let update = sqlx::query(
            "UPDATE pending_tokens SET used_at = $2 \
             WHERE id = $1 AND used_at IS NULL AND expires_at > $2",
        )
        .bind(token.id.to_string())
        .bind(now.as_unix());
        Ok(update.execute(&mut *transaction).await?.rows_affected() > 0)
    }

    /// Deletes sign-ups that have expired by `now`, and tokens that expired before `then`.
    pub async fn purge_pending(&self, now: Timestamp, then: Timestamp) -> Stored<()> {
        let delete = sqlx::query("DELETE FROM pending_signups WHERE expires_at <= $1");
        self.db.execute(delete.bind(now.as_unix())).await?;
        let delete = sqlx::query("DELETE FROM pending_tokens WHERE expires_at <= $1");
        self.db.execute(delete.bind(then.as_unix())).await.map(drop)
    }

    /// Stores the signup token of `user`, who is created within `transaction`.
    pub async fn keep_signup_token_in(
        &self,
        transaction: &mut Transaction<'_>,
        user: &User,
        fingerprint: &Fingerprint,
    ) -> Stored<()> {
        let insert = sqlx::query(
            "INSERT INTO signup_tokens (user_id, fingerprint, epoch) VALUES ($1, $2, $3)",
        )
        .bind(user.id.to_string())
        .bind(fingerprint.to_string())
        .bind(user.session_epoch);
        insert.execute(&mut *transaction).await?;
        Ok(())
    }

    /// Whether `fingerprint` is that of the signup token of `user`, and no session epoch has ended
    /// since.
    pub async fn has_signup_token(&self, user: &User, fingerprint: &Fingerprint) -> Stored<bool> {
        let query =
            sqlx::query("SELECT fingerprint FROM signup_tokens WHERE user_id = $1 AND epoch = $2")
                .bind(user.id.to_string())
                .bind(user.session_epoch);
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

fn read_token(row: &AnyRow) -> Stored<PendingToken> {
    let corrupt = || StorageError::corrupt("token of a pending sign-up");
    let text = |column| -> Stored<String> { Ok(row.try_get(column)?) };
    let signup_id: Option<String> = row.try_get("signup_id")?;
    Ok(PendingToken {
        id: text("id")?.parse().map_err(|_| corrupt())?,
        purpose: Purpose::parse(&text("purpose")?).ok_or_else(corrupt)?,
        signup_id: signup_id.map(|id| id.parse()).transpose().map_err(|_| corrupt())?,
        email: text("email")?,
        expires_at: Timestamp::from_unix(row.try_get("expires_at")?),
    })
}

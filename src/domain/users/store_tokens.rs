//! Mailed tokens in the database, by fingerprint, and the changes to users that redeem one. Each
//! change is guarded by the state that the token was issued for: the address, and the session
//! epoch. A used token stays for some time, so that sending its message again does not make it
//! valid again.

use sqlx::Row;
use sqlx::any::AnyRow;
use uuid::Uuid;

use super::mailed_token::{MailedToken, Purpose};
use super::{User, UserStore, email};
use crate::base::secret::{Fingerprint, Secret};
use crate::base::time::Timestamp;
use crate::storage::{StorageError, Stored, Transaction};

/// What a mailed token does to its user; each records the token's address as proven.
#[derive(Clone, Copy)]
pub enum Redemption<'a> {
    /// Nothing else.
    Verify,
    /// Gives the account, whose address was not proven, to whoever proved it: this password hash, no
    /// display name, all sessions end. Not where sessions were ended since the user was read.
    TakeOver(&'a Secret<String>),
    /// Gives the user the address. Not where sessions were ended since the token was requested.
    Move,
    /// Sets this password hash and ends all sessions. If the address was not proven before, removes the
    /// display name, which a stranger may have chosen. Not where sessions were ended since the token was
    /// requested.
    Reset(&'a Secret<String>),
}

/// A change to the user of $1 at $2 who has the address $3.
macro_rules! update {
    ($set:literal, $guard:literal) => {
        concat!(
            "UPDATE users SET ",
            $set,
            ", updated_at = $2, version = version + 1 \
             WHERE id = $1 AND email_key = $3 AND disabled_at IS NULL",
            $guard
        )
    };
}

impl UserStore {
    /// Makes the token of `fingerprint` valid, from now until it expires; again if its message is
    /// sent again. Returns `false` when it was used already, or its message was withdrawn.
    pub async fn issue_token(
        &self,
        token: &MailedToken,
        fingerprint: &Fingerprint,
    ) -> Stored<bool> {
        let insert = sqlx::query(
            "INSERT INTO mailed_tokens \
             (id, fingerprint, purpose, user_id, email, epoch, expires_at, used_at) \
             SELECT $1, $2, $3, $4, $5, $6, $7, NULL \
             WHERE EXISTS (SELECT 1 FROM mail_outbox WHERE id = $1) \
             ON CONFLICT (id) DO UPDATE SET expires_at = $7 WHERE mailed_tokens.used_at IS NULL",
        )
        .bind(token.id.to_string())
        .bind(fingerprint.to_string())
        .bind(token.purpose.as_str())
        .bind(token.user_id.to_string())
        .bind(token.email.clone())
        .bind(token.epoch)
        .bind(token.expires_at.as_unix());
        Ok(self.db.execute(insert).await? > 0)
    }

    /// The token with this fingerprint, if it is valid now.
    pub async fn find_token(
        &self,
        fingerprint: &Fingerprint,
        now: Timestamp,
    ) -> Stored<Option<MailedToken>> {
        let query = sqlx::query(
            "SELECT id, purpose, user_id, email, epoch, expires_at FROM mailed_tokens \
             WHERE fingerprint = $1 AND used_at IS NULL AND expires_at > $2",
        )
        .bind(fingerprint.to_string())
        .bind(now.as_unix());
        self.db.fetch_optional(query).await?.as_ref().map(read).transpose()
    }

    /// Uses `token` up. Returns `false` when another request was faster, or it has expired.
    pub async fn redeem_in(
        &self,
        transaction: &mut Transaction<'_>,
        token: &MailedToken,
        now: Timestamp,
    ) -> Stored<bool> {
        let update = sqlx::query(
            "UPDATE mailed_tokens SET used_at = $2 \
             WHERE id = $1 AND used_at IS NULL AND expires_at > $2",
        )
        .bind(token.id.to_string())
        .bind(now.as_unix());
        Ok(update.execute(&mut *transaction).await?.rows_affected() > 0)
    }

    /// Ends the tokens of the user that are for `purpose`, or all, and in either case the signup token.
    pub async fn end_tokens_in(
        &self,
        transaction: &mut Transaction<'_>,
        user_id: Uuid,
        purpose: Option<Purpose>,
        now: Timestamp,
    ) -> Stored<()> {
        let update = sqlx::query(
            "UPDATE mailed_tokens SET used_at = $2 WHERE user_id = $1 AND used_at IS NULL \
             AND (CAST($3 AS TEXT) IS NULL OR purpose = CAST($3 AS TEXT))",
        )
        .bind(user_id.to_string())
        .bind(now.as_unix())
        .bind(purpose.map(Purpose::as_str));
        update.execute(&mut *transaction).await?;
        let delete =
            sqlx::query("DELETE FROM signup_tokens WHERE user_id = $1").bind(user_id.to_string());
        delete.execute(&mut *transaction).await?;
        Ok(())
    }

    /// Ends the tokens that would give the user another address than `new`.
    pub async fn end_other_changes_in(
        &self,
        transaction: &mut Transaction<'_>,
        user_id: Uuid,
        new: &str,
        now: Timestamp,
    ) -> Stored<()> {
        let update = sqlx::query(
            "UPDATE mailed_tokens SET used_at = $4 \
             WHERE user_id = $1 AND purpose = $2 AND email <> $3 AND used_at IS NULL",
        )
        .bind(user_id.to_string())
        .bind(Purpose::ChangeEmail.as_str())
        .bind(new.to_owned())
        .bind(now.as_unix());
        update.execute(&mut *transaction).await?;
        Ok(())
    }

    /// Changes `user` as `redemption` says. Returns `false` when the user has another address by now, is
    /// disabled or gone, or what the redemption asks for does not hold; `Conflict` when the new address
    /// is taken, in any form.
    pub async fn apply_in(
        &self,
        transaction: &mut Transaction<'_>,
        token: &MailedToken,
        user: &User,
        redemption: Redemption<'_>,
        now: Timestamp,
    ) -> Stored<bool> {
        let bound = |text: &'static str| {
            let update = sqlx::query(text).bind(user.id.to_string()).bind(now.as_unix());
            update.bind(user.email_key.clone())
        };
        let update = match redemption {
            Redemption::Verify => {
                bound(update!("email_verified_at = COALESCE(email_verified_at, $2)", ""))
            }
            Redemption::TakeOver(hash) => bound(update!(
                "password_hash = $5, name = NULL, email_verified_at = $2, \
                 session_epoch = session_epoch + 1",
                " AND session_epoch = $4 AND email_verified_at IS NULL"
            ))
            .bind(user.session_epoch)
            .bind(hash.expose().clone()),
            Redemption::Reset(hash) => bound(update!(
                "password_hash = $5, session_epoch = session_epoch + 1, \
                 name = CASE WHEN email_verified_at IS NULL THEN NULL ELSE name END, \
                 email_verified_at = COALESCE(email_verified_at, $2)",
                " AND session_epoch = $4"
            ))
            .bind(token.epoch.unwrap_or(-1))
            .bind(hash.expose().clone()),
            Redemption::Move => {
                // Another spelling of the address keeps its stored form.
                let key = email::key_of(&token.email);
                let is_same = key == email::key_of(&user.email);
                let email_key = if is_same { user.email_key.clone() } else { key };
                let next = User { email: token.email.clone(), email_key, ..user.clone() };
                if self.is_taken_in(transaction, &next).await? {
                    return Err(StorageError::Conflict);
                }
                bound(update!(
                    "email = $5, email_key = $6, email_verified_at = $2",
                    " AND session_epoch = $4"
                ))
                .bind(token.epoch.unwrap_or(-1))
                .bind(next.email)
                .bind(next.email_key)
            }
        };
        Ok(update.execute(&mut *transaction).await?.rows_affected() > 0)
    }

    /// Deletes tokens that expired before `then`.
    pub async fn purge_tokens(&self, then: Timestamp) -> Stored<()> {
        let delete =
            sqlx::query("DELETE FROM mailed_tokens WHERE expires_at <= $1").bind(then.as_unix());
        self.db.execute(delete).await.map(drop)
    }
}

fn read(row: &AnyRow) -> Stored<MailedToken> {
    let corrupt = || StorageError::corrupt("mailed token");
    let text = |column| -> Stored<String> { Ok(row.try_get(column)?) };
    Ok(MailedToken {
        id: text("id")?.parse().map_err(|_| corrupt())?,
        purpose: Purpose::parse(&text("purpose")?).ok_or_else(corrupt)?,
        user_id: text("user_id")?.parse().map_err(|_| corrupt())?,
        email: text("email")?,
        epoch: row.try_get("epoch")?,
        expires_at: Timestamp::from_unix(row.try_get("expires_at")?),
    })
}

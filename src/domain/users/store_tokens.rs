//! Mailed tokens in the database, by fingerprint, and the changes to users that redeem one. Each
//! change is guarded by the state that the token was issued for: the address, and the session
//! epoch. A used token stays for some time, so that sending its message again does not make it
//! valid again.

use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row};
use uuid::Uuid;

use super::mailed_token::{MailedToken, Purpose, TokenOwner};
use super::{User, UserStore, email};
use crate::base::secret::{Fingerprint, Secret};
use crate::base::time::Timestamp;
use crate::storage::{StorageError, Stored, Transaction, Value, statement};

/// What a mailed token does to its user; each records the token's address as proven.
#[derive(Clone, Copy)]
pub enum Redemption<'a> {
    /// Nothing else.
    Verify,
    /// Gives the account, whose address was not proven, to the caller who proved it: this password hash,
    /// no display name, all sessions end. Not where sessions were ended since the user was read.
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
    /// sent again. It changes nothing about the sign-ups that it can prove, since those of a taken
    /// address, for which no message is sent, must live as long. Returns `false` when it was used
    /// already, or its message is gone.
    pub async fn issue_token(
        &self,
        token: &MailedToken,
        fingerprint: &Fingerprint,
    ) -> Stored<bool> {
        let key = email::key_of(&token.email);
        let (columns, owner, other): (_, _, &dyn Value) = match token.owner {
            TokenOwner::User(id) => ("user_id, epoch", Some(id), &token.epoch),
            TokenOwner::SignUp(id) => ("signup_id, email_key", id, &key),
        };
        let MailedToken { id, purpose, email, expires_at, .. } = token;
        let (purpose, table) = (purpose.as_str(), token.owner.table());
        let insert = format!(
            "INSERT INTO {table} (id, fingerprint, purpose, email, expires_at, used_at, {columns}) \
             SELECT $1, $2, $3, $4, $5, NULL, CAST($6 AS TEXT), $7 \
             WHERE EXISTS (SELECT 1 FROM mail_outbox WHERE id = $1) \
             ON CONFLICT (id) DO UPDATE SET expires_at = $5 WHERE {table}.used_at IS NULL"
        );
        let values: [&dyn Value; 7] = [id, fingerprint, &purpose, email, expires_at, &owner, other];
        Ok(self.db.execute(statement(AssertSqlSafe(insert), &values)).await? > 0)
    }

    /// The token with this fingerprint, if it is valid now.
    pub async fn find_token(
        &self,
        fingerprint: &Fingerprint,
        now: Timestamp,
    ) -> Stored<Option<MailedToken>> {
        for text in [
            "SELECT id, purpose, user_id, email, epoch, expires_at FROM mailed_tokens \
             WHERE fingerprint = $1 AND used_at IS NULL AND expires_at > $2",
            "SELECT id, purpose, signup_id, email, expires_at FROM pending_tokens \
             WHERE fingerprint = $1 AND used_at IS NULL AND expires_at > $2",
        ] {
            let query = statement(text, &[fingerprint, &now]);
            if let Some(row) = self.db.fetch_optional(query).await? {
                return read(&row).map(Some);
            }
        }
        Ok(None)
    }

    /// Uses `token` up. Returns `false` when another request was faster, or it has expired.
    pub async fn redeem_in(
        &self,
        transaction: &mut Transaction<'_>,
        token: &MailedToken,
        now: Timestamp,
    ) -> Stored<bool> {
        let update = format!(
            "UPDATE {} SET used_at = $2 WHERE id = $1 AND used_at IS NULL AND expires_at > $2",
            token.owner.table()
        );
        let update = statement(AssertSqlSafe(update), &[&token.id, &now]);
        Ok(transaction.execute(update).await? > 0)
    }

    /// Ends the tokens of the user that are for `purpose`, or all, and in either case the signup token.
    pub async fn end_tokens_in(
        &self,
        transaction: &mut Transaction<'_>,
        user_id: Uuid,
        purpose: Option<Purpose>,
        now: Timestamp,
    ) -> Stored<()> {
        let update = statement(
            "UPDATE mailed_tokens SET used_at = $2 WHERE user_id = $1 AND used_at IS NULL \
             AND (CAST($3 AS TEXT) IS NULL OR purpose = CAST($3 AS TEXT))",
            &[&user_id, &now, &purpose.map(Purpose::as_str)],
        );
        transaction.execute(update).await?;
        let delete = statement("DELETE FROM signup_tokens WHERE user_id = $1", &[&user_id]);
        transaction.execute(delete).await.map(drop)
    }

    /// Ends the tokens that would give the user another address than `new`.
    pub async fn end_other_changes_in(
        &self,
        transaction: &mut Transaction<'_>,
        user_id: Uuid,
        new: &str,
        now: Timestamp,
    ) -> Stored<()> {
        let update = statement(
            "UPDATE mailed_tokens SET used_at = $4 \
             WHERE user_id = $1 AND purpose = $2 AND email <> $3 AND used_at IS NULL",
            &[&user_id, &Purpose::ChangeEmail.as_str(), &new, &now],
        );
        transaction.execute(update).await.map(drop)
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
        let User { id, email_key, session_epoch, .. } = user;
        let epoch = token.epoch.unwrap_or(-1);
        let update = match redemption {
            Redemption::Verify => statement(
                update!("email_verified_at = COALESCE(email_verified_at, $2)", ""),
                &[id, &now, email_key],
            ),
            Redemption::TakeOver(hash) => statement(
                update!(
                    "password_hash = $5, name = NULL, email_verified_at = $2, \
                     session_epoch = session_epoch + 1",
                    " AND session_epoch = $4 AND email_verified_at IS NULL"
                ),
                &[id, &now, email_key, session_epoch, hash.expose()],
            ),
            Redemption::Reset(hash) => statement(
                update!(
                    "password_hash = $5, session_epoch = session_epoch + 1, \
                     name = CASE WHEN email_verified_at IS NULL THEN NULL ELSE name END, \
                     email_verified_at = COALESCE(email_verified_at, $2)",
                    " AND session_epoch = $4"
                ),
                &[id, &now, email_key, &epoch, hash.expose()],
            ),
            Redemption::Move => {
                // Another spelling of the address keeps its stored form.
                let key = email::key_of(&token.email);
                let is_same = key == email::key_of(&user.email);
                let new_key = if is_same { email_key.clone() } else { key };
                let next = User { email: token.email.clone(), email_key: new_key, ..user.clone() };
                if self.is_taken_in(transaction, &next).await? {
                    return Err(StorageError::Conflict);
                }
                statement(
                    update!(
                        "email = $5, email_key = $6, email_verified_at = $2",
                        " AND session_epoch = $4"
                    ),
                    &[id, &now, email_key, &epoch, &next.email, &next.email_key],
                )
            }
        };
        Ok(transaction.execute(update).await? > 0)
    }

    /// Deletes sign-ups that have expired by `now`, and tokens that expired before `then`.
    pub async fn purge_tokens(&self, now: Timestamp, then: Timestamp) -> Stored<()> {
        for (text, time) in [
            ("DELETE FROM pending_signups WHERE expires_at <= $1", now),
            ("DELETE FROM pending_tokens WHERE expires_at <= $1", then),
            ("DELETE FROM mailed_tokens WHERE expires_at <= $1", then),
        ] {
            self.db.execute(statement(text, &[&time])).await?;
        }
        Ok(())
    }
}

impl TokenOwner {
    fn table(self) -> &'static str {
        match self {
            Self::User(_) => "mailed_tokens",
            Self::SignUp(_) => "pending_tokens",
        }
    }
}

fn read(row: &AnyRow) -> Stored<MailedToken> {
    let corrupt = || StorageError::corrupt("mailed token");
    let text = |column| -> Stored<String> { Ok(row.try_get(column)?) };
    let id = |text: String| text.parse().map_err(|_| corrupt());
    let (owner, epoch) = match row.try_get::<Option<String>, _>("signup_id") {
        Ok(signup) => (TokenOwner::SignUp(signup.map(id).transpose()?), None),
        Err(_) => (TokenOwner::User(id(text("user_id")?)?), row.try_get("epoch")?),
    };
    Ok(MailedToken {
        id: id(text("id")?)?,
        purpose: Purpose::parse(&text("purpose")?).ok_or_else(corrupt)?,
        owner,
        email: text("email")?,
        epoch,
        expires_at: Timestamp::from_unix(row.try_get("expires_at")?),
    })
}

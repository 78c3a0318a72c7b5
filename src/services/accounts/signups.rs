//! Sign-up by any caller, with an address that nothing shows to be the caller's. Where it has to be
//! proven, the sign-up is a pending record and no account; otherwise the account is made
//! immediately, and its address counts as unproven. Either way the caller gets a signup token,
//! which later shows that who reads the address's mail is who chose the password.

use super::{Accounts, NewAccount};
use crate::base::secret::{Fingerprint, Secret};
use crate::base::time::Timestamp;
use crate::domain::audit::{Initiator, Kind, Origin};
use crate::domain::mail::{self, Entry};
use crate::domain::users::{Email, PendingSignup, PendingToken, User, email};
use crate::storage::StorageError;

/// A checked request for an account whose address has to be proven first.
pub struct NewSignup {
    /// The login name.
    pub email: Email,
    /// The display name.
    pub name: Option<String>,
    /// A PHC string.
    pub password_hash: Secret<String>,
    /// The fingerprint of the signup token.
    pub fingerprint: Fingerprint,
    /// When it is forgotten: when the first token that is mailed for it has expired at the latest.
    pub expires_at: Timestamp,
}

impl Accounts {
    /// Makes an account immediately, and keeps the fingerprint of its signup token; `Conflict` when
    /// the address is taken.
    pub async fn create_by_signup(
        &self,
        new: NewAccount,
        fingerprint: &Fingerprint,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<User, StorageError> {
        let user = self.new_user(new, now);
        self.db
            .write(async |transaction| {
                if !self.users.create_unless_taken_in(transaction, &user).await? {
                    return Err(StorageError::Conflict);
                }
                self.users.keep_signup_token_in(transaction, &user, fingerprint).await
            })
            .await?;
        let by = &Initiator::anonymous(origin.clone());
        self.record(Kind::UserCreated, user.id, by, now).await;
        Ok(user)
    }

    /// Keeps a sign-up until its address is proven, and asks for the mail that proves it. Where the
    /// address is taken the same is done, time included: only the mail differs.
    pub async fn sign_up(&self, new: NewSignup, now: Timestamp) -> Result<(), StorageError> {
        let signup = PendingSignup {
            id: self.random.uuid_at(now),
            email: new.email.address().to_owned(),
            name: new.name,
            password_hash: new.password_hash,
            fingerprint: new.fingerprint,
            expires_at: new.expires_at,
        };
        let entry = Entry {
            user_id: Some(signup.id),
            ..self.entry(mail::Kind::SignUp, &signup.email, now)
        };
        self.db
            .write(async |transaction| {
                self.users.add_pending_in(transaction, &signup, now).await?;
                self.outbox.ask_in(transaction, &entry, now).await
            })
            .await?;
        self.outbox.wake();
        Ok(())
    }

    /// Makes the account of a sign-up: `user`, whose address `token` proves. Every other sign-up of
    /// the address ends. `signup` is the record that must still stand, where one is needed. `false`,
    /// with nothing changed, when it or the token is gone, or the address is taken by now.
    pub(super) async fn complete_signup(
        &self,
        token: &PendingToken,
        signup: Option<&PendingSignup>,
        user: &User,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<bool, StorageError> {
        let key = email::key_of(&user.email);
        let made = self
            .db
            .write(async |transaction| {
                // First, so that of two concurrent proofs the second waits here and changes
                // nothing.
                if !self.users.create_unless_taken_in(transaction, user).await? {
                    return Ok(false);
                }
                let stands = match signup {
                    Some(signup) => self.users.take_pending_in(transaction, signup.id, now).await?,
                    None => true,
                };
                if !stands || !self.users.redeem_pending_in(transaction, token, now).await? {
                    return Err(StorageError::Conflict);
                }
                self.users.end_pending_in(transaction, &key, now).await?;
                Ok(true)
            })
            .await;
        match made {
            Ok(true) => {}
            // Rolled back.
            Ok(false) | Err(StorageError::Conflict) => return Ok(false),
            Err(error) => return Err(error),
        }
        for kind in [Kind::UserCreated, Kind::EmailVerified] {
            let by = &Initiator::user(user.id, origin.clone());
            self.record(kind, user.id, by, now).await;
        }
        Ok(true)
    }
}

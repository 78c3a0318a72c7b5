//! Sign-up by any caller, with an address that nothing shows to be the caller's. Where it has to be
//! proven, the sign-up is a pending record and no account; otherwise the account is made
//! immediately, and its address counts as unproven. Either way the caller gets a signup token,
//! which later shows that who reads the address's mail is who chose the password.

use super::administration::forget_failures;
use super::{Accounts, NewAccount};
use crate::base::secret::{Fingerprint, Secret};
use crate::base::time::Timestamp;
use crate::domain::audit::{Initiator, Kind, Origin};
use crate::domain::login_limits::LoginLimits;
use crate::domain::outbox::{self, Entry};
use crate::domain::users::{Email, PendingSignup, PendingToken, User, email};
use crate::storage::StorageError;

impl Accounts {
    /// Makes an account immediately, and keeps the fingerprint of its signup token; `Conflict` when
    /// the address is taken.
    pub(super) async fn create_by_signup(
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

    /// Keeps a sign-up, with the fingerprint of its signup token, until its address is proven or it
    /// expires, and asks for the mail that proves it. Where the address is taken the same is done, time
    /// included: only the mail differs.
    pub(super) async fn keep_signup(
        &self,
        new: NewAccount,
        fingerprint: Fingerprint,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<(), StorageError> {
        let signup = PendingSignup {
            id: self.random.uuid_at(now),
            email: new.email.address().to_owned(),
            name: new.name,
            password_hash: new.password_hash,
            fingerprint,
            expires_at,
        };
        let entry = Entry {
            user_id: Some(signup.id),
            ..self.entry(outbox::Kind::SignUp, &signup.email, now)
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

    /// Makes the account of the reader of the mail to the address of `token`, with a password of
    /// their own and nothing of any sign-up; forgets the wrong passwords.
    pub(super) async fn sign_up_anew(
        &self,
        token: &PendingToken,
        hash: &Secret<String>,
        attempts: &LoginLimits,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<bool, StorageError> {
        let made = self.complete_signup(token, None, hash, origin, now).await?;
        if let Some(user) = &made {
            forget_failures(attempts, user, now).await;
        }
        Ok(made.is_some())
    }

    /// Makes the account whose address `token` proves, with this password hash and the name of `signup`,
    /// which must still stand where it is given. Every other sign-up of the address ends. `None`, with
    /// nothing changed, when the sign-up or the token is gone, the address is taken by now, or is none by
    /// the rules of today.
    pub(super) async fn complete_signup(
        &self,
        token: &PendingToken,
        signup: Option<&PendingSignup>,
        hash: &Secret<String>,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<Option<User>, StorageError> {
        let email = signup.map_or(&token.email, |signup| &signup.email);
        let Ok(email) = Email::parse(email) else { return Ok(None) };
        let name = signup.and_then(|signup| signup.name.clone());
        let new = NewAccount::new(email, name, hash.clone());
        let user = self.new_user(NewAccount { email_verified: true, ..new }, now);
        let made = self.db.write(async |transaction| {
            // First, so that of two concurrent proofs the second waits here and changes nothing.
            if !self.users.create_unless_taken_in(transaction, &user).await? {
                return Ok(false);
            }
            let stands = match signup {
                Some(signup) => self.users.take_pending_in(transaction, signup.id, now).await?,
                None => true,
            };
            if !stands || !self.users.redeem_pending_in(transaction, token, now).await? {
                return Err(StorageError::Conflict);
            }
            self.users.end_pending_in(transaction, &email::key_of(&user.email), now).await?;
            Ok(true)
        });
        match made.await {
            Ok(true) => {}
            // Rolled back.
            Ok(false) | Err(StorageError::Conflict) => return Ok(None),
            Err(error) => return Err(error),
        }
        let by = &Initiator::user(user.id, origin.clone());
        for kind in [Kind::UserCreated, Kind::EmailVerified] {
            self.record(kind, user.id, by, now).await;
        }
        Ok(Some(user))
    }
}

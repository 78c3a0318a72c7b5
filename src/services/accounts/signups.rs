//! Sign-up by any caller, with an address that nothing shows to be the caller's. Where it has to be
//! proven, the sign-up is a pending record and no account; otherwise the account is made
//! immediately, and its address counts as unproven. Either way the caller gets a signup token,
//! which later shows that who reads the address's mail is who chose the password.

use super::{Accounts, SelfService, forget_failures};
use crate::base::secret::{Fingerprint, Secret};
use crate::domain::audit::{Initiator, Kind};
use crate::domain::credentials::Password;
use crate::domain::login_limits::LoginLimits;
use crate::domain::outbox::{self, Entry};
use crate::domain::users::{Email, MailedToken, PendingSignup, User, email};
use crate::services::authentication::{CheckError, address_of};
use crate::storage::{StorageError, Stored};

impl SelfService {
    /// Counts a sign-up and hashes its password. `Conflict` when the address is taken, unless it has
    /// to be proven, since the answer does not show that then.
    pub(crate) async fn prepare_sign_up(
        &self,
        email: Email,
        password: Password,
        name: Option<String>,
        by: &Initiator,
    ) -> Result<User, CheckError> {
        let (sign_ups, kind) = (&self.limits.sign_ups, Kind::SignUpLimited);
        // A flood of sign-ups must not reach the store, for which logins would wait. The limits in
        // memory refuse one from few networks; one from many networks finds no place for hashing.
        let known = address_of(by).and_then(|from| sign_ups.check_by_network(from, by.at));
        self.admitted(known, kind, by).await?;
        let place = self.authentication.hashing.reserve_anonymous()?;
        let counted = async { sign_ups.take_by_network(address_of(by)?, by.at).await }.await;
        self.admitted(counted, kind, by).await?;
        if self.proof_within.is_some() {
            self.admit_mail(by).await?;
        } else if self.accounts.users.find_by_address(email.address()).await?.is_some() {
            // Looked up before the expensive hash; the insert decides between two concurrent sign-ups.
            return Err(StorageError::Conflict.into());
        }
        // Hashed also for a taken address whose answer must take as long.
        Ok(self.accounts.new_user(&email, name, place.hash(password).await?, by.at))
    }

    /// Signs `user` up; returns the signup token, and the account where it is made immediately. `Conflict`
    /// when the address of that is taken.
    pub(crate) async fn sign_up(
        &self,
        user: User,
        by: &Initiator,
    ) -> Stored<(Secret<String>, Option<User>)> {
        let Accounts { db, users, outbox, random, .. } = &self.accounts;
        let token = random.token();
        let fingerprint = Fingerprint::of(token.expose().as_bytes());
        let Some(time) = self.proof_within else {
            db.write(async |transaction| {
                if !users.create_unless_taken_in(transaction, &user).await? {
                    return Err(StorageError::Conflict);
                }
                users.keep_signup_token_in(transaction, &user, &fingerprint).await
            })
            .await?;
            self.accounts.record(Kind::UserCreated, user.id, by).await;
            return Ok((token, Some(user)));
        };
        // Where the address is taken the same is done, time included: only the mail differs.
        let signup = PendingSignup {
            id: user.id,
            email: user.email,
            name: user.name,
            password_hash: user.password_hash,
            fingerprint,
            expires_at: by.at.plus(time),
        };
        let entry = Entry {
            user_id: Some(signup.id),
            ..self.accounts.entry(outbox::Kind::SignUp, &signup.email, by.at)
        };
        db.write(async |transaction| {
            users.add_pending_in(transaction, &signup, by.at).await?;
            outbox.ask_in(transaction, &entry, by.at).await
        })
        .await?;
        outbox.wake();
        Ok((token, None))
    }
}

impl Accounts {
    /// Makes the account of the reader of the mail to the address of `token`, with a password of
    /// their own and nothing of any sign-up; forgets the wrong passwords.
    pub(super) async fn sign_up_anew(
        &self,
        token: &MailedToken,
        hash: &Secret<String>,
        attempts: &LoginLimits,
        by: &Initiator,
    ) -> Stored<bool> {
        let made = self.complete_signup(token, None, hash, by).await?;
        if let Some(user) = &made {
            forget_failures(attempts, user, by.at).await;
        }
        Ok(made.is_some())
    }

    /// Makes the account whose address `token` proves, with this password hash and the name of `signup`,
    /// which must still stand where it is given. Every other sign-up of the address ends. `None`, with
    /// nothing changed, when the sign-up or the token is gone, the address is taken by now, or is none by
    /// the rules of today.
    pub(super) async fn complete_signup(
        &self,
        token: &MailedToken,
        signup: Option<&PendingSignup>,
        hash: &Secret<String>,
        by: &Initiator,
    ) -> Stored<Option<User>> {
        let email = signup.map_or(&token.email, |signup| &signup.email);
        let Ok(email) = Email::parse(email) else { return Ok(None) };
        let name = signup.and_then(|signup| signup.name.clone());
        let user = self.new_user(&email, name, hash.clone(), by.at);
        let user = User { email_verified_at: Some(by.at), ..user };
        let made = self.db.write(async |transaction| {
            // First, so that of two concurrent proofs the second waits here and changes nothing.
            if !self.users.create_unless_taken_in(transaction, &user).await? {
                return Ok(false);
            }
            let stands = match signup {
                Some(signup) => self.users.take_pending_in(transaction, signup.id, by.at).await?,
                None => true,
            };
            if !stands || !self.users.redeem_in(transaction, token, by.at).await? {
                return Err(StorageError::Conflict);
            }
            self.users.end_pending_in(transaction, &email::key_of(&user.email), by.at).await?;
            Ok(true)
        });
        match made.await {
            Ok(true) => {}
            // Rolled back.
            Ok(false) | Err(StorageError::Conflict) => return Ok(None),
            Err(error) => return Err(error),
        }
        let by = &by.as_user(user.id);
        for kind in [Kind::UserCreated, Kind::EmailVerified] {
            self.record(kind, user.id, by).await;
        }
        Ok(Some(user))
    }
}

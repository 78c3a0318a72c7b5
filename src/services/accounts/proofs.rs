//! The proof of an address. A mailed token shows that its bearer reads the mail of an address, and
//! not that they chose the account's password: a stranger who signs up with, or moves to, another
//! person's address only waits for its owner to click. So a token counts together with something of
//! the account's owner, or with a new password, after which nothing of a stranger is left.

use super::administration::forget_failures;
use super::{Accounts, NewAccount};
use crate::base::secret::{Fingerprint, Secret};
use crate::base::time::Timestamp;
use crate::domain::audit::{Initiator, Kind, Origin};
use crate::domain::login_limits::LoginLimits;
use crate::domain::mail::{self, Entry};
use crate::domain::users::{Email, MailedToken, PendingSignup, PendingToken, Purpose, User, email};
use crate::storage::StorageError;

/// What a mailed token can prove. Nothing is used up yet.
pub enum Provable {
    /// The present address of an account.
    Present(MailedToken, User),
    /// Another address, which becomes that of the account.
    Change(MailedToken, User),
    /// The address of sign-ups that wait for it: those that the token can prove, newest first.
    SignUp(PendingToken, Vec<PendingSignup>),
}

/// The proof beside the mailed token, checked already.
pub enum Voucher {
    /// The caller owns the account.
    Owner,
    /// The caller made this sign-up.
    SignUp(PendingSignup),
    /// Nothing has to: the account gets this password hash, and its previous holder loses it.
    NewPassword(Secret<String>),
}

impl Provable {
    /// The account, where there is one already.
    pub fn user(&self) -> Option<&User> {
        match self {
            Self::Present(_, user) | Self::Change(_, user) => Some(user),
            Self::SignUp(..) => None,
        }
    }

    /// The address that a new password is for.
    pub fn email(&self) -> &str {
        match self {
            Self::Present(_, user) | Self::Change(_, user) => &user.email,
            Self::SignUp(token, _) => &token.email,
        }
    }
}

impl Accounts {
    /// What `token` can prove; `None` when it is not good, for whatever reason.
    pub async fn find_provable(
        &self,
        token: &Secret<String>,
        now: Timestamp,
    ) -> Result<Option<Provable>, StorageError> {
        let fingerprint = Fingerprint::of(token.expose().as_bytes());
        if let Some(token) = self.users.find_token(&fingerprint, now).await? {
            let user = self.users.find(token.user_id).await?;
            return Ok(user.and_then(|user| match token.purpose {
                Purpose::VerifyEmail if token.fits(&user) => Some(Provable::Present(token, user)),
                Purpose::ChangeEmail if is_asked_for(&token, &user) => {
                    Some(Provable::Change(token, user))
                }
                _ => None,
            }));
        }
        let token = self.users.find_pending_token(&fingerprint, now).await?;
        let Some(token) = token.filter(|token| token.purpose == Purpose::VerifyEmail) else {
            return Ok(None);
        };
        let standing = self.users.find_pending(&email::key_of(&token.email), now).await?;
        // After the sign-ups, which end as the account is made: where none is left for that reason,
        // it is the token that is not good any more.
        if self.users.find_by_address(&token.email).await?.is_some() {
            return Ok(None);
        }
        let signups = token.provable(standing);
        Ok(Some(Provable::SignUp(token, signups)))
    }

    /// The proof that a signup token is; `None` where it is of no use here.
    pub async fn match_signup_token(
        &self,
        provable: &Provable,
        signup_token: &Secret<String>,
    ) -> Result<Option<Voucher>, StorageError> {
        let fingerprint = Fingerprint::of(signup_token.expose().as_bytes());
        match provable {
            Provable::Present(_, user) => {
                let known = self.users.has_signup_token(user, &fingerprint).await?;
                Ok(known.then_some(Voucher::Owner))
            }
            // It speaks for the address of the sign-up, and for no other.
            Provable::Change(..) => Ok(None),
            Provable::SignUp(_, signups) => {
                let made = signups.iter().find(|signup| signup.fingerprint == fingerprint);
                Ok(made.cloned().map(Voucher::SignUp))
            }
        }
    }

    /// Redeems the token of `provable`: the address is the account's, or becomes so. A new password
    /// has the wrong ones forgotten. `false`, with nothing changed, when the token, the sign-up or
    /// the account has changed since it was found, or the address is taken by now.
    pub async fn prove(
        &self,
        provable: Provable,
        voucher: Voucher,
        attempts: &LoginLimits,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<bool, StorageError> {
        let is_new = matches!(voucher, Voucher::NewPassword(_));
        let user = self.redeem(provable, voucher, origin, now).await?;
        if let (Some(user), true) = (&user, is_new) {
            forget_failures(attempts, user, now).await;
        }
        Ok(user.is_some())
    }

    /// Does what [`prove`](Self::prove) says, and returns the account as it was found or made.
    async fn redeem(
        &self,
        provable: Provable,
        voucher: Voucher,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<Option<User>, StorageError> {
        let (user, done) = match (provable, voucher) {
            (Provable::Present(token, user), Voucher::Owner) => {
                let done = self.verify(&token, &user, origin, now).await?;
                (user, done)
            }
            (Provable::Present(token, user), Voucher::NewPassword(hash)) => {
                let done = self.take_over(&token, &user, &hash, origin, now).await?;
                (user, done)
            }
            (Provable::Change(token, user), Voucher::Owner) => {
                let done = self.change_email(&token, &user, origin, now).await?;
                (user, done)
            }
            (Provable::SignUp(token, _), Voucher::SignUp(signup)) => {
                let (name, hash) = (signup.name.clone(), signup.password_hash.clone());
                let Some(user) = self.proven_user(&signup.email, name, hash, now) else {
                    return Ok(None);
                };
                let done = self.complete_signup(&token, Some(&signup), &user, origin, now).await?;
                (user, done)
            }
            (Provable::SignUp(token, _), Voucher::NewPassword(hash)) => {
                return self.sign_up_anew(&token, &hash, origin, now).await;
            }
            // The edges let none of these through.
            (Provable::Present(..), Voucher::SignUp(_))
            | (Provable::Change(..), Voucher::SignUp(_) | Voucher::NewPassword(_))
            | (Provable::SignUp(..), Voucher::Owner) => return Ok(None),
        };
        Ok(done.then_some(user))
    }

    /// Makes the account of the reader of the mail to the address of `token`, with a password of
    /// their own and nothing of any sign-up.
    pub(super) async fn sign_up_anew(
        &self,
        token: &PendingToken,
        hash: &Secret<String>,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<Option<User>, StorageError> {
        let Some(user) = self.proven_user(&token.email, None, hash.clone(), now) else {
            return Ok(None);
        };
        let done = self.complete_signup(token, None, &user, origin, now).await?;
        Ok(done.then_some(user))
    }

    /// The account of a sign-up; `None` where its address is none by the rules of today.
    fn proven_user(
        &self,
        email: &str,
        name: Option<String>,
        password_hash: Secret<String>,
        now: Timestamp,
    ) -> Option<User> {
        let email = Email::parse(email).ok()?;
        let new = NewAccount::new(email, name, password_hash);
        Some(self.new_user(NewAccount { email_verified: true, ..new }, now))
    }

    async fn verify(
        &self,
        token: &MailedToken,
        user: &User,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<bool, StorageError> {
        let change = self.db.write(async |transaction| {
            // The account first: of two concurrent proofs, the second waits here.
            if !self.users.verify_email_in(transaction, user, now).await? {
                return Ok(false);
            }
            if !self.users.redeem_in(transaction, token, now).await? {
                return Err(StorageError::Conflict);
            }
            self.users.end_verifications_in(transaction, user.id, now).await?;
            Ok(true)
        });
        let done = unless_lost(change.await)?;
        if done {
            let by = &Initiator::user(user.id, origin.clone());
            self.record(Kind::EmailVerified, user.id, by, now).await;
        }
        Ok(done)
    }

    async fn take_over(
        &self,
        token: &MailedToken,
        user: &User,
        hash: &Secret<String>,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<bool, StorageError> {
        let notice = Entry {
            user_id: Some(user.id),
            ..self.entry(mail::Kind::PasswordChanged, &user.email, now)
        };
        let change = async {
            let change = self.db.write(async |transaction| {
                if !self.users.take_over_in(transaction, user, hash, now).await? {
                    return Ok(false);
                }
                if !self.users.redeem_in(transaction, token, now).await? {
                    return Err(StorageError::Conflict);
                }
                self.users.end_tokens_in(transaction, user.id, now).await?;
                self.outbox.tell_in(transaction, &notice, now).await?;
                Ok(true)
            });
            unless_lost(change.await)
        };
        let by = &Initiator::user(user.id, origin.clone());
        let done = self.ending_sessions(change, Kind::PasswordReset, user.id, by, now).await?;
        if done {
            self.outbox.wake();
            let by = &Initiator::user(user.id, origin.clone());
            self.record(Kind::EmailVerified, user.id, by, now).await;
        }
        Ok(done)
    }

    /// Other tokens of the account were mailed to the previous address, or would change it once more:
    /// they end.
    async fn change_email(
        &self,
        token: &MailedToken,
        user: &User,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<bool, StorageError> {
        let notice = Entry {
            user_id: Some(user.id),
            ..self.entry(mail::Kind::EmailChanged, &user.email, now)
        };
        let change = self.db.write(async |transaction| {
            let changed = self.users.redeem_in(transaction, token, now).await?
                && self.users.change_email_in(transaction, token, user, now).await?;
            if changed {
                self.users.end_tokens_in(transaction, user.id, now).await?;
                self.outbox.tell_in(transaction, &notice, now).await?;
            }
            Ok(changed)
        });
        // Where it is lost, another account has the address by now.
        let done = unless_lost(change.await)?;
        if done {
            self.outbox.wake();
            let by = &Initiator::user(user.id, origin.clone());
            self.record(Kind::EmailChanged, user.id, by, now).await;
        }
        Ok(done)
    }
}

/// Whether the change of address that `token` confirms is still what `user` wants.
fn is_asked_for(token: &MailedToken, user: &User) -> bool {
    user.is_active() && token.epoch.is_none_or(|epoch| epoch == user.session_epoch)
}

/// A conflict rolled the change back: another change preceded it.
fn unless_lost(change: Result<bool, StorageError>) -> Result<bool, StorageError> {
    match change {
        Err(StorageError::Conflict) => Ok(false),
        change => change,
    }
}

//! The proof of an address. A mailed token shows that its bearer reads the mail of an address, and
//! not that they chose the account's password: a stranger who signs up with, or moves to, another
//! person's address only waits for its owner to click. So a token counts together with something of
//! the account's owner, or with a new password, after which nothing of a stranger is left.

use super::recovery::Resettable;
use super::{Accounts, SelfService, forget_failures};
use crate::base::secret::{Fingerprint, Secret};
use crate::base::time::Timestamp;
use crate::domain::audit::{Initiator, Kind};
use crate::domain::credentials::Password;
use crate::domain::login_limits::LoginLimits;
use crate::domain::outbox::{self, Entry};
use crate::domain::users::{
    MailedToken, PendingSignup, Purpose, Redemption, TokenOwner, User, email,
};
use crate::services::authentication::CheckError;
use crate::storage::{StorageError, Stored};

/// What a mailed token can prove. Nothing is used up yet.
#[derive(Clone)]
pub(crate) enum Provable {
    Present(MailedToken, User),
    /// Another address, which becomes that of the account.
    Change(MailedToken, User),
    /// The address of sign-ups that wait for it: those that the token can prove, newest first.
    SignUp(MailedToken, Vec<PendingSignup>),
}

pub(crate) enum Voucher {
    Owner,
    SignUp(PendingSignup),
    /// Nothing has to: the account gets this password hash, and its previous holder loses it.
    NewPassword(Secret<String>),
}

pub(crate) enum Evidence {
    SignupToken(Secret<String>),
    Password(Password),
    NewPassword(Password),
}

impl Provable {
    pub(crate) fn user(&self) -> Option<&User> {
        match self {
            Self::Present(_, user) | Self::Change(_, user) => Some(user),
            Self::SignUp(..) => None,
        }
    }

    pub(crate) fn email(&self) -> &str {
        match self {
            Self::Present(_, user) | Self::Change(_, user) => &user.email,
            Self::SignUp(token, _) => &token.email,
        }
    }
}

impl Accounts {
    /// What `token` can prove; `None` when it is not good, for whatever reason.
    pub(crate) async fn find_provable(
        &self,
        token: &Secret<String>,
        now: Timestamp,
    ) -> Stored<Option<Provable>> {
        let Some(Resettable { token, user }) = self.find_mailed(token, now).await? else {
            return Ok(None);
        };
        match (token.purpose, user) {
            (Purpose::VerifyEmail, None) => {}
            (Purpose::VerifyEmail, Some(user)) if token.fits(&user) => {
                return Ok(Some(Provable::Present(token, user)));
            }
            (Purpose::ChangeEmail, Some(user)) if user.is_in(token.epoch) => {
                return Ok(Some(Provable::Change(token, user)));
            }
            _ => return Ok(None),
        }
        let mut signups = self.users.find_pending(&email::key_of(&token.email), now).await?;
        // After the sign-ups, which end as the account is made: where none is left for that reason,
        // it is the token that is not good any more.
        if self.users.find_by_address(&token.email).await?.is_some() {
            return Ok(None);
        }
        signups.retain(|signup| matches!(token.owner, TokenOwner::SignUp(id) if id.is_none_or(|id| id == signup.id)));
        Ok(Some(Provable::SignUp(token, signups)))
    }

    /// The proof that a signup token is; `None` where it is of no use here.
    pub(crate) async fn match_signup_token(
        &self,
        provable: &Provable,
        signup_token: &Secret<String>,
    ) -> Stored<Option<Voucher>> {
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
    pub(crate) async fn prove(
        &self,
        provable: Provable,
        voucher: Voucher,
        attempts: &LoginLimits,
        by: &Initiator,
    ) -> Stored<bool> {
        let (token, user, redemption) = match (&provable, &voucher) {
            (Provable::Present(token, user), Voucher::Owner) => (token, user, Redemption::Verify),
            (Provable::Present(token, user), Voucher::NewPassword(hash)) => {
                (token, user, Redemption::TakeOver(hash))
            }
            (Provable::Change(token, user), Voucher::Owner) => (token, user, Redemption::Move),
            (Provable::SignUp(token, _), Voucher::SignUp(signup)) => {
                let (signup, hash) = (Some(signup), &signup.password_hash);
                let made = self.complete_signup(token, signup, hash, by).await?;
                return Ok(made.is_some());
            }
            (Provable::SignUp(token, _), Voucher::NewPassword(hash)) => {
                return self.sign_up_anew(token, hash, attempts, by).await;
            }
            // The edges let none of these through.
            (Provable::Present(..), Voucher::SignUp(_))
            | (Provable::Change(..), Voucher::SignUp(_) | Voucher::NewPassword(_))
            | (Provable::SignUp(..), Voucher::Owner) => return Ok(false),
        };
        self.redeem(token, user, redemption, attempts, by).await
    }

    /// Redeems `token` of `user`. Unless that only proves the present address, the user's other tokens
    /// end, which were mailed to the previous address, or would change it once more, and a notice goes
    /// to the present address. `false`, with nothing changed, when the token or the account has changed
    /// since it was found, or the new address is taken by now.
    pub(super) async fn redeem(
        &self,
        token: &MailedToken,
        user: &User,
        redemption: Redemption<'_>,
        attempts: &LoginLimits,
        by: &Initiator,
    ) -> Stored<bool> {
        let (kind, notice) = match redemption {
            Redemption::Verify => (Kind::EmailVerified, None),
            Redemption::Move => (Kind::EmailChanged, Some(outbox::Kind::EmailChanged)),
            Redemption::TakeOver(_) | Redemption::Reset(_) => {
                (Kind::PasswordReset, Some(outbox::Kind::PasswordChanged))
            }
        };
        let notice = notice
            .map(|kind| Entry { user_id: Some(user.id), ..self.entry(kind, &user.email, by.at) });
        let change = async {
            let change = self.db.write(async |transaction| {
                // The account first: of two concurrent proofs, the second waits here.
                if !self.users.apply_in(transaction, token, user, redemption, by.at).await? {
                    return Ok(false);
                }
                if !self.users.redeem_in(transaction, token, by.at).await? {
                    return Err(StorageError::Conflict);
                }
                let ended = notice.is_none().then_some(Purpose::VerifyEmail);
                self.users.end_tokens_in(transaction, user.id, ended, by.at).await?;
                if let Some(notice) = &notice {
                    self.outbox.tell_in(transaction, notice, by.at).await?;
                }
                Ok(true)
            });
            // Rolled back: another change preceded it.
            match change.await {
                Err(StorageError::Conflict) => Ok(false),
                change => change,
            }
        };
        let by = &by.as_user(user.id);
        let done = match kind {
            Kind::PasswordReset => self.ending_sessions(change, kind, user.id, by).await?,
            _ => change.await?,
        };
        if !done {
            return Ok(false);
        }
        self.outbox.wake();
        if matches!(redemption, Redemption::TakeOver(_)) {
            self.record(Kind::EmailVerified, user.id, by).await;
        }
        match kind {
            Kind::PasswordReset => forget_failures(attempts, user, by.at).await,
            kind => self.record(kind, user.id, by).await,
        }
        Ok(true)
    }
}

impl SelfService {
    /// Checks `evidence` for the token of `found`. `Err` within: the member that is wrong, and why.
    pub(crate) async fn vouch(
        &self,
        found: &Provable,
        evidence: Evidence,
        by: &Initiator,
    ) -> Result<Result<Voucher, (&'static str, &'static str)>, CheckError> {
        const OF_CHANGE: &str =
            "does not count for a change of address: sign in, or give the password";
        let wrong = |field, problem| Ok(Err((field, problem)));
        match (evidence, found) {
            (Evidence::SignupToken(_), Provable::Change(..)) => wrong("signup_token", OF_CHANGE),
            (Evidence::SignupToken(signup_token), _) => {
                let voucher = self.accounts.match_signup_token(found, &signup_token).await?;
                let problem = "is not that of the sign-up that the mail was sent for";
                Ok(voucher.ok_or(("signup_token", problem)))
            }
            (
                Evidence::Password(password),
                Provable::Present(_, user) | Provable::Change(_, user),
            ) => match self.authentication.is_present_password(user, password, by).await? {
                true => Ok(Ok(Voucher::Owner)),
                false => wrong("password", "is not the present password"),
            },
            (Evidence::Password(_), Provable::SignUp(_, signups)) if signups.is_empty() => {
                wrong("password", "is of a sign-up that is gone: give a new_password instead")
            }
            (Evidence::Password(password), Provable::SignUp(_, signups)) => {
                let check = self.authentication.check_signup_password(signups, password, by);
                let problem = "is not the password of a sign-up that the mail can prove";
                Ok(check.await?.map(Voucher::SignUp).ok_or(("password", problem)))
            }
            (Evidence::NewPassword(_), Provable::Change(..)) => wrong("new_password", OF_CHANGE),
            (Evidence::NewPassword(_), Provable::Present(_, user))
                if user.email_verified_at.is_some() =>
            {
                let problem = "is for an address that is not proven yet: ask for a password reset";
                wrong("new_password", problem)
            }
            (Evidence::NewPassword(password), _) => match password.check_new(found.email()) {
                Ok(()) => Ok(Ok(Voucher::NewPassword(self.hash_anonymous(password).await?))),
                Err(problem) => wrong("new_password", problem),
            },
        }
    }
}

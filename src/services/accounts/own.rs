//! What callers do to accounts by themselves: sign-up, mail, changes of their own and proofs, within
//! limits that are counted before the work begins, and with passwords as they were typed. What hashes
//! one changes nothing else and may be cut off; the change comes after it. Invariant: a limit does not
//! look at accounts, so a refusal is the same for known and unknown addresses.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::{Accounts, NewAccount, Provable, Voucher};
use crate::base::secret::{Fingerprint, Secret};
use crate::base::time::Timestamp;
use crate::domain::audit::{Actor, Event, Initiator, Kind, Origin};
use crate::domain::credentials::{Hashing, Password};
use crate::domain::login_limits::{AttemptError, Limited, Limits};
use crate::domain::outbox::WINDOW;
use crate::domain::users::{Email, User};
use crate::services::authentication::{Authentication, CheckError};
use crate::storage::StorageError;

/// What callers do to accounts by themselves.
pub struct SelfService {
    pub(crate) accounts: Accounts,
    pub(crate) authentication: Authentication,
    pub(crate) hashing: Arc<Hashing>,
    pub(crate) limits: Limits,
    /// How long a sign-up waits for the proof of its address; `None` where none is asked for.
    pub(crate) proof_within: Option<Duration>,
}

/// The evidence that a caller gives beside a mailed token.
pub enum Evidence {
    /// What the sign-up answered.
    SignupToken(Secret<String>),
    /// The password of the account or of the sign-up.
    Password(Password),
    /// A new password.
    NewPassword(Password),
}

impl SelfService {
    /// Counts a sign-up and hashes its password. `Conflict` when the address is taken, unless it has
    /// to be proven, since the answer does not show that then.
    pub async fn prepare_sign_up(
        &self,
        email: Email,
        password: Password,
        name: Option<String>,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<NewAccount, CheckError> {
        let (sign_ups, kind) = (&self.limits.sign_ups, Kind::SignUpLimited);
        let address = address_of(origin);
        // A flood of sign-ups must not reach the store, for which logins would wait. The limits in
        // memory refuse one from few networks; one from many networks finds no place for hashing.
        let known = match address {
            Some(address) => sign_ups.check_by_network(address, now),
            None => Err(UNCOUNTED),
        };
        self.admitted(known, kind, Actor::Anonymous, origin, now).await?;
        let place = self.hashing.reserve_anonymous()?;
        let counted = match address {
            Some(address) => sign_ups.take_by_network(address, now).await,
            None => Err(UNCOUNTED),
        };
        self.admitted(counted, kind, Actor::Anonymous, origin, now).await?;
        if self.proof_within.is_some() {
            self.admit_mail(origin, now).await?;
        } else if self.accounts.users.find_by_address(email.address()).await?.is_some() {
            // Looked up before the expensive hash; the insert decides between two concurrent sign-ups.
            return Err(StorageError::Conflict.into());
        }
        // Hashed also for a taken address whose answer must take as long.
        Ok(NewAccount::new(email, name, place.hash(password).await?))
    }

    /// Signs `new` up: returns the signup token, and the account where it is made immediately.
    pub async fn sign_up(
        &self,
        new: NewAccount,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<(Secret<String>, Option<User>), StorageError> {
        let token = self.accounts.random.token();
        let fingerprint = Fingerprint::of(token.expose().as_bytes());
        let user = match self.proof_within {
            Some(time) => {
                self.accounts.keep_signup(new, fingerprint, now.plus(time), now).await?;
                None
            }
            None => Some(self.accounts.create_by_signup(new, &fingerprint, origin, now).await?),
        };
        Ok((token, user))
    }

    /// Mails a token that proves the address `email`, where it is not proven yet.
    pub async fn ask_verification(
        &self,
        email: &Email,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<(), CheckError> {
        self.admit_mail(origin, now).await?;
        Ok(self.accounts.ask_verification(email, now).await?)
    }

    /// Mails a token for a new password to the address `email`.
    pub async fn ask_password_reset(
        &self,
        email: &Email,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<(), CheckError> {
        self.admit_mail(origin, now).await?;
        Ok(self.accounts.ask_password_reset(email, origin, now).await?)
    }

    /// Asks to give `user`, who has confirmed it by the present password, the address `new`.
    pub async fn ask_email_change(
        &self,
        user: &User,
        new: &Email,
        origin: Origin,
        now: Timestamp,
    ) -> Result<(), CheckError> {
        self.admit_confirmed_change(user, &origin, now).await?;
        let by = &Initiator::user(user.id, origin);
        match self.accounts.ask_email_change(user, new, by, now).await? {
            true => Ok(()),
            false => Err(CheckError::Limited(Limited { retry_after: WINDOW.as_secs() })),
        }
    }

    /// Changes the display name of `user`; `None` when the user was removed concurrently. The ends of
    /// sessions and of the account do not count as such changes: each of them needs a login, and no
    /// user may be kept from logging out.
    pub async fn change_name(
        &self,
        user: &User,
        name: Option<&str>,
        origin: Origin,
        now: Timestamp,
    ) -> Result<Option<User>, CheckError> {
        let (id, kind) = (user.id, Kind::OwnChangesLimited);
        let counted = self.limits.own_changes.take_by_user(id, now).await;
        self.admitted(counted, kind, Actor::User(id), &origin, now).await?;
        self.accounts.set_own_name(id, name, origin, now).await?;
        Ok(self.accounts.users.find(id).await?)
    }

    /// Hashes the new password of `user`, who has confirmed the change by the present one.
    pub async fn hash_own(
        &self,
        user: &User,
        new: Password,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<Secret<String>, CheckError> {
        self.admit_confirmed_change(user, origin, now).await?;
        Ok(self.hashing.hash(new).await?)
    }

    /// Hashes the new password of a caller who has shown a mailed token.
    pub async fn hash_anonymous(&self, new: Password) -> Result<Secret<String>, CheckError> {
        Ok(self.hashing.hash_anonymous(new).await?)
    }

    /// Checks `evidence` for the token of `found`. `Err` within: the member that is wrong, and why.
    pub async fn vouch(
        &self,
        found: &Provable,
        evidence: Evidence,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<Result<Voucher, (&'static str, &'static str)>, CheckError> {
        const OF_CHANGE: &str =
            "does not count for a change of address: sign in, or give the password";
        Ok(Err(match (evidence, found) {
            (Evidence::SignupToken(_), Provable::Change(..)) => ("signup_token", OF_CHANGE),
            (Evidence::SignupToken(signup_token), _) => {
                match self.accounts.match_signup_token(found, &signup_token).await? {
                    Some(voucher) => return Ok(Ok(voucher)),
                    None => {
                        ("signup_token", "is not that of the sign-up that the mail was sent for")
                    }
                }
            }
            (
                Evidence::Password(password),
                Provable::Present(_, user) | Provable::Change(_, user),
            ) => {
                if self.authentication.is_present_password(user, password, origin, now).await? {
                    return Ok(Ok(Voucher::Owner));
                }
                ("password", "is not the present password")
            }
            (Evidence::Password(_), Provable::SignUp(_, signups)) if signups.is_empty() => {
                ("password", "is of a sign-up that is gone: give a new_password instead")
            }
            (Evidence::Password(password), Provable::SignUp(_, signups)) => {
                let check =
                    self.authentication.check_signup_password(signups, password, origin, now);
                if let Some(signup) = check.await? {
                    return Ok(Ok(Voucher::SignUp(signup)));
                }
                ("password", "is not the password of a sign-up that the mail can prove")
            }
            (Evidence::NewPassword(_), Provable::Change(..)) => ("new_password", OF_CHANGE),
            (Evidence::NewPassword(_), Provable::Present(_, user))
                if user.email_verified_at.is_some() =>
            {
                (
                    "new_password",
                    "is for an address that is not proven yet: ask for a password reset",
                )
            }
            (Evidence::NewPassword(password), _) => match password.check_new(found.email()) {
                Ok(()) => {
                    return Ok(Ok(Voucher::NewPassword(self.hash_anonymous(password).await?)));
                }
                Err(problem) => ("new_password", problem),
            },
        }))
    }

    /// The numbers of refused sign-ups, mails and own changes.
    pub fn limited(&self) -> [u64; 3] {
        let Limits { sign_ups, mails, own_changes, confirmed_changes } = &self.limits;
        let own_changes = own_changes.limited() + confirmed_changes.limited();
        [sign_ups.limited(), mails.limited(), own_changes]
    }

    /// Counts a request that sends mail to an address which its caller names without signing in.
    async fn admit_mail(&self, origin: &Origin, now: Timestamp) -> Result<(), CheckError> {
        let counted = match address_of(origin) {
            Some(address) => self.limits.mails.take_by_network(address, now).await,
            None => Err(UNCOUNTED),
        };
        self.admitted(counted, Kind::MailLimited, Actor::Anonymous, origin, now).await
    }

    /// Counts a change that `user` has confirmed by the present password, apart from other changes: the
    /// holder of a stolen token can use those up, and must not keep the owner from these.
    async fn admit_confirmed_change(
        &self,
        user: &User,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<(), CheckError> {
        let (actor, kind) = (Actor::User(user.id), Kind::OwnChangesLimited);
        let counted = self.limits.confirmed_changes.take_by_user(user.id, now).await;
        self.admitted(counted, kind, actor, origin, now).await
    }

    /// Records a refusal by a limit.
    async fn admitted(
        &self,
        counted: Result<(), AttemptError>,
        kind: Kind,
        actor: Actor,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<(), CheckError> {
        if let Err(AttemptError::Limited(limited)) = &counted {
            let by = &Initiator { actor, origin: origin.clone() };
            let detail = format!("try again in {} s", limited.retry_after);
            self.accounts.audit.record(Event::new(kind, by).detail(detail), now).await;
        }
        Ok(counted?)
    }
}

/// The refusal of a caller without an address: only a connection that was reset already has none.
const UNCOUNTED: AttemptError = AttemptError::Limited(Limited::FOR_A_MOMENT);

fn address_of(origin: &Origin) -> Option<IpAddr> {
    origin.address.as_deref()?.parse().ok()
}

//! The only way by which a password is checked, at login and wherever else one is asked for: within
//! the login limits, which do not depend on whether the account exists; then at the cost of one hash,
//! whether the user exists or not.

use std::net::IpAddr;

use super::Authentication;
use crate::base::time::Timestamp;
use crate::domain::audit::{Actor, Event, Initiator, Kind};
use crate::domain::credentials::{HashingError, Password, Verdict};
use crate::domain::login_limits::{AttemptError, Limited, Outcome};
use crate::domain::users::{MAX_PENDING, PendingSignup, User, email};
use crate::storage::StorageError;

#[derive(Debug, thiserror::Error)]
pub(crate) enum CheckError {
    #[error("too many attempts: try again later")]
    Limited(Limited),
    #[error(transparent)]
    Hashing(#[from] HashingError),
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl From<AttemptError> for CheckError {
    fn from(error: AttemptError) -> Self {
        match error {
            AttemptError::Limited(limited) => Self::Limited(limited),
            AttemptError::Storage(error) => Self::Storage(error),
        }
    }
}

/// The address of the caller. Only a connection that was reset already has none, and nothing that it does could be counted.
pub(crate) fn address_of(by: &Initiator) -> Result<IpAddr, AttemptError> {
    let address = by.origin.address.as_deref().and_then(|address| address.parse().ok());
    address.ok_or(AttemptError::Limited(Limited::FOR_A_MOMENT))
}

impl From<Verdict> for Outcome {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Wrong => Self::Failed,
            Verdict::Right | Verdict::RightButOutdated => Self::Succeeded,
        }
    }
}

impl Authentication {
    /// Whether `password` is that of `user`, who is signed in. A caller who has found an open browser
    /// may guess no more often than at the login. Not to be cut off: an attempt that is not settled
    /// counts as failed.
    pub(crate) async fn is_present_password(
        &self,
        user: &User,
        password: Password,
        by: &Initiator,
    ) -> Result<bool, CheckError> {
        let check = async {
            let compared = self.compare(&user.email, password).await;
            (compared.as_ref().map_or(Outcome::NotMade, |(_, verdict)| (*verdict).into()), compared)
        };
        let (found, verdict) = self.within_limits(&user.email, check, by).await?;
        Ok(verdict != Verdict::Wrong && found.is_some_and(|found| found.id == user.id))
    }

    /// The one of `signups`, all of one address, that `password` is that of. Within the limits for
    /// that address, as one attempt: there are at most [`MAX_PENDING`] of them, one hash each, and one
    /// after the other, so that they hold one place of the queue. Not to be cut off.
    pub(crate) async fn check_signup_password(
        &self,
        signups: &[PendingSignup],
        password: Password,
        by: &Initiator,
    ) -> Result<Option<PendingSignup>, CheckError> {
        let Some(newest) = signups.first() else { return Ok(None) };
        let check = async {
            let mut outcome = Outcome::NotMade;
            for signup in signups.iter().take(MAX_PENDING) {
                match self.hashing.verify(password.clone(), Some(&signup.password_hash)).await {
                    Ok(Verdict::Wrong) => outcome = Outcome::Failed,
                    // There is no account yet whose wrong passwords this could make up for, nor one
                    // that it could be a guess at.
                    Ok(Verdict::Right | Verdict::RightButOutdated) => {
                        return (Outcome::NotMade, Ok(Some(signup.clone())));
                    }
                    Err(error) => return (outcome, Err(error.into())),
                }
            }
            (outcome, Ok(None))
        };
        self.within_limits(&newest.email, check, by).await
    }

    /// Runs `check` within the login limits for a login name, whatever form it is in, and settles the
    /// attempt by the outcome that `check` returns beside its result, be that an error.
    pub(super) async fn within_limits<T>(
        &self,
        login: &str,
        check: impl Future<Output = (Outcome, Result<T, CheckError>)>,
        by: &Initiator,
    ) -> Result<T, CheckError> {
        let names = self.login_limits.names();
        let address = address_of(by)?;
        let (account, network) = (names.account(&email::key_of(login)), names.network(address));
        let reserved = self.login_limits.reserve(&account, &network, by.at).await;
        if let Err(AttemptError::Limited(limited)) = &reserved {
            // Without the account: it may not exist, and what was typed may be anything.
            let detail = format!("try again in {} s", limited.retry_after);
            let by = &by.acting(Actor::Anonymous);
            self.stores.audit.record(Event::new(Kind::LoginLimited, by).detail(detail)).await;
        }
        let attempt = reserved?;
        let (outcome, checked) = check.await;
        let settled = self.login_limits.settle(attempt, outcome).await;
        let result = checked?;
        settled?;
        Ok(result)
    }

    /// Whether `password` is that of the newest sign-up for this login name.
    pub(super) async fn is_of_signup(
        &self,
        login: &str,
        password: Password,
        now: Timestamp,
    ) -> Result<bool, CheckError> {
        let pending = self.stores.users.find_pending(&email::key_of(login), now).await?;
        let stored = pending.into_iter().next().map(|signup| signup.password_hash);
        Ok(self.hashing.verify(password, stored.as_ref()).await? != Verdict::Wrong)
    }

    pub(super) async fn compare(
        &self,
        login: &str,
        password: Password,
    ) -> Result<(Option<User>, Verdict), CheckError> {
        let user = self.stores.users.find_by_address(login).await?;
        let stored = user.as_ref().map(|user| &user.password_hash);
        let verdict = self.hashing.verify(password, stored).await?;
        Ok((user, verdict))
    }
}

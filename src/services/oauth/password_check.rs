//! The one way by which a password is checked, at login and wherever else it is asked for: within
//! the limits on guessing, which know nothing of the account yet; then at the cost of one hash,
//! whether there is such a user or not.

use super::AuthorizationServer;
use crate::base::time::Timestamp;
use crate::domain::audit::{Event, Initiator, Kind, Origin};
use crate::domain::credentials::{HashingError, Password, Verdict};
use crate::domain::login_limits::{AttemptError, Limited, Outcome};
use crate::domain::users::{MAX_PENDING, PendingSignup, User, email};
use crate::storage::StorageError;

/// Why a password was not checked.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// There were too many wrong ones.
    #[error("too many attempts: try again later")]
    Limited(Limited),
    /// The hashing queue is full.
    #[error(transparent)]
    Hashing(#[from] HashingError),
    /// A store.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// What a password is at login.
pub(super) struct LoginCheck {
    /// The user with the login name, whatever the password is.
    pub user: Option<User>,
    /// What the password is to that user.
    pub verdict: Verdict,
    /// The password is not the user's but that of a sign-up that waits for the proof of its address.
    pub awaits_proof: bool,
}

/// What an attempt comes to by what the password is to the account, whatever else it is: whatever
/// else goes wrong once that is known, the guess was made.
fn outcome(verdict: Result<Verdict, &CheckError>) -> Outcome {
    match verdict {
        Ok(Verdict::Wrong) => Outcome::Failed,
        Ok(Verdict::Right | Verdict::RightButOutdated) => Outcome::Succeeded,
        Err(_) => Outcome::NotMade,
    }
}

impl AuthorizationServer {
    /// Checks the password of the user with this login name, as it was typed or is stored. Not to be
    /// cut off: an attempt that is not settled counts as failed.
    pub async fn check_password(
        &self,
        login: &str,
        password: Password,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<(Option<User>, Verdict), CheckError> {
        let check = async {
            let compared = self.compare(login, password).await;
            (outcome(compared.as_ref().map(|(_, verdict)| *verdict)), compared)
        };
        self.within_limits(login, check, origin, now).await
    }

    /// Checks a password at login. Where addresses have to be proven, a password that is not the
    /// user's may be that of a sign-up which waits for the proof. That is looked at for every wrong
    /// password, whether there is a user, a sign-up, both or neither, so that time tells nothing; and
    /// since a sign-up is kept for a taken address too, neither does the answer. It counts as a wrong
    /// guess all the same: anybody can sign up anybody's address with the password that they guess.
    pub(super) async fn check_login(
        &self,
        login: &str,
        password: Password,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<LoginCheck, CheckError> {
        let check = async {
            let (user, verdict) = match self.compare(login, password.clone()).await {
                Ok(compared) => compared,
                Err(error) => return (Outcome::NotMade, Err(error)),
            };
            let awaits_proof = match verdict {
                Verdict::Wrong if self.requires_verified_email => {
                    self.is_of_signup(login, password, now).await
                }
                _ => Ok(false),
            };
            let checked =
                awaits_proof.map(|awaits_proof| LoginCheck { user, verdict, awaits_proof });
            (outcome(Ok(verdict)), checked)
        };
        self.within_limits(login, check, origin, now).await
    }

    /// Whether `password` is that of the newest sign-up for this login name.
    async fn is_of_signup(
        &self,
        login: &str,
        password: Password,
        now: Timestamp,
    ) -> Result<bool, CheckError> {
        let newest = self.users.find_pending(&email::key_of(login), now).await?.into_iter().next();
        let stored = newest.map(|signup| signup.password_hash);
        Ok(self.hashing.verify(password, stored.as_ref()).await? != Verdict::Wrong)
    }

    /// Which of `signups`, all of one address, `password` is that of. Within the limits for that
    /// address, as one attempt: there are at most [`MAX_PENDING`] of them, one hash each, and one
    /// after the other, so that they hold one place of the queue. Not to be cut off.
    pub async fn check_signup_password(
        &self,
        signups: &[PendingSignup],
        password: Password,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<Option<PendingSignup>, CheckError> {
        let Some(newest) = signups.first() else { return Ok(None) };
        let check = async {
            let mut outcome = Outcome::NotMade;
            for signup in signups.iter().take(MAX_PENDING) {
                match self.hashing.verify(password.clone(), Some(&signup.password_hash)).await {
                    Ok(Verdict::Wrong) => outcome = Outcome::Failed,
                    // There is no account yet whose wrong guesses this could make up for, nor one
                    // that it could be a guess at.
                    Ok(Verdict::Right | Verdict::RightButOutdated) => {
                        return (Outcome::NotMade, Ok(Some(signup.clone())));
                    }
                    Err(error) => return (outcome, Err(error.into())),
                }
            }
            (outcome, Ok(None))
        };
        self.within_limits(&newest.email, check, origin, now).await
    }

    /// Makes `check` within the limits on guessing for a login name, whatever form it is in, and
    /// settles the attempt by the outcome that it returns beside its result, be that an error.
    async fn within_limits<T>(
        &self,
        login: &str,
        check: impl Future<Output = (Outcome, Result<T, CheckError>)>,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<T, CheckError> {
        let names = self.attempts.names();
        let address = origin.address.as_deref().and_then(|address| address.parse().ok());
        // Only a connection that was reset already has none: its guesses would be nobody's.
        let Some(address) = address else { return Err(CheckError::Limited(Limited::FOR_A_MOMENT)) };
        let (account, network) = (names.account(&email::key_of(login)), names.network(address));
        let attempt = match self.attempts.reserve(&account, &network, now).await {
            Ok(attempt) => attempt,
            Err(AttemptError::Storage(error)) => return Err(error.into()),
            Err(AttemptError::Limited(limited)) => {
                self.record_limited(limited, origin, now).await;
                return Err(CheckError::Limited(limited));
            }
        };
        let (outcome, checked) = check.await;
        let settled = self.attempts.settle(attempt, outcome).await;
        let result = checked?;
        settled?;
        Ok(result)
    }

    async fn compare(
        &self,
        login: &str,
        password: Password,
    ) -> Result<(Option<User>, Verdict), CheckError> {
        let user = self.users.find_by_address(login).await?;
        let stored = user.as_ref().map(|user| &user.password_hash);
        let verdict = self.hashing.verify(password, stored).await?;
        Ok((user, verdict))
    }

    /// Without the account: it may not exist, and what was typed may be anything.
    async fn record_limited(&self, limited: Limited, origin: &Origin, now: Timestamp) {
        let detail = format!("try again in {} s", limited.retry_after);
        let by = &Initiator::anonymous(origin.clone());
        let event = Event::new(Kind::LoginLimited, by).detail(detail);
        self.audit.record(event, now).await;
    }
}

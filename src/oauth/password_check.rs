//! The one way by which a password is checked, at login and wherever else it is asked for: within
//! the limits on guessing, which know nothing of the account yet; then at the cost of one hash,
//! whether there is such a user or not.

use super::AuthorizationServer;
use crate::attempts::{AttemptError, Limited, Outcome};
use crate::audit::{Actor, Event, Kind, Origin};
use crate::storage::StorageError;
use crate::time::Timestamp;
use crate::users::{HashingError, Password, User, Verdict, email};

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

impl AuthorizationServer {
    /// Checks the password of the user with this login name, given in its comparison form. Not to
    /// be cut off: an attempt that is not settled counts as failed.
    pub async fn check_password(
        &self,
        login: &str,
        password: Password,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<(Option<User>, Verdict), CheckError> {
        let names = self.attempts.names();
        let address = origin.address.as_deref().and_then(|address| address.parse().ok());
        // Only a connection that was reset already has none: its guesses would be nobody's.
        let Some(address) = address else { return Err(CheckError::Limited(Limited::FOR_A_MOMENT)) };
        let (account, network) = (names.account(login), names.network(address));
        let attempt = match self.attempts.reserve(&account, &network, now).await {
            Ok(attempt) => attempt,
            Err(AttemptError::Storage(error)) => return Err(error.into()),
            Err(AttemptError::Limited(limited)) => {
                self.record_limited(limited, origin, now).await;
                return Err(CheckError::Limited(limited));
            }
        };
        let checked = self.compare(login, password).await;
        let outcome = match &checked {
            Ok((_, Verdict::Wrong)) => Outcome::Failed,
            Ok((_, Verdict::Right | Verdict::RightButOutdated)) => Outcome::Succeeded,
            Err(_) => Outcome::NotMade,
        };
        let settled = self.attempts.settle(attempt, outcome).await;
        let checked = checked?;
        settled?;
        Ok(checked)
    }

    /// Forgets the wrong passwords of `user`, who has a new one now. That stands, whatever becomes of
    /// this: at worst the next login waits.
    pub async fn forget_failures(&self, user: &User, now: Timestamp) {
        if let Err(error) = self.unlock(user, now).await {
            tracing::warn!(user = %user.id, %error, "wrong passwords were not forgotten");
        }
    }

    /// Forgets the wrong passwords of `user`, who need not wait any longer.
    pub async fn unlock(&self, user: &User, now: Timestamp) -> Result<(), StorageError> {
        let account = self.attempts.names().account(&email::key_of(&user.email));
        self.attempts.unlock(&account, now).await
    }

    async fn compare(
        &self,
        login: &str,
        password: Password,
    ) -> Result<(Option<User>, Verdict), CheckError> {
        let user = self.users.find_by_email_key(login).await?;
        let stored = user.as_ref().map(|user| &user.password_hash);
        let verdict = self.hashing.verify(password, stored).await?;
        Ok((user, verdict))
    }

    /// Without the account: it may not exist, and what was typed may be anything.
    async fn record_limited(&self, limited: Limited, origin: &Origin, now: Timestamp) {
        let detail = format!("try again in {} s", limited.retry_after);
        let event = Event {
            kind: Kind::LoginLimited,
            actor: Actor::Anonymous,
            subject: None,
            client_id: None,
            detail: Some(detail),
            origin,
        };
        self.audit.record(event, now).await;
    }
}

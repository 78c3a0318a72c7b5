//! A login by password. Whether an account is disabled or its address unproven shows only to a caller
//! who has its password.

use uuid::Uuid;

use super::{Authentication, CheckError};
use crate::domain::audit::{Event, Initiator, Kind};
use crate::domain::clients::Client;
use crate::domain::credentials::password::check_stored;
use crate::domain::credentials::{Password, Verdict};
use crate::domain::login_limits::Outcome;
use crate::domain::users::User;

#[derive(Debug, thiserror::Error)]
pub(crate) enum LoginError {
    /// The password is wrong or the account may not log in; holds the sentence for the caller.
    #[error("{0}")]
    Refused(&'static str),
    #[error(transparent)]
    Check(#[from] CheckError),
}

struct Checked {
    user: Option<User>,
    verdict: Verdict,
    /// Whether the password belongs to a sign-up that waits for the proof of its address.
    awaits_proof: bool,
}

struct Refusal {
    account: Option<Uuid>,
    reason: &'static str,
    answer: &'static str,
}

impl LoginError {
    /// The answer to an unknown user and to a wrong password alike.
    pub(crate) const INCORRECT: &str = "Incorrect email or password";
}

fn decide(checked: Checked, requires_verified_email: bool) -> Result<User, Refusal> {
    const UNVERIFIED: (&str, &str) = ("unverified address", "E-mail address not verified");
    let refuse = |account, (reason, answer)| Err(Refusal { account, reason, answer });
    let user = match checked.user {
        // The answer must not show whether the address has an account as well.
        _ if checked.awaits_proof => return refuse(None, UNVERIFIED),
        None => return refuse(None, ("unknown user", LoginError::INCORRECT)),
        Some(user) => user,
    };
    let is_unverified = requires_verified_email && user.email_verified_at.is_none();
    match checked.verdict {
        Verdict::Wrong => refuse(Some(user.id), ("wrong password", LoginError::INCORRECT)),
        _ if !user.is_active() => refuse(Some(user.id), ("disabled user", "Inactive user")),
        _ if is_unverified => refuse(Some(user.id), UNVERIFIED),
        _ => Ok(user),
    }
}

impl Authentication {
    /// The user with the login name `login`, if `password` is the user's and the user may log in by
    /// `client`. A refusal is recorded in the audit trail. Not to be cut off: an attempt that is not
    /// settled counts as failed.
    ///
    /// Where addresses have to be proven, a password that is not the user's may be that of a sign-up
    /// which waits for the proof. Every wrong password is compared with it, whether there is a user,
    /// a sign-up, both or neither, so that the time shows nothing; and since a sign-up is kept for a
    /// taken address too, neither does the answer. It counts as a wrong password all the same:
    /// anybody can sign up anybody's address with a password that they guess.
    pub(crate) async fn log_in(
        &self,
        client: &Client,
        login: &str,
        password: Password,
        by: &Initiator,
    ) -> Result<User, LoginError> {
        let check = async {
            let (user, verdict) = match self.compare(login, password.clone()).await {
                Ok(compared) => compared,
                Err(error) => return (Outcome::NotMade, Err(error)),
            };
            let awaits_proof = match verdict {
                Verdict::Wrong if self.requires_verified_email => {
                    self.is_of_signup(login, password.clone(), by.at).await
                }
                _ => Ok(false),
            };
            let checked = awaits_proof.map(|awaits_proof| Checked { user, verdict, awaits_proof });
            // Whatever else failed, the verdict on the password was reached.
            (verdict.into(), checked)
        };
        let checked = self.within_limits(login, check, by).await?;
        if let (Verdict::Wrong, false, Some(user)) =
            (checked.verdict, checked.awaits_proof, &checked.user)
            && let Err(problem) = check_stored(user.password_hash.expose())
        {
            tracing::warn!(user = %user.id, problem, "a stored password hash cannot be checked");
        }
        let is_outdated = checked.verdict == Verdict::RightButOutdated;

        let refusal = match decide(checked, self.requires_verified_email) {
            Ok(user) => {
                if is_outdated {
                    self.rehash(&user, password);
                }
                return Ok(user);
            }
            Err(refusal) => refusal,
        };
        let event = Event::new(Kind::LoginRefused, by).client(&client.client_id);
        let event = match refusal.account {
            Some(id) => event.about(id),
            None => event,
        };
        self.stores.audit.record(event.detail(refusal.reason.to_owned())).await;
        Err(LoginError::Refused(refusal.answer))
    }

    /// Hashes the password under the present settings, after the answer; where that fails, the next
    /// login tries again.
    fn rehash(&self, user: &User, password: Password) {
        let (users, hashing) = (self.stores.users.clone(), self.hashing.clone());
        let (id, old) = (user.id, user.password_hash.clone());
        tokio::spawn(async move {
            let Ok(new) = hashing.hash(password).await else { return };
            if let Err(error) = users.replace_hash(id, &old, &new).await {
                tracing::warn!(user = %id, %error, "an outdated password hash was not renewed");
            }
        });
    }
}

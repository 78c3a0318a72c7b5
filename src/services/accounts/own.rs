//! What callers do to accounts by themselves: sign-up, mail, changes of their own and proofs, within
//! limits that are counted before the work begins, and with passwords as they were typed. What hashes
//! one changes nothing else and may be cut off; the change comes after it. Invariant: a limit does not
//! look at accounts, so a refusal is the same for known and unknown addresses.

use std::time::Duration;

use super::Accounts;
use crate::base::secret::Secret;
use crate::domain::audit::{Actor, Event, Initiator, Kind};
use crate::domain::credentials::Password;
use crate::domain::login_limits::{AttemptError, Limits};
use crate::domain::users::User;
use crate::services::authentication::{Authentication, CheckError, address_of};

/// How late a caller who is not known is refused: a connection gets ten refusals a second, so that a
/// flood leaves the processor to logins.
const REFUSED_AFTER: Duration = Duration::from_millis(100);

pub(crate) struct SelfService {
    pub(crate) accounts: Accounts,
    pub(crate) authentication: Authentication,
    pub(crate) limits: Limits,
    /// How long a sign-up waits for the proof of its address; `None` where none is asked for.
    pub(crate) proof_within: Option<Duration>,
}

impl SelfService {
    /// Changes the display name of `user`; `None` when the user was removed concurrently. The ends of
    /// sessions and of the account do not count as such changes: each of them needs a login, and no
    /// user may be kept from logging out.
    pub(crate) async fn change_name(
        &self,
        user: &User,
        name: Option<&str>,
        by: &Initiator,
    ) -> Result<Option<User>, CheckError> {
        let (id, kind) = (user.id, Kind::OwnChangesLimited);
        let counted = self.limits.own_changes.take_by_user(id, by.at).await;
        self.admitted(counted, kind, by).await?;
        if self.accounts.users.set_name(id, name, by.at).await? {
            // Logged, and fills no table: users may do so as often as the limit allows.
            self.accounts.record(Kind::OwnNameChanged, id, by).await;
        }
        Ok(self.accounts.users.find(id).await?)
    }

    /// Hashes the new password of `user`, who has confirmed the change by the present one.
    pub(crate) async fn hash_own(
        &self,
        user: &User,
        new: Password,
        by: &Initiator,
    ) -> Result<Secret<String>, CheckError> {
        self.admit_confirmed_change(user, by).await?;
        Ok(self.authentication.hashing.hash(new).await?)
    }

    /// Hashes the new password of a caller who has shown a mailed token.
    pub(crate) async fn hash_anonymous(&self, new: Password) -> Result<Secret<String>, CheckError> {
        Ok(self.authentication.hashing.hash_anonymous(new).await?)
    }

    pub(crate) fn limited(&self) -> [u64; 3] {
        let Limits { sign_ups, mails, own_changes, confirmed_changes } = &self.limits;
        let own_changes = own_changes.limited() + confirmed_changes.limited();
        [sign_ups.limited(), mails.limited(), own_changes]
    }

    /// Counts a request that sends mail to an address which its caller names without signing in.
    pub(super) async fn admit_mail(&self, by: &Initiator) -> Result<(), CheckError> {
        let mails = &self.limits.mails;
        let counted = async { mails.take_by_network(address_of(by)?, by.at).await }.await;
        self.admitted(counted, Kind::MailLimited, by).await
    }

    /// Counts a change that `user` has confirmed by the present password, apart from other changes: the
    /// holder of a stolen token can use those up, and must not keep the owner from these.
    pub(super) async fn admit_confirmed_change(
        &self,
        user: &User,
        by: &Initiator,
    ) -> Result<(), CheckError> {
        let kind = Kind::OwnChangesLimited;
        let counted = self.limits.confirmed_changes.take_by_user(user.id, by.at).await;
        self.admitted(counted, kind, by).await
    }

    pub(super) async fn admitted(
        &self,
        counted: Result<(), AttemptError>,
        kind: Kind,
        by: &Initiator,
    ) -> Result<(), CheckError> {
        if let Err(AttemptError::Limited(limited)) = &counted {
            let detail = format!("try again in {} s", limited.retry_after);
            self.accounts.audit.record(Event::new(kind, by).detail(detail)).await;
            if matches!(by.actor, Actor::Anonymous) {
                tokio::time::sleep(REFUSED_AFTER).await;
            }
        }
        Ok(counted?)
    }
}

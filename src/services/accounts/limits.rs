//! The limits on what any caller, or any user, can cause: sign-ups and mail by network, own changes
//! by user. Each use is counted before its work begins. Invariant: a limit does not look at
//! accounts, so a refusal is the same for known and unknown addresses.

use std::net::IpAddr;

use uuid::Uuid;

use crate::base::time::Timestamp;
use crate::domain::audit::{Actor, Audit, Event, Initiator, Kind, Origin};
use crate::domain::login_limits::{AttemptError, Limited, Limits};

/// The limits, with the audit trail that refusals go to.
pub struct AccountLimits {
    limits: Limits,
    audit: Audit,
}

impl AccountLimits {
    /// Wraps `limits`, whose refusals are recorded in `audit`.
    pub fn new(limits: Limits, audit: Audit) -> Self {
        Self { limits, audit }
    }

    /// Refuses a sign-up that this process knows not to be admitted now, and counts nothing.
    pub async fn check_sign_up(&self, origin: &Origin, now: Timestamp) -> Result<(), AttemptError> {
        let result = match address_of(origin) {
            Some(address) => self.limits.sign_ups.check_by_network(address, now),
            None => Err(AttemptError::Limited(Limited::FOR_A_MOMENT)),
        };
        self.record_refusal(result, Kind::SignUpLimited, Actor::Anonymous, origin, now).await
    }

    /// Counts a sign-up from the network of `origin`, or refuses it with the time to come back.
    pub async fn admit_sign_up(&self, origin: &Origin, now: Timestamp) -> Result<(), AttemptError> {
        let result = match address_of(origin) {
            Some(address) => self.limits.sign_ups.take_by_network(address, now).await,
            None => Err(AttemptError::Limited(Limited::FOR_A_MOMENT)),
        };
        self.record_refusal(result, Kind::SignUpLimited, Actor::Anonymous, origin, now).await
    }

    /// Counts a request that sends mail to an address which its caller names without signing in, or
    /// refuses it with the time to come back.
    pub async fn admit_mail(&self, origin: &Origin, now: Timestamp) -> Result<(), AttemptError> {
        let result = match address_of(origin) {
            Some(address) => self.limits.mails.take_by_network(address, now).await,
            None => Err(AttemptError::Limited(Limited::FOR_A_MOMENT)),
        };
        self.record_refusal(result, Kind::MailLimited, Actor::Anonymous, origin, now).await
    }

    /// Counts a change that the user `id` makes to the own account, or refuses it with the time to
    /// come back. The ends of sessions and of the account do not count: each of them needs a login,
    /// and no user may be kept from logging out.
    pub async fn admit_own_change(
        &self,
        id: Uuid,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<(), AttemptError> {
        let result = self.limits.own_changes.take_by_user(id, now).await;
        self.record_refusal(result, Kind::OwnChangesLimited, Actor::User(id), origin, now).await
    }

    /// Counts a change that the user `id` has confirmed by the present password, or refuses it with
    /// the time to come back. Counted apart from [other changes](Self::admit_own_change): the
    /// holder of a stolen token can use those up, and must not keep the owner from these.
    pub async fn admit_confirmed_change(
        &self,
        id: Uuid,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<(), AttemptError> {
        let result = self.limits.confirmed_changes.take_by_user(id, now).await;
        self.record_refusal(result, Kind::OwnChangesLimited, Actor::User(id), origin, now).await
    }

    /// The numbers of refused sign-ups, mails and own changes.
    pub fn limited(&self) -> [u64; 3] {
        let Limits { sign_ups, mails, own_changes, confirmed_changes } = &self.limits;
        let own_changes = own_changes.limited() + confirmed_changes.limited();
        [sign_ups.limited(), mails.limited(), own_changes]
    }

    async fn record_refusal(
        &self,
        result: Result<(), AttemptError>,
        kind: Kind,
        actor: Actor,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<(), AttemptError> {
        if let Err(AttemptError::Limited(limited)) = &result {
            let by = &Initiator { actor, origin: origin.clone() };
            let detail = format!("try again in {} s", limited.retry_after);
            let event = Event::new(kind, by).detail(detail);
            self.audit.record(event, now).await;
        }
        result
    }
}

/// The address of the caller. Only a connection that was reset already has none.
fn address_of(origin: &Origin) -> Option<IpAddr> {
    origin.address.as_deref().and_then(|address| address.parse().ok())
}

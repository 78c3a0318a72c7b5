//! The sections `login_limits`, `signup_limits`, `mail_limits`, `refresh_limits`, `revocation_limits`,
//! `revocations` and `audit`.

use std::time::Duration;

use super::RevocationsConfig;
use super::check::{Check, read};
use crate::domain::audit::Retention;
use crate::domain::login_limits::{Delays, Free, LimitPolicy, Policy, RatePolicy};

impl Check<'_> {
    pub(super) fn login_limits(&mut self) -> Option<Policy> {
        let enabled = self.flag("login_limits.enabled");
        let free = read!(Free {
            account_from_network: self.number("login_limits.account_from_network", 0, u32::MAX),
            account_from_unknown: self.number("login_limits.account_from_unknown", 0, u32::MAX),
            network: self.number("login_limits.network", 0, u32::MAX),
        });
        let delays = read!(Delays {
            shortest: self.duration("login_limits.shortest_delay"),
            longest: self.duration("login_limits.longest_delay"),
        });
        let longest_shared_delay = self.duration("login_limits.longest_shared_delay");
        let known_network = self.duration("login_limits.known_network");
        let policy = Policy::new(enabled?, free?, delays?, longest_shared_delay?, known_network?);
        self.accept_policy("login_limits", policy)
    }

    /// A limit by network, whose waits are those of `login_limits` for a network.
    pub(super) fn network_limit(
        &mut self,
        section: &str,
        login_limits: Option<&Policy>,
    ) -> Option<LimitPolicy> {
        let enabled = self.flag(&format!("{section}.enabled"));
        let network = self.number(&format!("{section}.network"), 1, 1_000_000);
        Some(LimitPolicy::by_network(enabled?, network?, login_limits?.network_delays()))
    }

    pub(super) fn audit(&mut self) -> Option<Retention> {
        let retention = self.duration("audit.retention");
        let login_retention = self.duration("audit.login_retention");
        self.accept_policy("audit", Retention::new(retention?, login_retention?))
    }

    pub(super) fn revocations(&mut self) -> Option<RevocationsConfig> {
        let mut revocations = read!(RevocationsConfig {
            open: self.flag("revocations.open"),
            max_age: self.duration_below("revocations.max_age", 60),
            heartbeat: self.heartbeat(),
            max_listeners: self.number("revocations.max_listeners", 0, 100_000),
            max_listeners_per_address: self.number(
                "revocations.max_listeners_per_address",
                0,
                100_000
            ),
        })?;
        if revocations.max_listeners_per_address == 0 {
            // At least one, where there is one.
            revocations.max_listeners_per_address = revocations.max_listeners.div_ceil(2);
        }
        Some(revocations)
    }

    fn heartbeat(&mut self) -> Option<Duration> {
        let key = "revocations.heartbeat";
        let heartbeat = self.duration_below(key, 60)?;
        if heartbeat.is_zero() { self.refuse(key, "must be at least 1s") } else { Some(heartbeat) }
    }

    /// One of the sections `refresh_limits` and `revocation_limits`.
    pub(super) fn rate_limits(&mut self, section: &str) -> Option<RatePolicy> {
        let enabled = self.flag(&format!("{section}.enabled"));
        let burst = self.number(&format!("{section}.burst"), 0, u32::MAX);
        let per_second = self.number(&format!("{section}.per_second"), 0, u32::MAX);
        let policy = RatePolicy::new(enabled?, burst?, per_second?);
        self.accept_policy(section, policy)
    }
}

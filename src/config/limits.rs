//! The sections `login_limits`, `signup_limits`, `mail_limits`, `refresh_limits`, `revocation_limits`,
//! `revocations` and `audit`.

use super::RevocationsConfig;
use super::check::Check;
use crate::domain::audit::Retention;
use crate::domain::login_limits::{Delays, Free, LimitPolicy, Policy, RatePolicy};

impl Check<'_> {
    pub(super) fn login_limits(&mut self) -> Option<Policy> {
        let enabled = self.flag("login_limits.enabled");
        let account_from_network = self.number("login_limits.account_from_network", 0, u32::MAX);
        let account_from_unknown = self.number("login_limits.account_from_unknown", 0, u32::MAX);
        let network = self.number("login_limits.network", 0, u32::MAX);
        let shortest_delay = self.duration("login_limits.shortest_delay");
        let longest_delay = self.duration("login_limits.longest_delay");
        let longest_shared_delay = self.duration("login_limits.longest_shared_delay");
        let known_network = self.duration("login_limits.known_network");
        let free = Free {
            account_from_network: account_from_network?,
            account_from_unknown: account_from_unknown?,
            network: network?,
        };
        let delays = Delays { shortest: shortest_delay?, longest: longest_delay? };
        let (longest_shared_delay, known_network) = (longest_shared_delay?, known_network?);
        let policy = Policy::new(enabled?, free, delays, longest_shared_delay, known_network);
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
        let open = self.flag("revocations.open");
        let max_age = self.duration_below("revocations.max_age", 60);
        let heartbeat = self.duration_below("revocations.heartbeat", 60);
        let heartbeat = heartbeat.and_then(|heartbeat| {
            let checked = (!heartbeat.is_zero()).then_some(heartbeat);
            self.accept("revocations.heartbeat", checked.ok_or("must be at least 1s".to_owned()))
        });
        let max_listeners = self.number("revocations.max_listeners", 0, 100_000);
        let per_address = self.number("revocations.max_listeners_per_address", 0, 100_000);
        Some(RevocationsConfig {
            open: open?,
            max_age: max_age?,
            heartbeat: heartbeat?,
            max_listeners: max_listeners?,
            max_listeners_per_address: match per_address? {
                // At least one, where there is one.
                0 => max_listeners?.div_ceil(2),
                given => given,
            },
        })
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

//! How many wrong passwords are free and how long a wait grows, as the operator sets it, checked
//! once when it is read.

use std::time::Duration;

const DAY: Duration = Duration::from_secs(86_400);
/// Those of a network by the hour: behind one address there may be many people.
const HOUR: Duration = Duration::from_secs(3600);

/// The rule of one budget: a number of failures is free in a period, and each one beyond doubles the
/// wait for the next, up to the longest. They are forgotten evenly, as many in a period as are free.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    pub(super) free: u32,
    pub(super) period: Duration,
    pub(super) delays: Delays,
}

/// How long an attempt has to wait once there have been too many failures.
#[derive(Clone, Copy, Debug)]
pub struct Delays {
    /// The first wait; each further one is twice as long.
    pub shortest: Duration,
    /// Up to this.
    pub longest: Duration,
}

impl Rule {
    /// The wait for the next attempt when `failures` have not been forgotten.
    pub(super) fn delay(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(self.free).min(20);
        (self.delays.shortest * (1 << doublings)).min(self.delays.longest)
    }

    /// The failures that make the longest wait. More are not counted, so that it takes no longer to
    /// forget a long attack than a short one.
    pub(super) fn most(&self) -> u32 {
        let Delays { shortest, longest } = self.delays;
        let times = longest.as_secs().div_ceil(shortest.as_secs());
        self.free + times.next_power_of_two().trailing_zeros()
    }
}

/// How many wrong passwords are free.
#[derive(Clone, Copy, Debug)]
pub struct Free {
    /// For an account from one network, a day.
    pub account_from_network: u32,
    /// For an account from all networks together that it is not known to sign in from, a day.
    pub account_from_unknown: u32,
    /// From a network for all accounts, an hour.
    pub network: u32,
}

/// The rules of brute-force protection.
#[derive(Clone, Debug)]
pub struct Policy {
    pub(super) enabled: bool,
    pub(super) account_from_network: Rule,
    pub(super) account_from_unknown: Rule,
    pub(super) network: Rule,
    pub(super) known_network: Duration,
}

impl Policy {
    /// The waits of a network that has used up its free failures.
    pub fn network_delays(&self) -> Delays {
        self.network.delays
    }

    /// Checks that the values make sense; the error is the sentence for the operator, with the name
    /// of the setting that is wrong. `delays` are those of an account from one network;
    /// `longest_shared_delay` is the longest that strangers can bring about.
    pub fn new(
        enabled: bool,
        free: Free,
        delays: Delays,
        longest_shared_delay: Duration,
        known_network: Duration,
    ) -> Result<Self, (&'static str, String)> {
        for (name, free) in [
            ("account_from_network", free.account_from_network),
            ("account_from_unknown", free.account_from_unknown),
            ("network", free.network),
        ] {
            if !(1..=1_000_000).contains(&free) {
                return Err((name, "must be from 1 to 1000000".into()));
            }
        }
        let Delays { shortest, longest } = delays;
        if shortest < Duration::from_secs(1) {
            return Err(("shortest_delay", "must be at least 1s".into()));
        }
        for (name, delay) in
            [("longest_delay", longest), ("longest_shared_delay", longest_shared_delay)]
        {
            // A longer one would be a lock-out, and outlive what is remembered of its reason.
            if delay < shortest || delay > HOUR {
                return Err((name, "must be from shortest_delay to 1h".into()));
            }
        }
        if known_network < DAY || known_network > 3650 * DAY {
            return Err(("known_network", "must be from 1d to 3650d".into()));
        }
        let rule = |free, period, longest| {
            let delays = Delays { shortest, longest };
            Rule { free, period, delays }
        };
        Ok(Self {
            enabled,
            account_from_network: rule(free.account_from_network, DAY, longest),
            account_from_unknown: rule(free.account_from_unknown, DAY, longest_shared_delay),
            network: rule(free.network, HOUR, longest_shared_delay),
            known_network,
        })
    }
}

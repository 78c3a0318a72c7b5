//! The rules of rotation as the operator sets them, checked once when they are read.

use std::time::Duration;

/// What happens after the retry window if the successor was never redeemed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// Its holder never received the successor: issue a new one and displace the lost one.
    Recover,
    /// Treat it as reuse and end the session.
    Revoke,
}

/// The rules of refresh-token rotation.
#[derive(Clone, Debug)]
pub struct Policy {
    pub(super) retry_window: Duration,
    pub(super) recovery: Recovery,
    pub(super) idle_lifetime: Duration,
    pub(super) absolute_lifetime: Duration,
    pub(super) max_per_user: u32,
}

impl Policy {
    /// The longest retry window: with a longer one, a stolen token would be good for too long.
    const MAX_RETRY_WINDOW: Duration = Duration::from_secs(300);
    const MAX_LIFETIME: Duration = Duration::from_secs(10 * 365 * 86_400);

    /// Checks that the values make sense together; the error is the sentence for the operator,
    /// with the name of the setting that is wrong.
    pub fn new(
        retry_window: Duration,
        recovery: Recovery,
        idle_lifetime: Duration,
        absolute_lifetime: Duration,
        max_per_user: u32,
    ) -> Result<Self, (&'static str, String)> {
        if retry_window > Self::MAX_RETRY_WINDOW {
            return Err(("retry_window", "must be at most 5m".into()));
        }
        if idle_lifetime <= retry_window || idle_lifetime < Duration::from_secs(60) {
            return Err(("idle_lifetime", "must be at least 1m and above retry_window".into()));
        }
        if absolute_lifetime < idle_lifetime || absolute_lifetime > Self::MAX_LIFETIME {
            return Err(("absolute_lifetime", "must be from idle_lifetime to 10y".into()));
        }
        if !(1..=10_000).contains(&max_per_user) {
            return Err(("max_per_user", "must be from 1 to 10000".into()));
        }
        Ok(Self { retry_window, recovery, idle_lifetime, absolute_lifetime, max_per_user })
    }
}

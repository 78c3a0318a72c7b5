//! How long events are kept in the database.

use std::time::Duration;

/// How long events are kept. Older ones are deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    pub(crate) events: Duration,
    pub(crate) logins: Duration,
}

impl Retention {
    /// Keeps events for `retention` and logins for `login_retention`, but no longer than other
    /// events. The error names the setting that is wrong and says what is allowed.
    pub fn new(
        retention: Duration,
        login_retention: Duration,
    ) -> Result<Self, (&'static str, String)> {
        for (name, duration) in [("retention", retention), ("login_retention", login_retention)] {
            if duration < Duration::from_secs(1) {
                return Err((name, "must be at least 1s".into()));
            }
        }
        Ok(Self { events: retention, logins: login_retention.min(retention) })
    }
}

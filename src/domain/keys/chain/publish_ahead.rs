//! How long a key is published before it signs, by an operator's choice.

use std::time::Duration;

use super::{Refusal, Rules};

pub(super) const MAX_AHEAD: Duration = Duration::from_secs(90 * 86_400);

/// When a key is to sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublishAhead {
    /// After `keys.publish_ahead`.
    Usual,
    /// After this long, which verifiers must be able to follow.
    Shortened(Duration),
    /// After this long, whether or not verifiers can follow.
    Forced(Duration),
}

pub(super) fn check_publish_ahead(ahead: PublishAhead, rules: &Rules) -> Result<Duration, Refusal> {
    let ahead = match ahead {
        PublishAhead::Usual => rules.publish_ahead,
        PublishAhead::Shortened(ahead) if ahead < rules.least_ahead => {
            return Err(Refusal::TooSoon(rules.least_ahead));
        }
        PublishAhead::Shortened(ahead) | PublishAhead::Forced(ahead) => ahead,
    };
    if ahead > MAX_AHEAD.max(rules.publish_ahead) {
        return Err(Refusal::TooLate(MAX_AHEAD));
    }
    Ok(ahead)
}

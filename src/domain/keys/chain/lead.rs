//! How long a key is published before it signs, as an operator may choose it.

use std::time::Duration;

use super::{Refusal, Rules};

/// The longest that an operator may let a key wait to sign.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(90 * 86_400);

/// When a key is to sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lead {
    /// After `keys.publish_ahead`.
    Usual,
    /// After this long, which verifiers must be able to follow.
    Shortened(Duration),
    /// After this long, whether or not verifiers can follow.
    Forced(Duration),
}

/// How long the key waits, where the rules let it wait no longer or shorter.
pub(super) fn check_lead(lead: Lead, rules: &Rules) -> Result<Duration, Refusal> {
    let lead = match lead {
        Lead::Usual => rules.publish_ahead,
        Lead::Shortened(lead) if lead < rules.least_ahead => {
            return Err(Refusal::TooSoon(rules.least_ahead));
        }
        Lead::Shortened(lead) | Lead::Forced(lead) => lead,
    };
    if lead > LONGEST_WAIT.max(rules.publish_ahead) {
        return Err(Refusal::TooLate(LONGEST_WAIT));
    }
    Ok(lead)
}

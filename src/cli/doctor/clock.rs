//! The check of the issuer's clock against this machine's: the issuer dates tokens by its own
//! clock, and verifiers judge them by theirs.

use std::time::{Duration, UNIX_EPOCH};

use super::fault::seconds;
use super::report::Report;
use crate::base::time::Clock;
use crate::storage::outbound::{Answer, header};

/// The difference above which the check warns: verifiers without leeway refuse some tokens.
const WARN_ABOVE: Duration = Duration::from_secs(2);
/// The difference above which the check fails: it uses up the usual leeway of verifiers.
const FAIL_ABOVE: Duration = Duration::from_secs(30);
/// The mean error of `Date`, which is in whole seconds, rounded down.
const ROUNDING: Duration = Duration::from_millis(500);

/// Compares the `Date` of an answer with this machine's time halfway between request and answer.
pub(super) fn check(clock: &Clock, answer: &Answer, report: &mut Report) {
    let date = answer.header(header::DATE).and_then(|date| httpdate::parse_http_date(date).ok());
    let date = date.and_then(|date| date.duration_since(UNIX_EPOCH).ok());
    let Some(date) = date else {
        let mend = "let the service or its proxy send Date (RFC 9110 section 6.6.1)";
        report.warning("clock", "the answer has no Date", mend);
        return;
    };
    // The `Date` of a cached answer says when the issuer made it, and `Age` how long ago that was.
    let age = answer.header(header::AGE).and_then(|age| age.parse().ok()).unwrap_or(0);
    let there = date.saturating_add(Duration::from_secs(age)).saturating_add(ROUNDING);
    let asked_at = clock.since_epoch().saturating_sub(answer.asked_at.elapsed());
    let here = asked_at + answer.head_after / 2;
    let apart = there.abs_diff(here);
    let doubt = ROUNDING + answer.head_after / 2;
    let direction = if there > here { "ahead of" } else { "behind" };
    let seen =
        format!("{} {direction} this machine's, give or take {}", seconds(apart), seconds(doubt));
    let mend = "let both machines take their time from NTP (chrony, systemd-timesyncd), and see which \
                one is wrong";
    let check = match apart.saturating_sub(doubt) {
        sure if sure > FAIL_ABOVE => report.failed("clock", seen, mend),
        sure if sure > WARN_ABOVE => report.warning("clock", seen, mend),
        _ if apart <= doubt => {
            report.ok("clock", format!("no difference above {}", seconds(doubt)))
        }
        _ => report.ok("clock", seen),
    };
    check.took(apart);
}

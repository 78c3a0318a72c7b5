//! How far the issuer's clock is from this machine's: tokens are judged by both.

use std::time::{Duration, UNIX_EPOCH};

use super::fault::seconds;
use super::report::Report;
use crate::base::time::Clock;
use crate::storage::outbound::{Answer, header};

/// Beyond it, tokens begin to be refused by those without leeway.
const WARN_ABOVE: Duration = Duration::from_secs(2);
/// Beyond it, a usual leeway is used up.
const FAIL_ABOVE: Duration = Duration::from_secs(30);
/// `Date` is in whole seconds, rounded down.
const ROUNDING: Duration = Duration::from_millis(500);

/// Compares the `Date` of an answer with the time of day in the middle of the question.
pub(super) fn check(clock: &Clock, answer: &Answer, report: &mut Report) {
    let date = answer.header(header::DATE).and_then(|date| httpdate::parse_http_date(date).ok());
    let date = date.and_then(|date| date.duration_since(UNIX_EPOCH).ok());
    let Some(date) = date else {
        let mend = "let the service or its proxy send Date (RFC 9110 section 6.6.1)";
        report.warning("clock", "the answer has no Date", mend);
        return;
    };
    // An answer out of a cache says when it was made, and how long ago that was.
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

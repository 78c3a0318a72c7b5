//! What a genuine refresh token meets (RFC 9700 section 4.14.2): a pure decision over the session's
//! record. Invariants: a change always raises `current`, so that it serves as the version for
//! compare-and-swap; and the same token presented again within the retry window changes nothing,
//! so that a client that lost the answer gets the same successor.

use std::time::Duration;

use super::{Policy, Recovery, Session};
use crate::base::named::named;
use crate::base::time::Timestamp;

/// The highest generation that is accepted: its successor still fits the stores' signed integers.
const LAST_GENERATION: u64 = i64::MAX as u64 - 1;

/// The number of recoveries in a row, without a redemption of the successor in between. A client
/// that loses more answers looks the same as two parties that hold the same token.
const MAX_RECOVERIES: u64 = 3;

#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "most decisions are the large one, and none is kept")]
pub(super) enum Decision {
    /// Store `next` in place of the record, and give out the generation that is then current.
    Advance {
        next: Session,
        advance: Advance,
    },
    /// Give out the current generation again; nothing changes.
    Replay,
    /// The token was displaced: end the session.
    Reuse,
    Refuse(Refusal),
}

/// Why a session advances to the next generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advance {
    /// The current token was redeemed.
    Redeemed,
    /// A redeemed token came back late and its successor was never seen: that one is displaced.
    /// At most three times in a row.
    Recovered,
    /// The token is newer than the record: the store had lost its last writes.
    Healed,
}

named! {
    /// Why a refresh token is not good. For the audit trail; every answer says `invalid_grant`.
    pub enum Refusal {
        /// The session is not found: it never existed, was revoked, or has expired.
        Unknown = "unknown_session",
        /// The session has been idle for too long, or has reached its end.
        Expired = "expired_session",
        /// The session belongs to another client (RFC 6749 section 10.4).
        OtherClient = "other_client",
        /// A generation that is never issued.
        NeverIssued = "never_issued",
    }
}

/// Decides what `presented`, a generation from a token that verified, means for `session`.
pub(super) fn decide(
    session: &Session,
    presented: u64,
    client_id: &str,
    now: Timestamp,
    policy: &Policy,
) -> Decision {
    if !(1..=LAST_GENERATION).contains(&presented) {
        return Decision::Refuse(Refusal::NeverIssued);
    }
    if session.is_expired(policy, now) {
        return Decision::Refuse(Refusal::Expired);
    }
    if session.client_id != client_id {
        return Decision::Refuse(Refusal::OtherClient);
    }
    if presented == session.current {
        return advance(session, presented, presented + 1, now, Advance::Redeemed);
    }
    if presented > session.current {
        return advance(session, presented, presented + 1, now, Advance::Healed);
    }
    if presented != session.parent {
        return Decision::Reuse;
    }
    if is_retry(session.advanced_at, now, policy.retry_window) {
        return Decision::Replay;
    }
    match policy.recovery {
        Recovery::Revoke => Decision::Reuse,
        // Only a record that was written by hand can be at the last generation already.
        Recovery::Recover if session.current > LAST_GENERATION => Decision::Reuse,
        // The redemption made `parent + 1`, and each recovery since one more.
        Recovery::Recover if session.current - session.parent > MAX_RECOVERIES => Decision::Reuse,
        Recovery::Recover => {
            advance(session, presented, session.current + 1, now, Advance::Recovered)
        }
    }
}

fn advance(
    session: &Session,
    parent: u64,
    current: u64,
    now: Timestamp,
    advance: Advance,
) -> Decision {
    let next = Session { parent, current, advanced_at: now, ..session.clone() };
    Decision::Advance { next, advance }
}

/// Whether `now` is within `window` of the advance, before or after it: the clocks of two servers
/// differ a little, but a clock that was set back by hours must not keep the window open for hours.
/// With a window of zero, nothing is a retry.
fn is_retry(advanced_at: Timestamp, now: Timestamp, window: Duration) -> bool {
    let distance = now.since(advanced_at).max(advanced_at.since(now));
    !window.is_zero() && distance <= window
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::domain::sessions::{Login, Origin};

    const START: i64 = 1_000_000;
    const ADVANCED: i64 = START + 1000;
    const IDLE: i64 = 10_000;
    const ABSOLUTE: i64 = 50_000;

    fn policy(recovery: Recovery, retry_window: u64) -> Policy {
        let seconds = |n: i64| Duration::from_secs(n as u64);
        let window = Duration::from_secs(retry_window);
        Policy::new(window, recovery, seconds(IDLE), seconds(ABSOLUTE), 5).unwrap()
    }

    fn session(parent: u64, current: u64) -> Session {
        Session {
            sid: Uuid::from_u128(1),
            user_id: Uuid::from_u128(2),
            client_id: "app".into(),
            scope: "openid".into(),
            audience: String::new(),
            epoch: 4,
            started_at: Timestamp::from_unix(START),
            login: Login::by_password(Timestamp::from_unix(START)),
            current,
            parent,
            advanced_at: Timestamp::from_unix(ADVANCED),
            origin: Origin::default(),
        }
    }

    /// The decision in short: what was done, and the parent and current generation afterwards.
    fn outcome(decision: &Decision) -> (&'static str, u64, u64) {
        match decision {
            Decision::Advance { next, advance } => {
                let name = match advance {
                    Advance::Redeemed => "advance",
                    Advance::Recovered => "recover",
                    Advance::Healed => "heal",
                };
                (name, next.parent, next.current)
            }
            Decision::Replay => ("replay", 0, 0),
            Decision::Reuse => ("reuse", 0, 0),
            Decision::Refuse(refusal) => (refusal.as_str(), 0, 0),
        }
    }

    #[test]
    fn the_table_of_presented_tokens() {
        // Parent 4, displaced 5, current 6; seconds since the advance.
        let table = [
            ("current", 6, 0, ("advance", 6, 7)),
            ("current, much later", 6, 9_999, ("advance", 6, 7)),
            ("parent immediately", 4, 0, ("replay", 0, 0)),
            ("parent at the window's end", 4, 10, ("replay", 0, 0)),
            ("parent after the window", 4, 11, ("recover", 4, 7)),
            ("displaced", 5, 0, ("reuse", 0, 0)),
            ("displaced, later", 5, 100, ("reuse", 0, 0)),
            ("older than the parent", 3, 0, ("reuse", 0, 0)),
            ("the first of all", 1, 5, ("reuse", 0, 0)),
            ("newer by one", 7, 0, ("heal", 7, 8)),
            ("newer by many", 70, 50, ("heal", 70, 71)),
            ("never issued", 0, 0, ("never_issued", 0, 0)),
            ("absurd", u64::MAX, 0, ("never_issued", 0, 0)),
            ("absurd for the stores", i64::MAX as u64, 0, ("never_issued", 0, 0)),
            ("clock a little behind, parent", 4, -10, ("replay", 0, 0)),
            ("clock set far back, parent", 4, -11, ("recover", 4, 7)),
            ("clock set far back, current", 6, -900_000, ("advance", 6, 7)),
            ("idle for too long", 6, IDLE, ("expired_session", 0, 0)),
            ("reuse of an expired one", 1, IDLE, ("expired_session", 0, 0)),
        ];
        for (name, presented, seconds, expected) in table {
            let now = Timestamp::from_unix(ADVANCED + seconds);
            let policy = policy(Recovery::Recover, 10);
            let decision = decide(&session(4, 6), presented, "app", now, &policy);
            assert_eq!(outcome(&decision), expected, "{name}");
            if let Decision::Advance { next, .. } = decision {
                let unchanged = Session { parent: 4, current: 6, ..next.clone() };
                assert!(next.current > 6 && next.advanced_at == now, "{name}");
                let then = Timestamp::from_unix(ADVANCED);
                assert_eq!(Session { advanced_at: then, ..unchanged }, session(4, 6), "{name}");
            }
        }
    }

    #[test]
    fn what_else_decides_beside_the_presented_token() {
        const RECOVER: (Recovery, u64) = (Recovery::Recover, 10);
        const REVOKE: (Recovery, u64) = (Recovery::Revoke, 10);
        let table = [
            ("a first token", RECOVER, (0, 1), 1, 0, "advance"),
            ("a first token has no parent", RECOVER, (0, 1), 0, 0, "never_issued"),
            ("strictly, in the window", REVOKE, (4, 6), 4, 10, "replay"),
            ("strictly, a late parent is reuse", REVOKE, (4, 6), 4, 11, "reuse"),
            ("no window, strictly", (Recovery::Revoke, 0), (4, 6), 4, 0, "reuse"),
            ("no window, nothing is replayed", (Recovery::Recover, 0), (4, 6), 4, 0, "recover"),
            ("first recovery in a row", RECOVER, (4, 5), 4, 11, "recover"),
            ("second recovery in a row", RECOVER, (4, 6), 4, 11, "recover"),
            ("third recovery in a row", RECOVER, (4, 7), 4, 11, "recover"),
            ("the fourth is reuse", RECOVER, (4, 8), 4, 11, "reuse"),
            ("a previous version recovered without a bound", RECOVER, (4, 30), 4, 11, "reuse"),
            ("a successor is redeemed", RECOVER, (4, 8), 8, 11, "advance"),
            ("its holder may lose answers again", RECOVER, (8, 9), 8, 11, "recover"),
            ("a displaced token is reuse", RECOVER, (4, 6), 5, 0, "reuse"),
            ("an early token is reuse", RECOVER, (4, 6), 1, 0, "reuse"),
            ("a later token heals", RECOVER, (4, 6), 7, 0, "heal"),
        ];
        for (name, (recovery, window), (parent, current), presented, seconds, expected) in table {
            let now = Timestamp::from_unix(ADVANCED + seconds);
            let policy = policy(recovery, window);
            let decided = |client| {
                let decision = decide(&session(parent, current), presented, client, now, &policy);
                outcome(&decision)
            };
            let next = match expected {
                "advance" | "heal" => (expected, presented, presented + 1),
                "recover" => (expected, presented, current + 1),
                _ => (expected, 0, 0),
            };
            assert_eq!(decided("app"), next, "{name}");
            if presented > 0 {
                assert_eq!(decided("other").0, "other_client", "{name}");
            }
        }
    }

    #[test]
    fn the_absolute_end_comes_however_busy_the_session_is() {
        let policy = policy(Recovery::Recover, 10);
        let mut session = session(4, 6);
        session.advanced_at = Timestamp::from_unix(START + ABSOLUTE - 5);
        let at = |seconds| Timestamp::from_unix(START + ABSOLUTE + seconds);
        assert_eq!(session.expires_at(&policy), at(0));
        assert_eq!(outcome(&decide(&session, 6, "app", at(-1), &policy)), ("advance", 6, 7));
        assert_eq!(outcome(&decide(&session, 6, "app", at(0), &policy)).0, "expired_session");

        for own_end in [START + 30_000, START + 60_000].map(Timestamp::from_unix) {
            session.login.ends_at = Some(own_end);
            session.advanced_at = own_end.minus(Duration::from_secs(5));
            assert_eq!(session.expires_at(&policy), own_end);
            let decided = |now| outcome(&decide(&session, 6, "app", now, &policy)).0;
            assert_eq!(decided(session.advanced_at), "advance");
            assert_eq!(decided(own_end), "expired_session");
        }
    }
}

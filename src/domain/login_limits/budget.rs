//! The state of one budget of wrong passwords. An attempt is charged when it is reserved, as if it had
//! failed; one that succeeds is given back. So a failure that is never settled, because the process
//! died or the client hung up, is counted all the same.

use crate::base::time::Timestamp;

use super::policy::Rule;

/// The lease of an attempt, in seconds: it counts as in flight for one to two of these.
pub(super) const LEASE: i64 = 30;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Granted,
    /// The attempts in flight decide: wait for them.
    Busy,
    /// It may not be made for this number of seconds.
    Refused(u64),
}

/// Failures that are not forgotten yet, and attempts in flight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Budget {
    pub(super) charged: u32,
    pub(super) since: i64,
    pub(super) last: i64,
    /// The number of the present lease period since the epoch.
    pub(super) lease: i64,
    /// The attempts in flight that were reserved in the present lease period.
    pub(super) fresh: u32,
    /// The attempts in flight from the lease period before. Older ones have expired and are failures.
    pub(super) stale: u32,
}

/// The lease period of an attempt that is reserved at `now`.
fn lease_at(now: Timestamp) -> i64 {
    now.as_unix().div_euclid(LEASE)
}

impl Budget {
    pub(super) fn empty_at(now: Timestamp) -> Self {
        Self { since: now.as_unix(), lease: lease_at(now), ..Self::default() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.charged == 0
    }

    pub(super) fn in_flight(&self) -> u32 {
        self.fresh + self.stale
    }

    /// The same at `now`: leases have run out and failures have been forgotten.
    pub(super) fn at(mut self, now: Timestamp, rule: &Rule) -> Self {
        let lease = lease_at(now);
        (self.lease, self.fresh, self.stale) = match lease.saturating_sub(self.lease) {
            0 => (self.lease, self.fresh, self.stale),
            // The clock of another instance is a little ahead.
            -1 => (self.lease, self.fresh, self.stale),
            1 => (lease, 0, self.fresh),
            _ => (lease, 0, 0),
        };
        let now = now.as_unix();
        // Where the clock was set back, no attempt waits for a moment that it showed before.
        if self.last > now.saturating_add(LEASE) {
            self.last = 0;
        }
        self.last = self.last.min(now);
        self.since = self.since.min(now);
        self.charged = self.charged.min(rule.most().saturating_add(self.in_flight()));

        let (period, free) = (i128::from(rule.period.as_secs()), i128::from(rule.free));
        let failures = self.charged.saturating_sub(self.in_flight());
        let forgotten = i128::from(now.saturating_sub(self.since)) * free / period;
        match u32::try_from(forgotten) {
            Ok(forgotten) if forgotten < failures => {
                self.charged -= forgotten;
                let taken = (i128::from(forgotten) * period).div_euclid(free);
                self.since = self.since.saturating_add(i64::try_from(taken).unwrap_or(i64::MAX));
            }
            _ => (self.charged, self.since) = (self.in_flight(), now),
        }
        self
    }

    /// Decides on one more attempt at `now`, which is the moment of the budget.
    pub(super) fn decide(&self, now: Timestamp, rule: &Rule) -> Verdict {
        if self.charged < rule.free {
            return Verdict::Granted;
        }
        // One of these may be the owner's: whether there is a wait is not decided before it is.
        if self.in_flight() > 0 {
            return Verdict::Busy;
        }
        let free_at = Timestamp::from_unix(self.last).plus(rule.delay(self.charged));
        match free_at.since(now).as_secs() {
            0 => Verdict::Granted,
            seconds => Verdict::Refused(seconds),
        }
    }

    /// The seconds that a request at `now`, the moment of the budget, has to wait; 0 for none. For
    /// requests of which none is in flight.
    pub(super) fn wait(&self, now: Timestamp, rule: &Rule) -> u64 {
        if self.charged < rule.free {
            return 0;
        }
        // Times are whole seconds, and the one in which the last request came may be almost over:
        // one second more makes the wait no shorter than the rule says.
        let delay = rule.delay(self.charged) + std::time::Duration::from_secs(1);
        Timestamp::from_unix(self.last).plus(delay).since(now).as_secs()
    }

    /// With one request more, made at `now`, the moment of the budget.
    pub(super) fn charge(mut self, now: Timestamp) -> Self {
        self.charged = self.charged.saturating_add(1);
        self.last = now.as_unix();
        self
    }

    /// With one attempt more in flight, reserved at `now`, the moment of the budget.
    pub(super) fn reserve(mut self, now: Timestamp) -> Self {
        self.charged = self.charged.saturating_add(1);
        self.fresh = self.fresh.saturating_add(1);
        self.last = now.as_unix();
        self
    }

    /// With an attempt of `lease` failed: no more in flight, and still charged.
    pub(super) fn fail(mut self, lease: i64) -> Self {
        if lease == self.lease {
            self.fresh = self.fresh.saturating_sub(1);
        } else if lease == self.lease.saturating_sub(1) {
            self.stale = self.stale.saturating_sub(1);
        }
        self
    }

    /// With an attempt of `lease` given back, unless its lease has run out.
    pub(super) fn give_back(self, lease: i64) -> Self {
        let settled = self.fail(lease);
        let landed = self.in_flight() - settled.in_flight();
        Self { charged: self.charged.saturating_sub(landed), ..settled }
    }

    /// With all failures forgotten; what is in flight stays so.
    pub(super) fn clear(self) -> Self {
        Self { charged: self.in_flight(), ..self }
    }

    pub(super) fn forgotten_at(&self, rule: &Rule) -> Timestamp {
        let (charged, free) = (u64::from(self.charged), u64::from(rule.free));
        // What is in flight now may be a failure later, and begins to be forgotten then.
        let from = if self.in_flight() > 0 { (self.lease + 2) * LEASE } else { self.since };
        let seconds = (charged * rule.period.as_secs()).div_ceil(free);
        Timestamp::from_unix(from).plus(std::time::Duration::from_secs(seconds))
    }
}

//! The time of refusing a wrong password: that of verifying a current hash, even if the stored hash
//! is cheaper, malformed or absent. Otherwise the time of the answer would reveal which accounts
//! exist. A hash more expensive than a current one cannot be hidden.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::PasswordPolicy;
use super::argon2::{self, HashMemory};

/// The measured cost of one current hash on this thread, in processor time, which does not count
/// other threads' work.
#[derive(Default)]
pub struct Pace(Option<Duration>);

impl Pace {
    /// Records the cost of a further hash.
    pub fn learn(&mut self, cost: Duration) {
        // An outlier, as after a pause that has cooled the memory, changes it only a little.
        self.0 = Some(self.0.map_or(cost, |usual| (usual * 7 + cost) / 8));
    }

    /// Keeps computing until `hashes` hashes could have been computed since `watch` was started.
    pub fn keep(
        &mut self,
        hashes: u32,
        watch: &Watch,
        policy: &PasswordPolicy,
        memory: &mut HashMemory,
    ) {
        let usual = match self.0 {
            Some(usual) => usual,
            None => {
                let watch = Watch::start();
                argon2::spend(policy, 1.0, memory);
                let cost = watch.elapsed();
                self.learn(cost);
                cost
            }
        };
        // The remainder shrinks with every round: less memory is filled faster, so that the first
        // round leaves a little.
        let whole = usual * hashes;
        while let missing = whole.saturating_sub(watch.elapsed())
            && !missing.is_zero()
        {
            argon2::spend(policy, missing.as_secs_f64() / usual.as_secs_f64(), memory);
        }
    }
}

/// A stopwatch for this thread's processor time.
pub struct Watch(Duration);

impl Watch {
    /// Starts the stopwatch.
    pub fn start() -> Self {
        Self(cpu_time())
    }

    /// The time since the start.
    pub fn elapsed(&self) -> Duration {
        cpu_time().saturating_sub(self.0)
    }
}

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    // Both are within their ranges for times since the start of the thread.
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

#[cfg(test)]
mod tests {
    use super::super::{Password, unmatchable, verify};
    use super::*;
    use crate::base::random::Random;

    fn time(typed: &str, stored: &str, memory: &mut HashMemory, pace: &mut Pace) -> f64 {
        let policy = policy();
        let password = Password::new(typed);
        let mut times: Vec<_> = (0..15)
            .map(|_| {
                let watch = Watch::start();
                verify(&password, stored, &policy, memory, pace);
                watch.elapsed().as_secs_f64()
            })
            .collect();
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    }

    fn policy() -> PasswordPolicy {
        PasswordPolicy::new(8 * 1024, 2, 1, 1, 1).unwrap()
    }

    const CHEAP: [&str; 5] = [
        "$P$9IQRaTwmfeRo7ud9Fh4E2PdI0S3r.L0",
        "$2b$04$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
        "pbkdf2:sha256:1$salt$c5e478d59288c841aa530db6845c4c8d",
        "$argon2id$v=19$m=4096,t=1,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5A",
        "no hash at all",
    ];

    /// On any machine, fast or busy: an answer faster than the pace would reveal the cheap hash.
    #[test]
    fn a_wrong_password_never_takes_less_than_the_pace() {
        let usual = Duration::from_millis(40);
        for (typed, hashes) in [("wrong horse", 1), ("wrong caf\u{fb01}", 2)] {
            for stored in CHEAP {
                let (mut memory, mut pace) = (HashMemory::default(), Pace(Some(usual)));
                let watch = Watch::start();
                verify(&Password::new(typed), stored, &policy(), &mut memory, &mut pace);
                assert!(watch.elapsed() >= usual * hashes, "{typed} for {stored}");
            }
        }
    }

    #[test]
    #[ignore = "takes times, for a machine at rest: scripts/test --slow"]
    fn a_cheap_hash_takes_as_long_as_none() {
        let (mut memory, mut pace) = (HashMemory::default(), Pace::default());
        let nobody = unmatchable(&policy(), &Random::system());
        for typed in ["wrong horse", "wrong caf\u{fb01}"] {
            // Measured alternately, so that a change in the machine's speed affects both.
            let mut ratios: Vec<_> = CHEAP
                .map(|stored| {
                    let nobody = time(typed, nobody.expose(), &mut memory, &mut pace);
                    time(typed, stored, &mut memory, &mut pace) / nobody
                })
                .into();
            ratios.sort_by(f64::total_cmp);
            assert!(ratios[0] > 0.75 && ratios[4] < 1.35, "{typed}: {ratios:?}");
        }
    }

    #[test]
    fn what_is_learned_follows_slowly() {
        let mut pace = Pace::default();
        pace.learn(Duration::from_millis(16));
        pace.learn(Duration::from_millis(32));
        assert_eq!(pace.0, Some(Duration::from_millis(18)));
    }
}

//! The queue of the hashing threads: whether a job has room in it, and which job is next. Pure
//! decisions, made under the pool's lock. Invariant: logins always have their own share of room and
//! threads, whatever callers who have not signed in request.

use std::collections::VecDeque;

use tokio::sync::oneshot;

use crate::base::secret::Secret;
use crate::domain::credentials::password::{Password, Verdict};

pub(super) enum Job {
    Hash {
        password: Password,
        anonymous: bool,
        reply: oneshot::Sender<Secret<String>>,
    },
    Verify {
        password: Password,
        stored: Secret<String>,
        expensive: bool,
        reply: oneshot::Sender<Verdict>,
    },
}

impl Job {
    /// Whether the caller has disconnected, so that the work would be useless.
    pub(super) fn is_abandoned(&self) -> bool {
        match self {
            Self::Hash { reply, .. } => reply.is_closed(),
            Self::Verify { reply, .. } => reply.is_closed(),
        }
    }

    /// Whether the job makes a hash for a caller who has not signed in.
    pub(super) fn is_anonymous(&self) -> bool {
        matches!(self, Self::Hash { anonymous: true, .. })
    }

    /// Whether the job is far more expensive than a hash of the policy.
    pub(super) fn is_expensive(&self) -> bool {
        matches!(self, Self::Verify { expensive: true, .. })
    }
}

#[derive(Default)]
pub(super) struct Queue {
    pub(super) jobs: VecDeque<Job>,
    pub(super) busy: usize,
    pub(super) threads: usize,
    /// Whether one of them runs an expensive job. There is one of those at a time: the ceilings
    /// hold for each hash, and all threads together would multiply them.
    pub(super) expensive: bool,
    /// Threads that compute hashes for callers who have not signed in.
    pub(super) anonymous: usize,
    /// Places that are reserved for such hashes, which may not come.
    pub(super) reserved: usize,
    /// Other jobs that were started since the last of those.
    passed: usize,
    pub(super) closed: bool,
}

/// The share of hashes for callers who have not signed in, as one in this many: of the places in
/// the queue, and of the starts while others wait.
const ANONYMOUS_SHARE: usize = 4;

impl Queue {
    /// Takes the first job that may start on one of `threads`. A waiting expensive job lets others
    /// pass; the thread that ends the running one looks here next. A hash for a caller who has not
    /// signed in lets three others pass: a flood of those delays no login by more than one hash,
    /// and is itself not delayed for ever.
    pub(super) fn take(&mut self, threads: usize) -> Option<Job> {
        let may_begin = |job: &Job| !(self.expensive && job.is_expensive());
        let first = |anonymous| {
            let wanted = |job: &Job| job.is_anonymous() == anonymous && may_begin(job);
            self.jobs.iter().position(wanted)
        };
        // At least one thread is for others, if there are two.
        let anonymous = first(true).filter(|_| self.anonymous < threads.div_ceil(2));
        let position = match (first(false), anonymous) {
            (Some(_), Some(anonymous)) if self.passed + 1 >= ANONYMOUS_SHARE => anonymous,
            (Some(other), _) => other,
            (None, anonymous) => anonymous?,
        };
        let job = self.jobs.remove(position)?;
        self.expensive |= job.is_expensive();
        self.busy += 1;
        if job.is_anonymous() {
            self.anonymous += 1;
            self.passed = 0;
        } else {
            self.passed = self.passed.saturating_add(1);
        }
        Some(job)
    }

    /// Whether the queue has room for `job` among `most`. Jobs that run one at a time leave half of
    /// it to all others.
    pub(super) fn has_room(&self, job: &Job, most: usize) -> bool {
        let expensive = || self.jobs.iter().filter(|job| job.is_expensive()).count();
        self.taken() < most && !(job.is_expensive() && expensive() >= most.div_ceil(2))
    }

    /// Reserves a place among `most` for a hash for a caller who has not signed in. All of these
    /// leave three quarters of the places to others. Returns `false` without a free place.
    pub(super) fn reserve(&mut self, most: usize) -> bool {
        let waiting = self.jobs.iter().filter(|job| job.is_anonymous()).count();
        let held = self.reserved + self.anonymous + waiting;
        let has_room = held < (most / ANONYMOUS_SHARE).max(1) && self.taken() < most;
        self.reserved += usize::from(has_room);
        has_room
    }

    pub(super) fn push_reserved(&mut self, job: Job) {
        self.reserved = self.reserved.saturating_sub(1);
        self.jobs.push_back(job);
    }

    fn taken(&self) -> usize {
        // A job that a thread is about to start takes no place from others.
        self.jobs.len() + self.busy + self.reserved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dear_hashes_go_one_by_one_and_let_others_pass() {
        let job = |expensive| {
            let (reply, _) = oneshot::channel();
            let stored = Secret::new(String::new());
            Job::Verify { password: Password::new(""), stored, expensive, reply }
        };
        let mut queue = Queue { jobs: [true, true, false].map(job).into(), ..Queue::default() };
        let mut take = |ended: bool| {
            queue.expensive &= !ended;
            queue.take(4).map(|job| job.is_expensive())
        };
        assert_eq!(take(false), Some(true));
        assert_eq!(take(false), Some(false), "it passes the second expensive one");
        assert_eq!(take(false), None, "which waits");
        assert_eq!(take(true), Some(true));

        let queue = Queue { jobs: [true, true, false].map(job).into(), ..Queue::default() };
        assert!(queue.has_room(&job(false), 4) && !queue.has_room(&job(true), 4));
        assert!(queue.has_room(&job(true), 5) && !queue.has_room(&job(false), 3));
    }

    fn hash(anonymous: bool) -> Job {
        let (reply, _) = oneshot::channel();
        Job::Hash { password: Password::new(""), anonymous, reply }
    }

    #[test]
    fn hashes_for_callers_who_have_not_signed_in_hold_a_quarter_of_the_queue() {
        let mut queue = Queue::default();
        for place in 0..4 {
            assert!(queue.reserve(16), "{place}");
            if place > 0 {
                queue.push_reserved(hash(true));
            }
        }
        assert_eq!((queue.jobs.len(), queue.reserved), (3, 1));
        // Also once a thread is at one of them.
        assert!(!queue.reserve(16) && queue.take(2).is_some() && !queue.reserve(16));
        let mut others = 0;
        while queue.has_room(&hash(false), 16) {
            queue.jobs.push_back(hash(false));
            others += 1;
        }
        assert_eq!(others, 12);
        queue.reserved -= 1;
        assert!(queue.reserve(16), "a place that was given up is there again");
        assert!(Queue::default().reserve(1), "the smallest queue has a place");
    }

    #[test]
    fn hashes_for_callers_who_have_not_signed_in_let_others_pass_and_get_every_fourth_turn() {
        let jobs = [true, true, true, true, false, false, false, false, false].map(hash);
        let mut queue = Queue { jobs: jobs.into(), ..Queue::default() };
        let mut take = |threads, ended: bool| {
            queue.anonymous -= usize::from(ended);
            queue.take(threads).map(|job| job.is_anonymous())
        };
        let turns: Vec<_> = (0..4).map(|_| take(2, false)).collect();
        assert_eq!(turns, [Some(false), Some(false), Some(false), Some(true)]);
        // The second thread is for others, and idle without them.
        assert_eq!([take(2, false), take(2, false)], [Some(false), Some(false)]);
        assert_eq!(take(2, false), None);
        assert_eq!([take(2, true), take(2, true), take(1, true)], [Some(true); 3]);
        assert_eq!(take(1, true), None);
    }
}

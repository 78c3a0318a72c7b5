//! The hashing pool: password hashes on threads of their own, at the lowest priority, behind a
//! bounded queue. A hash takes milliseconds of a core by design; only other hashes wait for it.

mod queue;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use super::PasswordPolicy;
use super::password::{self, HashMemory, Pace, Password, Verdict};
use crate::base::random::Random;
use crate::base::secret::Secret;
use queue::{Job, Queue};

/// How long a thread waits for work before it returns its memory.
const IDLE: Duration = Duration::from_secs(60);

/// Why the pool refuses work.
#[derive(Debug, thiserror::Error)]
pub enum HashingError {
    /// The queue is full: the caller should retry later.
    #[error("the password hashing queue is full")]
    Overloaded,
    /// The pool was shut down.
    #[error("password hashing has stopped")]
    Stopped,
}

struct Shared {
    queue: Mutex<Queue>,
    ready: Condvar,
    ended: Condvar,
    policy: PasswordPolicy,
    random: Random,
    computed: AtomicU64,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        // A panic elsewhere leaves the queue itself intact.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A handle to the pool; the threads end when the last handle is dropped.
pub struct Hashing {
    shared: Arc<Shared>,
    unmatchable: Secret<String>,
}

impl Hashing {
    /// Starts the threads of `policy`.
    pub fn start(policy: PasswordPolicy, random: Random) -> std::io::Result<Self> {
        let unmatchable = password::unmatchable(&policy, &random);
        let (queue, ready, computed) = (Mutex::default(), Condvar::new(), AtomicU64::default());
        let ended = Condvar::new();
        let shared = Arc::new(Shared { queue, ready, ended, policy, random, computed });
        for number in 0..shared.policy.threads {
            shared.lock().threads += 1;
            let thread = Thread(shared.clone());
            let body = move || {
                // A panic costs one hash, whose caller gets an error.
                while catch_unwind(AssertUnwindSafe(|| work(&thread.0))).is_err() {}
            };
            std::thread::Builder::new().name(format!("hash-{number}")).spawn(body)?;
        }
        Ok(Self { shared, unmatchable })
    }

    /// Hashes a new password; the result is a PHC string.
    pub async fn hash(&self, password: Password) -> Result<Secret<String>, HashingError> {
        let (reply, answer) = oneshot::channel();
        self.submit(Job::Hash { password, anonymous: false, reply })?;
        answer.await.map_err(|_| HashingError::Stopped)
    }

    /// The same for a caller who has not signed in: for a sign-up, a reset, or a proof of an
    /// address. All of these together take at most a quarter of the queue, so that no flood of them
    /// keeps users from logging in.
    pub async fn hash_anonymous(&self, password: Password) -> Result<Secret<String>, HashingError> {
        self.reserve_anonymous()?.hash(password).await
    }

    /// Reserves a place in the queue for [`hash_anonymous`](Self::hash_anonymous), if other work
    /// comes before the hash that would be useless without one.
    pub fn reserve_anonymous(&self) -> Result<Place, HashingError> {
        let PasswordPolicy { threads, queue: waiting, .. } = self.shared.policy;
        match self.shared.lock().reserve(waiting + threads) {
            true => Ok(Place { shared: self.shared.clone(), is_held: true }),
            false => Err(HashingError::Overloaded),
        }
    }

    /// Verifies a password against `stored`, or, for an unknown user, against a hash that no
    /// password matches: both take the same time.
    pub async fn verify(
        &self,
        password: Password,
        stored: Option<&Secret<String>>,
    ) -> Result<Verdict, HashingError> {
        let (reply, answer) = oneshot::channel();
        let stored = stored.unwrap_or(&self.unmatchable).clone();
        let expensive = password::is_expensive(stored.expose(), &self.shared.policy);
        self.submit(Job::Verify { password, stored, expensive, reply })?;
        answer.await.map_err(|_| HashingError::Stopped)
    }

    /// A hash that no password matches, for an account without a password. Verifying against it
    /// takes as long as against any other.
    pub fn unmatchable(&self) -> Secret<String> {
        password::unmatchable(&self.shared.policy, &self.shared.random)
    }

    /// How many hashes wait for a thread.
    pub fn waiting(&self) -> usize {
        self.shared.lock().jobs.len()
    }

    /// How many hashes were computed, for new passwords and for checks.
    pub fn computed(&self) -> u64 {
        self.shared.computed.load(Ordering::Relaxed)
    }

    /// Ends the threads, which wipe their memory, and waits for them for at most `limit`: a thread
    /// ends its present hash first. Returns whether all have ended. Waiting work is not done.
    pub fn stop(&self, limit: Duration) -> bool {
        let mut queue = self.shared.lock();
        queue.closed = true;
        // The callers of waiting work get an error.
        queue.jobs.clear();
        self.shared.ready.notify_all();
        let running = |queue: &mut Queue| queue.threads > 0;
        let waited = self.shared.ended.wait_timeout_while(queue, limit, running);
        waited.unwrap_or_else(PoisonError::into_inner).0.threads == 0
    }

    fn submit(&self, job: Job) -> Result<(), HashingError> {
        let mut queue = self.shared.lock();
        let PasswordPolicy { threads, queue: waiting, .. } = self.shared.policy;
        if queue.closed {
            return Err(HashingError::Stopped);
        }
        if !queue.has_room(&job, waiting + threads) {
            return Err(HashingError::Overloaded);
        }
        queue.jobs.push_back(job);
        self.shared.ready.notify_one();
        Ok(())
    }
}

/// A place in the queue for a caller who has not signed in, released when dropped.
#[must_use = "a place that is dropped is given up"]
pub struct Place {
    shared: Arc<Shared>,
    is_held: bool,
}

impl Place {
    /// Hashes a new password in this place; the result is a PHC string.
    pub async fn hash(mut self, password: Password) -> Result<Secret<String>, HashingError> {
        let (reply, answer) = oneshot::channel();
        self.is_held = false;
        self.shared.lock().push_reserved(Job::Hash { password, anonymous: true, reply });
        self.shared.ready.notify_one();
        answer.await.map_err(|_| HashingError::Stopped)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.is_held {
            let mut queue = self.shared.lock();
            queue.reserved = queue.reserved.saturating_sub(1);
        }
    }
}

impl Drop for Hashing {
    fn drop(&mut self) {
        self.stop(Duration::ZERO);
    }
}

fn work(shared: &Shared) {
    // Requests have priority over hashes for the core. On Linux this lowers the calling thread
    // alone; if it is refused, hashing works at normal priority.
    let _ = rustix::process::setpriority_process(None, 19);
    let (mut memory, mut pace) = (HashMemory::default(), Pace::default());
    while let Some(job) = next(shared, &mut memory) {
        // Counted before the result is sent: its receiver may return immediately, and this thread,
        // at its priority, may not run for a while.
        let busy = Busy { shared, expensive: job.is_expensive(), anonymous: job.is_anonymous() };
        if job.is_abandoned() {
            continue;
        }
        shared.computed.fetch_add(1, Ordering::Relaxed);
        match job {
            Job::Hash { password, reply, .. } => {
                let hash = password::hash(&password, &shared.policy, &shared.random, &mut memory);
                drop(busy);
                // The caller may have been dropped.
                let _ = reply.send(hash);
            }
            Job::Verify { password, stored, reply, .. } => {
                let (stored, policy) = (stored.expose(), &shared.policy);
                let verdict = password::verify(&password, stored, policy, &mut memory, &mut pace);
                drop(busy);
                let _ = reply.send(verdict);
            }
        }
    }
}

/// A thread, counted while it lives: the end of the service waits until all have wiped their memory.
struct Thread(Arc<Shared>);

impl Drop for Thread {
    fn drop(&mut self) {
        self.0.lock().threads -= 1;
        self.0.ended.notify_all();
    }
}

/// A thread at work, counted until it is dropped, also after a panic.
struct Busy<'a> {
    shared: &'a Shared,
    expensive: bool,
    anonymous: bool,
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        let mut queue = self.shared.lock();
        queue.busy -= 1;
        queue.expensive &= !self.expensive;
        if self.anonymous {
            queue.anonymous -= 1;
        }
    }
}

/// The next job; `None` when the pool was closed.
fn next(shared: &Shared, memory: &mut HashMemory) -> Option<Job> {
    let mut queue = shared.lock();
    loop {
        if queue.closed {
            return None;
        }
        if let Some(job) = queue.take(shared.policy.threads) {
            return Some(job);
        }
        let (guard, waited) =
            shared.ready.wait_timeout(queue, IDLE).unwrap_or_else(PoisonError::into_inner);
        queue = guard;
        if waited.timed_out() && queue.jobs.is_empty() {
            // Wiping takes some time, in which other threads may need the queue.
            drop(queue);
            memory.release();
            queue = shared.lock();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(threads: usize, queue: usize) -> Hashing {
        pool_of(64, 1, threads, queue)
    }

    fn pool_of(memory_kib: u32, iterations: u32, threads: usize, queue: usize) -> Hashing {
        let policy = PasswordPolicy::new(memory_kib, iterations, 1, threads, queue).unwrap();
        Hashing::start(policy, Random::system()).unwrap()
    }

    #[tokio::test]
    async fn hashes_and_verifies() {
        let pool = pool(2, 8);
        let stored = pool.hash(Password::new("correct horse")).await.unwrap();
        let verify = |typed, stored| pool.verify(Password::new(typed), stored);
        assert_eq!(verify("correct horse", Some(&stored)).await.unwrap(), Verdict::Right);
        assert_eq!(verify("wrong horse", Some(&stored)).await.unwrap(), Verdict::Wrong);
        assert_eq!(verify("correct horse", None).await.unwrap(), Verdict::Wrong);
    }

    #[tokio::test]
    async fn threads_end_at_shutdown() {
        let pool = pool(3, 8);
        let hash = || pool.hash(Password::new("correct horse"));
        assert!(hash().await.is_ok());
        assert!(pool.stop(Duration::from_secs(60)));
        assert!(matches!(hash().await, Err(HashingError::Stopped)));
    }

    #[tokio::test]
    async fn a_full_queue_refuses_callers() {
        let pool = pool_of(64 * 1024, 4, 1, 2);
        let hash = || pool.hash(Password::new("correct horse"));
        let results = futures_util::future::join_all((0..10).map(|_| hash())).await;
        let refused = results.iter().filter(|r| matches!(r, Err(HashingError::Overloaded))).count();
        let done = results.iter().filter(|r| r.is_ok()).count();
        assert!(refused >= 6 && done >= 2, "{refused} refused, {done} done");
        assert!(hash().await.is_ok(), "it recovers");
    }

    #[tokio::test]
    async fn who_has_the_answer_finds_room_again() {
        // As many concurrently as there is room for, again and again: none may meet a thread that
        // has answered and still counts as busy.
        let pool = pool(1, 1);
        for round in 0..2_000 {
            let both = (0..2).map(|_| pool.hash(Password::new("correct horse")));
            for hash in futures_util::future::join_all(both).await {
                assert!(hash.is_ok(), "round {round}: {hash:?}");
            }
        }
    }

    #[tokio::test]
    async fn guesses_at_a_dear_hash_hold_nobody_else_up() {
        let pool = Arc::new(pool(4, 64));
        let stored = pool.hash(Password::new("correct horse")).await.unwrap();
        // 256 MiB each.
        let expensive = "$argon2id$v=19$m=262144,t=1,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5A";
        let expensive = Secret::new(expensive.to_owned());
        let guess = |_| {
            let (pool, expensive) = (pool.clone(), expensive.clone());
            tokio::spawn(async move { pool.verify(Password::new("guess"), Some(&expensive)).await })
        };
        let guesses: Vec<_> = (0..3).map(guess).collect();
        while pool.waiting() < 2 {
            tokio::task::yield_now().await;
        }
        for _ in 0..8 {
            let verdict = pool.verify(Password::new("correct horse"), Some(&stored)).await;
            assert_eq!(verdict.unwrap(), Verdict::Right);
        }
        assert!(pool.waiting() >= 1, "they wait for each other, and nobody for them");
        for guess in guesses {
            assert_eq!(guess.await.unwrap().unwrap(), Verdict::Wrong);
        }
    }

    #[tokio::test]
    async fn work_for_callers_who_left_is_skipped() {
        let pool = pool_of(64 * 1024, 8, 1, 64);
        let one = async || pool.hash(Password::new("correct horse")).await.unwrap();
        let start = std::time::Instant::now();
        one().await;
        let alone = start.elapsed();
        for _ in 0..40 {
            // Polled once, so that it is queued, and dropped.
            let abandoned = pool.hash(Password::new("correct horse"));
            let _ = futures_util::FutureExt::now_or_never(abandoned);
        }
        let start = std::time::Instant::now();
        one().await;
        assert!(start.elapsed() < alone * 20, "forty abandoned hashes were not computed");
    }
}

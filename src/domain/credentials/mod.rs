//! Credentials of users: passwords (NIST SP 800-63B, OWASP ASVS), and the threads that hash them.
//! Invariant: hashing runs on its own threads and nothing else ever waits behind it.

pub mod hashing;
pub mod password;

pub use hashing::{Hashing, HashingError};
pub use password::{Password, Verdict};

/// How passwords are hashed (Argon2id, RFC 9106), and on how many threads.
#[derive(Clone, Debug)]
pub struct PasswordPolicy {
    /// Memory of one hash in KiB.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub iterations: u32,
    /// Lanes.
    pub parallelism: u32,
    /// Hashing threads, each with its own memory.
    pub threads: usize,
    /// How many hashes may wait, all threads together; beyond that callers get 503.
    pub queue: usize,
}

impl PasswordPolicy {
    /// Checks the bounds of RFC 9106 and of the queue. The error is the name of the wrong setting,
    /// and a sentence for the operator.
    pub fn new(
        memory_kib: u32,
        iterations: u32,
        parallelism: u32,
        threads: usize,
        queue: usize,
    ) -> Result<Self, (&'static str, String)> {
        // The maximum of stored hashes, so that a hash of this policy can always be verified.
        let has_modest_work = u64::from(memory_kib) * u64::from(iterations) <= 4 * 1024 * 1024;
        for (setting, is_good, message) in [
            ("parallelism", (1..=16).contains(&parallelism), "must be from 1 to 16"),
            (
                "memory_kib",
                memory_kib / 8 >= parallelism && memory_kib <= 1024 * 1024,
                "must be from 8 times parallelism to 1048576",
            ),
            ("iterations", (1..=64).contains(&iterations), "must be from 1 to 64"),
            ("iterations", has_modest_work, "times memory_kib must be at most 4194304"),
            ("threads", (1..=256).contains(&threads), "must be from 1 to 256"),
            ("queue", (1..=100_000).contains(&queue), "must be from 1 to 100000"),
        ] {
            if !is_good {
                return Err((setting, message.into()));
            }
        }
        Ok(Self { memory_kib, iterations, parallelism, threads, queue })
    }
}

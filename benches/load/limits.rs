//! The limits that no service of this kind can pass: bare signatures and bare password hashes a
//! CPU second, measured on the server's core while the server rests.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::RSA_PKCS1_SHA256;

use crate::cores::{Cores, thread_cpu};

/// Signet's default settings for passwords.
const HASH_MEMORY_KIB: u32 = 19_456;
const HASH_ITERATIONS: u32 = 2;
const HASH_LANES: u32 = 1;

/// How much a JWT's signature covers, within a hundred bytes.
const SIGNED_BYTES: usize = 500;

/// Bare RSA-2048 signatures (PKCS#1 v1.5, SHA-256), the key parsed once.
pub struct Signatures {
    key: KeyPair,
    cores: Cores,
}

impl Signatures {
    pub fn new(cores: Cores) -> Result<Self> {
        let key = KeyPair::generate(KeySize::Rsa2048).map_err(|_| anyhow!("no RSA key"))?;
        Ok(Self { key, cores })
    }

    pub fn per_cpu_second(&self, duration: Duration) -> Result<f64> {
        let mut signature = vec![0; self.key.public_modulus_len()];
        self.cores.on_server(|| rate(duration, || self.sign(&mut signature)))
    }

    fn sign(&self, signature: &mut [u8]) -> Result<()> {
        let message = [b'x'; SIGNED_BYTES];
        let signed = self.key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), &message, signature);
        signed.map_err(|_| anyhow!("signing failed"))
    }

    /// The same while the driver's core works as hard: where two cores share an arithmetic unit or
    /// a power budget, this is the limit that a server under load meets.
    pub fn beside_busy_driver(&self, duration: Duration) -> Result<f64> {
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            // Started here, so it stays on the driver's core when this thread moves.
            scope.spawn(|| {
                let mut signature = vec![0; self.key.public_modulus_len()];
                while !done.load(Ordering::Relaxed) {
                    // That it costs what it costs is all that is wanted of it.
                    let _ = self.sign(&mut signature);
                }
            });
            let result = self.per_cpu_second(duration);
            done.store(true, Ordering::Relaxed);
            result
        })
    }
}

/// Bare Argon2id hashes by the `argon2` crate, the memory kept from one to the next. Signet's own
/// are faster; the crate stays the standard that logins are compared with.
pub struct Hashes {
    hasher: Argon2<'static>,
    memory: Vec<Block>,
    cores: Cores,
}

impl Hashes {
    pub fn new(cores: Cores) -> Result<Self> {
        let params = Params::new(HASH_MEMORY_KIB, HASH_ITERATIONS, HASH_LANES, Some(32));
        let params = params.ok().context("password settings")?;
        let memory = vec![Block::default(); params.block_count()];
        let hasher = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        Ok(Self { hasher, memory, cores })
    }

    pub fn per_cpu_second(&mut self, duration: Duration) -> Result<f64> {
        let (hasher, memory) = (&self.hasher, &mut self.memory);
        let mut out = [0; 32];
        self.cores.on_server(|| {
            rate(duration, || {
                let password = b"a long enough password";
                let salt = b"sixteen bytes...";
                hasher
                    .hash_password_into_with_memory(password, salt, &mut out, &mut *memory)
                    .map_err(|error| anyhow!("hashing failed: {error}"))
            })
        })
    }
}

/// How often `work` is done in a second of this thread's CPU time, over `duration` of it.
fn rate(duration: Duration, mut work: impl FnMut() -> Result<()>) -> Result<f64> {
    work()?;
    let start = thread_cpu();
    let mut count = 0_u32;
    loop {
        work()?;
        count += 1;
        let spent = thread_cpu() - start;
        if spent >= duration {
            return Ok(f64::from(count) / spent.as_secs_f64());
        }
    }
}

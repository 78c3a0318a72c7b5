//! Argon2 (RFC 9106) in PHC strings: Argon2id for every new hash, and stored hashes of Argon2id or
//! Argon2i from other systems.

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Block, Params, Version};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use zeroize::Zeroize;

use super::encoding::MALFORMED;
use super::{Password, PasswordPolicy};
use crate::base::random::Random;
use crate::base::secret::Secret;

const OUTPUT: usize = 32;
/// The maximum memory of a stored hash: an imported one must not exhaust the server.
const MAX_MEMORY_KIB: u32 = 1024 * 1024;
/// The memory above which only one hash is verified at a time, whatever the policy.
const MODEST_MEMORY_KIB: u32 = 64 * 1024;
const MAX_PARALLELISM: u32 = 16;
/// Memory times passes: libsodium's most sensitive setting, some seconds of a core.
const MAX_WORK_KIB: u64 = 4 * 1024 * 1024;
const TOO_DEAR: &str = "asks for more work than is allowed: Argon2 goes up to 1 GiB, 16 lanes, and \
                        4 GiB over all passes";

/// The maximum lengths of a PHC string's salt and output in base64: 48 and 64 bytes.
const MAX_LENGTHS: [usize; 2] = [64, 86];
const TOO_LONG: &str = "is too long: Argon2's salt may have up to 48 bytes, its output up to 64";

/// The memory that a hashing thread keeps between hashes: filling fresh pages costs as much again
/// as the second half of a hash. The content after a hash allows guessing its password faster than
/// the stored hash does, so the memory is wiped before it is returned; not after each hash, which
/// would cost as much as the fresh pages, and the next one overwrites it.
#[derive(Default)]
pub struct HashMemory(Vec<Block>);

impl HashMemory {
    #[allow(clippy::indexing_slicing, reason = "the memory was grown to `count` just before")]
    fn blocks(&mut self, params: &Params) -> &mut [Block] {
        let count = params.block_count();
        if self.0.len() < count {
            // Growing would copy it, and leave the old copy behind.
            self.release();
            self.0.resize_with(count, Block::new);
        }
        &mut self.0[..count]
    }

    /// Wipes the memory and returns it.
    pub fn release(&mut self) {
        self.wipe();
        self.0 = Vec::new();
    }

    fn wipe(&mut self) {
        self.0.iter_mut().for_each(Block::zeroize);
    }

    /// Fills the memory as far as a hash of `policy` needs.
    pub fn warm(&mut self, policy: &PasswordPolicy) {
        self.blocks(&params(policy));
    }

    /// Returns the memory if an imported hash needed more than one of `policy`.
    pub fn shrink(&mut self, policy: &PasswordPolicy) {
        if self.0.len() > params(policy).block_count() {
            self.release();
        }
    }
}

impl Drop for HashMemory {
    fn drop(&mut self) {
        self.wipe();
    }
}

#[allow(clippy::expect_used, reason = "the policy's constructor checked these bounds")]
fn params(policy: &PasswordPolicy) -> Params {
    Params::new(policy.memory_kib, policy.iterations, policy.parallelism, Some(OUTPUT))
        .expect("the policy's constructor checked these bounds")
}

/// Hashes `password` with a fresh salt.
pub fn hash(
    password: &Password,
    policy: &PasswordPolicy,
    random: &Random,
    memory: &mut HashMemory,
) -> Secret<String> {
    let (params, salt) = (params(policy), random.bytes::<16>());
    let output = compute_new(password.normal(), &params, &salt, memory);
    Secret::new(phc_string(&params, &salt, &output))
}

/// A hash that no password matches and that takes as long to verify as any under `policy`, for
/// unknown users.
pub fn unmatchable(policy: &PasswordPolicy, random: &Random) -> Secret<String> {
    Secret::new(phc_string(&params(policy), &random.bytes::<16>(), &random.bytes::<OUTPUT>()))
}

fn phc_string(params: &Params, salt: &[u8], output: &[u8]) -> String {
    let (m, t, p) = (params.m_cost(), params.t_cost(), params.p_cost());
    let [salt, output] = [salt, output].map(|bytes| STANDARD_NO_PAD.encode(bytes));
    format!("$argon2id$v=19$m={m},t={t},p={p}${salt}${output}")
}

/// Computes the work of a hash under `policy`, or `part` of it, without a result; more than 1
/// counts as 1.
pub(super) fn spend(policy: &PasswordPolicy, part: f64, memory: &mut HashMemory) {
    let least = 8 * policy.parallelism;
    let memory_kib = ((f64::from(policy.memory_kib) * part) as u32).clamp(least, policy.memory_kib);
    let params = params(&PasswordPolicy { memory_kib, ..policy.clone() });
    // The result is not used, and must be computed nevertheless.
    std::hint::black_box(compute_new(b"", &params, &[0; 16], memory));
}

/// A hash as each new one is made.
#[allow(clippy::expect_used, reason = "the policy's constructor checked the bounds of Argon2")]
fn compute_new(
    password: &[u8],
    params: &Params,
    salt: &[u8; 16],
    memory: &mut HashMemory,
) -> [u8; OUTPUT] {
    let mut output = [0; OUTPUT];
    compute(password, Algorithm::Argon2id, Version::V0x13, params, salt, &mut output, memory)
        .expect("the policy's parameters and a salt of 16 bytes are within Argon2's bounds");
    output
}

pub(super) struct Hash {
    algorithm: Algorithm,
    version: Version,
    params: Params,
    salt: Vec<u8>,
    expected: Vec<u8>,
}

impl Hash {
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        // A well-formed hash above the ceiling has an error of its own.
        let mut ends = text.rsplitn(3, '$');
        let (output, salt) = (ends.next().unwrap_or_default(), ends.next().unwrap_or_default());
        if salt.len() > MAX_LENGTHS[0] || output.len() > MAX_LENGTHS[1] {
            return Err(TOO_LONG);
        }
        let hash = PasswordHash::new(text).map_err(|_| MALFORMED)?;
        let params = Params::try_from(&hash).map_err(|_| MALFORMED)?;
        // A hash made with a secret key cannot be verified without it.
        if !params.keyid().is_empty() {
            return Err(MALFORMED);
        }
        let work = u64::from(params.m_cost()) * u64::from(params.t_cost());
        if params.m_cost() > MAX_MEMORY_KIB
            || params.p_cost() > MAX_PARALLELISM
            || work > MAX_WORK_KIB
        {
            return Err(TOO_DEAR);
        }
        Ok(Self {
            algorithm: Algorithm::try_from(hash.algorithm.as_str()).map_err(|_| MALFORMED)?,
            // RFC 9106 is version 0x13; strings without a version are of the older 0x10.
            version: Version::try_from(hash.version.unwrap_or(0x10)).map_err(|_| MALFORMED)?,
            params,
            salt: hash.salt.ok_or(MALFORMED)?.to_vec(),
            expected: hash.hash.ok_or(MALFORMED)?.as_bytes().to_vec(),
        })
    }

    /// Whether it is the hash of `password`; compared in constant time.
    pub(super) fn matches(&self, password: &[u8], memory: &mut HashMemory) -> bool {
        let Self { algorithm, version, params, salt, expected } = self;
        let mut output = vec![0; expected.len()];
        let computed = compute(password, *algorithm, *version, params, salt, &mut output, memory);
        computed.is_ok() && verify_slices_are_equal(&output, expected).is_ok()
    }

    /// Whether it takes much more memory than a hash of `policy`, or a quarter of the maximum work.
    pub(super) fn is_expensive(&self, policy: &PasswordPolicy) -> bool {
        let work = u64::from(self.params.m_cost()) * u64::from(self.params.t_cost());
        self.params.m_cost() > policy.memory_kib.max(MODEST_MEMORY_KIB) || work >= MAX_WORK_KIB / 4
    }

    pub(super) fn is_current(&self, policy: &PasswordPolicy) -> bool {
        let wanted = params(policy);
        self.algorithm == Algorithm::Argon2id
            && self.version == Version::V0x13
            && self.params.m_cost() == wanted.m_cost()
            && self.params.t_cost() == wanted.t_cost()
            && self.params.p_cost() == wanted.p_cost()
            && self.expected.len() == OUTPUT
    }
}

fn compute(
    password: &[u8],
    algorithm: Algorithm,
    version: Version,
    params: &Params,
    salt: &[u8],
    output: &mut [u8],
    memory: &mut HashMemory,
) -> argon2::Result<()> {
    let blocks = memory.blocks(params);
    match (algorithm, version) {
        (Algorithm::Argon2id, Version::V0x13) => {
            argon2id::hash_into(password, salt, params, blocks, output)
        }
        // An imported one is hashed again at the first login.
        _ => Argon2::new(algorithm, version, params.clone())
            .hash_password_into_with_memory(password, salt, output, blocks),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_wiped_before_it_is_given_back_and_not_between_hashes() {
        let policy = |memory_kib| PasswordPolicy::new(memory_kib, 1, 1, 1, 1).unwrap();
        let is_wiped = |memory: &HashMemory| {
            memory.0.iter().all(|block| block.as_ref().iter().all(|word| *word == 0))
        };
        let mut memory = HashMemory::default();
        let hash_under = |memory_kib, memory: &mut HashMemory| {
            hash(&Password::new("correct horse"), &policy(memory_kib), &Random::system(), memory)
        };
        hash_under(64, &mut memory);
        memory.shrink(&policy(64));
        assert!(memory.0.len() == 64 && !is_wiped(&memory), "it is kept for the next hash");
        memory.wipe();
        assert!(memory.0.len() == 64 && is_wiped(&memory));
        hash_under(128, &mut memory);
        assert_eq!(memory.0.len(), 128);
        memory.shrink(&policy(64));
        assert_eq!(memory.0.capacity(), 0);
    }
}

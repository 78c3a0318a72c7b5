//! Argon2id, version 0x13 (RFC 9106), in the widest registers that the processor has: the same
//! bytes as the `argon2` crate's, in about half the time.
//!
//! The crate leaves it to the compiler to find vector instructions. Here the blocks are laid out
//! so that they need few shuffles (`compress`), and a block's reference is fetched while its
//! predecessor is still being computed (`fill`). Where a processor has neither AVX2 nor AVX-512,
//! the crate does the work.
//!
//! A package of its own, so that it can be optimised in builds that otherwise are not.

#[cfg(target_arch = "x86_64")]
mod blake2b;
#[cfg(target_arch = "x86_64")]
mod compress;
#[cfg(target_arch = "x86_64")]
mod fill;
#[cfg(target_arch = "x86_64")]
mod wide;

#[cfg(test)]
mod tests;

use argon2::{Algorithm, Argon2, Block, Params, Result, Version};

/// Hashes `password` into `output`, as `Argon2::hash_password_into_with_memory` does, and with
/// the same errors. What `memory` holds does not matter, before or after.
pub fn hash_into(
    password: &[u8],
    salt: &[u8],
    params: &Params,
    memory: &mut [Block],
    output: &mut [u8],
) -> Result<()> {
    #[cfg(target_arch = "x86_64")]
    if let Some(registers) = wide::Registers::detect() {
        return wide::hash_into(registers, password, salt, params, memory, output);
    }
    by_the_crate(password, salt, params, memory, output)
}

fn by_the_crate(
    password: &[u8],
    salt: &[u8],
    params: &Params,
    memory: &mut [Block],
    output: &mut [u8],
) -> Result<()> {
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone());
    argon2.hash_password_into_with_memory(password, salt, output, memory)
}

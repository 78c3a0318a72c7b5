//! A hash from its inputs to its tag (RFC 9106, section 3.2), in wide registers.

use argon2::{Block, Error, MIN_SALT_LEN, Params, Result, Version};
use fearless_simd::{Avx2, Avx512, Level, Simd};
use zeroize::Zeroizing;

use crate::blake2b::{hash, long_hash};
use crate::compress::place;
use crate::fill::{Lanes, fill};

/// Argon2id's number among the inputs.
const ARGON2ID: u32 = 2;

/// What the processor was seen to have.
#[derive(Clone, Copy, Debug)]
pub enum Registers {
    Avx512(Avx512),
    Avx2(Avx2),
}

impl Registers {
    pub fn detect() -> Option<Self> {
        let level = Level::new();
        level.as_avx512().map(Self::Avx512).or_else(|| level.as_avx2().map(Self::Avx2))
    }

    fn fill(self, passes: usize, lanes: &Lanes, memory: &mut [Block]) {
        // Everything below is inlined here, where the compiler may use these registers.
        match self {
            Self::Avx512(simd) => simd.vectorize(
                #[inline(always)]
                || fill(simd, passes, lanes, memory),
            ),
            Self::Avx2(simd) => simd.vectorize(
                #[inline(always)]
                || fill(simd, passes, lanes, memory),
            ),
        }
    }
}

/// `crate::hash_into` by `registers`.
pub fn hash_into(
    registers: Registers,
    password: &[u8],
    salt: &[u8],
    params: &Params,
    memory: &mut [Block],
    output: &mut [u8],
) -> Result<()> {
    let initial = initial_hash(password, salt, params, output)?;
    let memory = memory.get_mut(..params.block_count()).ok_or(Error::MemoryTooLittle)?;
    let lanes = Lanes::new(params);
    for (number, lane) in (0_u32..).zip(memory.chunks_exact_mut(lanes.length)) {
        for (column, block) in (0_u32..).zip(&mut lane[..2]) {
            first_block(&initial, column, number, block);
        }
    }
    registers.fill(params.t_cost() as usize, &lanes, memory);
    finish(&lanes, memory, output)
}

/// H0, of everything that goes in; refuses what the `argon2` crate refuses.
fn initial_hash(
    password: &[u8],
    salt: &[u8],
    params: &Params,
    output: &[u8],
) -> Result<Zeroizing<[u8; 64]>> {
    if output.len() < params.output_len().unwrap_or(Params::MIN_OUTPUT_LEN) {
        return Err(Error::OutputTooShort);
    }
    if output.len() > params.output_len().unwrap_or(Params::MAX_OUTPUT_LEN) {
        return Err(Error::OutputTooLong);
    }
    let password_length = u32::try_from(password.len()).map_err(|_| Error::PwdTooLong)?;
    if salt.len() < MIN_SALT_LEN {
        return Err(Error::SaltTooShort);
    }
    let salt_length = u32::try_from(salt.len()).map_err(|_| Error::SaltTooLong)?;
    let output_length = u32::try_from(output.len()).map_err(|_| Error::OutputTooLong)?;
    let data = params.data();
    let mut initial = Zeroizing::new([0; 64]);
    hash(
        &[
            &params.p_cost().to_le_bytes(),
            &output_length.to_le_bytes(),
            &params.m_cost().to_le_bytes(),
            &params.t_cost().to_le_bytes(),
            &u32::from(Version::V0x13).to_le_bytes(),
            &ARGON2ID.to_le_bytes(),
            &password_length.to_le_bytes(),
            password,
            &salt_length.to_le_bytes(),
            salt,
            // No secret.
            &0_u32.to_le_bytes(),
            &(data.len() as u32).to_le_bytes(),
            data,
        ],
        &mut *initial,
    );
    Ok(initial)
}

/// One of the first two blocks of a lane.
fn first_block(initial: &[u8; 64], column: u32, lane: u32, block: &mut Block) {
    let length = (Block::SIZE as u32).to_le_bytes();
    let mut bytes = Zeroizing::new([0; Block::SIZE]);
    long_hash(&[&length, initial, &column.to_le_bytes(), &lane.to_le_bytes()], &mut *bytes);
    let words = bytes.as_chunks().0.iter().map(|bytes| u64::from_le_bytes(*bytes));
    for (number, word) in words.enumerate() {
        block.as_mut()[place(number)] = word;
    }
}

/// The tag: H' of the sum of the lanes' last blocks.
fn finish(lanes: &Lanes, memory: &[Block], output: &mut [u8]) -> Result<()> {
    let mut bytes = Zeroizing::new([0; Block::SIZE]);
    for (number, bytes) in bytes.as_chunks_mut().0.iter_mut().enumerate() {
        let last = memory.chunks_exact(lanes.length).map(|lane| &lane[lanes.length - 1]);
        let word = last.fold(0, |sum, block| sum ^ block.as_ref()[place(number)]);
        *bytes = u64::to_le_bytes(word);
    }
    let length = u32::try_from(output.len()).map_err(|_| Error::OutputTooLong)?;
    long_hash(&[&length.to_le_bytes(), &*bytes], output);
    Ok(())
}

//! BLAKE2b with outputs of any length: H and H' of RFC 9106, section 3.3.

use blake2::Blake2bVarCore;
use blake2::digest::block_api::{Buffer, UpdateCore, VariableOutputCore};
use zeroize::Zeroizing;

/// What a single BLAKE2b gives at most.
const MAX_BYTES: usize = 64;
/// How much of each link in a chain of hashes is put out.
const LINK: usize = 32;

/// BLAKE2b of `inputs`, one after the other, in as many bytes as `output` has: 1 to 64.
pub fn hash(inputs: &[&[u8]], output: &mut [u8]) {
    let mut core = Blake2bVarCore::new(output.len()).expect("an output of 1 to 64 bytes");
    let mut buffer = Buffer::<Blake2bVarCore>::default();
    for input in inputs {
        buffer.digest_blocks(input, |blocks| core.update_blocks(blocks));
    }
    let mut full = Default::default();
    core.finalize_variable_core(&mut buffer, &mut full);
    output.copy_from_slice(&full[..output.len()]);
}

/// H', of any length but none. `inputs` begin with that length.
pub fn long_hash(inputs: &[&[u8]], mut output: &mut [u8]) {
    if output.len() <= MAX_BYTES {
        return hash(inputs, output);
    }
    let mut link = Zeroizing::new([0; MAX_BYTES]);
    hash(inputs, &mut *link);
    loop {
        let (head, rest) = output.split_at_mut(LINK);
        head.copy_from_slice(&link[..LINK]);
        if rest.len() <= MAX_BYTES {
            return hash(&[&*link], rest);
        }
        let previous = link.clone();
        hash(&[&*previous], &mut *link);
        output = rest;
    }
}

//! A quick hash for names: there are many in a snapshot, and each token asks for some. It is seeded
//! at random, and only what the issuer signed is ever hashed.

use std::hash::{BuildHasher, Hasher, RandomState};

/// An odd number without a pattern: the golden ratio's digits.
const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

/// Hashers that begin with the same seed.
#[derive(Clone, Debug)]
pub struct Seeded(u64);

impl Default for Seeded {
    fn default() -> Self {
        // The standard library's seed is random.
        Self(RandomState::new().hash_one(MULTIPLIER))
    }
}

impl BuildHasher for Seeded {
    type Hasher = Folding;

    fn build_hasher(&self) -> Folding {
        Folding(self.0)
    }
}

/// Folds eight bytes at a time into its state, by a multiplication of which both halves count.
pub struct Folding(u64);

impl Folding {
    fn fold(&mut self, word: u64) {
        let product = u128::from(self.0 ^ word) * u128::from(MULTIPLIER);
        self.0 = (product as u64) ^ ((product >> 64) as u64).rotate_left(23);
    }
}

impl Hasher for Folding {
    #[allow(clippy::indexing_slicing, reason = "a remainder is shorter than a block")]
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.fold(u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        // With the length, so that zeros at the end count.
        self.fold(u64::from_le_bytes(last) ^ (bytes.len() as u64).rotate_left(56));
    }

    fn write_u8(&mut self, byte: u8) {
        self.fold(byte.into());
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_that_differ_little_are_spread() {
        let seeded = Seeded::default();
        let names = (0..100_000).map(|n| format!("6ba7b810-9dad-71d1-80b4-{n:012x}"));
        let hashes: Vec<u64> = names.map(|name| seeded.hash_one(name.as_str())).collect();
        assert_eq!(hashes.iter().collect::<HashSet<_>>().len(), hashes.len());
        // The table takes its place from the low bits, and a tag from the high ones.
        for bits in [|hash: &u64| hash & 0xffff, |hash: &u64| hash >> 48] {
            let places = hashes.iter().map(bits).collect::<HashSet<_>>().len();
            // Of 65 536 places, 100 000 names at random leave 22 % empty.
            assert!((50_000..53_000).contains(&places), "{places}");
        }
    }

    #[test]
    fn lengths_and_seeds_count() {
        let (one, other) = (Seeded(1), Seeded(2));
        assert_ne!(one.hash_one("a"), one.hash_one("a\0"));
        assert_ne!(one.hash_one(""), one.hash_one("\0\0\0\0\0\0\0\0"));
        assert_ne!(one.hash_one("a"), other.hash_one("a"));
    }
}

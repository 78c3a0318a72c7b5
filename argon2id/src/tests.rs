//! That every way of computing gives the bytes of the `argon2` crate, and of the reference program.

use argon2::{AssociatedData, Block, Error, Params, ParamsBuilder, Result};
use proptest::prelude::*;

type Hash = fn(&[u8], &[u8], &Params, &mut [Block], &mut [u8]) -> Result<()>;

/// Every way that this processor can go, by name.
fn ways() -> Vec<(&'static str, Hash)> {
    #[allow(unused_mut, reason = "other processors have only these")]
    let mut ways: Vec<(_, Hash)> = vec![("detected", crate::hash_into)];
    #[cfg(target_arch = "x86_64")]
    {
        use crate::wide::{Registers, hash_into};
        use fearless_simd::Level;
        if Level::new().as_avx2().is_some() {
            ways.push(("AVX2", |password, salt, params, memory, output| {
                let registers = Registers::Avx2(Level::new().as_avx2().expect("seen above"));
                hash_into(registers, password, salt, params, memory, output)
            }));
        }
        if Level::new().as_avx512().is_some() {
            ways.push(("AVX-512", |password, salt, params, memory, output| {
                let registers = Registers::Avx512(Level::new().as_avx512().expect("seen above"));
                hash_into(registers, password, salt, params, memory, output)
            }));
        }
    }
    ways
}

/// `params`'s hash by each way, once it was found to be that of the crate.
fn agreed(password: &[u8], salt: &[u8], params: &Params, length: usize) -> Vec<u8> {
    let mut memory = vec![Block::new(); params.block_count()];
    let mut expected = vec![0; length];
    crate::by_the_crate(password, salt, params, &mut memory, &mut expected).unwrap();
    for (way, hash) in ways() {
        let mut output = vec![0; length];
        // In memory that holds something else already, and more than is needed.
        memory.push(Block::new());
        hash(password, salt, params, &mut memory, &mut output).unwrap();
        assert_eq!(output, expected, "{way}, {params:?}");
    }
    expected
}

#[test]
fn the_reference_programs_hashes_are_met() {
    // From test.c of the reference program: m, t, p, password, salt, tag.
    let known = [
        (1 << 16, 2, 1, "password", "somesalt", KNOWN_16),
        (1 << 8, 2, 1, "password", "somesalt", KNOWN_8),
        (1 << 8, 2, 2, "password", "somesalt", KNOWN_8_2),
        (1 << 16, 1, 1, "password", "somesalt", KNOWN_16_1),
        (1 << 16, 4, 1, "password", "somesalt", KNOWN_16_4),
        (1 << 16, 2, 1, "differentpassword", "somesalt", KNOWN_PASSWORD),
        (1 << 16, 2, 1, "password", "diffsalt", KNOWN_SALT),
    ];
    for (m, t, p, password, salt, tag) in known {
        let params = Params::new(m, t, p, Some(32)).unwrap();
        let output = agreed(password.as_bytes(), salt.as_bytes(), &params, 32);
        let hex: String = output.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, tag, "m={m} t={t} p={p}");
    }
}

const KNOWN_16: &str = "09316115d5cf24ed5a15a31a3ba326e5cf32edc24702987c02b6566f61913cf7";
const KNOWN_8: &str = "9dfeb910e80bad0311fee20f9c0e2b12c17987b4cac90c2ef54d5b3021c68bfe";
const KNOWN_8_2: &str = "6d093c501fd5999645e0ea3bf620d7b8be7fd2db59c20d9fff9539da2bf57037";
const KNOWN_16_1: &str = "f6a5adc1ba723dddef9b5ac1d464e180fcd9dffc9d1cbf76cca2fed795d9ca98";
const KNOWN_16_4: &str = "9025d48e68ef7395cca9079da4c4ec3affb3c8911fe4f86d1a2520856f63172c";
const KNOWN_PASSWORD: &str = "0b84d652cf6b0c4beaef0dfe278ba6a80df6696281d7e0d2891b817d8c458fde";
const KNOWN_SALT: &str = "bdf32b05ccc42eb15d58fd19b1f856b113da1e9a5874fdcc544308565aa8141c";

#[test]
fn settings_in_use_agree() {
    for (m, t, p) in [
        (19_456, 2, 1),
        (47_104, 1, 1),
        (12_288, 3, 1),
        (7_168, 5, 1),
        (65_536, 3, 4),
        // The smallest there are, sizes that lanes do not divide, and more lanes than usual.
        (8, 1, 1),
        (8, 4, 1),
        (9, 1, 1),
        (4_099, 2, 1),
        (32, 1, 4),
        (103, 3, 3),
        (128, 2, 16),
        (1_000, 2, 5),
    ] {
        let params = Params::new(m, t, p, None).unwrap();
        for length in [4, 32, 64, 65, 100] {
            agreed(b"correct horse", b"battery staple", &params, length);
            if m > 4_100 {
                break;
            }
        }
    }
}

#[test]
fn associated_data_counts() {
    let data = AssociatedData::new(b"for this and no other").unwrap();
    let params = ParamsBuilder::new().m_cost(64).data(data).build().unwrap();
    let plain = ParamsBuilder::new().m_cost(64).build().unwrap();
    let with = agreed(b"password", b"saltsalt", &params, 32);
    assert_ne!(with, agreed(b"password", b"saltsalt", &plain, 32));
}

#[test]
fn what_the_crate_refuses_is_refused_alike() {
    let params = Params::new(64, 1, 1, Some(32)).unwrap();
    let mut memory = vec![Block::new(); params.block_count()];
    let refusals = [
        (7, 64, 32, Error::SaltTooShort),
        (8, 63, 32, Error::MemoryTooLittle),
        (8, 64, 31, Error::OutputTooShort),
        (8, 64, 33, Error::OutputTooLong),
        // Of two faults, the same is told.
        (7, 63, 31, Error::OutputTooShort),
        (7, 63, 32, Error::SaltTooShort),
    ];
    for (salt, blocks, length, error) in refusals {
        let (salt, mut output) = (vec![0; salt], vec![0; length]);
        for (way, hash) in ways().into_iter().chain([("crate", crate::by_the_crate as Hash)]) {
            let result = hash(b"password", &salt, &params, &mut memory[..blocks], &mut output);
            assert_eq!(result, Err(error), "{way}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn whatever_is_hashed_agrees(
        (p, m) in (1_u32..=16).prop_flat_map(|p| (Just(p), 8 * p..=8 * p + 700)),
        t in 1_u32..=4,
        password in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..=200),
            Just(Vec::new()),
            proptest::collection::vec(any::<u8>(), 1000),
        ],
        salt in proptest::collection::vec(any::<u8>(), 8..=64),
        length in 4_usize..=80,
    ) {
        agreed(&password, &salt, &Params::new(m, t, p, Some(length)).unwrap(), length);
    }
}

//! Passwords: what may be chosen (NIST SP 800-63B section 3.1.1), how they are hashed (Argon2id in
//! PHC strings) and checked.

use argon2::password_hash::phc::{Output, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use unicode_normalization::UnicodeNormalization;

use super::PasswordPolicy;
use super::email::key_of;
use crate::secret::{Random, Secret};

const SHORTEST: usize = 8;
const LONGEST: usize = 256;
const OUTPUT: usize = 32;
/// A stored hash that asks for more is not computed: an import must not burn the server.
const MOST_MEMORY_KIB: u32 = 1024 * 1024;
const MOST_ITERATIONS: u32 = 64;
const MOST_PARALLELISM: u32 = 16;

/// The commonest passwords, in lower case.
const COMMON: &str = include_str!("common_passwords.txt");

/// A password as it is hashed: in Unicode normal form KC, so that it does not matter how a
/// keyboard composes characters.
#[derive(Clone, Debug)]
pub struct Password(Secret<String>);

impl Password {
    /// Takes whatever was typed.
    pub fn new(typed: &str) -> Self {
        // Room for the usual growth, so that no half-written copy is left behind by a move.
        let mut normal = String::with_capacity(typed.len() * 3 + 16);
        normal.extend(typed.nfkc());
        Self(Secret::new(normal))
    }

    /// Whether it may be chosen by the owner of `login`; the error is a sentence for people.
    pub fn check_new(&self, login: &str) -> Result<(), &'static str> {
        let text = self.0.expose();
        if text.chars().count() < SHORTEST {
            return Err("must have at least 8 characters");
        }
        if text.chars().count() > LONGEST {
            return Err("must have at most 256 characters");
        }
        if text.contains('\0') {
            return Err("must not contain the NUL character");
        }
        let lower = text.to_lowercase();
        if COMMON.lines().any(|common| common == lower) {
            return Err("is one of the most common passwords");
        }
        if key_of(&lower) == key_of(login) {
            return Err("must not be the e-mail address");
        }
        Ok(())
    }

    fn bytes(&self) -> &[u8] {
        self.0.expose().as_bytes()
    }
}

/// Memory that a hashing thread keeps between hashes: filling fresh pages costs as much again as
/// a hash's second half.
#[derive(Default)]
pub struct HashMemory(Vec<Block>);

impl HashMemory {
    fn blocks(&mut self, params: &Params) -> &mut [Block] {
        let count = params.block_count();
        self.0.resize_with(count, Block::new);
        self.0.shrink_to(count);
        &mut self.0
    }
}

/// What a password turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Not the one.
    Wrong,
    /// The one.
    Right,
    /// The one, but hashed under other settings than the present ones: hash it again.
    RightButOutdated,
}

/// The Argon2id parameters of `policy`.
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
    let params = params(policy);
    let salt = random.bytes::<16>();
    let mut output = [0; OUTPUT];
    compute(password, Algorithm::Argon2id, Version::V0x13, &params, &salt, &mut output, memory)
        .expect("the policy's parameters and a salt of 16 bytes are within Argon2's bounds");
    Secret::new(phc_string(&params, &salt, &output))
}

/// A hash that no password has and that takes as long to check as any made under `policy`: what
/// an unknown user's password is checked against.
pub fn unmatchable(policy: &PasswordPolicy, random: &Random) -> Secret<String> {
    Secret::new(phc_string(&params(policy), &random.bytes::<16>(), &random.bytes::<OUTPUT>()))
}

fn phc_string(params: &Params, salt: &[u8], output: &[u8]) -> String {
    let (m, t, p) = (params.m_cost(), params.t_cost(), params.p_cost());
    // Both lengths are constants within the PHC format's bounds (8 to 64 bytes).
    let salt = Salt::new(salt).expect("16 bytes make a salt");
    let output = Output::new(output).expect("32 bytes make an output");
    format!("$argon2id$v=19$m={m},t={t},p={p}${salt}${output}")
}

/// Checks `password` against a stored PHC string. Malformed and excessive ones are `Wrong`.
pub fn verify(
    password: &Password,
    stored: &str,
    policy: &PasswordPolicy,
    memory: &mut HashMemory,
) -> Verdict {
    let Some(parsed) = parse(stored) else { return Verdict::Wrong };
    let mut output = vec![0; parsed.expected.len()];
    let computed = compute(
        password,
        parsed.algorithm,
        parsed.version,
        &parsed.params,
        &parsed.salt,
        &mut output,
        memory,
    );
    if computed.is_err() || verify_slices_are_equal(&output, &parsed.expected).is_err() {
        return Verdict::Wrong;
    }
    let wanted = params(policy);
    let current = parsed.algorithm == Algorithm::Argon2id
        && parsed.version == Version::V0x13
        && parsed.params.m_cost() == wanted.m_cost()
        && parsed.params.t_cost() == wanted.t_cost()
        && parsed.params.p_cost() == wanted.p_cost()
        && parsed.expected.len() == OUTPUT;
    if current { Verdict::Right } else { Verdict::RightButOutdated }
}

struct Parsed {
    algorithm: Algorithm,
    version: Version,
    params: Params,
    salt: Vec<u8>,
    expected: Vec<u8>,
}

fn parse(stored: &str) -> Option<Parsed> {
    let hash = PasswordHash::new(stored).ok()?;
    let params = Params::try_from(&hash).ok()?;
    let bounded = params.m_cost() <= MOST_MEMORY_KIB
        && params.t_cost() <= MOST_ITERATIONS
        && params.p_cost() <= MOST_PARALLELISM;
    let algorithm = Algorithm::try_from(hash.algorithm.as_str()).ok()?;
    bounded.then_some(Parsed {
        // Argon2d gives no protection against side channels and was never a default anywhere.
        algorithm: (algorithm != Algorithm::Argon2d).then_some(algorithm)?,
        // RFC 9106 is version 0x13; strings without a version are of the older 0x10.
        version: Version::try_from(hash.version.unwrap_or(0x10)).ok()?,
        params,
        salt: hash.salt?.to_vec(),
        expected: hash.hash?.as_bytes().to_vec(),
    })
}

fn compute(
    password: &Password,
    algorithm: Algorithm,
    version: Version,
    params: &Params,
    salt: &[u8],
    output: &mut [u8],
    memory: &mut HashMemory,
) -> argon2::Result<()> {
    let (password, blocks) = (password.bytes(), memory.blocks(params));
    match (algorithm, version) {
        (Algorithm::Argon2id, Version::V0x13) => {
            argon2id::hash_into(password, salt, params, blocks, output)
        }
        // Brought along by an import and hashed again at the first login.
        _ => Argon2::new(algorithm, version, params.clone())
            .hash_password_into_with_memory(password, salt, output, blocks),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cheap(iterations: u32) -> PasswordPolicy {
        PasswordPolicy::new(64, iterations, 1, 1, 1).unwrap()
    }

    #[test]
    fn a_hash_knows_its_password_and_its_settings() {
        let (random, mut memory) = (Random::system(), HashMemory::default());
        let password = Password::new("correct horse");
        let stored = hash(&password, &cheap(1), &random, &mut memory);
        let stored = stored.expose();
        assert!(stored.starts_with("$argon2id$v=19$m=64,t=1,p=1$"), "{stored}");
        let mut check = |typed, policy| verify(&Password::new(typed), stored, &policy, &mut memory);
        assert_eq!(check("correct horse", cheap(1)), Verdict::Right);
        assert_eq!(check("correct horse", cheap(2)), Verdict::RightButOutdated);
        assert_eq!(check("correct Horse", cheap(1)), Verdict::Wrong);
        assert_eq!(check("", cheap(1)), Verdict::Wrong);
    }

    #[test]
    fn a_reference_hash_verifies() {
        // Made by the reference program: argon2 somesalt -id -t 2 -k 65536 -p 1 (`password`).
        let stored = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ\
                      $CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
        let mut memory = HashMemory::default();
        let verdict = verify(&Password::new("password"), stored, &cheap(1), &mut memory);
        assert_eq!(verdict, Verdict::RightButOutdated);
    }

    #[test]
    fn hostile_and_foreign_hashes_are_wrong_and_cheap() {
        let mut memory = HashMemory::default();
        for stored in [
            "",
            "plain",
            "$argon2id$v=19$m=4294967295,t=1,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5A",
            "$argon2id$v=19$m=64,t=4000000,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5A",
            "$argon2d$v=19$m=64,t=1,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5A",
            "$2b$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW",
        ] {
            let verdict = verify(&Password::new("password"), stored, &cheap(1), &mut memory);
            assert_eq!(verdict, Verdict::Wrong, "{stored}");
        }
    }

    #[test]
    fn nobody_matches_the_unmatchable() {
        let (random, mut memory) = (Random::system(), HashMemory::default());
        let stored = unmatchable(&cheap(1), &random);
        let verdict = verify(&Password::new(""), stored.expose(), &cheap(1), &mut memory);
        assert_eq!(verdict, Verdict::Wrong);
        assert!(parse(stored.expose()).is_some(), "it is computed like any other");
    }

    #[test]
    fn what_may_be_chosen() {
        let check = |text: &str| Password::new(text).check_new("ann.long@example.com");
        for good in
            ["correct horse", "        ", "пароль на русском", &"x".repeat(256), "12345679a"]
        {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "seven77",
            "password",
            "PassWord",
            "iloveyou",
            "qwertyuiop",
            "nul\0in the middle",
            "Ann.Long@example.com",
            &"x".repeat(257),
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
        // 8 characters as typed, 4 after normalisation (ligatures are the other way round).
        assert!(check("e\u{301}e\u{301}e\u{301}e\u{301}").is_err());
        assert!(check(&"\u{fb03}".repeat(3)).is_ok(), "three ligatures are nine letters");
    }

    #[test]
    fn composition_does_not_matter() {
        let (random, mut memory) = (Random::system(), HashMemory::default());
        let stored = hash(&Password::new("caf\u{e9} noir"), &cheap(1), &random, &mut memory);
        let typed = Password::new("cafe\u{301} noir");
        assert_eq!(verify(&typed, stored.expose(), &cheap(1), &mut memory), Verdict::Right);
    }
}

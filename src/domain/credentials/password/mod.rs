//! Passwords: the rules for new ones (NIST SP 800-63B section 3.1.1), their hashing (Argon2id in
//! PHC strings) and verification, also against the hashes of other systems.

mod argon2;
mod bcrypt;
mod encoding;
mod firebase;
mod foreign;
mod pace;
mod pbkdf2;
mod phpass;
mod scrypt;
mod sha_crypt;
mod stored;
#[cfg(test)]
mod vectors;
mod yescrypt;

use std::collections::HashSet;
use std::sync::LazyLock;

use unicode_normalization::UnicodeNormalization;

use self::pace::Watch;
use self::stored::StoredHash;
use super::PasswordPolicy;
use crate::base::secret::Secret;
use crate::domain::users::email::key_of;

pub use self::argon2::{HashMemory, hash, unmatchable};
pub(crate) use self::encoding::hex;
pub use self::pace::Pace;
pub use self::stored::{check_stored, is_expensive};

const MIN_CHARACTERS: usize = 8;
const MAX_CHARACTERS: usize = 256;

static COMMON: LazyLock<HashSet<&str>> =
    LazyLock::new(|| include_str!("common_passwords.txt").lines().collect());

/// A password in Unicode normal form KC, so that it does not matter how a keyboard composes
/// characters, and as it was typed, which is what other systems hashed.
#[derive(Clone, Debug)]
pub struct Password {
    normal: Secret<String>,
    /// Only where it differs.
    typed: Option<Secret<String>>,
}

impl Password {
    /// Takes whatever was typed.
    pub fn new(typed: &str) -> Self {
        // Room for the usual growth, so that no half-written copy is left behind by a move.
        let mut normal = String::with_capacity(typed.len() * 3 + 16);
        normal.extend(typed.nfkc());
        let differs = normal != typed;
        Self { normal: Secret::new(normal), typed: differs.then(|| Secret::new(typed.to_owned())) }
    }

    /// Whether it may be chosen by the owner of `login`; the error is a sentence for people.
    pub fn check_new(&self, login: &str) -> Result<(), &'static str> {
        let text = self.normal.expose();
        if text.chars().count() < MIN_CHARACTERS {
            return Err("must have at least 8 characters");
        }
        if text.chars().count() > MAX_CHARACTERS {
            return Err("must have at most 256 characters");
        }
        if text.contains('\0') {
            return Err("must not contain the NUL character");
        }
        let lower = text.to_lowercase();
        if COMMON.contains(lower.as_str()) {
            return Err("is one of the most common passwords");
        }
        if key_of(&lower) == key_of(login) {
            return Err("must not be the e-mail address");
        }
        Ok(())
    }

    fn normal(&self) -> &[u8] {
        self.normal.expose().as_bytes()
    }

    /// What may have been hashed: the normal form, then what was typed.
    fn forms(&self) -> impl Iterator<Item = &[u8]> {
        let typed = self.typed.iter().map(|typed| typed.expose().as_bytes());
        std::iter::once(self.normal()).chain(typed)
    }
}

/// What a password turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Not the one.
    Wrong,
    /// The one.
    Right,
    /// The one, but hashed by another scheme or under other settings than the present ones: hash
    /// it again.
    RightButOutdated,
}

/// Checks `password` against what is stored. Malformed and excessive hashes are `Wrong`. A wrong
/// password takes at least as long as it does against a present hash.
pub fn verify(
    password: &Password,
    stored: &str,
    policy: &PasswordPolicy,
    memory: &mut HashMemory,
    pace: &mut Pace,
) -> Verdict {
    // Fresh memory costs time too: it is filled before, whatever is stored.
    memory.warm(policy);
    let watch = Watch::start();
    let hash = StoredHash::parse(stored).ok();
    let is_current = hash.as_ref().is_some_and(|hash| hash.is_current(policy));
    let matching =
        hash.and_then(|hash| password.forms().position(|form| hash.matches(form, memory)));
    memory.shrink(policy);
    let forms = password.forms().count() as u32;
    match matching {
        Some(0) if is_current => Verdict::Right,
        Some(_) => Verdict::RightButOutdated,
        None if is_current => {
            pace.learn(watch.elapsed() / forms);
            Verdict::Wrong
        }
        None => {
            pace.keep(forms, &watch, policy, memory);
            Verdict::Wrong
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::Random;

    pub(super) fn cheap(iterations: u32) -> PasswordPolicy {
        PasswordPolicy::new(64, iterations, 1, 1, 1).unwrap()
    }

    pub(super) fn made(password: &Password) -> Secret<String> {
        hash(password, &cheap(1), &Random::system(), &mut HashMemory::default())
    }

    pub(super) fn verify_by(policy: &PasswordPolicy, typed: &str, stored: &str) -> Verdict {
        let (mut memory, mut pace) = (HashMemory::default(), Pace::default());
        verify(&Password::new(typed), stored, policy, &mut memory, &mut pace)
    }

    #[test]
    fn a_hash_knows_its_password_and_its_settings() {
        let stored = made(&Password::new("correct horse"));
        let stored = stored.expose();
        assert!(stored.starts_with("$argon2id$v=19$m=64,t=1,p=1$"), "{stored}");
        let check = |typed, policy| verify_by(&policy, typed, stored);
        assert_eq!(check("correct horse", cheap(1)), Verdict::Right);
        assert_eq!(check("correct horse", cheap(2)), Verdict::RightButOutdated);
        assert_eq!(check("correct Horse", cheap(1)), Verdict::Wrong);
        assert_eq!(check("", cheap(1)), Verdict::Wrong);
    }

    #[test]
    fn every_policy_makes_hashes_that_can_be_checked() {
        let most = |memory_kib, iterations| {
            PasswordPolicy::new(memory_kib, iterations, 16, 1, 1)
                .map(|policy| check_stored(unmatchable(&policy, &Random::system()).expose()))
        };
        for (memory_kib, iterations) in [(1 << 20, 4), (1 << 16, 64), (128, 1)] {
            assert_eq!(most(memory_kib, iterations).unwrap(), Ok(()));
        }
        assert_eq!(most(1 << 20, 5).unwrap_err().0, "iterations");
    }

    #[test]
    fn what_takes_much_is_dear_and_what_systems_have_by_default_is_not() {
        let policy = PasswordPolicy::new(19 * 1024, 2, 1, 1, 1).unwrap();
        let argon2 = |m: u32, t: u32| {
            format!("$argon2id$v=19$m={m},t={t},p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5A")
        };
        let bcrypt =
            |cost: u32| format!("$2b${cost}$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW");
        let pbkdf2 = |n: u32| format!("pbkdf2:sha256:{n}$salt$c5e478d59288c841aa530db6845c4c8d");
        let scrypt = |n: u32| format!("scrypt:{n}:8:1$salt${}", "c5".repeat(64));
        for (stored, expensive) in [
            (argon2(64 * 1024, 3), false),
            (argon2(64 * 1024 + 8, 1), true),
            (argon2(1024 * 1024, 1), true),
            (argon2(64 * 1024, 16), true),
            (bcrypt(12), false),
            (bcrypt(14), true),
            (pbkdf2(1_500_000), false),
            (pbkdf2(2_500_000), true),
            (scrypt(1 << 15), false),
            (scrypt(1 << 17), true),
            ("no hash at all".into(), false),
        ] {
            assert_eq!(is_expensive(&stored, &policy), expensive, "{stored}");
        }
        // What the policy itself asks for is not.
        let most = PasswordPolicy::new(1 << 20, 4, 1, 1, 1).unwrap();
        assert!(!is_expensive(unmatchable(&most, &Random::system()).expose(), &most));
        assert!(!is_expensive(&argon2(512 * 1024, 1), &most));
    }

    #[test]
    fn nobody_matches_the_unmatchable() {
        let stored = unmatchable(&cheap(1), &Random::system());
        assert_eq!(verify_by(&cheap(1), "", stored.expose()), Verdict::Wrong);
        assert_eq!(check_stored(stored.expose()), Ok(()), "it is computed like any other");
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
        let stored = made(&Password::new("caf\u{e9} noir"));
        let verdict = verify_by(&cheap(1), "cafe\u{301} noir", stored.expose());
        assert_eq!(verdict, Verdict::Right);
    }
}

//! Published test vectors of every scheme, and hostile strings. What the original libraries make
//! themselves is tested in `tests/it/interop/hashes.rs`.

mod malformed;
mod systems;

use proptest::prelude::*;

use super::encoding::UNKNOWN;
use super::tests::{cheap, made, verify_by};
use super::*;

/// Of RFC 7914 section 12, for `pleaseletmein` and `SodiumChloride`: base64, and hexadecimal.
const SODIUM: [&str; 2] = [
    "cCO9yzr9c0hGHAbNgf046/2o+7qQT44+qbVD9lRdofLVQylVYT8Pz2LUlwUkKpr55h6F3A1lHkDfzwF7RVdYhw",
    "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2\
     d5432955613f0fcf62d49705242a9af9e61e85dc0d651e40dfcf017b45575887",
];

/// Firebase's own example: salt, hash, signer key.
const FIREBASE: [&str; 3] = [
    "42xEC+ixf3L2lw==",
    "lSrfV15cpx95/sZS2W9c9Kp6i/LVgQNDNC/qzrCnh1SAyZvqmZqAjTdn3aoItz+VHjoZilo78198JAdRuid5lQ==",
    "jxspr8Ki0RYycVU8zykbdLGjFQ3McFUH0uiiTvC8pVMXAn210wjLNmdZJzxUECKbm0QsEmYUSDzZvpjeJ9WmXA==",
];

const LONG: &str = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789chars \
                    after 72 are ignored";

const LONG_DIGITS: &str = "0123456789012345678901234567890123456789012345678901234567890123456789\
                           012345678901234567890123456789";

/// A `SECURITY_PASSWORD_SALT`, in base64.
const FLASK_SALT: &str = "MTQ2NTg1MTQ1MzY4MTMyMzg2MTczNTA1Njc4MDE2NzI4NTA5NjM0JHDDqXBwZXI=";

fn vectors() -> Vec<(&'static str, String)> {
    let [base64, hex] = SODIUM;
    let [salt, hash, key] = FIREBASE;
    let mut vectors = vec![
        ("pleaseletmein", format!("scrypt$16384$SodiumChloride$8$1${base64}==")),
        ("pleaseletmein", format!("scrypt:16384:8:1$SodiumChloride${hex}")),
        ("pleaseletmein", format!("$scrypt$ln=14,r=8,p=1$U29kaXVtQ2hsb3JpZGU${base64}")),
        ("user1password", format!("$firescrypt$ln=14,r=8,p=1${salt}${hash}$Bw==${key}")),
        ("user1password", format!("$fbscrypt$v=1,n=14,r=8,p=1,ss=Bw==,sk={key}${salt}${hash}")),
    ];
    let others = [
        // The reference program: argon2 somesalt -id -t 2 -k 65536 -p 1.
        (
            "password",
            "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ\
             $CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
        ),
        // The reference implementation's own tests: Argon2i of both versions.
        (
            "password",
            "$argon2i$v=19$m=256,t=2,p=1$c29tZXNhbHQ\
             $iekCn0Y3spW+sCcFanM2xBT63UP2sghkUoHLIUpWRS8",
        ),
        (
            "password",
            "$argon2i$m=256,t=2,p=1$c29tZXNhbHQ$/U3YPXYsSb3q9XxHvc0MLxur+GP960kN9j7emXX8zwY",
        ),
        // jBCrypt, then crypt_blowfish.
        ("", "$2a$06$DCq7YPn5Rq63x1Lad4cll.TV4S6ytwfsfvkgY8jIucDrjc8deX1s."),
        ("a", "$2b$06$m0CrhHm10qJ3lXRY.5zDGO3rS2KdeeWLuGmsfGlMfOxih58VYVfxe"),
        ("U*U", "$2y$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"),
        ("U*U", "bcrypt$$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"),
        (LONG, "$2a$05$abcdefghijklmnopqrstuu5s2v8.iXieOjg/.AySBTTZIIVFJeBui"),
        // passlib's tests and documentation.
        ("password", "$bcrypt-sha256$2a,5$5Hg1DKFqPE8C2aflZ5vVoe$12BjNE0p7axMg55.Y/mHsYiVuFBDQyu"),
        (
            "password",
            "$bcrypt-sha256$v=2,t=2b,r=12$n79VH.0Q2TMWmt3Oqt9uku$Kq4Noyk3094Y2QlB8NdRT8SvGiI4ft2",
        ),
        // RFC 6070, and the same input with the other digests.
        ("password", "pbkdf2_sha1$4096$salt$SwB5AbdlSJq+rUnZJvch0GWkKcE="),
        ("password", "$pbkdf2$4096$c2FsdA$SwB5AbdlSJq.rUnZJvch0GWkKcE"),
        ("password", "pbkdf2:sha1:4096$salt$4b007901b765489abead49d926f721d065a429c1"),
        ("password", "pbkdf2_sha256$4096$salt$xeR41ZKIyEGqUw22hFxMjZYok6ABzk4RpJY4c6qYE0o="),
        ("password", "$pbkdf2-sha256$4096$c2FsdA$xeR41ZKIyEGqUw22hFxMjZYok6ABzk4RpJY4c6qYE0o"),
        (
            "password",
            "$pbkdf2-sha512$4096$c2FsdA$0Zexsz2wFD4BixLz0dFHnmzevcyXxcD4f2kC4HL0V7U\
             UPzBgJkGz1VzTNZiMs2uEN2Bg7NUy4Dm3QqI5Q0ry1Q",
        ),
        // phpass' tests.
        ("test12345", "$P$9IQRaTwmfeRo7ud9Fh4E2PdI0S3r.L0"),
        ("test12345", "$H$9IQRaTwmfeRo7ud9Fh4E2PdI0S3r.L0"),
        // Flask-Bcrypt with BCRYPT_HANDLE_LONG_PASSWORDS, under Django's name for the same.
        (LONG_DIGITS, "bcrypt_sha256$$2b$04$66XCIOgoNlAmHGvxOItvf.jZvsN8nmdYDKlQNH03IeIMfjvX11YqG"),
        (
            "caf\u{e9} \u{fb01}ne \u{212b}",
            "bcrypt_sha256$$2b$04$wGUZm62AMstbO3U8TA8fQe.m6oFLWWNbRSprha48AyMO4m.y1geYK",
        ),
        // Supabase's tests and Kratos'.
        (
            "mytestpassword",
            "$fbscrypt$v=1,n=14,r=8,p=1,ss=Bw==,sk=ou9tdYTGyYm8kuR6Dt0Bp0kDuAYoXrK16mbZO4yGwAn3oL\
             spjnN0/c41v8xZnO1n14J3MjKj1b2g6AUCAlFwMw==$C0sHCg9ek77hsg==$zKVTMvnWVw5BBOZNUdnsalx4c\
             4c7y/w7IS5p6Ut2+CfEFFlz37J9huyQfov4iizN8dbjvEJlM5tQaJP84+hfTw==",
        ),
        (
            "8x4WjoDbSxJZdR",
            "$firescrypt$ln=14,r=8,p=1$sPtDhWcd1MfdAw==$xbSou7FOl6mChCyzpCPIQ7tku7nsQMTFtyOZSXXd7\
             tjBa4NtimOx7v42Gv2SfzPQu1oxM2_k4SsbOu73wlKe1A$Bw$YE0dO4bwD4JnJafh6lZZfkp1MtKzuKAXQcDC\
             JNJNyeCHairWHKENOkbh3dzwaCdizzOspwr_FITUVlnOAwPKyw",
        ),
    ];
    vectors.extend(others.map(|(password, hash)| (password, hash.to_owned())));
    vectors.extend(systems::vectors().map(|(password, hash)| (password, hash.to_owned())));
    let flask = |(password, hash)| (password, format!("flask_security${FLASK_SALT}{hash}"));
    vectors.extend(flask_security().map(flask));
    vectors
}

/// Made by Flask-Security 5.9.2 with the key in [`FLASK_SALT`].
fn flask_security() -> [(&'static str, &'static str); 5] {
    [
        (
            "correct horse",
            "$argon2id$v=19$m=64,t=1,p=1$yNm7t7YWAqC01rpXyrlXig\
             $M7uGmpFfPAM+NzkcffVGPh4fLz3IRPmZ9Z/vdkKNpyA",
        ),
        ("correct horse", "$2b$04$Uwq/xGsZSi66h.upv9jxSeLywTJnjFmhXbwR.d06jCz/zathQeZIK"),
        (LONG_DIGITS, "$2b$04$Vl7hXPL5wBry7tLfHuyoH.28cWIHnYDlt5f8YsXWe5NKlGEy.ZCu6"),
        (
            "caf\u{e9} \u{fb01}ne \u{212b}",
            "$argon2id$v=19$m=64,t=1,p=1$XwtBiBHiXEvpPYcwJqTUmg\
             $Z3L6MHos9qF2QGl1w3wgi5vjB9Q18TN4bgS+xzUCWiQ",
        ),
        (
            "caf\u{e9} \u{fb01}ne \u{212b}",
            "$pbkdf2-sha512$10$KAXAuFdKyXlPiTGGEKJUCg$UqeklhtlqTKlXxKLpLgRIZ1RU5eVzIxIj.\
             0dogjhdrsKxi1qmV0GujqoKNmaicA2hPv8xmuRDQJbGjXUGSd/FQ",
        ),
    ]
}

fn verify_one(typed: &str, stored: &str) -> Verdict {
    verify_by(&cheap(1), typed, stored)
}

#[test]
fn published_vectors_verify() {
    for (password, stored) in vectors() {
        assert_eq!(check_stored(&stored), Ok(()), "{stored}");
        assert_eq!(verify_one(password, &stored), Verdict::RightButOutdated, "{stored}");
        for wrong in [format!("x{password}"), format!("{password}\0"), "other".into()] {
            assert_eq!(verify_one(&wrong, &stored), Verdict::Wrong, "{stored}");
        }
    }
}

#[test]
fn the_hash_alone_is_not_enough_for_flask_security() {
    for (password, hash) in flask_security() {
        let other_salt = format!("flask_security$c2FsdA{hash}");
        for stored in [hash.to_owned(), other_salt] {
            assert_eq!(check_stored(&stored), Ok(()), "{stored}");
            assert_eq!(verify_one(password, &stored), Verdict::Wrong, "{stored}");
        }
    }
}

#[test]
fn bcrypt_looks_at_72_bytes() {
    let stored = "$2a$05$abcdefghijklmnopqrstuu5s2v8.iXieOjg/.AySBTTZIIVFJeBui";
    let other_end = format!("{}other", &LONG[..72]);
    assert_eq!(verify_one(&LONG[..72], stored), Verdict::RightButOutdated);
    assert_eq!(verify_one(&other_end, stored), Verdict::RightButOutdated);
    assert_eq!(verify_one(&LONG[..71], stored), Verdict::Wrong);
}

#[test]
fn what_was_typed_counts_where_the_old_system_hashed_it() {
    // `ﬁancée` and its normal form, `fiancée`, by Django's way with PBKDF2.
    let of = |password: &str| {
        let mut output = [0; 32];
        let (algorithm, rounds) = (aws_lc_rs::pbkdf2::PBKDF2_HMAC_SHA256, 1.try_into().unwrap());
        aws_lc_rs::pbkdf2::derive(algorithm, rounds, b"salt", password.as_bytes(), &mut output);
        let output = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, output);
        format!("pbkdf2_sha256$1$salt${output}")
    };
    let (typed, normal) = ("\u{fb01}ance\u{301}e", "fianc\u{e9}e");
    assert_eq!(verify_one(typed, &of(typed)), Verdict::RightButOutdated);
    assert_eq!(verify_one(typed, &of(normal)), Verdict::RightButOutdated);
    assert_eq!(verify_one(normal, &of(typed)), Verdict::Wrong);

    // A present hash of what was typed is another library's: its owner gets one of the normal form.
    let stored = made(&Password { normal: Secret::new(typed.into()), typed: None });
    assert_eq!(verify_one(typed, stored.expose()), Verdict::RightButOutdated);
}

#[test]
fn unknown_schemes_are_refused() {
    for stored in [
        "",
        "plain",
        "password: plain",
        "!",
        "!Y08tO4n5zKVyqJFhYr9jyAMaoDttQQFU0LjCJG5og",
        "$",
        "$$",
        "пароль$пароль",
        "5f4dcc3b5aa765d61d8327deb882cf99",
        "md5$salt$5f4dcc3b5aa765d61d8327deb882cf99",
        "$1$salt$qJH7.N4xYta3aEG/dfqo/0",
        "{noop}plain",
        "{MD5}5f4dcc3b5aa765d61d8327deb882cf99",
        "{bcrypt}plain",
        "{bcrypt}{bcrypt}$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
        "$gy$j9T$abcdefghijklmnopqrstu1$rpGr/TskxCxIKLocZnm23tf9o0NUZEhBdYo9dMcw4O8",
        "$argon2d$v=19$m=64,t=1,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5A",
        "argon2$argon2d$v=19$m=64,t=1,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5A",
        "$2x$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
        "$2$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
        "pbkdf2:md5:1000$salt$5f4dcc3b5aa765d61d8327deb882cf99",
        "$7$C6..../....salt$",
        "flask_security$c2FsdA$",
        "flask_security$c2FsdA$flask_security$c2FsdA$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4",
        " $2b$06$m0CrhHm10qJ3lXRY.5zDGO3rS2KdeeWLuGmsfGlMfOxih58VYVfxe",
    ] {
        assert_eq!(check_stored(stored), Err(UNKNOWN), "{stored}");
        assert_eq!(verify_one("password", stored), Verdict::Wrong, "{stored}");
    }
}

#[test]
fn excessive_work_is_refused_and_not_done() {
    let [base64, _] = SODIUM;
    let [salt, hash, key] = FIREBASE;
    let bcrypt = "CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";
    let argon2 = "c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5A";
    let pbkdf2 = "SwB5AbdlSJq+rUnZJvch0GWkKcE=";
    for stored in [
        format!("$argon2id$v=19$m=4294967295,t=1,p=1${argon2}"),
        format!("$argon2id$v=19$m=1048577,t=1,p=1${argon2}"),
        format!("$argon2id$v=19$m=1048576,t=5,p=1${argon2}"),
        format!("$argon2i$v=19$m=64,t=4000000,p=1${argon2}"),
        format!("argon2$argon2id$v=19$m=65536,t=1,p=17${argon2}"),
        format!("$2b$17${bcrypt}"),
        format!("$2b$99${bcrypt}"),
        format!("bcrypt_sha256$$2b$31${bcrypt}"),
        "$bcrypt-sha256$2a,31$5Hg1DKFqPE8C2aflZ5vVoe$12BjNE0p7axMg55.Y/mHsYiVuFBDQyu".into(),
        "$bcrypt-sha256$v=2,t=2b,r=4294967300$n79VH.0Q2TMWmt3Oqt9uku$Kq4Noyk3094Y2QlB8NdRT8SvGiI4ft2"
            .into(),
        format!("pbkdf2_sha1$10000001$salt${pbkdf2}"),
        format!("pbkdf2_sha1$4294967296$salt${pbkdf2}"),
        format!("pbkdf2_sha1$99999999999999999999999999$salt${pbkdf2}"),
        // 64 bytes are four blocks of SHA-1.
        format!("pbkdf2_sha1$2500001$salt${base64}"),
        format!("$pbkdf2-sha512$10000001$c2FsdA${base64}"),
        format!("pbkdf2:sha256:10000001$salt${}", "00".repeat(32)),
        format!("$scrypt$ln=18,r=8,p=1$c2FsdA${base64}"),
        format!("$scrypt$ln=18446744073709551615,r=8,p=1$c2FsdA${base64}"),
        format!("$scrypt$ln=10,r=17,p=1$c2FsdA${base64}"),
        format!("$scrypt$ln=10,r=8,p=17$c2FsdA${base64}"),
        format!("$scrypt$ln=17,r=16,p=5$c2FsdA${base64}"),
        format!("$scrypt$ln=10,r=4294967295,p=4294967295$c2FsdA${base64}"),
        format!("scrypt$262144$salt$8$1${base64}"),
        format!("scrypt$18446744073709551616$salt$8$1${base64}"),
        format!("scrypt:262144:8:1$salt${}", "00".repeat(64)),
        format!("$firescrypt$ln=31,r=8,p=1${salt}${hash}$Bw==${key}"),
        format!("$fbscrypt$v=1,n=4294967297,r=8,p=1,ss=Bw==,sk={key}${salt}${hash}"),
        "$P$JIQRaTwmfeRo7ud9Fh4E2PdI0S3r.L0".into(),
        format!("flask_security$c2FsdA$2b$17${bcrypt}"),
        format!("$5$rounds=1000001$salt${}", ".".repeat(43)),
        format!("$6$rounds=999999999$salt${}", ".".repeat(86)),
        format!("$6$rounds=99999999999999999999$salt${}", ".".repeat(86)),
        // 512 MiB, and p = 17.
        format!("$y$jET$......${}", ".".repeat(43)),
        format!("$y$j8T.D$......${}", ".".repeat(43)),
        format!("$wp$2y$17${bcrypt}"),
        format!("{{bcrypt}}$2a$17${bcrypt}"),
        format!("{{argon2}}$argon2id$v=19$m=1048577,t=1,p=1${argon2}"),
        "{scrypt}$120801$AAECAwQFBgcICQoLDA0ODw==$6iMJXpgeItuXSS3ial5ceU6o+LQA0aKIA8ORmTlhNMU=".into(),
        format!("$pbkdf2-sha256$i=10000001,l=32$c2FsdA${}", "A".repeat(43)),
        // ASP.NET Identity with 4294967295 rounds.
        "AQAAAAH/////AAAAEAABAgMEBQYHCAkKCwwNDg8l64asx25DAY8Yuaj5DC/tRi0ceZ6D1Irj18aQRqYLZw==".into(),
    ] {
        let refusal = check_stored(&stored).unwrap_err();
        assert!(refusal.starts_with("asks for more work than is allowed: "), "{stored}: {refusal}");
        assert_eq!(verify_one("password", &stored), Verdict::Wrong, "{stored}");
    }
}

#[test]
fn the_dearest_that_is_allowed_is_read() {
    let [base64, _] = SODIUM;
    for stored in [
        "$argon2id$v=19$m=1048576,t=4,p=16$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5A".to_owned(),
        "$2b$16$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW".into(),
        "pbkdf2_sha1$10000000$salt$SwB5AbdlSJq+rUnZJvch0GWkKcE=".into(),
        format!("$scrypt$ln=17,r=8,p=8$c2FsdA${base64}"),
        format!("$scrypt$ln=17,r=16,p=4$c2FsdA${base64}"),
        "$P$IIQRaTwmfeRo7ud9Fh4E2PdI0S3r.L0".into(),
        format!("$6$rounds=1000000$salt${}", ".".repeat(86)),
        format!("$y$jDT$......${}", ".".repeat(43)),
    ] {
        assert_eq!(check_stored(&stored), Ok(()), "{stored}");
    }
}

#[test]
fn what_is_too_long_for_argon2_is_said_to_be() {
    let of = |salt: usize, output: usize| {
        let [salt, output] = [salt, output].map(|bytes| {
            base64::Engine::encode(&base64::prelude::BASE64_STANDARD_NO_PAD, vec![7; bytes])
        });
        format!("argon2$argon2id$v=19$m=64,t=1,p=1${salt}${output}")
    };
    assert_eq!(check_stored(&of(48, 64)), Ok(()));
    for (salt, output) in [(49, 32), (64, 32), (16, 65), (16, 128)] {
        let refusal = check_stored(&of(salt, output)).unwrap_err();
        assert!(refusal.contains("48 bytes") && refusal.contains("64"), "{refusal}");
    }
}

/// How a string is spoilt: at a place, by a piece in place of some characters.
fn spoil(text: &str, place: prop::sample::Index, remove: usize, piece: &str) -> String {
    let mut characters: Vec<_> = text.chars().collect();
    let start = place.index(characters.len() + 1);
    let end = characters.len().min(start + remove);
    characters.splice(start..end, piece.chars());
    characters.into_iter().collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..Default::default() })]

    #[test]
    fn spoilt_hashes_do_no_harm(
        vector in any::<prop::sample::Index>(),
        spoils in prop::collection::vec(
            (any::<prop::sample::Index>(), 0..40_usize, "[$:,=.0a*é\0]{0,2}|.{0,3}"), 1..4),
        password in "zz.{0,90}",
    ) {
        let vectors = vectors();
        let mut stored = vectors[vector.index(vectors.len())].1.clone();
        for (place, remove, piece) in spoils {
            stored = spoil(&stored, place, remove, &piece);
        }
        prop_assert_eq!(verify_one(&password, &stored), Verdict::Wrong);
    }
}

//! Strings that look like hashes and are none.

use super::*;

#[test]
fn malformed_hashes_are_refused() {
    let [base64, _] = SODIUM;
    let mut malformed: Vec<String> = [
        "$argon2id$v=18$m=64,t=1,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5A",
        "$argon2id$v=19$m=64,t=1,p=1,keyid=AAAA$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5A",
        "$argon2id$v=19$m=64,t=0,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5A",
        "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ",
        "$argon2id$test",
        "$2b$03$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
        "$2b$5$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
        "bcrypt$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
        "bcrypt$$2x$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
        "$2b$05$пппппппппппппппппппппппппппппппппп",
        "$bcrypt-sha256$v=3,t=2b,r=5$n79VH.0Q2TMWmt3Oqt9uku$Kq4Noyk3094Y2QlB8NdRT8SvGiI4ft2",
        "pbkdf2_sha256$0$salt$xeR41ZKIyEGqUw22hFxMjZYok6ABzk4RpJY4c6qYE0o=",
        "pbkdf2_sha256$-1$salt$xeR41ZKIyEGqUw22hFxMjZYok6ABzk4RpJY4c6qYE0o=",
        "pbkdf2_sha256$1000$$xeR41ZKIyEGqUw22hFxMjZYok6ABzk4RpJY4c6qYE0o=",
        "pbkdf2_sha256$1000$salt$c2hvcnQ=",
        "pbkdf2_sha256$1000$salt$",
        "pbkdf2:sha256$salt$c5e478d59288c841aa530db6845c4c8d",
        "pbkdf2:sha256:1000$salt$c5e478d59288c841aa530db6845c4c8",
        "$firescrypt$ln=14,r=8,p=1$c2FsdHNhbHRzYWx0$aGFzaA==$Bw==$a2V5a2V5",
        "$fbscrypt$invalid",
        "$P$4IQRaTwmfeRo7ud9Fh4E2PdI0S3r.L0",
        "$P$9IQRaTwmfeRo7ud9Fh4E2PdI0S3r.L",
        "$P$9IQRaTwmfeRo7ud9Fh4E2PdI0S3r.L*",
        "$P$",
        "flask_security$",
        "flask_security$c2FsdA",
        "flask_security$$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
        "flask_security$*$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
    ]
    .map(str::to_owned)
    .into();
    let (short, long) = (".".repeat(43), ".".repeat(86));
    malformed.extend([
        format!("$5$salt${long}"),
        format!("$6$salt${short}"),
        format!("$6$salt$*{}", &long[1..]),
        format!("$6$${long}"),
        format!("$6$seventeen-letters${long}"),
        format!("$6$rounds=999$salt${long}"),
        format!("$6$rounds=$salt${long}x"),
        format!("$6$rounds=+5000$salt${long}"),
        format!("$6$rounds=5000${long}"),
        "$6$".into(),
        "$y$".into(),
        format!("$y$$......${short}"),
        format!("$y$j$......${short}"),
        format!("$y$j9T$${short}"),
        format!("$y$j9T$......${long}"),
        // Another flavour, more passes, upgrades, a ROM.
        format!("$y$/9T$......${short}"),
        format!("$y$j9T//$......${short}"),
        format!("$y$j953/2$......${short}"),
        format!("$y$jC559$......${short}"),
        "$wp$".into(),
        "$wp$2y$10$short".into(),
        "{".into(),
        "{bcrypt".into(),
        "{bcrypt}$2a$05$short".into(),
        "{pbkdf2}00".into(),
        "{scrypt}$+e0801$AAECAwQFBgcICQoLDA0ODw==$6iMJXpgeItuXSS3ial5ceU6o+LQA0aKIA8ORmTlhNMU=".into(),
        "{scrypt}e0801".into(),
        "$pbkdf2-sha256$i=1000,l=31$AAECAwQFBgcICQoLDA0ODw$JeuGrMduQwGPGLmo+Qwv7UYtHHmeg9SK49fGkEamC2c"
            .into(),
        "$pbkdf2-sha256$l=32,i=1000$AAECAwQFBgcICQoLDA0ODw$JeuGrMduQwGPGLmo+Qwv7UYtHHmeg9SK49fGkEamC2c"
            .into(),
        "AQAAAA".into(),
        "AQAAAAE".into(),
        // A digest that there is not, no rounds, a salt longer than all of it.
        "AQAAAAMAAAPoAAAAEAABAgMEBQYHCAkKCwwNDg8l64asx25DAY8Yuaj5DC/tRi0ceZ6D1Irj18aQRqYLZw==".into(),
        "AQAAAAEAAAAAAAAAEAABAgMEBQYHCAkKCwwNDg8l64asx25DAY8Yuaj5DC/tRi0ceZ6D1Irj18aQRqYLZw==".into(),
        "AQAAAAEAAAPo/////wABAgMEBQYHCAkKCwwNDg8l64asx25DAY8Yuaj5DC/tRi0ceZ6D1Irj18aQRqYLZw==".into(),
        format!("$scrypt$ln=0,r=8,p=1$c2FsdA${base64}"),
        format!("$scrypt$ln=14,r=0,p=1$c2FsdA${base64}"),
        format!("$scrypt$ln=14,r=8$c2FsdA${base64}"),
        format!("scrypt$1000$salt$8$1${base64}"),
        format!("pbkdf2_sha256$1000$salt${}", "A".repeat(1 << 20)),
        format!(
            "pbkdf2_sha256$1000${}$xeR41ZKIyEGqUw22hFxMjZYok6ABzk4RpJY4c6qYE0o=",
            "s".repeat(1025)
        ),
        "$2b$".repeat(1 << 18),
        "$".repeat(2000).replacen('$', "$scrypt$", 1),
    ]);
    for stored in malformed {
        let start = stored.get(..80).unwrap_or(&stored);
        assert_eq!(check_stored(&stored), Err("is malformed"), "{start}");
        assert_eq!(verify_one("password", &stored), Verdict::Wrong, "{start}");
    }
}

//! Vectors of crypt(3), PHC strings of PBKDF2, WordPress, Spring and ASP.NET Identity.

/// Passwords with their hashes.
pub fn vectors() -> [(&'static str, &'static str); 22] {
    [
        // The specification of SHA-crypt.
        ("Hello world!", "$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5"),
        (
            "Hello world!",
            "$5$rounds=10000$saltstringsaltst$3xv.VbSHBb41AL9AvLeujZkZRBAwqFMz2.opqey6IcA",
        ),
        (
            "Hello world!",
            "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJu\
             esI68u4OTLiBFdcbYEdFCoEOfaS35inz1",
        ),
        (
            "Hello world!",
            "$6$rounds=10000$saltstringsaltst$OW1/O6BYHV6BcXZu8QVeXbDWra3Oeqh0sb\
             HbbMCVNSnCM/UrjmM0Dp8vOuZeHBy/YTBmSK6H9qs/y3RnOaw5v.",
        ),
        // glibc's and libxcrypt's crypt(3), Debian 12.
        ("password", "$5$salt$Gcm6FsVtF/Qa77ZKD.iwsJlCVPY0XSMgLJL0Hnww/c1"),
        ("password", "$5$rounds=1000$saltstring$S2dlplsLzofRuJ/frAjtaYev58CdqEN6fUby2laILG1"),
        (
            "password",
            "$6$salt$IxDD3jeSOb5eB1CX5LBsqZFVkJdido3OUILO5Ifz5iwMuTS4XMS130MTSuDDl3aC\
             I6WouIL9AjRbLCelDCy.g.",
        ),
        (
            "password",
            "$6$rounds=1000$saltstring$EzTqOEb9gQc3Va/4p4pnqWqp/wIh1Otyhg9H9E8sV0eDyHGbNBkoMxYIM0O\
             DHPBfmDNWb6wRiAvTriYxeDgb9.",
        ),
        ("password", "$y$j75$abcdefghijklmnopqrstu1$R7A59lu3Ln3yBt64HouOtZhk1clK67zZrXtne1aAOWB"),
        ("password", "$y$j9T$WZaPV7LSUEKMo34.$UmaPREHDntEMhd87Nrenizh8J6TVlNTNiZm5uP4QtT."),
        ("password", "$y$j85.0$LdJMENpBABJJ3hIHjB1Bi.$y.guCSuXe.0t2WuIL.0v9L2IyflXse8eaS9scuLGE/D"),
        // Made by Python's hashlib and bcrypt from the documented formats.
        (
            "password",
            "$pbkdf2-sha256$i=1000,l=32$AAECAwQFBgcICQoLDA0ODw\
             $JeuGrMduQwGPGLmo+Qwv7UYtHHmeg9SK49fGkEamC2c",
        ),
        (
            "password",
            "$pbkdf2-sha256$i=1000$AAECAwQFBgcICQoLDA0ODw\
             $JeuGrMduQwGPGLmo+Qwv7UYtHHmeg9SK49fGkEamC2c",
        ),
        (
            "password",
            "AQAAAAEAAAPoAAAAEAABAgMEBQYHCAkKCwwNDg8l64asx25DAY8Yuaj5DC/tRi0ceZ6D1Irj18aQRqYLZw==",
        ),
        (
            "password",
            "AQAAAAIAAAPoAAAAEAABAgMEBQYHCAkKCwwNDg/HTkCA0Pu0H+5YaMD/YP11rK4mOCFZh+X/VPjq4hEzmw==",
        ),
        ("password", "$wp$2y$04$kxA9/f4GTGjEwF9AWIgnkeb9/kksL36ilN./rgzPBuZZptcuTSNZC"),
        ("  password\t", "$wp$2y$04$kxA9/f4GTGjEwF9AWIgnkeb9/kksL36ilN./rgzPBuZZptcuTSNZC"),
        (
            "password",
            "{pbkdf2@SpringSecurity_v5_8}000102030405060708090a0b0c0d0e0fe0f65a4bf6716253d2d10a7a\
             4b18f35cd4baf31ff031a187cd0091674905482d",
        ),
        (
            "password",
            "{pbkdf2}0001020304050607c18c42a363543f68645d57859f952d9e5b74a5302ef4c2199584b3b9480\
             16b76",
        ),
        (
            "password",
            "{scrypt}$e0801$AAECAwQFBgcICQoLDA0ODw==$6iMJXpgeItuXSS3ial5ceU6o+LQA0aKIA8ORmTlhNMU=",
        ),
        ("U*U", "{bcrypt}$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"),
        (
            "password",
            "{argon2@SpringSecurity_v5_8}$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ\
             $CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
        ),
    ]
}

//! users import: the files of other systems, a list of users, and what a user comes in without.

use serde_json::{Value, json};

use super::assert_fails;
use super::import::{everybody, lines, password_hash, refused, write};
use crate::support::client::{Client, PASSWORD};
use crate::support::on_every_backend;
use crate::support::signet::{Backend, Signet};

/// PBKDF2-SHA-256 of `password`, 1000 rounds: the salt and the hash.
const PBKDF2: [&str; 2] =
    ["AAECAwQFBgcICQoLDA0ODw==", "JeuGrMduQwGPGLmo+Qwv7UYtHHmeg9SK49fGkEamC2c="];
/// bcrypt of `U*U`.
const BCRYPT: &str = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";

#[track_caller]
fn find(signet: &Signet, email: &str) -> Value {
    let all = everybody(signet);
    let user = all.iter().find(|user| user["email"] == email);
    user.unwrap_or_else(|| panic!("no {email}: {all:?}")).clone()
}

#[track_caller]
fn counts(sum: &Value) -> [u64; 3] {
    ["imported", "present", "refused"].map(|name| sum[name].as_u64().expect("a count"))
}

on_every_backend!(a_list_of_users_comes_in_once);

async fn a_list_of_users_comes_in_once(backend: Backend) {
    let signet = Signet::builder().backend(backend).start();
    let hash = password_hash();
    let users = json!([
        {"email": "ada@example.com", "password_hash": hash, "created_at": 1_709_208_000},
        {"email": "bob@example.com", "id": 7},
        {"email": "eve@example.com", "is_disabled": true},
        7,
        "pbkdf2_sha256$secret",
        {"email": "joe@example.com", "metadata": {"team": [1]}},
    ]);
    let text = serde_json::to_string_pretty(&users).expect("JSON");
    for (name, options) in
        [("users.json", &[][..]), ("users.txt", &["--format", "json"]), ("users.jsonl", &[])]
    {
        write(&signet, name, &text);
        let (sum, told) = refused(&signet, &[&[name], options].concat());
        let expected = if name == "users.json" { [3, 0, 3] } else { [0, 3, 3] };
        assert_eq!(counts(&sum), expected, "{name}: {told}");
        assert!(
            told.contains(" 3: eve@example.com \u{2014} unknown field `is_disabled`"),
            "{told}"
        );
        assert!(told.contains(" 4: is not a JSON object"), "{told}");
        assert!(!told.contains("secret"), "{told}");
    }
    assert_eq!(find(&signet, "ada@example.com")["created_at"], "2024-02-29T12:00:00Z");
    Client::new(signet.base()).login("ada@example.com", PASSWORD).await;
    for (text, why) in [
        ("[{\"email\": \"x@example.com\"}", "cut off in or after record 1"),
        ("[{\"email\": \"y@example.com\"}] {}", "not JSON: trailing"),
        ("[{\"email\": \"z@example.com\"},", "cut off in or after record 1"),
    ] {
        write(&signet, "broken.json", text);
        let (sum, told) = refused(&signet, &["broken.json"]);
        assert!(sum["imported"] == 1 && told.contains(why), "{why}: {told}");
    }
    let long = json!([{"email": "l@example.com"}, {"email": "m".repeat(2_000_000)}]);
    write(&signet, "long.json", long.to_string());
    let (_, told) = refused(&signet, &["long.json"]);
    assert!(told.contains("record 2 is longer than 1 MiB"), "{told}");
}

fn keycloak() -> Value {
    let [salt, hash] = PBKDF2;
    let credential = |algorithm: &str, rounds: u64, salt: &str, hash: &str, more: Value| {
        let data = json!({"hashIterations": rounds, "algorithm": algorithm,
                          "additionalParameters": more});
        let secret = json!({"value": hash, "salt": salt, "additionalParameters": {}});
        json!([{"id": "c1", "type": "password", "createdDate": 1_709_208_000_123_i64,
                "secretData": secret.to_string(), "credentialData": data.to_string()},
               {"id": "c2", "type": "otp", "secretData": "{\"value\":\"secret\"}"}])
    };
    let argon2 = password_hash();
    let argon2: Vec<_> = argon2.split('$').collect();
    let more = json!({"hashLength": ["32"], "memory": ["16"], "type": ["id"],
                      "version": ["1.3"], "parallelism": ["1"]});
    json!({
        "id": "shop", "realm": "shop", "sslRequired": "external", "roles": {"realm": []},
        "clients": [{"clientId": "users", "users": [{"email": "no@example.com"}]}],
        "users": [
            {"id": "0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b", "username": "ada",
             "firstName": "Ada", "lastName": "L\u{f6}ve", "email": "ada@example.com",
             "emailVerified": true, "enabled": true, "createdTimestamp": 1_709_208_000_123_i64,
             "totp": false, "attributes": {"team": ["red"]},
             "credentials": credential("pbkdf2-sha256", 1000, salt, hash, json!({})),
             "realmRoles": ["default-roles-shop", "offline_access", "Editor", "admin", "Zwei Worte"],
             "clientRoles": {"account": ["manage-account"], "orders": ["read"]},
             "notBefore": 0, "groups": ["/staff"], "requiredActions": []},
            {"username": "bob@example.com", "enabled": false,
             "credentials": credential("argon2", 1, argon2[4], argon2[5], more)},
            {"username": "service-account-x", "serviceAccountClientId": "x", "enabled": true},
            {"username": "eve", "email": "eve@example.com",
             "credentials": [{"type": "password", "value": "plain secret"}]},
            {"username": "sue", "email": "sue@example.com",
             "credentials": credential("bcrypt-of-somebody", 5, salt, hash, json!({}))},
            {"username": "nobody", "enabled": true},
            {"username": "joe", "email": "joe@example.com", "credentials": []},
        ],
        "components": {},
    })
}

on_every_backend!(keycloaks_export_of_a_realm);

async fn keycloaks_export_of_a_realm(backend: Backend) {
    let signet = Signet::builder().backend(backend).start();
    let client = Client::new(signet.base());
    let realm = keycloak();
    write(&signet, "realm.json", realm.to_string());
    // A file of users alone has the same form.
    write(&signet, "users.json", json!({"realm": "shop", "users": realm["users"]}).to_string());
    for (name, expected) in [("realm.json", [3, 0, 3]), ("users.json", [0, 3, 3])] {
        let (sum, told) = refused(&signet, &[name, "--format", "keycloak"]);
        assert_eq!(counts(&sum), expected, "{name}: {told}");
        assert_eq!(sum["skipped"], json!({"service account": 1}));
        assert_eq!(sum["groups"], json!(["Zwei Worte"]));
        for line in [
            "record 4: eve@example.com \u{2014} has a password in plain text, which is not taken",
            "record 5: sue@example.com \u{2014} the password hash is of an unknown scheme",
            "record 6: has no e-mail address",
        ] {
            assert!(told.lines().any(|told| told == line), "{line}: {told}");
        }
        assert!(!told.contains("secret"), "{told}");
        if name == "realm.json" {
            assert_eq!(sum["roles_left_out"], json!({"admin": 1}));
            assert!(
                told.contains("record 1: ada@example.com \u{2014} comes without the role admin")
            );
        }
    }
    let ada = find(&signet, "ada@example.com");
    assert_eq!(ada["id"], "0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b");
    assert_eq!((&ada["name"], &ada["email_verified"]), (&json!("Ada L\u{f6}ve"), &json!(true)));
    assert_eq!(ada["roles"], json!(["editor", "orders:read"]));
    assert_eq!(ada["created_at"], "2024-02-29T12:00:00Z");
    assert_eq!(ada["metadata"], json!({"username": "ada", "attributes": {"team": ["red"]}}));
    client.login("ada@example.com", "password").await;
    let inactive = client.try_login("bob@example.com", PASSWORD).await;
    assert_eq!(inactive.expect_oauth_error(400, "invalid_grant").json()["detail"], "Inactive user");

    write(&signet, "other.json", json!({"realm": "shop"}).to_string());
    let error =
        assert_fails(&signet.cli(&["users", "import", "other.json", "--format", "keycloak"], ""));
    assert!(error.contains("is not a list of users"), "{error}");
}

#[tokio::test]
async fn auth0s_exports_and_its_form_of_imports() {
    let signet = Signet::builder().start();
    let client = Client::new(signet.base());
    let [salt, hash] = PBKDF2.map(|text| text.trim_end_matches('='));
    let custom =
        |algorithm: &str, value: &str| json!({"algorithm": algorithm, "hash": {"value": value}});
    let exported = [
        json!({"user_id": "auth0|5f1", "email": "ada@example.com", "email_verified": true,
               "name": "ada@example.com", "given_name": "Ada", "family_name": "L\u{f6}ve",
               "created_at": "2024-02-29T12:00:00.123Z", "updated_at": "2024-03-01T00:00:00Z",
               "identities": [{"provider": "auth0", "user_id": "5f1"}],
               "app_metadata": {"plan": "gold"}, "user_metadata": {}, "logins_count": 3}),
        json!({"_id": {"$oid": "5f2"}, "email": "bob@example.com", "email_verified": false,
               "passwordHash": BCRYPT, "password_set_date": {"$date": "2024-02-29T12:00:00Z"},
               "tenant": "shop", "connection": "Users", "_tmp_is_unique": true}),
    ];
    write(&signet, "export.ndjson", lines(&exported));
    let wanted = json!([
        {"email": "eve@example.com", "user_id": "1", "password_hash": BCRYPT, "blocked": true},
        {"email": "joe@example.com", "name": "Joe",
         "custom_password_hash": custom("pbkdf2", &format!("$pbkdf2-sha256$i=1000,l=32${salt}${hash}"))},
        {"email": "sue@example.com", "custom_password_hash":
            {"algorithm": "scrypt", "keylen": 32, "cost": 16384, "blockSize": 8, "parallelization": 1,
             "salt": {"value": "000102030405060708090a0b0c0d0e0f", "encoding": "hex"},
             "hash": {"value": "6iMJXpgeItuXSS3ial5ceU6o+LQA0aKIA8ORmTlhNMU=",
                      "encoding": "base64"}}},
        {"email": "old@example.com", "custom_password_hash": custom("md5", "secret")},
    ]);
    write(&signet, "import.json", wanted.to_string());
    let import = |file: &str| ["users", "import", file, "--format", "auth0"].map(str::to_owned);
    let file = import("export.ndjson");
    let file: Vec<_> = file.iter().map(String::as_str).collect();
    assert_eq!(counts(&signet.cli_json(&file, "")), [2, 0, 0]);
    assert_eq!(counts(&signet.cli_json(&file, "")), [0, 2, 0]);
    let (sum, told) = refused(&signet, &["import.json", "--format", "auth0"]);
    assert_eq!(counts(&sum), [3, 0, 1], "{told}");
    assert!(told.contains("record 4: old@example.com \u{2014} the password hash is of an unknown"));
    assert!(!told.contains("secret"), "{told}");

    let ada = find(&signet, "ada@example.com");
    assert_eq!((&ada["name"], &ada["email_verified"]), (&json!("Ada L\u{f6}ve"), &json!(true)));
    let kept = json!({"imported_id": "auth0|5f1", "app_metadata": {"plan": "gold"}});
    assert_eq!((&ada["metadata"], &ada["created_at"]), (&kept, &json!("2024-02-29T12:00:00Z")));
    let bob = find(&signet, "bob@example.com");
    assert_eq!(bob["metadata"], json!({"imported_id": "auth0|5f2"}));
    client.login("bob@example.com", "U*U").await;
    client.login("joe@example.com", "password").await;
    client.login("sue@example.com", "password").await;
    client.try_login("ada@example.com", PASSWORD).await.expect(400);
    assert_eq!(find(&signet, "eve@example.com")["disabled"], true);
}

#[tokio::test]
async fn clerks_table_and_json() {
    let signet = Signet::builder().start();
    let client = Client::new(signet.base());
    let table = format!(
        "id,first_name,last_name,username,primary_email_address,primary_phone_number,\
         verified_email_addresses,unverified_email_addresses,verified_phone_numbers,\
         unverified_phone_numbers,totp_secret,password_digest,password_hasher\n\
         user_1,Ada,L\u{f6}ve,ada,ada@example.com,,ada@example.com,,,,secret,{BCRYPT},bcrypt\n\
         user_2,,,,bob@example.com,,,bob@example.com,,,,,\n\
         user_3,,,,,,eve@example.com,,,,,plain secret,something\n\
         user_4,,,,,+15550100,,,,,,,\n"
    );
    write(&signet, "clerk.csv", table);
    let (sum, told) = refused(&signet, &["clerk.csv", "--format", "clerk"]);
    assert_eq!(counts(&sum), [2, 0, 2], "{told}");
    assert!(told.contains("eve@example.com \u{2014} the password hash is of an unknown"), "{told}");
    assert!(told.contains("has no e-mail address") && !told.contains("secret"), "{told}");
    let ada = find(&signet, "ada@example.com");
    assert_eq!((&ada["name"], &ada["email_verified"]), (&json!("Ada L\u{f6}ve"), &json!(true)));
    assert_eq!(ada["metadata"], json!({"imported_id": "user_1", "username": "ada"}));
    assert_eq!(find(&signet, "bob@example.com")["email_verified"], false);
    client.login("ada@example.com", "U*U").await;

    let users = json!([
        {"id": "user_5", "primary_email_address_id": "e2", "first_name": "Joe", "banned": true,
         "email_addresses": [
            {"id": "e1", "email_address": "x@example.com", "verification": {"status": "verified"}},
            {"id": "e2", "email_address": "joe@example.com", "verification": {"status": "verified"}}],
         "public_metadata": {"plan": "gold"}, "created_at": 1_709_208_000_123_i64},
        {"id": "user_6", "primary_email_address": "sue@example.com",
         "password_hasher": "scrypt_firebase", "password_digest":
            "lSrfV15cpx95/sZS2W9c9Kp6i/LVgQNDNC/qzrCnh1SAyZvqmZqAjTdn3aoItz+VHjoZilo78198JAdRuid5lQ==$\
             42xEC+ixf3L2lw==$jxspr8Ki0RYycVU8zykbdLGjFQ3McFUH0uiiTvC8pVMXAn210wjLNmdZJzxUECKbm0QsEmYU\
             SDzZvpjeJ9WmXA==$Bw==$8$14"},
    ]);
    write(&signet, "clerk.json", users.to_string());
    let sum = signet.cli_json(&["users", "import", "clerk.json", "--format", "clerk"], "");
    assert_eq!(counts(&sum), [2, 0, 0]);
    let joe = find(&signet, "joe@example.com");
    assert_eq!((&joe["disabled"], &joe["email_verified"]), (&json!(true), &json!(true)));
    assert_eq!(joe["created_at"], "2024-02-29T12:00:00Z");
    client.login("sue@example.com", "user1password").await;
    write(&signet, "no.csv", "id,email\n1,x@example.com\n");
    let error = assert_fails(&signet.cli(&["users", "import", "no.csv", "--format", "clerk"], ""));
    assert!(error.contains("primary_email_address"), "{error}");
}

on_every_backend!(nobody_becomes_an_administrator_unasked);

/// Whoever was called an administrator elsewhere, or in another Signet, is not one here.
async fn nobody_becomes_an_administrator_unasked(backend: Backend) {
    let signet = Signet::builder().backend(backend).prepare();
    signet.cli_ok(&["roles", "add", "root", "--scopes", "signet:admin"], "");
    let users = [
        json!({"email": "ada@example.com", "roles": ["admin", "editor"]}),
        json!({"email": "bob@example.com", "roles": ["root"]}),
        json!({"email": "eve@example.com", "roles": ["editor"]}),
    ];
    write(&signet, "users.jsonl", lines(&users));
    let table = "email,password_hash,roles\njoe@example.com,,admin editor\n";
    write(&signet, "users.csv", table);
    let import = |file: &str, options: &[&str]| {
        let output = signet.cli(&[&["users", "import", file, "--json"], options].concat(), "");
        assert!(output.status.success(), "{output:?}");
        let sum: Value = serde_json::from_slice(&output.stdout).expect("the sum");
        (sum, String::from_utf8(output.stderr).expect("UTF-8"))
    };
    let (sum, told) = import("users.jsonl", &[]);
    assert_eq!((counts(&sum), &sum["administrators"]), ([3, 0, 0], &json!(0)));
    assert_eq!(sum["roles_left_out"], json!({"admin": 1, "root": 1}));
    for line in [
        "line 1: ada@example.com \u{2014} comes without the role admin, which administers Signet",
        "line 2: bob@example.com \u{2014} comes without the role root, which administers Signet",
    ] {
        assert!(told.lines().any(|told| told.starts_with(line)), "{line}: {told}");
    }
    assert!(told.contains("--keep-administrators") && !told.contains("eve@"), "{told}");
    let (sum, _) = import("users.csv", &[]);
    assert_eq!(sum["roles_left_out"], json!({"admin": 1}));
    assert_eq!(find(&signet, "ada@example.com")["roles"], json!(["editor"]));
    assert_eq!(find(&signet, "bob@example.com")["roles"], json!([]));

    // An export of an instance with administrators: into itself nobody is anybody else.
    signet.cli_ok(&["users", "grant-role", "ada@example.com", "admin"], "");
    let export = signet.cli_ok(&["users", "export", "--with-password-hashes"], "");
    write(&signet, "export.jsonl", &export);
    let (sum, _) = import("export.jsonl", &[]);
    assert_eq!(counts(&sum), [0, 4, 0]);
    let other = Signet::builder().backend(backend).prepare();
    other.cli_ok(&["migrate"], "");
    write(&other, "export.jsonl", &export);
    let options = ["users", "import", "export.jsonl"];
    let dry = other.cli_json(&[&options[..], &["--dry-run"]].concat(), "");
    assert_eq!((&dry["administrators"], &dry["roles_left_out"]), (&json!(0), &json!({"admin": 1})));
    let sum = other.cli_json(&[&options[..], &["--keep-administrators"]].concat(), "");
    assert_eq!((&sum["administrators"], &sum["roles_left_out"]), (&json!(1), &json!({})));
    assert_eq!(find(&other, "ada@example.com")["roles"], json!(["editor", "admin"]));
}

#[test]
fn a_date_or_a_name_costs_nobody_the_account() {
    let signet = Signet::builder().prepare();
    signet.cli_ok(&["migrate"], "");
    let users = [
        json!({"email": "ada@example.com", "created_at": "2024-02-29 12:00:00 UTC"}),
        json!({"email": "bob@example.com", "created_at": "0000-00-00 00:00:00"}),
        json!({"email": "eve@example.com", "created_at": "the day before yesterday"}),
        json!({"email": "joe@example.com", "name": "\u{1f980}".repeat(300)}),
        json!({"email": "sue@example.com", "created_at": "1709208000123"}),
    ];
    write(&signet, "users.jsonl", lines(&users));
    let output = signet.cli(&["users", "import", "users.jsonl"], "");
    assert!(output.status.success(), "{output:?}");
    let told = String::from_utf8(output.stderr).expect("UTF-8");
    let [eve, joe] = told.lines().collect::<Vec<_>>()[..] else { panic!("{told}") };
    assert!(eve.starts_with("line 3: eve@example.com \u{2014} created_at is no time"), "{eve}");
    assert!(
        joe.starts_with("line 4: joe@example.com \u{2014} the name has more than 200"),
        "{joe}"
    );
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    for part in ["5 users imported", "1 with a name that was cut", "1 without created_at"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let name = find(&signet, "joe@example.com")["name"].as_str().expect("a name").to_owned();
    assert_eq!(name, "\u{1f980}".repeat(200));
    for email in ["ada@example.com", "sue@example.com"] {
        assert_eq!(find(&signet, email)["created_at"], "2024-02-29T12:00:00Z");
    }
    // A second run meets the same accounts.
    let again = signet.cli_json(&["users", "import", "users.jsonl"], "");
    assert_eq!(counts(&again), [0, 5, 0]);
}

#[test]
fn invisible_characters_are_named() {
    let signet = Signet::builder().prepare();
    signet.cli_ok(&["migrate"], "");
    let user =
        json!({"email": "ann\u{200b}\u{202e}@exam\u{ad}ple.com\u{a0}", "roles": ["B\u{feff}ad"]});
    write(&signet, "users.jsonl", lines(&[user]));
    let (_, told) = refused(&signet, &["users.jsonl", "--rejects", "rejects"]);
    let rejects = std::fs::read_to_string(signet.folder().join("rejects")).expect("text");
    for text in [&told, &rejects] {
        assert!(text.contains("ann<U+200B><U+202E>@exam<U+00AD>ple.com<U+00A0>"), "{text}");
    }
}

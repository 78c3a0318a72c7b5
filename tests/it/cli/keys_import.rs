//! keys import: every form in which RSA keys are handed on, what is refused, and whose turn it is.

use rsa::RsaPrivateKey;
use rsa::pkcs1::EncodeRsaPrivateKey;
use rsa::pkcs8::pkcs5::pbes2;
use rsa::pkcs8::{EncodePrivateKey, EncodePublicKey, LineEnding, PrivateKeyInfo};
use serde_json::json;

use super::{assert_fails, assert_misused};
use crate::support::client::Client;
use crate::support::jwt::Jwt;
use crate::support::keys::{active, foreign_key, key, spare};
use crate::support::postgres::Postgres;
use crate::support::signet::Signet;

fn prepared() -> Signet {
    let signet = Signet::builder().prepare();
    signet.cli_ok(&["keys", "rewrap"], "");
    signet
}

/// Encrypted PKCS#8, as OpenSSL writes it.
fn encrypted(key: &RsaPrivateKey, passphrase: &str) -> String {
    let document = key.to_pkcs8_der().expect("PKCS#8");
    let parameters =
        pbes2::Parameters::pbkdf2_sha256_aes256cbc(2048, b"salt salt", &[7; 16]).expect("them");
    let info = PrivateKeyInfo::try_from(document.as_bytes()).expect("PKCS#8");
    let sealed = info.encrypt_with_params(parameters, passphrase).expect("encrypted");
    let pem = sealed.to_pem("ENCRYPTED PRIVATE KEY", LineEnding::LF).expect("PEM");
    pem.to_string()
}

fn pkcs8(key: &RsaPrivateKey) -> String {
    key.to_pkcs8_pem(LineEnding::LF).expect("PEM").to_string()
}

#[test]
fn every_form_is_read_from_a_file_and_from_standard_input() {
    let signet = prepared();
    let first = active(&signet);
    let write = |name: &str, text: &str| {
        std::fs::write(signet.folder().join(name), text).expect("written");
    };
    let (key_1, kid_1) = foreign_key();
    write("key.pem", &pkcs8(&key_1));
    let imported = signet.cli_json(&["keys", "import", "key.pem"], "");
    assert_eq!((&imported["kid"], &imported["retires_at"]), (&json!(kid_1), &json!(null)));
    assert_eq!(key(&signet, &kid_1)["activates_at"], imported["activates_at"]);

    let (key_2, _) = foreign_key();
    let pkcs1 = key_2.to_pkcs1_pem(LineEnding::LF).expect("PEM");
    let arguments = ["keys", "import", "-", "--kid", "-rsa-2024", "--activate-in", "11m"];
    let imported = signet.cli_json(&arguments, &pkcs1);
    assert_eq!(imported["kid"], "-rsa-2024");
    // It signs before the one that waits longer.
    let planned = |kid: &str| key(&signet, kid);
    assert_eq!(planned(&first)["deactivates_at"], imported["activates_at"]);
    assert_eq!(planned("-rsa-2024")["deactivates_at"], planned(&kid_1)["activates_at"]);
    assert_eq!(planned(&spare(&signet))["state"], "pending");
    // As thumbprints can begin.
    signet.cli_ok(&["keys", "export", "-rsa-2024"], "");
    signet.cli_ok(&["keys", "retire", "-rsa-2024", "--json"], "");
    assert_eq!(planned("-rsa-2024")["state"], "retired");

    // Among its certificate and text in an old encoding.
    let (key_4, kid_4) = foreign_key();
    let certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let bag = b"Bag Attributes\n    friendlyName: M\xfcller\n";
    let file = [&bag[..], certificate.as_bytes(), bag, pkcs8(&key_4).as_bytes()].concat();
    std::fs::write(signet.folder().join("bag.pem"), file).expect("written");
    let bag = ["keys", "import", "bag.pem", "--activate-in", "13m"];
    assert_eq!(signet.cli_json(&bag, "")["kid"], json!(kid_4));
    signet.cli_ok(&["keys", "retire", &kid_4], "");

    let (key_3, kid_3) = foreign_key();
    write("encrypted.pem", &encrypted(&key_3, "open sesame"));
    write("good", "open sesame\n");
    write("bad", "open barley\n");
    let import = |passphrase: &str| {
        let arguments = ["keys", "import", "encrypted.pem", "--passphrase-file", passphrase];
        signet.cli(&[&arguments[..], &["--activate-in", "12m"]].concat(), "")
    };
    let error = assert_fails(&import("bad"));
    assert!(error.contains("wrong passphrase") && !error.contains("barley"), "{error}");
    assert_fails(&import("nowhere"));
    let done = import("good");
    assert!(done.status.success(), "{done:?}");
    assert!(String::from_utf8_lossy(&done.stdout).contains(&kid_3), "{done:?}");
    assert_eq!(key(&signet, &kid_3)["state"], "pending");
}

#[test]
fn what_is_weak_or_no_key_is_refused() {
    let signet = prepared();
    let (foreign, kid) = foreign_key();
    let pem = pkcs8(&foreign);
    let import = |more: &[&str], input: &str| {
        assert_fails(&signet.cli(&[&["keys", "import", "-"][..], more].concat(), input))
    };
    for (input, why) in [
        ("", "not a PEM"),
        ("-----BEGIN NONSENSE-----", "not a PEM"),
        ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----", "cannot be read"),
        (&format!("{pem}{}", pkcs8(&foreign_key().0)), "2 private keys (PRIVATE KEY in line 1, "),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", "CERTIFICATE in line 1"),
        (&"A".repeat(40_000), "too long for a key"),
        (&"A".repeat(100_000), "too long for a key"),
    ] {
        assert!(import(&[], input).contains(why), "{why}");
    }
    for (more, why) in [
        (&["--algorithm", "ES256"][..], "RS256 or PS256"),
        (&["--kid", "with space"], "a kid has 1 to 128"),
        (&["--kid", ""], "a kid has 1 to 128"),
        (&["--kid", &"k".repeat(129)], "a kid has 1 to 128"),
        (&["--activate-in", "1s"], "published for at least"),
        (&["--activate-in", "91d"], "within 90 days"),
    ] {
        let error = import(more, &pem);
        assert!(error.contains(why), "{more:?}: {error}");
    }
    assert_misused(&signet.cli(&["keys", "import", "-", "--algorithm", "HS256"], &pem));
    assert_misused(&signet.cli(&["keys", "import", "-", "--activate-in", "0s", "--force"], &pem));
    assert_misused(&signet.cli(&["keys", "import"], &pem));
    assert_fails(&signet.cli(&["keys", "import", "nowhere.pem"], ""));
    let list = signet.cli_json(&["keys", "list"], "");
    assert_eq!(list.as_array().expect("a list").len(), 2, "nothing came in: {list}");

    signet.cli_ok(&["keys", "import", "-"], &pem);
    assert!(import(&[], &pem).contains(&format!("the key {kid} exists already")));
    signet.cli_ok(&["keys", "retire", &kid], "");
    assert!(import(&[], &pem).contains("exists already"), "also when it is retired");
}

#[tokio::test]
async fn an_imported_key_signs_and_a_public_one_only_verifies() {
    let database = Postgres::shared().fresh_database();
    let signet = Signet::builder().postgres(&database).start();
    let (foreign, kid) = foreign_key();
    let forced = ["--activate-in", "0s", "--force", "--reason", "the old issuer ends today"];
    let arguments = [&["keys", "import", "-"][..], &forced].concat();
    signet.cli_ok(&arguments, &pkcs8(&foreign));
    assert_eq!(active(&signet), kid);

    let (other, _) = foreign_key();
    let public = other.to_public_key().to_public_key_pem(LineEnding::LF).expect("PEM");
    let arguments = ["keys", "import", "-", "--kid", "old", "--verify-for", "1h"];
    let imported = signet.cli_json(&arguments, &public);
    assert_eq!((&imported["kid"], &imported["activates_at"]), (&json!("old"), &json!(null)));
    let shown = key(&signet, "old");
    assert_eq!((&shown["state"], &shown["sealed_under"]), (&json!("retiring"), &json!(null)));
    assert_eq!(shown["retires_at"], imported["retires_at"]);

    let client = Client::new(signet.base());
    let start = std::time::Instant::now();
    let jwks = loop {
        let jwks = client.jwks().await;
        if jwks["keys"].as_array().expect("keys").iter().any(|key| key["kid"] == "old") {
            break jwks;
        }
        assert!(start.elapsed().as_secs() < 10, "{jwks}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    };
    let token = client.new_user().await.tokens.access_token;
    assert_eq!(Jwt::verify(&token, &jwks).header["kid"], kid.as_str());

    let query = "SELECT actor, subject, detail FROM audit_events WHERE event = 'key.imported' \
                 ORDER BY id";
    let mut rows: Vec<_> =
        Postgres::shared().sql(&database, query).lines().map(str::to_owned).collect();
    rows.sort_by_key(|row| row.contains("verifies"));
    assert!(rows[0].starts_with(&format!("cli|{kid}|signs from ")), "{rows:?}");
    assert!(rows[0].ends_with("; reason: the old issuer ends today"), "{rows:?}");
    assert!(rows[1].starts_with("cli|old|verifies until "), "{rows:?}");
}

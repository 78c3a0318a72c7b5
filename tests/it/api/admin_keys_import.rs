//! /admin/keys/import and /admin/keys/rewrap: keys made by openssl, what is refused of them, and
//! that neither they nor their passphrases are ever written to the log.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rsa::pkcs1::der::{Decode, EncodePem};
use rsa::pkcs1::{self, LineEnding};
use serde_json::{Value, json};

use super::admin_keys::{Service, signing_kid};
use crate::support::client::{Client, PASSWORD, Send};
use crate::support::jwt::Jwt;
use crate::support::process::{poll, program};
use crate::support::signet::Signet;

const PATH: &str = "/admin/keys/import";
const PASSPHRASE: &str = "nineteen silver herons";

/// Runs `openssl`, as words separated by spaces; returns what it prints.
fn openssl(arguments: &str, input: &[u8]) -> Vec<u8> {
    let mut command = Command::new(program("openssl", Vec::new()));
    command.args(arguments.split(' ')).env("PASSPHRASE", PASSPHRASE);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = command.spawn().expect("openssl runs");
    process.stdin.take().expect("a pipe").write_all(input).expect("it reads");
    let output = process.wait_with_output().expect("it ends");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {arguments}: {error}");
    output.stdout
}

fn pem(arguments: &str, input: &str) -> String {
    String::from_utf8(openssl(arguments, input.as_bytes())).expect("PEM")
}

/// A new RSA key as PKCS#8.
fn rsa_key(options: &str) -> String {
    pem(&format!("genpkey -algorithm RSA {options}"), "")
}

fn new_key() -> String {
    rsa_key("-pkeyopt rsa_keygen_bits:2048")
}

#[tokio::test]
async fn keys_of_every_usual_form_come_in() {
    let service = Service::start().await;
    let encrypted =
        |key: &str, how: &str| pem(&format!("pkcs8 -topk8 {how} -passout env:PASSPHRASE"), key);
    let keys = [(); 5].map(|()| new_key());
    // A key with its certificate, as they leave a keystore: with attributes around both.
    let certificate = pem("req -x509 -new -key /dev/stdin -subj /CN=former -days 2", &keys[4]);
    let export = "pkcs12 -export -name former -passout env:PASSPHRASE";
    let keystore = openssl(export, format!("{}{certificate}", keys[4]).as_bytes());
    let keystore = openssl("pkcs12 -nodes -passin env:PASSPHRASE", &keystore);
    let keystore = String::from_utf8(keystore).expect("PEM");
    assert!(keystore.contains("Bag Attributes") && keystore.contains("BEGIN CERTIFICATE"));
    let keystore = format!("{certificate}{keystore}");
    for (name, key, passphrase) in [
        ("PKCS#1", pem("rsa -traditional", &keys[0]), None),
        ("PKCS#8", format!("a line before\n{}", keys[1]), None),
        ("PBKDF2", encrypted(&keys[2], "-v2 aes-256-cbc"), Some(PASSPHRASE)),
        ("scrypt", encrypted(&keys[3], "-scrypt"), Some(PASSPHRASE)),
        ("PKCS#12", keystore, None),
    ] {
        let body = json!({ "pem": key, "passphrase": passphrase, "activate_in": "1d" });
        let answer = service.post(PATH, body.clone()).await.expect(201);
        let done = answer.json();
        let kid = done["kid"].as_str().expect("a kid");
        assert_eq!(done["retires_at"], Value::Null, "{name}");
        let location = answer.header("location").expect("where it is");
        assert_eq!(location, format!("/admin/keys/{kid}"), "{name}");
        let view = service.get(location).await.expect(200).json();
        assert_eq!(view["activates_at"], done["activates_at"], "{name}");
        assert_eq!(view["algorithm"], "RS256", "{name}");
        assert!(service.client.jwks().await.to_string().contains(kid), "{name}");
        assert!(service.refused(PATH, body, 409).await.contains("exists already"), "{name}");
    }
}

#[tokio::test]
async fn an_imported_key_signs_under_the_name_it_had() {
    let service = Service::start().await;
    let kid = "2024/11:old";
    let body = json!({ "pem": new_key(), "kid": kid, "activate_in": "1s" });
    let reason = service.refused(PATH, body.clone(), 400).await;
    assert!(reason.contains("published for at least"), "{reason}");
    let mut forced = body;
    forced["activate_in"] = json!(0);
    forced["force"] = json!(true);
    forced["reason"] = json!("verifiers have it since November");
    let answer = service.post(PATH, forced).await.expect(201);
    let location = answer.header("location").expect("where it is");
    assert_eq!(service.get(location).await.expect(200).json()["kid"], kid);
    assert_eq!(signing_kid(&service.client).await, kid);
    let [actor, subject, detail] = service.event("key.imported");
    assert_eq!((actor, subject.as_str()), (format!("user:{}", service.id), kid));
    assert!(detail.ends_with("reason: verifiers have it since November"), "{detail}");
}

/// The private half of one key with the modulus of another.
fn mismatched() -> String {
    let [one, other] =
        [new_key(), new_key()].map(|key| openssl("rsa -traditional -outform DER", key.as_bytes()));
    let other = pkcs1::RsaPrivateKey::from_der(&other).expect("PKCS#1");
    let mut one = pkcs1::RsaPrivateKey::from_der(&one).expect("PKCS#1");
    one.modulus = other.modulus;
    one.to_pem(LineEnding::LF).expect("PEM")
}

#[tokio::test]
async fn what_is_weak_or_unreadable_is_refused_with_the_reason() {
    let service = Service::start().await;
    let key = new_key();
    let encrypted = pem("pkcs8 -topk8 -passout env:PASSPHRASE", &key);
    let dear = pem("pkcs8 -topk8 -iter 10000001 -passout env:PASSPHRASE", &key);
    let exponent = "-pkeyopt rsa_keygen_bits:2048 -pkeyopt rsa_keygen_pubexp:3";
    let weak = rsa_key("-pkeyopt rsa_keygen_bits:1024");
    for (pem, passphrase, reason) in [
        (weak.clone(), None, "1024 bits"),
        (rsa_key(exponent), None, "public exponent is 3"),
        (pem("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256", ""), None, "not an RSA key"),
        (mismatched(), None, "do not match"),
        (encrypted.clone(), None, "passphrase is needed"),
        (encrypted, Some("wrong"), "does not open"),
        (dear, Some(PASSPHRASE), "takes too long"),
        (pem("rsa -traditional -aes256 -passout env:PASSPHRASE", &key), Some(PASSPHRASE), "old"),
        (key.replace("MII", "MIJ"), None, "cannot be read"),
        (format!("{key}\n{}", pem("rsa -traditional", &weak)), None, "2 private keys"),
        (pem("pkey -pubout", &key).repeat(2), None, "2 public keys"),
        (
            pem("genpkey -genparam -algorithm DH -pkeyopt group:ffdhe2048", ""),
            None,
            "DH PARAMETERS",
        ),
        ("no PEM".into(), None, "not a PEM"),
        (String::new(), None, "not a PEM"),
    ] {
        let told =
            service.refused(PATH, json!({ "pem": pem, "passphrase": passphrase }), 400).await;
        assert!(told.contains(reason), "{reason}: {told}");
    }
    let body = json!({ "pem": pem("pkey -pubout", &weak), "current_password": PASSWORD });
    assert!(service.refused(PATH, body, 400).await.contains("1024 bits"));
    for (field, value, reason) in [
        ("kid", json!("a b"), "1 to 128 characters"),
        ("kid", json!("x".repeat(129)), "1 to 128 characters"),
        ("algorithm", json!("ES256"), "not by ES256"),
        ("force", json!(true), "needs a reason"),
    ] {
        let told = service.refused(PATH, json!({ "pem": key, field: value }), 400).await;
        assert!(told.contains(reason), "{reason}: {told}");
    }
    for (body, field) in [
        (json!({}), "pem"),
        (json!({ "pem": [key] }), "pem"),
        (json!({ "pem": key, "verify_for": "always" }), "verify_for"),
        (json!({ "pem": key, "algorithm": "HS256" }), "algorithm"),
    ] {
        let answer = service.post(PATH, body).await.expect_problem(400);
        assert_eq!(answer.problem_fields(), [field]);
    }
    // As much as a PEM may have, and more than any body.
    let told = service.refused(PATH, json!({ "pem": "\n".repeat(32 * 1024) }), 413).await;
    assert!(told.contains("64 KiB"), "{told}");
    let long = format!("{}{key}", "text before\n".repeat(2_000));
    service.post(PATH, json!({ "pem": long, "activate_in": "1d" })).await.expect(201);
}

/// A token by RFC 9068, signed by openssl.
fn sign(key: &str, kid: &str, claims: &Value) -> String {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), key).expect("it can be written");
    let header = json!({ "alg": "RS256", "typ": "at+jwt", "kid": kid });
    let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
    let signed = format!("{}.{}", encode(&header), encode(claims));
    let sign = format!("dgst -sha256 -sign {}", file.path().display());
    let signature = openssl(&sign, signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

#[tokio::test]
async fn tokens_of_a_former_issuer_verify_by_its_public_key() {
    let service = Service::start().await;
    let secret = service.signet.add_confidential("sibling", &["--scopes", "read"]);
    let credentials = ("sibling", secret.as_str());
    let (key, kid) = (new_key(), "former-issuer");
    let issued = service.client.client_token(credentials).await;
    let mut claims = Jwt::decode(&issued).claims;
    // As another issuer, or an earlier version, may have written them.
    (claims["roles"], claims["nbf"], claims["scope"]) = (json!([]), Value::Null, json!(""));
    let token = sign(&key, kid, &claims);
    assert!(!service.client.is_active(credentials, &token).await);

    let public = pem("pkey -pubout", &key);
    for verify_for in [json!(0), json!("1000000d")] {
        let body = json!({
            "pem": public, "kid": kid, "verify_for": verify_for, "current_password": PASSWORD,
        });
        service.refused(PATH, body, 400).await;
    }
    let body = json!({
        "pem": public, "kid": kid, "verify_for": "30d", "current_password": PASSWORD,
    });
    let done = service.post(PATH, body.clone()).await.expect(201).json();
    assert_eq!((&done["kid"], &done["activates_at"]), (&json!(kid), &Value::Null));
    assert!(done["retires_at"].is_string(), "{done}");
    service.refused(PATH, body, 409).await;
    assert!(service.client.jwks().await.to_string().contains(kid));
    assert!(service.client.is_active(credentials, &token).await);
    let known = service.client.introspect(credentials, &token).await.expect(200).json();
    for name in ["roles", "nbf", "scope"] {
        assert_eq!(known.get(name), None, "a claim without a value is left out: {known}");
    }
    // Another's signature under that name is nobody's, and the key never signs.
    assert!(!service.client.is_active(credentials, &sign(&new_key(), kid, &claims)).await);
    assert_ne!(signing_kid(&service.client).await, kid);
    // Whoever holds the private half opens nothing of Signet's own: not in the name of a user, also
    // of one who is logged in, nor in that of a client.
    let admin = Jwt::decode(&service.token).claims;
    for (sub, sid) in [
        (&service.id[..], Value::Null),
        (&service.id, admin["sid"].clone()),
        ("signet-first-party", Value::Null),
    ] {
        let mut forged = admin.clone();
        (forged["sub"], forged["client_id"]) = (json!(sub), json!("signet-first-party"));
        match sid {
            Value::Null => drop(forged.as_object_mut().expect("claims").remove("sid")),
            sid => forged["sid"] = sid,
        }
        let forged = sign(&key, kid, &forged);
        for path in ["/admin/keys", "/users/me"] {
            let answer = service.client.get(path).bearer_auth(&forged).answer().await;
            answer.expect_problem(401);
        }
    }
    // Nor is its name taken from its tokens by another name for the same key.
    let body = json!({ "pem": pem("pkcs8 -topk8 -nocrypt", &key), "kid": "another" });
    service.refused(PATH, body, 409).await;
    assert!(service.client.is_active(credentials, &token).await);
    // Its own pair under its own name takes its place.
    let body = json!({ "pem": pem("pkcs8 -topk8 -nocrypt", &key), "kid": kid });
    let done = service.post(PATH, body).await.expect(201).json();
    assert!(done["activates_at"].is_string(), "{done}");
    assert!(service.client.is_active(credentials, &token).await);
}

/// Whoever has found the token of an administrator cannot leave a key behind that signs in Signet's name
/// for a year.
#[tokio::test]
async fn a_key_that_only_verifies_needs_the_present_password() {
    let service =
        Service::started(Signet::builder().set("login_limits.shortest_delay", "1m")).await;
    let public = pem("pkey -pubout", &new_key());
    let body = |password: Value| json!({ "pem": public, "kid": "theirs", "verify_for": "366d", "current_password": password });
    for missing in [json!({ "pem": public, "verify_for": "366d" }), body(Value::Null)] {
        let answer = service.post(PATH, missing).await.expect_problem(400);
        assert_eq!(answer.problem_fields(), ["current_password"]);
    }
    // A client has no password, and what it has is a secret that lasts.
    let options = ["--scopes", "signet:admin"];
    let secret = service.signet.add_confidential("operator", &options);
    let own = service.client.client_token_for(("operator", &secret), "signet:admin").await;
    for body in [body(json!(PASSWORD)), json!({ "pem": public })] {
        let request = service.client.post(PATH).bearer_auth(&own).json(&body);
        request.answer().await.expect_problem(403);
    }
    assert!(!service.client.jwks().await.to_string().contains("theirs"));
    let private = json!({ "pem": new_key(), "activate_in": "1d" });
    let request = service.client.post(PATH).bearer_auth(&own).json(&private);
    request.answer().await.expect(201);

    service.post(PATH, body(json!(PASSWORD))).await.expect(201);
    assert!(service.client.jwks().await.to_string().contains("theirs"));
    // Guesses count as they do at the login.
    let mut refused = 0;
    loop {
        let answer = service.post(PATH, body(json!("not the password"))).await;
        if answer.status == 429 {
            assert!(answer.header("retry-after").is_some(), "{answer:?}");
            break;
        }
        assert_eq!(answer.expect_problem(400).problem_fields(), ["current_password"]);
        refused += 1;
        assert!(refused < 100, "guesses are not counted");
    }
    service.post(PATH, body(json!(PASSWORD))).await.expect_problem(429);
    // Whoever has the command line can do anything with the keys.
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), pem("pkey -pubout", &new_key())).expect("it can be written");
    let path = file.path().to_str().expect("a path");
    service.signet.cli_ok(&["keys", "import", path, "--verify-for", "1h"], "");
}

#[tokio::test]
async fn keys_are_sealed_anew_under_the_newest_key_encryption_key() {
    let key = || STANDARD.encode(signet::base::random::Random::system().bytes::<32>());
    let (old, new) = (key(), key());
    let mut service = Service::started(Signet::builder().set("keys.encryption_key", &old)).await;
    let done = service.post("/admin/keys/rewrap", json!({})).await.expect(200).json();
    assert_eq!((&done["rewrapped"], &done["no_longer_needed"]), (&json!(0), &json!([])));
    let before = done["sealed_under"].clone();

    service.signet.change("keys.encryption_key", &format!("{new} {old}"));
    service.signet.term();
    service.signet.restart();
    service.client = Client::new(service.signet.base());
    let done = service.post("/admin/keys/rewrap", json!({})).await.expect(200).json();
    // Two signing keys, and the one that tags refresh tokens.
    assert_eq!((&done["rewrapped"], &done["no_longer_needed"]), (&json!(4), &json!([before])));
    for key in service.keys("active").await {
        assert_eq!(key["sealed_under"], done["sealed_under"]);
    }
}

#[tokio::test]
async fn neither_key_nor_passphrase_is_written_to_the_log() {
    let builder = Signet::builder().set("log.level", "trace").set("log.format", "json");
    let mut service = Service::started(builder).await;
    let key = new_key();
    let encrypted = pem("pkcs8 -topk8 -passout env:PASSPHRASE", &key);
    let wrong = "twenty silver herons";
    for (pem, passphrase, status) in [
        (&encrypted, wrong, 400),
        (&encrypted, PASSPHRASE, 201),
        (&encrypted, PASSPHRASE, 409),
        (&key, PASSPHRASE, 409),
        (&key.replace("MII", "MIJ"), PASSPHRASE, 400),
    ] {
        let body = json!({ "pem": pem, "passphrase": passphrase });
        let answer = service.post(PATH, body).await.expect(status);
        assert!(!answer.body.contains("silver herons"), "{answer:?}");
    }
    let written = || service.signet.output().contains(PATH).then_some(());
    assert!(poll(Duration::from_secs(5), written).is_some(), "the log tells nothing");
    service.signet.term();
    let output = service.signet.output();
    let lines = [&key, &encrypted].map(|pem| pem.lines().nth(3).expect("a line").to_owned());
    for secret in [&lines[0], &lines[1], PASSPHRASE, wrong, "PRIVATE KEY"] {
        assert!(!output.contains(secret), "{secret}");
    }
}

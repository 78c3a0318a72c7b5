//! No secret in any output, nor in the clear in any file: a full run, and then a search for every
//! secret that was used in it.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::support::client::{Client, PASSWORD, Send};
use crate::support::process::poll;
use crate::support::signet::{Backend, Signet};

const NEW_PASSWORD: &str = "twelve-orange-bicycles";
const WRONG_PASSWORD: &str = "thirteen-yellow-wagons";
const STAFF_PASSWORD: &str = "fourteen-brown-barrels";
const RESET_PASSWORD: &str = "fifteen-violet-trumpets";

/// Every secret of a run, by what it is.
#[derive(Default)]
struct Secrets(BTreeMap<String, String>);

impl Secrets {
    fn add(&mut self, what: &str, secret: &str) {
        assert!(secret.len() > 7, "{what} is too short to be searched for: {secret:?}");
        self.0.insert(format!("{what} {}", self.0.len()), secret.to_owned());
    }

    /// What makes a token good is its last part.
    fn add_token(&mut self, what: &str, token: &str) {
        self.add(what, token);
        let tail = token.rsplit(['.', '_']).next().unwrap_or_default();
        if tail.len() > 20 {
            self.add(what, tail);
        }
    }

    fn found_in(&self, text: &str) -> Vec<&str> {
        let found = self.0.iter().filter(|(_, secret)| text.contains(secret.as_str()));
        found.map(|(what, _)| what.as_str()).collect()
    }
}

/// The token of the one mail that was written; its file, which may hold it, is taken away.
fn mailed_token(signet: &Signet) -> String {
    let written = poll(std::time::Duration::from_secs(20), || {
        let file = std::fs::read_dir(signet.folder().join("data/mail")).ok()?.next()?.ok()?.path();
        (file.extension()? == "eml").then_some(file)
    });
    let file = written.expect("a mail");
    let text = std::fs::read_to_string(&file).expect("text");
    std::fs::remove_file(file).expect("it is there");
    let is_token = |line: &&str| line.len() == 43 && !line.contains([' ', '=']);
    text.lines().find(is_token).unwrap_or_else(|| panic!("no token: {text}")).to_owned()
}

/// Uses every kind of secret, rightly and wrongly; returns them.
async fn full_run(signet: &Signet) -> Secrets {
    let mut secrets = Secrets::default();
    for (what, password) in [
        ("password", PASSWORD),
        // As a form writes it.
        ("password", &PASSWORD.replace(' ', "+")),
        ("new password", NEW_PASSWORD),
        ("wrong password", WRONG_PASSWORD),
        ("staff password", STAFF_PASSWORD),
    ] {
        secrets.add(what, password);
    }
    let client = Client::new(signet.base());
    let user = client.new_user_with_scope("openid profile email").await;
    secrets.add_token("access token", &user.tokens.access_token);
    secrets.add_token("refresh token", &user.tokens.refresh_token);
    let next = client.refresh(&user.tokens.refresh_token).await.tokens();
    secrets.add_token("access token", &next.access_token);
    secrets.add_token("refresh token", &next.refresh_token);

    let client_secret =
        signet.add_confidential("searched", &["--grants", "client_credentials,password"]);
    let rotated = signet.cli_json(&["clients", "rotate-secret", "searched"], "");
    let new_secret = rotated["client_secret"].as_str().expect("the new secret");
    for secret in [client_secret.as_str(), new_secret] {
        secrets.add("client secret", secret);
        secrets.add("basic credentials", &STANDARD.encode(format!("searched:{secret}")));
        secrets.add_token("access token", &client.client_token(("searched", secret)).await);
        client.introspect(("searched", secret), &next.access_token).await.expect(200);
        // Errors with secrets in them.
        client.token_as(("searcher", secret), &[("grant_type", "password")]).await.expect(401);
        client.token(&[("client_id", "searched"), ("client_secret", secret)]).await;
        let twice = [("client_id", "x"), ("client_secret", secret), ("client_secret", secret)];
        client.token(&twice).await.expect(400);
    }
    client.try_login(&user.email, WRONG_PASSWORD).await.expect(400);
    client.try_login("nobody@example.com", WRONG_PASSWORD).await.expect(400);
    client.try_signup(&user.email, WRONG_PASSWORD).await.expect(409);
    let broken = format!("{{\"email\": \"a@example.com\", \"password\": \"{WRONG_PASSWORD}\", ");
    let request = client.post("/signup").header("content-type", "application/json").body(broken);
    request.answer().await.expect(400);
    let mistyped = json!({ "email": "a@example.com", "password": [WRONG_PASSWORD] });
    client.post("/signup").json(&mistyped).answer().await.expect(400);
    let query = format!("/users/me?access_token={}", next.access_token);
    client.get(&query).answer().await.expect(401);
    client.me(&format!("{}x", next.access_token)).await.expect(401);
    client.refresh(&format!("{}x", next.refresh_token)).await.expect(400);

    let body = json!({ "current_password": PASSWORD, "new_password": NEW_PASSWORD });
    let request = client.post("/users/me/password").bearer_auth(&next.access_token);
    let answer = request.json(&body).answer().await;
    assert!([200, 204].contains(&answer.status), "{answer:?}");
    let tokens = client.login(&user.email, NEW_PASSWORD).await;
    secrets.add_token("access token", &tokens.access_token);
    secrets.add_token("refresh token", &tokens.refresh_token);
    let fields = [("token", tokens.refresh_token.as_str()), ("client_id", "signet-first-party")];
    client.form("/oauth2/revoke", &fields).await.expect(200);

    administer(signet, &client, &mut secrets).await;
    client
        .post("/password/forgot")
        .json(&json!({ "email": user.email }))
        .answer()
        .await
        .expect(202);
    let token = mailed_token(signet);
    secrets.add("mailed token", &token);
    for wrong in [format!("{token}x"), token.clone()] {
        client.post("/email/verify").json(&json!({ "token": wrong })).answer().await.expect(400);
    }
    for status in [204, 400] {
        let body = json!({ "token": token, "password": RESET_PASSWORD });
        client.post("/password/reset").json(&body).answer().await.expect(status);
    }
    secrets.add("reset password", RESET_PASSWORD);

    let add = ["users", "add", "staff@example.com", "--password-stdin"];
    let set = ["users", "set-password", "staff@example.com", "--password-stdin"];
    for (arguments, password) in [(add, STAFF_PASSWORD), (set, NEW_PASSWORD)] {
        let output = signet.cli(&arguments, password);
        assert!(output.status.success(), "{output:?}");
        let all = [output.stdout, output.stderr].concat();
        assert_eq!(secrets.found_in(&String::from_utf8_lossy(&all)), [""; 0], "{arguments:?}");
    }
    for arguments in [
        vec!["users", "list"],
        vec!["clients", "list"],
        vec!["keys", "list"],
        vec!["mail", "outbox"],
        vec!["config", "show"],
    ] {
        for json in [&[][..], &["--json"]] {
            let output = signet.cli(&[&arguments[..], json].concat(), "");
            let all = [output.stdout, output.stderr].concat();
            assert_eq!(secrets.found_in(&String::from_utf8_lossy(&all)), [""; 0], "{arguments:?}");
        }
    }
    secrets
}

/// Uses the secrets that an administrator gives and gets.
async fn administer(signet: &Signet, client: &Client, secrets: &mut Secrets) {
    let add = ["users", "add", "root@example.com", "--password-stdin", "--roles", "admin"];
    signet.cli_ok(&add, PASSWORD);
    let token = client.login_as_administrator("root@example.com", PASSWORD).await.access_token;
    secrets.add_token("access token", &token);
    let send = async |method: reqwest::Method, path: &str, body: serde_json::Value| {
        let request = client.request(method, path).bearer_auth(&token).header("if-match", "*");
        request.json(&body).answer().await
    };
    let (post, put, patch) = (reqwest::Method::POST, reqwest::Method::PUT, reqwest::Method::PATCH);
    let user = json!({ "email": "managed@example.com", "password": STAFF_PASSWORD });
    let added = send(post.clone(), "/admin/users", user).await.expect(201);
    let path = added.header("location").expect("where it is").to_owned();
    send(put.clone(), &format!("{path}/password"), json!({ "password": NEW_PASSWORD }))
        .await
        .expect(204);
    // Where it does not belong.
    send(patch, &path, json!({ "password": WRONG_PASSWORD })).await.expect(400);
    let unknown = json!({ "email": "x@example.com", "passwort": WRONG_PASSWORD });
    send(post.clone(), "/admin/users", unknown).await.expect(400);
    send(put, &format!("{path}/password"), json!({ "password": [WRONG_PASSWORD] }))
        .await
        .expect(400);
    let machine = json!({ "client_id": "managed", "type": "confidential" });
    let answers = [
        send(post.clone(), "/admin/clients", machine).await.expect(201),
        send(post, "/admin/clients/managed/rotate-secret", json!({})).await.expect(200),
    ];
    for answer in answers {
        let body = answer.json();
        secrets.add("client secret", body["client_secret"].as_str().expect("the secret"));
    }
    for path in ["/admin/users", "/admin/clients", "/admin/sessions", "/admin/audit", &path] {
        let answer = client.get(path).bearer_auth(&token).answer().await.expect(200);
        assert_eq!(secrets.found_in(&answer.body), [""; 0], "{path}");
        assert!(!answer.body.contains("$argon2"), "{path}");
    }
}

async fn output_of_a_run_has_no_secret(backend: Backend, format: &str, level: &str) {
    let kek = STANDARD.encode(signet::base::random::Random::system().bytes::<32>());
    let mut signet = Signet::builder()
        .backend(backend)
        .set("log.format", format)
        .set("log.level", level)
        .set("keys.encryption_key", &kek)
        .start();
    let mut secrets = full_run(&signet).await;
    secrets.add("key-encryption key", &kek);
    secrets.add("private key", "PRIVATE KEY");
    secrets.add("password hash", "$argon2id$");
    signet.term();
    let written = || signet.output().contains("/oauth2/token").then_some(());
    let found = poll(std::time::Duration::from_secs(5), written);
    assert!(found.is_some(), "the log tells nothing: {}", signet.output());
    let output = signet.output();
    assert_eq!(secrets.found_in(&output), [""; 0], "{output}");
}

#[tokio::test]
async fn debug_logs_on_sqlite() {
    output_of_a_run_has_no_secret(Backend::Sqlite, "text", "debug").await;
}

#[tokio::test]
async fn trace_logs_on_postgres_and_redis() {
    output_of_a_run_has_no_secret(Backend::PostgresRedis, "json", "trace").await;
}

#[tokio::test]
async fn files_hold_no_secret_in_the_clear_and_are_the_owners() {
    let mut signet = Signet::start();
    let mut secrets = full_run(&signet).await;
    secrets.add("private key", "PRIVATE KEY");
    signet.term();
    let mut files = Vec::new();
    collect_files(signet.folder(), &mut files);
    assert!(files.iter().any(|file| file.ends_with("data/signet.db")), "{files:?}");
    assert!(files.iter().any(|file| file.starts_with(signet.folder().join("keys"))), "{files:?}");
    for file in files {
        let content = std::fs::read(&file).expect("readable");
        let found = secrets.found_in(&String::from_utf8_lossy(&content));
        assert_eq!(found, [""; 0], "{}", file.display());
        let mode = std::fs::metadata(&file).expect("there").permissions().mode();
        assert_eq!(mode & 0o077, 0, "{} is open to others: {mode:o}", file.display());
    }
}

fn collect_files(folder: &Path, files: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() { collect_files(&path, files) } else { files.push(path) }
    }
}

#[tokio::test]
async fn the_first_administrators_password_is_shown_once() {
    // Every word of the output is tried.
    let mut signet = Signet::builder().set("login_limits.enabled", "false").start();
    let output = signet.output();
    let clean = |word: &str| {
        word.trim_matches(|c: char| !c.is_alphanumeric() && !"-_@".contains(c)).to_owned()
    };
    let words: Vec<_> = output.split_whitespace().map(clean).collect();
    let email = words.iter().find(|word| word.contains('@')).expect("the administrator's address");
    let client = Client::new(signet.base());
    let mut password = None;
    for word in words.iter().filter(|word| word.len() >= 12 && !word.contains('@')) {
        if client.try_login(email, word).await.status == 200 {
            password = Some(word.clone());
            break;
        }
    }
    let password = password.unwrap_or_else(|| panic!("no password of {email}: {output}"));
    let tokens = client.login(email, &password).await;
    let claims = crate::support::jwt::Jwt::decode(&tokens.access_token).claims;
    assert_eq!(claims["roles"], json!(["admin"]));
    signet.term();
    signet.restart();
    // All that was written in both runs.
    assert_eq!(signet.output().matches(password.as_str()).count(), 1, "{}", signet.output());
    Client::new(signet.base()).login(email, &password).await;
}

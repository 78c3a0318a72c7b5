//! A service, and an attacker who can write its database and has not the key-encryption key.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rsa::RsaPrivateKey;
use rsa::pkcs8::EncodePublicKey;
use rsa::sha2::Sha256;
use rsa::signature::{SignatureEncoding, Signer};
use serde_json::{Value, json};
use signet::base::time::Clock;
use signet::storage::Db;

use crate::support::client::{Client, PASSWORD, Send};
use crate::support::jwt::Jwt;
use crate::support::keys::published;
use crate::support::process::poll_async;
use crate::support::signet::{Backend, Signet};

/// A service with an administrator and a client, and what an attacker has: the database.
pub struct World {
    pub signet: Signet,
    pub db: Db,
    /// The claims of the administrator's token.
    pub claims: Value,
    pub secret: String,
}

/// Where the tables are that `signet` uses.
pub async fn database(signet: &Signet) -> Db {
    let url = signet.environment().find(|(name, _)| *name == "SIGNET__DATABASE__URL");
    let file = format!("sqlite://{}/data/signet.db", signet.folder().display());
    Db::connect(url.map_or(&file, |(_, url)| url), 2).await.expect("a database")
}

pub fn now() -> i64 {
    Clock::system().now().as_unix()
}

impl World {
    pub async fn start(backend: Backend) -> Self {
        let signet = Signet::builder().backend(backend).set("keys.publish_ahead", "1h").start();
        let add = ["users", "add", "root@example.com", "--password-stdin", "--roles", "admin"];
        signet.cli_ok(&add, PASSWORD);
        let secret = signet.add_confidential("service", &["--grants", "client_credentials"]);
        let fields = [
            ("username", "root@example.com"),
            ("password", PASSWORD),
            ("scope", "openid signet:admin"),
        ];
        let client = Client::new(signet.base());
        let token = client.form("/login", &fields).await.tokens().access_token;
        client.get("/admin/keys").bearer_auth(&token).answer().await.expect(200);
        let claims = Jwt::decode(&token).claims;
        let db = database(&signet).await;
        Self { signet, db, claims, secret }
    }

    pub fn client(&self) -> Client {
        Client::new(self.signet.base())
    }

    pub fn credentials(&self) -> (&str, &str) {
        ("service", &self.secret)
    }

    pub async fn sql(&self, text: &str) {
        let text = sqlx::AssertSqlSafe(text.to_owned());
        self.db.execute(sqlx::query(text)).await.expect("the attacker can write");
    }

    /// The administrator's token as the owner of `private` would make it.
    pub fn forged(&self, private: &RsaPrivateKey, kid: &str) -> String {
        let header = json!({ "alg": "RS256", "typ": "at+jwt", "kid": kid });
        let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let signed = format!("{}.{}", encode(&header), encode(&self.claims));
        let signer = rsa::pkcs1v15::SigningKey::<Sha256>::new(private.clone());
        let signature = signer.sign(signed.as_bytes()).to_vec();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// Waits until the service counts so many rows that are no keys.
    pub async fn alarms(&self, count: usize) {
        let line = format!("\nsignet_signing_keys_unverified {count}\n");
        let client = self.client();
        let seen = poll_async(Duration::from_secs(20), async || {
            let metrics = client.get("/metrics").answer().await.expect(200).body;
            metrics.contains(&line).then_some(())
        });
        assert!(seen.await.is_some(), "{count} rows are not counted: {}", self.signet.output());
    }

    /// Checks that `kid` is nowhere, and its owner nobody.
    pub async fn assert_no_key(&self, kid: &str, private: Option<&RsaPrivateKey>) {
        let client = self.client();
        // It may have been counted a moment before the keys were read anew.
        let gone = poll_async(Duration::from_secs(20), async || {
            (!published(&client.jwks().await).contains(&kid.to_owned())).then_some(())
        });
        assert!(gone.await.is_some(), "{kid} is published");
        if let Some(private) = private {
            let forged = self.forged(private, kid);
            for path in ["/admin/keys", "/users/me"] {
                let answer = client.get(path).bearer_auth(&forged).answer().await;
                answer.expect_problem(401);
            }
            assert!(!client.is_active(self.credentials(), &forged).await, "{kid}");
        }
        // What it writes is read by a thread of its own.
        let logged =
            poll_async(Duration::from_secs(20), async || (self.logged(kid) > 0).then_some(()));
        assert!(logged.await.is_some(), "{kid}: {}", self.signet.output());
        let recorded = poll_async(Duration::from_secs(20), async || {
            (self.events("key.unverified", kid).await == 1).then_some(())
        });
        assert!(recorded.await.is_some(), "{kid} is not recorded");
    }

    /// Waits until `kid` is published.
    pub async fn assert_published(&self, kid: &str) {
        let client = self.client();
        let there = poll_async(Duration::from_secs(20), async || {
            published(&client.jwks().await).contains(&kid.to_owned()).then_some(())
        });
        assert!(there.await.is_some(), "{kid} is not published");
    }

    /// How often the log says that this is no key.
    pub fn logged(&self, kid: &str) -> usize {
        let output = self.signet.output();
        let says_so = |line: &&str| line.contains("is not authentic") && line.contains(kid);
        output.lines().filter(says_so).count()
    }

    pub async fn events(&self, event: &str, subject: &str) -> usize {
        let query = "SELECT id FROM audit_events WHERE event = $1 AND subject = $2 LIMIT 10";
        let query = sqlx::query(query).bind(event.to_owned()).bind(subject.to_owned());
        self.db.fetch_all(query).await.expect("events").len()
    }

    /// Checks that tokens are issued and verify, and that the service can start again.
    pub async fn assert_serves(&mut self) {
        for restart in [false, true] {
            if restart {
                self.signet.term();
                self.signet.restart();
            }
            let client = self.client();
            let token = client.client_token(self.credentials()).await;
            Jwt::verify(&token, &client.jwks().await);
            assert!(client.is_active(self.credentials(), &token).await);
        }
    }

    /// Inserts a row as the attacker would like to have it.
    pub async fn plant(&self, kid: &str, public: &str, private: &str, span: [Option<i64>; 3]) {
        let [activates, deactivates, retires] = span.map(|at| match at {
            Some(NEVER) => NEVER.to_string(),
            Some(at) => (now() + at).to_string(),
            None => "NULL".to_owned(),
        });
        self.sql(&format!(
            "INSERT INTO signing_keys (kid, algorithm, public_key, sealed_private_key, created_at, \
             activates_at, deactivates_at, retires_at) VALUES ('{kid}', 'RS256', '{public}', \
             '{private}', {}, {activates}, {deactivates}, {retires})",
            now() - 9000
        ))
        .await;
    }
}

/// The public part of a key as it is stored.
pub fn stored(private: &RsaPrivateKey) -> String {
    let document = private.to_public_key().to_public_key_der().expect("DER");
    STANDARD.encode(document.as_bytes())
}

/// What is not planned.
pub const NEVER: i64 = 253_402_300_799;
/// Signing, and ending some day.
pub const SIGNING: [Option<i64>; 3] = [Some(-100), Some(9000), Some(90_000)];
/// Only verifying.
pub const VERIFYING: [Option<i64>; 3] = [Some(-100), Some(-100), Some(90_000)];

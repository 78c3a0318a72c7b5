//! An issuer: metadata, keys and tokens.

use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use signet_verifier::{AllowHttp, Builder, Verifier};

use super::server::{Reply, Server};
use super::signing::SigningKey;

pub const OAUTH: &str = "/.well-known/oauth-authorization-server";
pub const OIDC: &str = "/.well-known/openid-configuration";
pub const JWKS: &str = "/jwks.json";
/// The audience of the tokens.
pub const AUDIENCE: &str = "https://api.example.com";

/// Seconds since the Unix epoch.
#[allow(clippy::disallowed_methods, reason = "the tests' clock")]
pub fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs() as i64
}

/// An issuer on loopback with one key, `RS256`, until it is given others.
#[derive(Clone)]
pub struct Issuer {
    server: Server,
    pub name: String,
    keys: Arc<Mutex<Vec<Arc<SigningKey>>>>,
    /// The `Cache-Control` of the keys.
    pub cache_control: Arc<Mutex<String>>,
}

impl Deref for Issuer {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl Issuer {
    /// Starts one.
    pub async fn start() -> Self {
        let server = Server::start().await;
        let name = format!("http://{}", server.address);
        Self::of(server, name)
    }

    /// The issuer `name` on `server`.
    pub fn of(server: Server, name: String) -> Self {
        let keys = Arc::new(Mutex::new(vec![Arc::new(SigningKey::shared("1", "RS256"))]));
        let cache_control = Arc::new(Mutex::new("public, max-age=300".to_owned()));
        let issuer = Self { server, name, keys, cache_control };
        let metadata = issuer.metadata();
        issuer.on(OAUTH, move |_| Reply::json(&metadata));
        issuer.serve_keys();
        issuer
    }

    /// Its metadata.
    pub fn metadata(&self) -> Value {
        json!({
            "issuer": self.name,
            "jwks_uri": format!("{}{JWKS}", self.name),
            "token_endpoint": format!("{}/token", self.name),
        })
    }

    /// Answers with the keys.
    pub fn serve_keys(&self) {
        let issuer = self.clone();
        self.on(JWKS, move |_| issuer.jwks());
    }

    /// The answer with the keys.
    pub fn jwks(&self) -> Reply {
        let jwks: Vec<_> = self.keys.lock().unwrap().iter().map(|key| key.jwk()).collect();
        let control = self.cache_control.lock().unwrap().clone();
        let headers = vec![("Cache-Control", control)];
        Reply::Whole(200, headers, json!({ "keys": jwks }).to_string().into_bytes())
    }

    /// The key that signs.
    pub fn key(&self) -> Arc<SigningKey> {
        Arc::clone(self.keys.lock().unwrap().last().expect("a key"))
    }

    /// Signs with `key` from now on, and publishes it beside the others.
    pub fn add_key(&self, key: SigningKey) {
        self.keys.lock().unwrap().push(Arc::new(key));
    }

    /// Publishes no key but the newest.
    pub fn keep_newest_key(&self) {
        let mut keys = self.keys.lock().unwrap();
        let newest = keys.pop();
        *keys = newest.into_iter().collect();
    }

    /// The claims of a good token, each with an id of its own.
    pub fn claims(&self) -> Value {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        json!({
            "iss": self.name, "sub": format!("user-{number}"), "aud": AUDIENCE,
            "exp": now() + 600, "iat": now(), "jti": format!("token-{number}"),
            "client_id": "web", "scope": "reports:read reports:write",
            "sid": format!("session-{number}"), "roles": ["analyst"],
        })
    }

    /// A good token with these claims changed.
    pub fn token(&self, changes: Value) -> String {
        let mut claims = self.claims();
        for (name, value) in changes.as_object().expect("claims") {
            claims[name] = value.clone();
        }
        let key = self.key();
        key.sign(&key.header("at+jwt").to_string(), &claims.to_string())
    }

    /// A verifier of its tokens, as impatient as tests are.
    pub fn builder(&self) -> Builder {
        Verifier::builder(&self.name)
            .audience(AUDIENCE)
            .allow_http(AllowHttp::Loopback)
            .timeout(Duration::from_secs(2))
    }

    /// One that is ready.
    pub async fn verifier(&self) -> Verifier {
        let verifier = self.builder().build().expect("a verifier");
        verifier.ready().await.expect("keys");
        verifier
    }
}

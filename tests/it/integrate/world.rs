//! A Signet with a shop whose tokens are for the examples, and what each example has to make of them.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::AUDIENCE;
use super::services::Example;
use crate::support::client::{Answer, Client, PASSWORD, Send, Tokens, unique_email};
use crate::support::jwt::Jwt;
use crate::support::signet::Signet;

/// The client that users log in by.
const SHOP: &str = "shop";

pub struct World {
    pub signet: Signet,
    pub client: Client,
    /// The secret of the client `gateway`, which may ask about tokens.
    pub secret: String,
}

impl World {
    pub fn start() -> Self {
        let signet = Signet::builder().set("revocations.heartbeat", "1s").start();
        let (grants, scopes) = ("password,refresh_token", "openid orders:read");
        let options = ["--grants", grants, "--scopes", scopes, "--audiences", AUDIENCE];
        signet.add_public(SHOP, &options);
        let secret = signet.add_confidential("gateway", &[]);
        let client = Client::new(signet.base());
        Self { signet, client, secret }
    }

    /// A new user with this role, if any.
    pub async fn user(&self, role: Option<&str>) -> String {
        let email = unique_email();
        self.client.try_signup(&email, PASSWORD).await.expect(201);
        if let Some(role) = role {
            self.signet.cli_ok(&["users", "grant-role", &email, role], "");
        }
        email
    }

    /// A login for these resources, with this scope.
    pub async fn login(&self, email: &str, scope: &str, resources: &[&str]) -> Tokens {
        let mut fields = vec![
            ("grant_type", "password"),
            ("client_id", SHOP),
            ("username", email),
            ("password", PASSWORD),
            ("scope", scope),
        ];
        fields.extend(resources.iter().map(|resource| ("resource", *resource)));
        self.client.token(&fields).await.tokens()
    }

    /// A new user's token, good for the examples and for Signet itself.
    pub async fn token(&self) -> String {
        let email = self.user(None).await;
        let resources = [AUDIENCE, self.signet.issuer()];
        self.login(&email, "orders:read", &resources).await.access_token
    }

    pub async fn logout(&self, token: &str) {
        self.client.post("/logout").bearer_auth(token).answer().await.expect(204);
    }

    /// Checks that `service` tells all kinds of tokens apart; a token for another audience is not good
    /// (401), or good and of no use here (403).
    pub async fn check(&self, service: &Client, other_audience: u16) {
        let boss = self.user(Some("manager")).await;
        let user = self.user(None).await;
        let good = self.login(&user, "orders:read", &[AUDIENCE]).await;
        let of_boss = self.login(&boss, "orders:read", &[AUDIENCE]).await.access_token;
        let narrow = self.login(&user, "openid", &[AUDIENCE]).await.access_token;
        let elsewhere = self.login(&user, "orders:read", &[]).await.access_token;
        let Tokens { access_token: good, refresh_token, .. } = good;
        let snapshot = self.client.get("/revocations").answer().await.expect(200).body;
        assert_eq!(Jwt::decode(&snapshot).header["kid"], Jwt::decode(&good).header["kid"]);
        let (signed, _) = good.rsplit_once('.').expect("a signature");
        let (_, signature) = of_boss.rsplit_once('.').expect("a signature");
        let (_, claims) = signed.split_once('.').expect("claims");
        let none = URL_SAFE_NO_PAD.encode(json!({"alg": "none", "typ": "at+jwt"}).to_string());

        let orders = async |token: &str| service.get("/orders").bearer_auth(token).answer().await;
        let delete = async |token: &str| {
            let request = service.request(reqwest::Method::DELETE, "/orders/1");
            request.bearer_auth(token).answer().await
        };
        let nobody = service.get("/orders").answer().await;
        expect_challenge(nobody, 401, r#"Bearer realm="orders""#);
        let basic = service.get("/orders").basic_auth(&user, Some(PASSWORD)).answer().await;
        expect_challenge(basic, 401, r#"Bearer realm="orders""#);
        let invalid = r#"Bearer realm="orders", error="invalid_token""#;
        for (what, token) in [
            ("forged", format!("{signed}.{signature}").as_str()),
            ("unsigned", &format!("{none}.{claims}.")),
            ("not signed", signed),
            ("a snapshot", &snapshot),
            ("a refresh token", &refresh_token),
            ("no token at all", "x"),
        ] {
            println!("{what}");
            expect_challenge(orders(token).await, 401, invalid);
            expect_challenge(delete(token).await, 401, invalid);
        }
        for refused in [orders(&elsewhere).await, delete(&elsewhere).await] {
            match other_audience {
                401 => expect_challenge(refused, 401, invalid),
                status => assert_eq!(refused.expect(status).header("www-authenticate"), None),
            }
        }
        orders(&good).await.expect(200);
        let insufficient =
            r#"Bearer realm="orders", error="insufficient_scope", scope="orders:read""#;
        expect_challenge(orders(&narrow).await, 403, insufficient);
        let refused = delete(&good).await.expect(403);
        assert_eq!(refused.header("www-authenticate"), None, "another token would not help");
        let deleted = delete(&of_boss).await;
        assert!([200, 204].contains(&deleted.status), "{deleted:?}");
    }
}

/// Checks status and challenge. mod_oauth2 adds a description, and calls a missing token an invalid
/// request.
#[track_caller]
pub fn expect_challenge(answer: Answer, status: u16, challenge: &str) {
    let answer = answer.expect(status);
    let given = answer.header("www-authenticate").expect("a challenge");
    let bare = given.split(", error_description=").next().unwrap_or_default();
    let bare = bare.replace(r#", error="invalid_request""#, "");
    let is_apache = bare != given;
    assert_eq!(bare, challenge, "{answer:?}");
    assert!(!is_apache || answer.header("server").is_some_and(|name| name.contains("Apache")));
}

async fn check(example: Example) {
    let world = World::start();
    let service = example.start(world.signet.issuer(), 10, &world.secret);
    world.check(&service.client, 401).await;
}

#[tokio::test]
async fn fastapi_tells_tokens_apart() {
    check(Example::FastApi).await;
}

#[tokio::test]
async fn django_tells_tokens_apart() {
    check(Example::Django).await;
}

#[tokio::test]
async fn express_tells_tokens_apart() {
    check(Example::Express).await;
}

#[tokio::test]
async fn go_tells_tokens_apart() {
    check(Example::Go).await;
}

#[tokio::test]
async fn spring_boot_4_tells_tokens_apart() {
    check(Example::Spring).await;
}

#[tokio::test]
async fn spring_boot_3_5_tells_tokens_apart() {
    check(Example::Spring35).await;
}

#[tokio::test]
async fn java_tells_tokens_apart_and_asks_before_it_deletes() {
    let world = World::start();
    let service = Example::Java.start(world.signet.issuer(), 10, &world.secret);
    world.check(&service.client, 401).await;
    let boss = world.user(Some("manager")).await;
    let resources = [AUDIENCE, world.signet.issuer()];
    let token = world.login(&boss, "orders:read", &resources).await.access_token;
    service.delete(&token).await.expect(204);
    world.logout(&token).await;
    service.delete(&token).await.expect(401);
    // As its page says: what is only read is open until the token expires.
    service.orders(&token).await.expect(200);
}

//! Power over Signet travels only in tokens that asked for it by name, which no resource server takes:
//! every grant, the audience `{issuer}/admin`, and sessions of a version that knew neither.

use serde_json::{Value, json};

use super::administration::{Admin, READING, ROUTES, assert_closed};
use crate::support::client::{Answer, Client, FIRST_PARTY, PASSWORD, Send, Tokens, unique_email};
use crate::support::fixtures::{API, OTHER_API};
use crate::support::jwt::Jwt;
use crate::support::on_every_backend;
use crate::support::postgres::Postgres;
use crate::support::redis::Redis;
use crate::support::signet::{Backend, Signet};

/// Everything that the bundled client may ask for an administrator.
const EVERYTHING: &str = "openid profile email signet:admin";

fn claims(answer: &Answer) -> Value {
    Jwt::decode(answer.json()["access_token"].as_str().expect("a token")).claims
}

fn token_of(answer: &Answer) -> String {
    answer.json()["access_token"].as_str().expect("a token").to_owned()
}

/// A login at `/login` by the bundled client with these fields besides name and password.
async fn login(client: &Client, email: &str, more: &[(&str, &str)]) -> Answer {
    let fields = [&[("username", email), ("password", PASSWORD)], more].concat();
    client.form("/login", &fields).await
}

async fn refresh(client: &Client, tokens: &Tokens, more: &[(&str, &str)]) -> Answer {
    let fields = [
        ("grant_type", "refresh_token"),
        ("refresh_token", &*tokens.refresh_token),
        ("client_id", FIRST_PARTY),
    ];
    client.token(&[&fields, more].concat()).await
}

/// What was done to the release that this mends: with the token of a plain login alone, another
/// administrator, a client with a lasting secret and a key that verifies were made.
#[tokio::test]
async fn a_plain_login_of_an_administrator_carries_no_power() {
    let admin = Admin::start(Backend::Sqlite).await;
    let client = &admin.client;
    let issuer = admin.signet.issuer();
    let form = login(client, &admin.email, &[]).await.expect(200);
    let body = json!({ "email": admin.email, "password": PASSWORD });
    let json = client.post("/login").json(&body).answer().await.expect(200);
    let grant = [("grant_type", "password"), ("username", &*admin.email), ("password", PASSWORD)];
    let grant = client.token(&grant).await.expect(200);
    let plain = refresh(client, &form.clone().tokens(), &[]).await.expect(200);
    for answer in [form, json, grant, plain] {
        let claims = claims(&answer);
        assert_eq!(answer.json()["scope"], "openid profile email");
        assert_eq!(claims["scope"], "openid profile email");
        assert_eq!(claims["aud"], issuer);
        let token = token_of(&answer);
        assert_closed(client, &[&ROUTES[..], &READING].concat(), Some(&token), 403).await;
        let post = async |path: &str, body: Value| {
            let refused = client.post(path).bearer_auth(&token).json(&body).answer().await;
            let challenge = refused.expect_problem(403);
            let challenge = challenge.header("www-authenticate").expect("a challenge").to_owned();
            assert!(challenge.contains("scope=\"signet:admin\""), "{challenge}");
        };
        let accomplice =
            json!({ "email": "eve@example.com", "password": PASSWORD, "roles": ["admin"] });
        post("/admin/users", accomplice).await;
        let lasting = json!({
            "client_id": "eve", "type": "confidential", "scopes": ["signet:admin"],
        });
        post("/admin/clients", lasting).await;
        post("/admin/keys/import", json!({ "pem": "…", "verify_for": "366d" })).await;
    }
    let users = admin.items("/admin/users", async |_| {}).await;
    assert!(users.iter().all(|user| user["email"] != "eve@example.com"), "{users:?}");
}

#[tokio::test]
async fn an_administrative_word_brings_its_audience_and_no_other() {
    let admin = Admin::start(Backend::Sqlite).await;
    let (signet, client) = (&admin.signet, &admin.client);
    let audience = format!("{}/admin", signet.issuer());
    let scopes = "openid orders:read signet:admin signet:other users:read revocations:read";
    let audiences = format!("{API},{OTHER_API}");
    let options = ["--grants", "password,refresh_token", "--scopes", scopes];
    signet.add_public("app", &[&options[..], &["--audiences", &audiences]].concat());
    let secret =
        signet.add_confidential("operator", &["--scopes", scopes, "--audiences", &audiences]);
    let credentials = ("operator", secret.as_str());
    let by_user = async |more: &[(&str, &str)]| {
        login(client, &admin.email, &[&[("client_id", "app")], more].concat()).await
    };
    let by_client = async |more: &[(&str, &str)]| {
        let grant = [("grant_type", "client_credentials")];
        client.token_as(credentials, &[&grant[..], more].concat()).await
    };

    // What is not named is not granted.
    assert_eq!(by_user(&[]).await.expect(200).json()["scope"], "openid orders:read");
    assert_eq!(by_client(&[]).await.expect(200).json()["scope"], "openid orders:read");
    assert_eq!(claims(&by_client(&[]).await)["aud"], signet.issuer());

    // A word brings the audience, also beside words for other services; naming it changes nothing.
    for scope in ["signet:admin", "users:read", "signet:other", "orders:read signet:admin", scopes]
    {
        for resources in [&[][..], &[("resource", &*audience)]] {
            let asked = [&[("scope", scope)], resources].concat();
            for answer in [by_user(&asked).await.expect(200), by_client(&asked).await.expect(200)] {
                assert_eq!(answer.json()["scope"], scope);
                assert_eq!(claims(&answer)["aud"], json!(audience), "{scope}");
            }
        }
        for resource in [API, signet.issuer()] {
            for asked in [
                &[("scope", scope), ("resource", resource)][..],
                &[("scope", scope), ("resource", &*audience), ("resource", resource)],
            ] {
                by_user(asked).await.expect_oauth_error(400, "invalid_target");
                by_client(asked).await.expect_oauth_error(400, "invalid_target");
            }
        }
    }
    // The feed is for resource servers, so the word for it keeps their audience.
    let asked = [("scope", "revocations:read")];
    assert_eq!(claims(&by_client(&asked).await.expect(200))["aud"], signet.issuer());
    let asked = [("scope", "revocations:read"), ("resource", API)];
    assert_eq!(claims(&by_client(&asked).await.expect(200))["aud"], API);
    // The audience without a word would open nothing.
    for scope in ["", "orders:read"] {
        let asked = [("scope", scope), ("resource", audience.as_str())];
        by_user(&asked).await.expect_oauth_error(400, "invalid_target");
        by_client(&asked).await.expect_oauth_error(400, "invalid_target");
    }
    // Who does not hold the word does not get the audience either.
    let other = client.new_user().await;
    for word in ["signet:admin", "users:read"] {
        let refused = login(client, &other.email, &[("client_id", "app"), ("scope", word)]).await;
        refused.expect_oauth_error(400, "invalid_scope");
    }
}

#[tokio::test]
async fn the_token_opens_what_is_signets_own() {
    let admin = Admin::start(Backend::Sqlite).await;
    let (signet, client) = (&admin.signet, &admin.client);
    let tokens = client.login_as_administrator(&admin.email, PASSWORD).await;
    let token = &tokens.access_token;
    let get = async |path: &str| client.get(path).bearer_auth(token).answer().await;
    for path in ["/admin/users", "/users/me", "/users/me/sessions", "/oauth2/userinfo"] {
        get(path).await.expect(200);
    }
    let patch = client.request(reqwest::Method::PATCH, "/users/me").bearer_auth(token);
    patch.json(&json!({ "name": "Root" })).answer().await.expect(200);
    // Who asks about it learns whom it is for.
    let secret = signet.add_confidential("asks", &["--scopes", "read"]);
    let known = client.introspect(("asks", &secret), token).await.expect(200).json();
    let audience = format!("{}/admin", signet.issuer());
    assert_eq!((&known["active"], &known["aud"]), (&json!(true), &json!(audience)));
    assert_eq!(known["scope"], EVERYTHING);
    client.post("/logout").bearer_auth(token).answer().await.expect(204);
    get("/admin/users").await.expect_problem(401);
    get("/users/me").await.expect_problem(401);
}

on_every_backend!(a_refresh_keeps_to_it);

async fn a_refresh_keeps_to_it(backend: Backend) {
    let admin = Admin::start(backend).await;
    let (signet, client) = (&admin.signet, &admin.client);
    let audience = format!("{}/admin", signet.issuer());
    let mut tokens = client.login_as_administrator(&admin.email, PASSWORD).await;
    for more in [
        &[][..],
        &[("resource", audience.as_str())],
        &[("scope", "signet:admin")],
        &[("scope", "openid")],
        &[],
    ] {
        let answer = refresh(client, &tokens, more).await.expect(200);
        assert_eq!(claims(&answer)["aud"], json!(audience), "{more:?}");
        let expected = more.iter().find(|(name, _)| *name == "scope");
        assert_eq!(answer.json()["scope"], expected.map_or(EVERYTHING, |(_, scope)| *scope));
        tokens = answer.tokens();
    }
    client.get("/admin/users").bearer_auth(&tokens.access_token).answer().await.expect(200);
    let issuer = signet.issuer();
    refresh(client, &tokens, &[("resource", issuer)])
        .await
        .expect_oauth_error(400, "invalid_target");

    // And a session without the word never comes by it.
    let plain = client.login(&admin.email, PASSWORD).await;
    for (more, error) in [
        (&[("scope", "signet:admin")][..], "invalid_scope"),
        (&[("scope", "signet:admin"), ("resource", &*audience)], "invalid_target"),
        (&[("resource", &*audience)], "invalid_target"),
    ] {
        let refused = refresh(client, &plain, more).await.expect(400);
        let accepted = [error, "invalid_scope"];
        assert!(
            accepted.contains(&refused.json()["error"].as_str().unwrap_or_default()),
            "{more:?}"
        );
    }
    let answer = refresh(client, &plain, &[]).await.expect(200);
    assert_eq!(claims(&answer)["aud"], issuer);

    // A role that is taken away takes the word, and leaves the session where it is.
    let another = unique_email();
    admin.add_user(&another, json!({ "roles": ["admin"] })).await;
    let tokens = client.login_as_administrator(&another, PASSWORD).await;
    signet.cli_ok(&["users", "revoke-role", &another, "admin"], "");
    let answer = refresh(client, &tokens, &[]).await.expect(200);
    assert_eq!(answer.json()["scope"], "openid profile email");
    assert_eq!(claims(&answer)["aud"], json!(audience), "it never widens to other services");
    let token = token_of(&answer);
    assert_closed(client, &READING, Some(&token), 403).await;
    client.me(&token).await.expect(200);
}

/// Makes the sessions look as a version wrote them that had no audience of administration, with this
/// one in its place.
async fn set_audiences(database: &str, redis: Option<&str>, audience: &str) {
    let Some(redis) = redis else {
        let update = format!("UPDATE sessions SET audience = '{audience}'");
        Postgres::shared().sql(database, &update);
        return;
    };
    let client = redis::Client::open(redis).expect("an address");
    let mut connection = client.get_multiplexed_async_connection().await.expect("a connection");
    let find = redis::cmd("KEYS").arg("signet:{*}:s:*").to_owned();
    let keys: Vec<String> = find.query_async(&mut connection).await.expect("keys");
    assert!(!keys.is_empty());
    for key in keys {
        let get = redis::cmd("GET").arg(&key).to_owned();
        let record: String = get.query_async(&mut connection).await.expect("a record");
        let mut fields: Vec<&str> = record.split('\t').collect();
        fields[8] = audience;
        let set = redis::cmd("SET").arg(&key).arg(fields.join("\t")).arg("KEEPTTL").to_owned();
        let () = set.query_async(&mut connection).await.expect("it is written");
    }
}

#[tokio::test]
async fn a_session_of_an_earlier_version_loses_the_word_and_goes_on() {
    for in_redis in [false, true] {
        let database = Postgres::shared().fresh_database();
        let redis = in_redis.then(|| Redis::shared().fresh_database());
        let mut builder = Signet::builder().postgres(&database);
        if let Some(redis) = &redis {
            builder = builder.redis(redis);
        }
        let admin = Admin::of(builder.start()).await;
        let client = &admin.client;
        let options = ["--grants", "password,refresh_token", "--scopes", EVERYTHING];
        let secret = admin.signet.add_confidential("app", &options);
        let credentials = ("app", secret.as_str());
        let login = [
            ("grant_type", "password"),
            ("username", admin.email.as_str()),
            ("password", PASSWORD),
            ("scope", EVERYTHING),
        ];
        let tokens = client.token_as(credentials, &login).await.tokens();
        // One that was registered as a resource like any other.
        let legacy = format!("{}/admin", admin.signet.issuer());
        set_audiences(&database, redis.as_deref(), &legacy).await;
        let known = client.introspect(credentials, &tokens.refresh_token).await.expect(200).json();
        assert_eq!(known["scope"], "openid profile email");
        for scope in ["", "signet:admin"] {
            let fields = [
                ("grant_type", "refresh_token"),
                ("refresh_token", &tokens.refresh_token),
                ("scope", scope),
            ];
            client.token_as(credentials, &fields).await.expect(400);
        }
        set_audiences(&database, redis.as_deref(), "").await;
        let known = client.introspect(credentials, &tokens.refresh_token).await.expect(200).json();
        assert_eq!(
            (&known["active"], &known["scope"]),
            (&json!(true), &json!("openid profile email"))
        );
        let refresh = async |token: &str, scope: &str| {
            let fields =
                [("grant_type", "refresh_token"), ("refresh_token", token), ("scope", scope)];
            client.token_as(credentials, &fields).await
        };
        let refused = refresh(&tokens.refresh_token, "signet:admin").await;
        refused.expect_oauth_error(400, "invalid_scope");
        let answer = refresh(&tokens.refresh_token, "").await.expect(200);
        assert_eq!(answer.json()["scope"], "openid profile email");
        assert_eq!(claims(&answer)["aud"], admin.signet.issuer());
        let next = answer.tokens();
        refresh(&next.refresh_token, "").await.tokens();
        assert_closed(client, &READING, Some(&next.access_token), 403).await;
    }
}

#[tokio::test]
async fn nobody_else_is_given_its_audience() {
    let admin = Admin::start(Backend::Sqlite).await;
    let audience = format!("{}/admin", admin.signet.issuer());
    let body = json!({ "client_id": "shop", "type": "public", "audiences": [API, audience] });
    let refused = admin.send("POST", "/admin/clients", body).await.expect_problem(400);
    assert_eq!(refused.problem_fields(), ["audiences"]);
    let body = json!({ "client_id": "shop", "type": "public", "audiences": [API] });
    admin.send("POST", "/admin/clients", body).await.expect(201);
    let change = json!({ "audiences": [audience] });
    let refused = admin.patch("/admin/clients/shop", change).await.expect_problem(400);
    assert_eq!(refused.problem_fields(), ["audiences"]);
    for arguments in [
        &["clients", "add", "app", "--public", "--audiences", &audience][..],
        &["clients", "set", "shop", "--audiences", &audience],
    ] {
        let output = admin.signet.cli(arguments, "");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && told.contains(&audience), "{told}");
    }

    let signet = Signet::builder();
    let signet = signet.set("issuer", "http://localhost:8080/id");
    let signet = signet.set("tokens.audience", "http://localhost:8080/id/admin").prepare();
    let output = signet.cli(&["config", "check"], "");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && told.contains("tokens.audience"), "{told}");
}

//! What roles and metadata do to tokens: scope at login and at refresh, the claim `roles`, claims that
//! a client adds.

use std::time::Duration;

use serde_json::{Value, json};

use crate::interop::verifiers::jsonwebtoken;
use crate::support::client::{Answer, Client, PASSWORD, Send, Tokens, unique_email};
use crate::support::fixtures::confidential;
use crate::support::jwt::Jwt;
use crate::support::on_every_backend;
use crate::support::postgres::Postgres;
use crate::support::process::poll;
use crate::support::signet::{Backend, Signet};

const APP: [&str; 4] =
    ["--grants", "password,refresh_token", "--scopes", "openid orders:read orders:write"];

/// A service with the public client `app` and a user.
struct Service {
    signet: Signet,
    client: Client,
    email: String,
}

impl Service {
    fn start(backend: Backend, claims: &[&str]) -> Self {
        let signet = Signet::builder().backend(backend).start();
        signet.add_public("app", &[&APP, claims].concat());
        let client = Client::new(signet.base());
        let email = unique_email();
        signet.cli_ok(&["users", "add", &email, "--password-stdin"], PASSWORD);
        Self { signet, client, email }
    }

    async fn try_login(&self, scope: &str) -> Answer {
        let fields = [
            ("username", &*self.email),
            ("password", PASSWORD),
            ("client_id", "app"),
            ("scope", scope),
        ];
        self.client.form("/login", &fields).await
    }

    async fn login(&self) -> Tokens {
        self.try_login("").await.tokens()
    }

    async fn refresh(&self, tokens: &Tokens, scope: &str) -> Answer {
        let fields = [
            ("grant_type", "refresh_token"),
            ("refresh_token", &*tokens.refresh_token),
            ("client_id", "app"),
            ("scope", scope),
        ];
        self.client.token(&fields).await
    }

    fn role(&self, verb: &str, role: &str) {
        self.signet.cli_ok(&["users", verb, &self.email, role], "");
    }
}

fn claims(tokens: &Tokens) -> Value {
    Jwt::decode(&tokens.access_token).claims
}

on_every_backend!(scope_follows_the_roles);

async fn scope_follows_the_roles(backend: Backend) {
    let service = Service::start(backend, &[]);
    let signet = &service.signet;
    // Without roles that carry them, all words are open.
    assert_eq!(service.login().await.scope, "openid orders:read orders:write");
    signet.cli_ok(&["roles", "add", "clerk", "--scopes", "orders:read orders:write"], "");
    signet.cli_ok(&["roles", "add", "auditor", "--scopes", "orders:read"], "");
    assert_eq!(service.login().await.scope, "openid");
    let refused = service.try_login("openid orders:read").await;
    refused.expect_oauth_error(400, "invalid_scope");

    service.role("grant-role", "clerk");
    let all = service.login().await;
    assert_eq!(all.scope, "openid orders:read orders:write");
    assert_eq!(claims(&all)["roles"], json!(["clerk"]));
    assert_eq!(claims(&all)["scope"], all.scope.as_str());
    service.try_login("orders:write").await.expect(200);
    // The bundled client may not ask it.
    let bundled = service.client.login(&service.email, PASSWORD).await;
    assert_eq!(bundled.scope, "openid profile email");

    // A role that is taken away narrows the next refresh, and the session goes on.
    service.role("grant-role", "auditor");
    service.role("revoke-role", "clerk");
    let refused = service.refresh(&all, "orders:write").await;
    refused.expect_oauth_error(400, "invalid_scope");
    let narrowed = service.refresh(&all, "").await.tokens();
    assert_eq!(narrowed.scope, "openid orders:read");
    assert_eq!(claims(&narrowed)["roles"], json!(["auditor"]));
    service.role("revoke-role", "auditor");
    let narrowest = service.refresh(&narrowed, "").await.tokens();
    assert_eq!((narrowest.scope.as_str(), claims(&narrowest).get("roles")), ("openid", None));
    // Given back, it is within what was granted at the login, and never more.
    service.role("grant-role", "auditor");
    let again = service.refresh(&narrowest, "").await.tokens();
    assert_eq!(again.scope, "openid orders:read");
    let small = service.try_login("openid").await.tokens();
    assert_eq!(service.refresh(&small, "").await.tokens().scope, "openid");
    service.refresh(&small, "orders:read").await.expect_oauth_error(400, "invalid_scope");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_login_under_way_brings_a_role_that_was_taken_meanwhile() {
    let database = Postgres::shared().fresh_database();
    // One password is checked after the other, and each takes its time.
    let signet = Signet::builder()
        .postgres(&database)
        .set("passwords.memory_kib", "65536")
        .set("passwords.iterations", "6")
        .set("passwords.threads", "1")
        .start();
    let add = ["users", "add", "ada@example.com", "--password-stdin", "--roles", "clerk"];
    signet.cli_ok(&add, PASSWORD);
    let client = Client::new(signet.base());
    let logins: Vec<_> = (0..5)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.try_login("ada@example.com", PASSWORD).await })
        })
        .collect();
    let sql = |sql: &str| Postgres::shared().sql(&database, sql);
    // When the first is done, the accounts of all have been read.
    let count = "SELECT COUNT(*) FROM audit_events WHERE event = 'login.succeeded'";
    let first = poll(Duration::from_secs(30), || (sql(count) != "0").then_some(()));
    assert!(first.is_some(), "nobody logs in");
    sql("UPDATE users SET roles = '', version = version + 1");
    let (before, after): (Vec<_>, Vec<_>) = logins.into_iter().partition(|l| l.is_finished());
    assert!(!before.is_empty() && after.len() > 1, "{} before", before.len());
    let mut refused = 0;
    for login in after {
        let answer = login.await.expect("it is not cancelled");
        // The one that was about to be answered may have made it.
        if answer.status == 503 {
            assert_eq!(answer.header("retry-after"), Some("1"));
            refused += 1;
        }
    }
    let started: usize = sql(count).parse().expect("a number");
    assert_eq!((started + refused, refused > 0), (5, true));
    let tokens = client.login("ada@example.com", PASSWORD).await;
    assert_eq!(claims(&tokens).get("roles"), None);
    // Of those that were refused nothing is left.
    let sessions = client.get("/users/me/sessions").bearer_auth(&tokens.access_token);
    let sessions = sessions.answer().await.expect(200).json();
    assert_eq!(sessions.as_array().map(Vec::len), Some(started + 1));
}

#[tokio::test]
async fn the_words_of_administration_are_never_open() {
    let service = Service::start(Backend::Sqlite, &[]);
    let options = ["--grants", "password", "--scopes", "openid users:read signet:admin"];
    service.signet.add_public("console", &options);
    let login = async |scope: &str| {
        let fields = [
            ("username", &*service.email),
            ("password", PASSWORD),
            ("client_id", "console"),
            ("scope", scope),
        ];
        service.client.form("/login", &fields).await
    };
    assert_eq!(login("").await.expect(200).json()["scope"], "openid");
    for word in ["users:read", "signet:admin"] {
        login(word).await.expect_oauth_error(400, "invalid_scope");
    }
    service.role("grant-role", "admin");
    assert_eq!(login("").await.expect(200).json()["scope"], "openid", "they have to be named");
    const ALL: &str = "openid users:read signet:admin";
    assert_eq!(login(ALL).await.expect(200).json()["scope"], ALL);
    // A sibling's own token is bounded by its registration alone.
    let secret = service.signet.add_confidential("sibling", &["--scopes", "users:read"]);
    let token = service.client.client_token_for(("sibling", &secret), "users:read").await;
    let claims = Jwt::decode(&token).claims;
    assert_eq!((&claims["scope"], claims.get("roles")), (&json!("users:read"), None));
}

#[tokio::test]
async fn a_change_on_one_instance_is_in_force_on_the_other() {
    for backend in [Backend::PostgresSql, Backend::PostgresRedis] {
        let service = Service::start(backend, &[]);
        let mut second = service.signet.sibling();
        second.restart();
        let other = Service {
            client: Client::new(second.base()),
            email: service.email.clone(),
            signet: second,
        };
        // Both remember what they have read.
        for service in [&service, &other] {
            assert_eq!(service.login().await.scope, "openid orders:read orders:write");
        }
        service.signet.cli_ok(&["roles", "add", "clerk", "--scopes", "orders:write"], "");
        let tokens = other.login().await;
        assert_eq!(tokens.scope, "openid orders:read");
        other.role("grant-role", "clerk");
        let tokens = service.login().await;
        assert_eq!(tokens.scope, "openid orders:read orders:write");
        service.signet.cli_ok(&["roles", "remove", "clerk", "--force"], "");
        other.signet.cli_ok(&["roles", "add", "clerk", "--scopes", "orders:read"], "");
        // The role was taken from its users with its definition, so the new one is nobody's.
        for service in [&service, &other] {
            assert_eq!(service.login().await.scope, "openid orders:write");
        }
        assert_eq!(other.refresh(&tokens, "").await.tokens().scope, "openid orders:write");
    }
}

on_every_backend!(a_client_adds_what_its_list_allows);

async fn a_client_adds_what_its_list_allows(backend: Backend) {
    let names = "department,plan,limits,absent,blank,none,nothing,bare";
    let service = Service::start(backend, &["--claims", names]);
    let metadata = json!({
        "department": "R&D", "plan": "gold", "limits": { "seats": 3, "beta": [true, null] },
        "secret": "hush", "sub": "somebody-else", "roles": ["admin"],
        "blank": "", "none": [], "nothing": null, "bare": {},
    });
    let set = ["users", "set-metadata", &*service.email];
    service.signet.cli_ok(&set, &metadata.to_string());
    let tokens = service.login().await;
    let issuer = service.signet.issuer();
    let verified = jsonwebtoken(issuer, issuer, &tokens.access_token).await;
    let claims = verified.expect("it verifies");
    for name in ["department", "plan", "limits"] {
        assert_eq!(claims[name], metadata[name], "{name}");
    }
    // What has no value is left out, as is what was not asked for.
    for name in ["secret", "absent", "blank", "none", "nothing", "bare", "roles"] {
        assert_eq!(claims.get(name), None, "{name}");
    }
    assert_ne!(claims["sub"], "somebody-else");
    // It is a token like any other.
    service.client.me(&tokens.access_token).await.expect(200);

    // Introspection shows them, and nothing else of the metadata.
    let secret = service.signet.add_confidential("api", &["--grants", "client_credentials"]);
    let answer = service.client.introspect(("api", &secret), &tokens.access_token).await.json();
    assert_eq!((&answer["active"], &answer["plan"]), (&json!(true), &json!("gold")));
    for name in ["secret", "blank", "none", "nothing", "bare", "roles"] {
        assert_eq!(answer.get(name), None, "{name}");
    }

    // A refresh takes what is there now.
    service.signet.cli_ok(&set, r#"{"plan":"silver"}"#);
    let next = service.refresh(&tokens, "").await.tokens();
    let claims = self::claims(&next);
    assert_eq!((&claims["plan"], claims.get("department")), (&json!("silver"), None));
    // Other clients' tokens have none of it.
    let bundled = self::claims(&service.client.login(&service.email, PASSWORD).await);
    assert_eq!(bundled.get("plan"), None);
}

#[tokio::test]
async fn too_much_metadata_is_left_out_whole_and_the_log_says_so() {
    let service = Service::start(Backend::Sqlite, &["--claims", "plan,notes"]);
    let set = ["users", "set-metadata", &*service.email];
    let metadata = json!({ "plan": "gold", "notes": "n".repeat(3000) });
    service.signet.cli_ok(&set, &metadata.to_string());
    let claims = claims(&service.login().await);
    assert_eq!((claims.get("plan"), claims.get("notes")), (None, None));
    let logged = poll(Duration::from_secs(5), || {
        let output = service.signet.output();
        output.contains("too large for claims").then_some(output)
    });
    assert!(!logged.expect("a warning").contains("nnnn"), "the log repeats the metadata");
}

#[tokio::test]
async fn no_personal_data_stands_in_tokens_by_default() {
    let client = Client::shared();
    let user = client.new_user_with_scope("openid profile email").await;
    Signet::shared().cli_ok(&["users", "set-metadata", &user.email], r#"{"plan":"gold"}"#);
    let tokens = client.login(&user.email, PASSWORD).await;
    assert!(!claims(&tokens).to_string().contains("gold"));
    let answer = client.introspect(confidential(), &tokens.access_token).await.expect(200);
    assert!(!answer.body.contains("gold"));
}

//! /admin/keys: who may, seeing the keys, and changing them. Imports have a file of their own.

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::support::client::{Answer, Client, PASSWORD, Send, unique_email};
use crate::support::fixtures::API;
use crate::support::jwt::Jwt;
use crate::support::keys::without_kids;
use crate::support::postgres::Postgres;
use crate::support::signet::{Builder, Signet};

/// Every route.
const ROUTES: [(&str, &str); 8] = [
    ("GET", "/admin/keys"),
    ("GET", "/admin/keys/some"),
    ("GET", "/admin/keys/some/public"),
    ("POST", "/admin/keys/rotate"),
    ("POST", "/admin/keys/some/retire"),
    ("POST", "/admin/keys/some/revoke"),
    ("POST", "/admin/keys/import"),
    ("POST", "/admin/keys/rewrap"),
];

/// An instance with an administrator.
pub struct Service {
    pub signet: Signet,
    pub client: Client,
    database: String,
    email: String,
    pub id: String,
    pub token: String,
}

impl Service {
    pub async fn start() -> Self {
        Self::started(Signet::builder()).await
    }

    pub async fn started(builder: Builder) -> Self {
        let database = Postgres::shared().fresh_database();
        let signet = builder.postgres(&database).start();
        let email = unique_email();
        let add = ["users", "add", &email, "--password-stdin", "--roles", "admin"];
        let id = signet.cli_json(&add, PASSWORD)["id"].as_str().expect("an id").to_owned();
        let client = Client::new(signet.base());
        let token = client.login_as_administrator(&email, PASSWORD).await.access_token;
        Self { signet, client, database, email, id, token }
    }

    /// A new token of the administrator.
    pub async fn log_in(&mut self) -> String {
        let login = self.client.login_as_administrator(&self.email, PASSWORD).await;
        self.token = login.access_token;
        self.token.clone()
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, path).bearer_auth(&self.token)
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.request(Method::GET, path).answer().await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        let answer = self.request(Method::POST, path).json(&body).answer().await;
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{path}: {answer:?}");
        answer
    }

    /// Checks that `body` is refused, and returns the reason.
    #[track_caller]
    pub fn refused(&self, path: &str, body: Value, status: u16) -> impl Future<Output = String> {
        let caller = std::panic::Location::caller();
        async move {
            let answer = self.post(path, body).await;
            assert_eq!(answer.status, status, "{caller}: {answer:?}");
            let reason = answer.expect_problem(status).json()["detail"].to_string();
            let words = without_kids(&reason);
            assert!(!words.contains("--"), "it speaks of the command line: {reason}");
            reason
        }
    }

    /// The keys in this state, newest first.
    pub async fn keys(&self, state: &str) -> Vec<Value> {
        let body = self.get("/admin/keys").await.expect(200).json();
        let keys = body["keys"].as_array().expect("keys");
        keys.iter().filter(|key| key["state"] == state).cloned().collect()
    }

    pub async fn kid(&self, state: &str) -> String {
        let keys = self.keys(state).await;
        assert_eq!(keys.len(), 1, "{state}: {keys:?}");
        keys[0]["kid"].as_str().expect("a kid").to_owned()
    }

    /// Actor, subject and detail of the one event of this kind.
    pub fn event(&self, event: &str) -> [String; 3] {
        let sql = format!(
            "SELECT actor, subject, detail FROM audit_events \
             WHERE event = '{event}' AND actor <> 'system' AND address IS NOT NULL"
        );
        let row = self.sql(&sql);
        let columns: Vec<_> = row.splitn(3, '|').map(str::to_owned).collect();
        assert_eq!(row.lines().count(), 1, "{event}: {row}");
        columns.try_into().expect("three columns")
    }

    fn sql(&self, sql: &str) -> String {
        Postgres::shared().sql(&self.database, sql)
    }
}

/// The key that signs a new token.
pub async fn signing_kid(client: &Client) -> String {
    let token = client.new_user().await.tokens.access_token;
    let jwt = Jwt::verify(&token, &client.jwks().await);
    jwt.header["kid"].as_str().expect("a kid").to_owned()
}

/// Checks that nothing of `/admin/keys` is open to `token`.
async fn assert_closed(client: &Client, token: Option<&str>, status: u16) {
    for (method, path) in ROUTES {
        let request = client.request(method.parse().expect("a method"), path);
        let request = token.map_or(request.try_clone(), |token| Some(request.bearer_auth(token)));
        // A body that would be refused too: who asks comes first.
        let request = request.expect("a request").header("content-type", "application/json");
        let answer = request.body("{").answer().await.expect_problem(status);
        let challenge = answer.header("www-authenticate").expect("a challenge");
        assert!(challenge.starts_with("Bearer realm=\"signet\""), "{challenge}");
        if status == 403 {
            assert!(challenge.contains("error=\"insufficient_scope\""), "{challenge}");
            assert!(challenge.contains("scope=\"signet:admin\""), "{challenge}");
        }
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{answer:?}");
    }
}

#[tokio::test]
async fn only_administrators_come_in() {
    let service = Service::start().await;
    let client = &service.client;
    assert_closed(client, None, 401).await;
    assert_closed(client, Some("no.such.token"), 401).await;
    let user = client.new_user().await;
    assert_closed(client, Some(&user.tokens.access_token), 403).await;

    let login = async |scope: &str| {
        let fields = [("username", &*service.email), ("password", PASSWORD), ("scope", scope)];
        client.form("/login", &fields).await.tokens().access_token
    };
    assert_closed(client, Some(&login("openid email").await), 403).await;
    let token = login("signet:admin").await;
    client.get("/admin/keys").bearer_auth(token).answer().await.expect(200);
}

#[tokio::test]
async fn a_demoted_administrator_is_out_at_once() {
    let mut service = Service::start().await;
    service.get("/admin/keys").await.expect(200);
    service.sql(&format!("UPDATE users SET roles = 'staff' WHERE id = '{}'", service.id));
    assert_closed(&service.client, Some(&service.token), 403).await;
    service.client.me(&service.token).await.expect(200);

    service.sql(&format!("UPDATE users SET roles = 'admin' WHERE id = '{}'", service.id));
    service.get("/admin/keys").await.expect(200);
    service.signet.cli_ok(&["users", "disable", &service.id], "");
    assert_closed(&service.client, Some(&service.token), 401).await;
    service.signet.cli_ok(&["users", "enable", &service.id], "");
    assert_closed(&service.client, Some(&service.token), 401).await;
    service.log_in().await;
    service.get("/admin/keys").await.expect(200);
}

#[tokio::test]
async fn a_client_with_the_scope_administers_in_its_own_name() {
    let service = Service::start().await;
    let (signet, client) = (&service.signet, &service.client);
    let secret = signet.add_confidential("reader", &["--scopes", "read"]);
    assert_closed(client, Some(&client.client_token(("reader", &secret)).await), 403).await;

    let options = ["--scopes", "read signet:admin", "--audiences", API];
    let secret = signet.add_confidential("operator", &options);
    let credentials = ("operator", secret.as_str());
    let token = client.client_token_for(credentials, "signet:admin").await;
    let rotate = client.post("/admin/keys/rotate").bearer_auth(&token);
    let kid = rotate.answer().await.expect(200).json()["kid"].clone();
    let [actor, subject, _] = service.event("key.rotated");
    assert_eq!((actor.as_str(), &json!(subject)), ("client:operator", &kid));

    // One for another API does not count here.
    let fields = [("grant_type", "client_credentials"), ("resource", API)];
    let elsewhere = client.token_as(credentials, &fields).await.expect(200).json();
    assert_closed(client, elsewhere["access_token"].as_str(), 401).await;

    // What the client may do now counts, not what it might when the token was issued.
    signet.cli_ok(&["clients", "set", "operator", "--scopes", "read"], "");
    assert_closed(client, Some(&token), 403).await;
    signet.cli_ok(&["clients", "set", "operator", "--scopes", "read signet:admin"], "");
    // With the client its tokens are over, also when another gets its name.
    signet.cli_ok(&["clients", "remove", "operator"], "");
    assert_closed(client, Some(&token), 401).await;
    signet.add_confidential("operator", &options);
    assert_closed(client, Some(&token), 401).await;
}

/// Keys without what counts down from one second to the next.
fn timeless(keys: &Value) -> Vec<Value> {
    let mut keys = keys.as_array().expect("keys").clone();
    for key in &mut keys {
        let left = key.as_object_mut().expect("an object").remove("in_all_caches_in");
        assert!(left.is_some_and(|left| left.is_u64()));
    }
    keys
}

#[tokio::test]
async fn keys_are_shown_without_anything_private() {
    let service = Service::start().await;
    let listed = service.get("/admin/keys").await.expect(200);
    assert_eq!(listed.header("cache-control"), Some("no-store"));
    let from_cli = service.signet.cli_json(&["keys", "list"], "");
    assert_eq!(timeless(&listed.json()["keys"]), timeless(&from_cli));
    let (active, spare) = (service.kid("active").await, service.kid("pending").await);
    let order: Vec<_> = listed.json()["keys"].as_array().expect("keys").clone();
    assert_eq!([&order[0]["kid"], &order[1]["kid"]], [&json!(spare), &json!(active)]);

    let one = service.get(&format!("/admin/keys/{active}")).await.expect(200).json();
    assert_eq!(timeless(&json!([one])), timeless(&json!([order[1]])));
    for unknown in ["nothing", "%00", "a%2Fb", "%C3%A4"] {
        service.get(&format!("/admin/keys/{unknown}")).await.expect_problem(404);
        service.get(&format!("/admin/keys/{unknown}/public")).await.expect_problem(404);
    }
    let post = service.request(Method::POST, "/admin/keys").answer().await.expect_problem(405);
    assert_eq!(post.header("allow"), Some("GET, HEAD"));
}

#[tokio::test]
async fn the_public_part_comes_as_jwk_or_pem() {
    let service = Service::start().await;
    let active = service.kid("active").await;
    let path = format!("/admin/keys/{active}/public");
    let get = async |accept: &str| {
        let request = service.request(Method::GET, &path);
        match accept {
            "" => request.answer().await,
            accept => request.header("accept", accept).answer().await,
        }
    };
    let jwks = service.client.jwks().await;
    let mut published = jwks["keys"].as_array().expect("keys").iter();
    let published = published.find(|key| key["kid"] == *active).expect("the active key");
    for accept in ["", "*/*", "application/jwk+json", "application/x-pem-file;q=0.5, */*"] {
        let answer = get(accept).await.expect(200);
        assert_eq!(answer.media_type(), "application/jwk+json", "{accept}");
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(&answer.json(), published, "{accept}");
    }
    let exported = service.signet.cli_ok(&["keys", "export", &active, "--pem"], "");
    for accept in ["application/x-pem-file", "application/x-pem-file, */*;q=0.1"] {
        let answer = get(accept).await.expect(200);
        assert_eq!(answer.media_type(), "application/x-pem-file", "{accept}");
        assert_eq!(answer.body.trim_end(), exported.trim_end());
    }
    for accept in ["text/html", "application/jwk+json;q=0", "nonsense"] {
        get(accept).await.expect_problem(406);
    }
}

#[tokio::test]
async fn a_rotation_plans_the_turn_of_the_spare() {
    let service = Service::start().await;
    const PATH: &str = "/admin/keys/rotate";
    let (active, spare) = (service.kid("active").await, service.kid("pending").await);
    for (field, value) in [
        ("activate_in", json!("soon")),
        ("activate_in", json!(-1)),
        ("activate_in", json!(1.5)),
        ("algorithm", json!("none")),
        ("force", json!("yes")),
        ("reason", json!(1)),
    ] {
        let answer = service.post(PATH, json!({ field: value })).await.expect_problem(400);
        assert_eq!(answer.problem_fields(), [field]);
    }
    let reason = service.refused(PATH, json!({ "activate_in": "1s" }), 400).await;
    assert!(reason.contains("published for at least"), "{reason}");
    let reason = service.refused(PATH, json!({ "activate_in": "91d" }), 400).await;
    assert!(reason.contains("within 90 days"), "{reason}");
    for reason in [Value::Null, json!(""), json!(" "), json!("a\nb"), json!("x".repeat(501))] {
        let body = json!({ "activate_in": 0, "force": true, "reason": reason });
        assert!(service.refused(PATH, body, 400).await.contains("needs a reason"));
    }
    assert_eq!(service.kid("pending").await, spare, "nothing has happened");

    let done = service.post(PATH, json!({ "activate_in": "1h" })).await.expect(200).json();
    assert_eq!(done["kid"], *spare);
    let view = service.get(&format!("/admin/keys/{spare}")).await.expect(200).json();
    assert_eq!(view["activates_at"], done["activates_at"]);
    let old = service.get(&format!("/admin/keys/{active}")).await.expect(200).json();
    assert_eq!(old["retires_at"], done["old_retires_at"]);
    assert_eq!(service.keys("pending").await.len(), 2, "a further spare was made");
    let [actor, subject, detail] = service.event("key.rotated");
    assert_eq!((actor, subject), (format!("user:{}", service.id), spare.clone()));
    assert!(detail.contains(done["activates_at"].as_str().expect("a time")), "{detail}");
    let reason = service.refused(PATH, json!({}), 409).await;
    assert!(reason.contains("under way"), "{reason}");

    let body = json!({ "activate_in": 0, "force": true, "reason": "the auditors wait" });
    assert_eq!(service.post(PATH, body).await.expect(200).json()["kid"], *spare);
    assert_eq!(signing_kid(&service.client).await, spare);
    let detail = service.sql("SELECT detail FROM audit_events WHERE detail LIKE '%auditors%'");
    assert!(detail.ends_with("reason: the auditors wait"), "{detail}");
}

#[tokio::test]
async fn a_key_is_retired_when_it_is_not_needed() {
    let service = Service::start().await;
    let (active, spare) = (service.kid("active").await, service.kid("pending").await);
    let path = |kid: &str| format!("/admin/keys/{kid}/retire");
    assert!(service.refused(&path("nothing"), json!({}), 404).await.contains("nothing"));
    service.refused(&path("%00"), json!({}), 404).await;
    assert!(service.refused(&path(&active), json!({}), 409).await.contains("is active"));

    let request = service.request(Method::POST, &path(&spare));
    let view = request.answer().await.expect(200).json();
    assert_eq!((&view["kid"], &view["state"]), (&json!(spare), &json!("retired")));
    assert!(service.refused(&path(&spare), json!({}), 409).await.contains("retired already"));

    let body = json!({ "activate_in": "0s", "force": true, "reason": "a drill" });
    service.post("/admin/keys/rotate", body).await.expect(200);
    let reason = service.refused(&path(&active), json!({}), 409).await;
    assert!(reason.contains("can be valid"), "{reason}");
    assert!(service.refused(&path(&active), json!({ "force": true }), 400).await.len() > 2);
    let body = json!({ "force": true, "reason": "it leaked" });
    assert_eq!(service.post(&path(&active), body).await.expect(200).json()["state"], "retired");
    let rows = service.sql(
        "SELECT actor || ' ' || subject || ' ' || detail FROM audit_events \
         WHERE event = 'key.withdrawn' ORDER BY detail",
    );
    let id = &service.id;
    let [spare, active] = [spare, format!("{active} left JWKS; reason: it leaked")]
        .map(|what| format!("user:{id} {what}"));
    let expected = format!("{spare} left JWKS\n{active}");
    assert_eq!(rows, expected);
}

#[tokio::test]
async fn a_revoked_key_is_replaced_by_the_spare_at_once() {
    let mut service = Service::start().await;
    let (active, spare) = (service.kid("active").await, service.kid("pending").await);
    let path = |kid: &str| format!("/admin/keys/{kid}/revoke");
    let answer = service.post(&path(&active), json!({})).await.expect_problem(400);
    assert_eq!(answer.problem_fields(), ["reason"]);
    service.refused(&path(&active), json!({ "reason": "" }), 400).await;
    service.refused(&path("nothing"), json!({ "reason": "stolen" }), 404).await;
    let body = json!({ "reason": "stolen", "handover_in": "soon" });
    let answer = service.post(&path(&active), body).await.expect_problem(400);
    assert_eq!(answer.problem_fields(), ["handover_in"]);
    let body = json!({ "reason": "stolen", "handover_in": "91d" });
    service.refused(&path(&active), body, 400).await;
    assert_eq!(signing_kid(&service.client).await, active);

    let old = service.token.clone();
    let body = json!({ "reason": "stolen", "handover_in": "20m" });
    let view = service.post(&path(&active), body).await.expect(200).json();
    assert_eq!((&view["kid"], &view["active_kid"]), (&json!(active), &json!(spare)));
    let token = service.log_in().await;
    let jwks = service.client.jwks().await;
    assert_eq!(Jwt::verify(&token, &jwks).header["kid"], *spare, "the very next token");
    assert!(!jwks.to_string().contains(&active), "{jwks}");
    service.client.me(&old).await.expect_problem(401);
    let waits = service.keys("pending").await;
    let new = waits.iter().find(|key| key["kid"] == view["handover_kid"]).expect("the new key");
    assert_eq!(new["activates_at"], view["handover_at"]);
    assert!(jwks.to_string().contains(new["kid"].as_str().expect("a kid")), "{jwks}");
    let seconds = |time: &Value| {
        let time = humantime::parse_rfc3339(time.as_str().expect("a time")).expect("RFC 3339");
        time.duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs()
    };
    assert_eq!(seconds(&new["activates_at"]) - seconds(&new["created_at"]), 20 * 60);

    service.refused(&path(&active), json!({ "reason": "stolen" }), 409).await;
    let [actor, subject, detail] = service.event("key.revoked");
    assert_eq!((actor, subject), (format!("user:{}", service.id), active));
    assert!(detail.ends_with("reason: stolen"), "{detail}");
}

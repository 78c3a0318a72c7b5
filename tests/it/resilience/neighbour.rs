//! The previous release beside this version, as in an upgrade and in the way back: each reads the
//! stores that the other has written, and both serve the same sessions under load. The first word of
//! `tests/previous-release` is the commit of the previous release.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::join_all;
use serde_json::Value;
use uuid::Uuid;

use crate::support::client::{Client, FIRST_PARTY, PASSWORD, Send, Tokens, User};
use crate::support::jwt::Jwt;
use crate::support::postgres::Postgres;
use crate::support::process::poll_async;
use crate::support::signet::{Backend, Signet};

/// The binary of the previous release; the first test that needs it builds it, which takes minutes.
static PREVIOUS: LazyLock<PathBuf> = LazyLock::new(|| {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = include_str!("../../previous-release");
    let commit = text.split_whitespace().next().expect("the hash of a commit");
    let target = root.join("target/previous-release").join(commit);
    let binary = target.join("debug/signet");
    if !binary.is_file() {
        let source = tempfile::tempdir().expect("a folder");
        let archive = source.path().join("source.tar");
        let folder = source.path();
        run(Command::new("git").arg("-C").arg(root).args(["archive", commit, "-o"]).arg(&archive));
        run(Command::new("tar").arg("-xf").arg(&archive).arg("-C").arg(folder));
        let mut build = Command::new("cargo");
        build.args(["build", "--locked", "--bin", "signet", "--target-dir"]).arg(&target);
        run(build.current_dir(folder));
    }
    binary
});

fn run(command: &mut Command) {
    let status = command.status().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(status.success(), "{command:?}: {status}");
}

/// This version, or the previous one.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Version {
    This,
    Previous,
}

impl Version {
    fn program(self) -> PathBuf {
        match self {
            Self::This => env!("CARGO_BIN_EXE_signet").into(),
            Self::Previous => PREVIOUS.clone(),
        }
    }

    fn start_with_new_stores(self, backend: Backend) -> Signet {
        let builder = Signet::builder().backend(backend).program(self.program());
        builder.set("sessions.retry_window", "5m").start()
    }

    fn start_beside(self, other: &Signet) -> Signet {
        let mut signet = other.sibling_with(|builder| builder.program(self.program()));
        signet.restart();
        signet
    }
}

/// What one version has stored.
struct Stored {
    /// A user who has refreshed; then the refresh token that this has redeemed.
    user: User,
    redeemed: String,
    logged_out: User,
    /// Of this one, the access token alone is revoked.
    revoked: User,
    disabled: User,
    secret: String,
    kids: Vec<String>,
}

impl Stored {
    async fn by(signet: &Signet) -> Self {
        let client = Client::new(signet.base());
        let mut user = client.new_user().await;
        let redeemed = user.tokens.refresh_token;
        user.tokens = client.refresh(&redeemed).await.tokens();
        let logged_out = client.new_user().await;
        let bearer = &logged_out.tokens.access_token;
        let answer = client.post("/logout").bearer_auth(bearer).answer().await;
        assert!([200, 204].contains(&answer.status), "{answer:?}");
        let revoked = client.new_user().await;
        let token = revoked.tokens.access_token.as_str();
        let fields = [("token", token), ("client_id", FIRST_PARTY)];
        client.form("/oauth2/revoke", &fields).await.expect(200);
        let disabled = client.new_user().await;
        signet.cli_ok(&["users", "disable", &disabled.email], "");
        let secret = signet.add_confidential("orders", &[]);
        let before = kids(&client).await;
        signet.cli_ok(&["keys", "rotate"], "");
        let rotated = async || Some(kids(&client).await).filter(|kids| *kids != before);
        let kids = poll_async(Duration::from_secs(30), rotated).await.expect("a rotation");
        Self { user, redeemed, logged_out, revoked, disabled, secret, kids }
    }

    /// Checks that `signet` knows all of it, and takes the user's session one step further.
    async fn check(&mut self, signet: &Signet) {
        let client = Client::new(signet.base());
        assert_eq!(kids(&client).await, self.kids);
        let credentials = ("orders", self.secret.as_str());
        let User { email, tokens, .. } = &self.user;
        client.me(&tokens.access_token).await.expect(200);
        assert!(client.is_active(credentials, &tokens.access_token).await);
        client.login(email, PASSWORD).await;
        let again = client.refresh(&self.redeemed).await.tokens();
        assert_eq!(again.refresh_token, tokens.refresh_token, "within the retry window");
        let next = client.refresh(&tokens.refresh_token).await.tokens();
        client.me(&next.access_token).await.expect(200);

        for ended in [&self.logged_out, &self.disabled] {
            let Tokens { access_token, refresh_token, .. } = &ended.tokens;
            let refused = client.me(access_token).await;
            assert!([400, 401].contains(&refused.status), "{refused:?}");
            assert!(!client.is_active(credentials, access_token).await);
            client.refresh(refresh_token).await.expect_oauth_error(400, "invalid_grant");
        }
        let refused = client.try_login(&self.disabled.email, PASSWORD).await.expect(400);
        assert_eq!(refused.json()["detail"], "Inactive user");
        let token = &self.revoked.tokens.access_token;
        client.me(token).await.expect(401);
        self.revoked.tokens.refresh_token =
            client.refresh(&self.revoked.tokens.refresh_token).await.tokens().refresh_token;
        let snapshot = client.get("/revocations").answer().await.expect(200);
        let snapshot = Jwt::verify(&snapshot.body, &client.jwks().await).claims.to_string();
        let is_published = |member: &str, token: &str| {
            let id = &Jwt::decode(token).claims[member];
            assert!(snapshot.contains(&id.to_string()), "{member} {id}: {snapshot}");
        };
        is_published("jti", token);
        is_published("sid", &self.logged_out.tokens.access_token);
        self.redeemed = std::mem::replace(&mut self.user.tokens, next).refresh_token;
    }

    /// Changes the record of the user's session to that of another login than with a password alone,
    /// or checks that it still is.
    async fn login_of_two_factors(&self, signet: &Signet, is_there: bool) {
        let claims = Jwt::decode(&self.user.tokens.access_token).claims;
        let sid = claims["sid"].as_str().expect("a sid");
        let setting = |name: &str| {
            let mut settings = signet.environment();
            settings.find(|(set, _)| *set == name).map(|(_, value)| value.as_str())
        };
        if let Some(url) = setting("SIGNET__REDIS__URL") {
            let connection = redis::Client::open(url).expect("an address");
            let mut connection =
                connection.get_multiplexed_async_connection().await.expect("Redis");
            let sid = Uuid::parse_str(sid).expect("a UUID");
            let key = format!("signet:*:s:{}", URL_SAFE_NO_PAD.encode(sid));
            let keys: Vec<String> =
                redis::cmd("KEYS").arg(key).query_async(&mut connection).await.expect("keys");
            let [key] = &keys[..] else { panic!("{keys:?}") };
            let login = "\t\t\t1764547200\turn:signet:aal2\tpwd otp\t\t";
            if !is_there {
                let mut append = redis::cmd("APPEND");
                append.arg(&[key.as_str(), login]);
                let _: u64 = append.query_async(&mut connection).await.expect("a record");
                return;
            }
            let record: String =
                redis::cmd("GET").arg(key).query_async(&mut connection).await.expect("a record");
            assert!(record.ends_with(login), "{record:?}");
        } else if let Some(url) = setting("SIGNET__DATABASE__URL") {
            let read = format!("SELECT auth_time, acr, amr FROM sessions WHERE sid = '{sid}'");
            if !is_there {
                let now = Postgres::shared().sql(url, &read);
                assert_eq!(now, format!("{}|urn:signet:aal1|pwd", claims["auth_time"]));
                let set = "auth_time = 1764547200, acr = 'urn:signet:aal2', amr = 'pwd otp'";
                let update = format!("UPDATE sessions SET {set} WHERE sid = '{sid}'");
                Postgres::shared().sql(url, &update);
                return;
            }
            assert_eq!(Postgres::shared().sql(url, &read), "1764547200|urn:signet:aal2|pwd otp");
        }
    }
}

/// The identifiers of the keys in JWKS, sorted.
async fn kids(client: &Client) -> Vec<String> {
    let jwks = client.jwks().await;
    let keys = jwks["keys"].as_array().expect("keys").iter();
    let mut kids: Vec<_> = keys.map(|key| Value::to_string(&key["kid"])).collect();
    kids.sort();
    kids
}

/// One version writes, the other reads and changes it, and the first reads that.
async fn check_handover(backend: Backend) {
    for (from, to) in [(Version::Previous, Version::This), (Version::This, Version::Previous)] {
        println!("{backend:?}: {from:?} to {to:?} and back");
        let mut first = from.start_with_new_stores(backend);
        let mut stored = Stored::by(&first).await;
        if from == Version::This {
            stored.login_of_two_factors(&first, false).await;
        }
        first.term();
        let mut second = to.start_beside(&first);
        stored.check(&second).await;
        second.term();
        first.restart();
        stored.check(&first).await;
        if from == Version::This {
            stored.login_of_two_factors(&first, true).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "slow: builds the previous release"]
async fn either_version_reads_what_the_other_has_stored() {
    for backend in [Backend::Sqlite, Backend::PostgresSql, Backend::PostgresRedis] {
        check_handover(backend).await;
    }
}

/// Sessions that are refreshed all the time, at whichever instances serve now.
struct Load {
    instances: Mutex<Vec<Client>>,
    refreshes: AtomicU32,
    over: AtomicBool,
}

impl Load {
    fn set_instances(&self, instances: &[&Signet]) {
        let clients = instances.iter().map(|signet| Client::new(signet.base())).collect();
        *self.instances.lock().expect("no panic") = clients;
    }

    /// Refreshes the session of `tokens` until the load is over; every fifth time at all instances
    /// concurrently, which must agree. Every refresh has to succeed, and its access token to be good
    /// at every instance.
    async fn refresh(self: Arc<Self>, mut tokens: Tokens, session: usize) -> Tokens {
        for step in session.. {
            if self.over.load(Ordering::SeqCst) {
                break;
            }
            let instances = self.instances.lock().expect("no panic").clone();
            let start = step % instances.len();
            let asked = if step % 5 == 0 { &instances[..] } else { &instances[start..=start] };
            let answers = asked.iter().map(|client| client.refresh(&tokens.refresh_token));
            let answers: Vec<_> =
                join_all(answers).await.into_iter().map(|answer| answer.tokens()).collect();
            self.refreshes.fetch_add(answers.len() as u32, Ordering::SeqCst);
            for answer in &answers {
                assert_eq!(answer.refresh_token, answers[0].refresh_token, "one successor");
            }
            tokens = answers.into_iter().next().expect("an answer");
            for client in &instances {
                client.me(&tokens.access_token).await.expect(200);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        tokens
    }
}

/// An upgrade and the way back, each under load: the two versions run side by side in between.
async fn check_side_by_side(backend: Backend) {
    const QUIET: Duration = Duration::from_secs(1);
    const LONG: Duration = Duration::from_secs(10);
    let mut previous = Version::Previous.start_with_new_stores(backend);
    let client = Client::new(previous.base());
    let mut sessions = Vec::new();
    for _ in 0..6 {
        sessions.push(client.new_user().await.tokens);
    }
    let load = Arc::new(Load {
        instances: Mutex::default(),
        refreshes: AtomicU32::new(0),
        over: AtomicBool::new(false),
    });
    load.set_instances(&[&previous]);
    let tasks: Vec<_> = sessions
        .into_iter()
        .enumerate()
        .map(|(session, tokens)| tokio::spawn(load.clone().refresh(tokens, session)))
        .collect();

    // The start migrates the tables that the previous release is using.
    let mut this = Version::This.start_beside(&previous);
    load.set_instances(&[&previous, &this]);
    tokio::time::sleep(LONG).await;
    load.set_instances(&[&this]);
    tokio::time::sleep(QUIET).await;
    previous.term();
    tokio::time::sleep(QUIET).await;
    previous.restart();
    load.set_instances(&[&previous, &this]);
    tokio::time::sleep(LONG).await;
    load.set_instances(&[&previous]);
    tokio::time::sleep(QUIET).await;
    this.term();
    tokio::time::sleep(QUIET).await;
    load.over.store(true, Ordering::SeqCst);

    for task in tasks {
        let tokens = task.await.expect("no refresh has failed");
        client.me(&tokens.access_token).await.expect(200);
    }
    let refreshes = load.refreshes.load(Ordering::SeqCst);
    println!("{backend:?}: {refreshes} refreshes");
    assert!(refreshes > 200, "{refreshes}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "slow: builds the previous release"]
async fn both_versions_side_by_side_fail_no_refresh_and_log_out_no_one() {
    for backend in [Backend::PostgresSql, Backend::PostgresRedis] {
        check_side_by_side(backend).await;
    }
}

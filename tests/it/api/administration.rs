//! An instance with an administrator, and requests in the administrator's name.

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::support::client::{Answer, Client, PASSWORD, Send, unique_email};
use crate::support::signet::{Backend, Signet};

/// The routes that only administrators may call: method and path.
pub const ROUTES: [(&str, &str); 17] = [
    ("POST", "/admin/users"),
    ("PATCH", "/admin/users/00000000-0000-0000-0000-000000000000"),
    ("DELETE", "/admin/users/00000000-0000-0000-0000-000000000000"),
    ("PUT", "/admin/users/00000000-0000-0000-0000-000000000000/password"),
    ("POST", "/admin/users/00000000-0000-0000-0000-000000000000/unlock"),
    ("GET", "/admin/users/00000000-0000-0000-0000-000000000000/sessions"),
    ("DELETE", "/admin/users/00000000-0000-0000-0000-000000000000/sessions"),
    ("DELETE", "/admin/users/00000000-0000-0000-0000-000000000000/sessions/x"),
    ("GET", "/admin/clients"),
    ("POST", "/admin/clients"),
    ("GET", "/admin/clients/signet-first-party"),
    ("PATCH", "/admin/clients/signet-first-party"),
    ("DELETE", "/admin/clients/signet-first-party"),
    ("POST", "/admin/clients/signet-first-party/rotate-secret"),
    ("GET", "/admin/sessions"),
    ("DELETE", "/admin/sessions/x"),
    ("GET", "/admin/audit"),
];

/// The routes that readers of users may call as well.
pub const READING: [(&str, &str); 2] =
    [("GET", "/admin/users"), ("GET", "/admin/users/00000000-0000-0000-0000-000000000000")];

/// An instance with an administrator.
pub struct Admin {
    pub signet: Signet,
    pub client: Client,
    pub id: String,
    pub email: String,
    pub token: String,
}

impl Admin {
    pub async fn start(backend: Backend) -> Self {
        Self::of(Signet::builder().backend(backend).start()).await
    }

    /// An administrator of an instance that runs.
    pub async fn of(signet: Signet) -> Self {
        let email = unique_email();
        let add = ["users", "add", &email, "--password-stdin", "--roles", "admin"];
        let id = signet.cli_json(&add, PASSWORD)["id"].as_str().expect("an id").to_owned();
        let client = Client::new(signet.base());
        let token = client.login_as_administrator(&email, PASSWORD).await.access_token;
        Self { signet, client, id, email, token }
    }

    pub fn request(&self, method: &str, path: &str) -> RequestBuilder {
        let method: Method = method.parse().expect("a method");
        self.client.request(method, path).bearer_auth(&self.token)
    }

    pub async fn get(&self, path: &str) -> Answer {
        let answer = self.request("GET", path).answer().await;
        // What is changed by its ETag is not to be compressed on its way, which would weaken the tag.
        let expected = match answer.headers.contains_key("etag") {
            true => "no-store, no-transform",
            false => "no-store",
        };
        assert_eq!(answer.header("cache-control"), Some(expected), "{path}: {answer:?}");
        answer
    }

    /// POST or PUT of a body.
    pub async fn send(&self, method: &str, path: &str, body: Value) -> Answer {
        self.request(method, path).json(&body).answer().await
    }

    /// PATCH or DELETE of what this `ETag` stands for.
    pub async fn change(&self, method: &str, path: &str, etag: &str, body: Value) -> Answer {
        let request = self.request(method, path).header("if-match", etag);
        if method == "DELETE" { request } else { request.json(&body) }.answer().await
    }

    /// Adds a user with a password; returns the path of it.
    pub async fn add_user(&self, email: &str, more: Value) -> String {
        let mut body = json!({ "email": email, "password": PASSWORD });
        let members = body.as_object_mut().expect("an object");
        members.extend(more.as_object().cloned().unwrap_or_default());
        let answer = self.send("POST", "/admin/users", body).await.expect(201);
        answer.header("location").expect("where it is").to_owned()
    }

    /// The `ETag` of what is at `path`.
    pub async fn etag(&self, path: &str) -> String {
        let answer = self.get(path).await.expect(200);
        let etag = answer.header("etag").expect("an ETag").to_owned();
        let again = self.request("GET", path).header("if-none-match", format!("\"x\", W/{etag}"));
        let again = again.answer().await.expect(304);
        assert_eq!((again.header("etag"), &*again.body), (Some(&*etag), ""));
        etag
    }

    /// PATCH of what is at `path` now.
    pub async fn patch(&self, path: &str, body: Value) -> Answer {
        self.change("PATCH", path, &self.etag(path).await, body).await
    }

    /// All items of a list, page by page; each page is looked at by `between` before the next.
    pub async fn items(&self, path: &str, mut between: impl AsyncFnMut(&[Value])) -> Vec<Value> {
        let mut items = Vec::new();
        let mut cursor = String::new();
        loop {
            let separator = if path.contains('?') { '&' } else { '?' };
            let page = self.get(&format!("{path}{separator}cursor={cursor}")).await.expect(200);
            let page = page.json();
            let found = page["items"].as_array().expect("items");
            between(found).await;
            items.extend(found.iter().cloned());
            match page["next_cursor"].as_str() {
                Some(next) => cursor = next.to_owned(),
                None => return items,
            }
        }
    }

    /// What the audit trail says of `subject`: event, actor and detail, oldest first.
    pub async fn events(&self, subject: &str) -> Vec<(String, String, Option<String>)> {
        let path = format!("/admin/audit?subject={subject}&limit=200");
        let mut events = self.items(&path, async |_| {}).await;
        events.reverse();
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let read = |event: Value| {
            assert!(event["at"].as_str().is_some_and(|at| at.ends_with('Z')), "{event}");
            let [kind, actor] = ["event", "actor"].map(|name| text(&event[name]).expect("text"));
            (kind, actor, text(&event["detail"]))
        };
        events.into_iter().map(read).collect()
    }
}

/// The last part of a path.
pub fn id_of(path: &str) -> &str {
    path.rsplit('/').next().expect("a part")
}

/// Checks that none of `routes` is open to `token`.
pub async fn assert_closed(
    client: &Client,
    routes: &[(&str, &str)],
    token: Option<&str>,
    status: u16,
) {
    for (method, path) in routes {
        let request = client.request(method.parse().expect("a method"), path);
        let request = match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        // A body that would be refused too: who asks comes first.
        let request = request.header("content-type", "application/json").body("{");
        let answer = request.answer().await.expect_problem(status);
        let challenge = answer.header("www-authenticate").expect("a challenge");
        assert!(challenge.starts_with("Bearer realm=\"signet\""), "{method} {path}: {challenge}");
    }
}

//! A thin HTTP client of Signet: requests by name, answers with everything that tests look at.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use super::contract;
use super::signet::Signet;

/// The client that every installation has.
pub const FIRST_PARTY: &str = "signet-first-party";

/// A password that signup accepts.
pub const PASSWORD: &str = "eleven purple tractors";

/// A login name that no other test uses.
pub fn unique_email() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("user-{}@example.com", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// An answer, read to its end.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub body: String,
}

impl Answer {
    /// A header's value; the test fails where it stands twice.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next().map(|value| value.to_str().expect("a readable header"));
        assert!(values.next().is_none(), "{name} stands twice: {:?}", self.headers);
        value
    }

    /// The body, which must be JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The same answer, if it has this status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }

    /// The media type without parameters.
    pub fn media_type(&self) -> &str {
        self.header("content-type").unwrap_or_default().split(';').next().unwrap_or_default()
    }

    /// Checks an error of RFC 6749 section 5.2.
    #[track_caller]
    pub fn expect_oauth_error(self, status: u16, error: &str) -> Self {
        let answer = self.expect(status);
        assert_eq!(answer.media_type(), "application/json", "{answer:?}");
        let body = answer.json();
        assert_eq!(body["error"], error, "{answer:?}");
        // RFC 6749 section 5.2: readable ASCII without quotes and backslashes.
        let description = body["error_description"].as_str().unwrap_or_default();
        assert!(!description.is_empty(), "{answer:?}");
        let allowed = |c: char| matches!(c, ' ' | '!' | '#'..='[' | ']'..='~');
        assert!(description.chars().all(allowed), "{answer:?}");
        answer
    }

    /// Checks a problem document of RFC 9457.
    #[track_caller]
    pub fn expect_problem(self, status: u16) -> Self {
        let answer = self.expect(status);
        assert_eq!(answer.media_type(), "application/problem+json", "{answer:?}");
        let body = answer.json();
        assert_eq!(body["status"], status, "{answer:?}");
        for member in ["type", "title", "detail"] {
            assert!(body[member].as_str().is_some_and(|text| !text.is_empty()), "{answer:?}");
        }
        answer
    }

    /// The names of the fields that a problem document complains about.
    pub fn problem_fields(&self) -> Vec<String> {
        let body = self.json();
        let errors = body["errors"].as_array().unwrap_or_else(|| panic!("no errors: {self:?}"));
        let field = |error: &Value| {
            assert!(error["message"].as_str().is_some_and(|text| !text.is_empty()), "{self:?}");
            error["field"].as_str().expect("the field's name").to_owned()
        };
        errors.iter().map(field).collect()
    }

    /// The answer of a token endpoint that gave a refresh token too.
    #[track_caller]
    pub fn tokens(self) -> Tokens {
        let answer = self.expect(200);
        let body = answer.json();
        let text = |member: &str| match body[member].as_str() {
            Some(text) => text.to_owned(),
            None => panic!("no {member}: {answer:?}"),
        };
        Tokens {
            access_token: text("access_token"),
            refresh_token: text("refresh_token"),
            scope: text("scope"),
            expires_in: body["expires_in"].as_u64().expect("seconds"),
        }
    }
}

/// What a login or a refresh gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokens {
    pub access_token: String,
    pub refresh_token: String,
    pub scope: String,
    pub expires_in: u64,
}

/// A user who has signed up and logged in.
#[derive(Clone, Debug)]
pub struct User {
    pub id: String,
    pub email: String,
    pub tokens: Tokens,
}

/// Sends a request and reads the whole answer, which has to be one that the document lists.
pub trait Send {
    fn answer(self) -> impl Future<Output = Answer>;
    fn try_answer(self) -> impl Future<Output = reqwest::Result<Answer>>;
}

impl Send for RequestBuilder {
    async fn answer(self) -> Answer {
        self.try_answer().await.expect("an answer")
    }

    async fn try_answer(self) -> reqwest::Result<Answer> {
        let (http, request) = self.build_split();
        let request = request?;
        let (method, path) = (request.method().clone(), request.url().path().to_owned());
        let response = http.execute(request).await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let answer = Answer { status, headers, body: response.text().await? };
        contract::check(&method, &path, &answer);
        Ok(answer)
    }
}

/// Talks to one instance.
#[derive(Clone)]
pub struct Client {
    base: String,
    http: reqwest::Client,
}

impl Client {
    pub fn new(base: &str) -> Self {
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(Duration::from_secs(30))
            .build()
            .expect("a client");
        Self { base: base.to_owned(), http }
    }

    /// Talks to the instance that tests share.
    pub fn shared() -> Self {
        Self::new(Signet::shared().base())
    }

    /// Host and port of the instance.
    pub fn address(&self) -> &str {
        self.base.strip_prefix("http://").expect("an address")
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base))
    }

    pub fn get(&self, path: &str) -> RequestBuilder {
        self.request(Method::GET, path)
    }

    pub fn post(&self, path: &str) -> RequestBuilder {
        self.request(Method::POST, path)
    }

    /// POST of a form.
    pub async fn form(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        self.post(path).form(fields).answer().await
    }

    /// The token endpoint.
    pub async fn token(&self, fields: &[(&str, &str)]) -> Answer {
        self.form("/oauth2/token", fields).await
    }

    pub async fn try_signup(&self, email: &str, password: &str) -> Answer {
        let body = json!({ "email": email, "password": password });
        self.post("/signup").json(&body).answer().await
    }

    /// A sign-up that comes back when it is told to: beyond a quarter of the hashing queue, which many
    /// at once reach, it is 503 with `Retry-After`.
    pub async fn sign_up(&self, email: &str) -> Answer {
        for _ in 0..200 {
            let answer = self.try_signup(email, PASSWORD).await;
            if answer.status != 503 || answer.header("retry-after").is_none() {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.try_signup(email, PASSWORD).await
    }

    pub async fn try_login(&self, email: &str, password: &str) -> Answer {
        self.form("/login", &[("username", email), ("password", password)]).await
    }

    pub async fn login(&self, email: &str, password: &str) -> Tokens {
        self.try_login(email, password).await.tokens()
    }

    /// A login that asks for the administration of Signet by name. Every test that needs the token of
    /// an administrator gets it here.
    pub async fn login_as_administrator(&self, email: &str, password: &str) -> Tokens {
        let scope = "openid profile email signet:admin";
        let fields = [("username", email), ("password", password), ("scope", scope)];
        self.form("/login", &fields).await.tokens()
    }

    /// A new user, logged in with `scope`.
    pub async fn new_user_with_scope(&self, scope: &str) -> User {
        let email = unique_email();
        let signed_up = self.sign_up(&email).await.expect(201).json();
        let fields = [("username", email.as_str()), ("password", PASSWORD), ("scope", scope)];
        let tokens = self.form("/login", &fields).await.tokens();
        let id = signed_up["id"].as_str().expect("the user's id").to_owned();
        User { id, email, tokens }
    }

    /// A new user, logged in with the default scope.
    pub async fn new_user(&self) -> User {
        self.new_user_with_scope("").await
    }

    /// A refresh by the bundled client.
    pub async fn refresh(&self, refresh_token: &str) -> Answer {
        self.try_refresh(refresh_token).await.expect("an answer")
    }

    /// The same where the connection may break.
    pub async fn try_refresh(&self, refresh_token: &str) -> reqwest::Result<Answer> {
        let fields = [
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh_token),
            ("client_id", FIRST_PARTY),
        ];
        self.post("/oauth2/token").form(&fields).try_answer().await
    }

    pub async fn me(&self, access_token: &str) -> Answer {
        self.get("/users/me").bearer_auth(access_token).answer().await
    }

    /// Introspection by a confidential client (RFC 7662).
    pub async fn introspect(&self, (id, secret): (&str, &str), token: &str) -> Answer {
        let request = self.post("/oauth2/introspect").basic_auth(id, Some(secret));
        request.form(&[("token", token)]).answer().await
    }

    /// Whether introspection calls the token active.
    pub async fn is_active(&self, credentials: (&str, &str), token: &str) -> bool {
        let answer = self.introspect(credentials, token).await.expect(200);
        answer.json()["active"].as_bool().expect("active is a boolean")
    }

    /// The token endpoint, as a client that authenticates by HTTP Basic.
    pub async fn token_as(&self, (id, secret): (&str, &str), fields: &[(&str, &str)]) -> Answer {
        self.post("/oauth2/token").basic_auth(id, Some(secret)).form(fields).answer().await
    }

    /// An access token of a confidential client's own, with the default scope.
    pub async fn client_token(&self, credentials: (&str, &str)) -> String {
        self.client_token_for(credentials, "").await
    }

    /// The same with this scope. Words of Signet itself have to be named.
    pub async fn client_token_for(&self, credentials: (&str, &str), scope: &str) -> String {
        let fields = [("grant_type", "client_credentials"), ("scope", scope)];
        let answer = self.token_as(credentials, &fields).await.expect(200).json();
        answer["access_token"].as_str().expect("an access token").to_owned()
    }

    pub async fn jwks(&self) -> Value {
        self.get("/.well-known/jwks.json").answer().await.expect(200).json()
    }
}

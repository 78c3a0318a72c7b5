//! `POST /oauth2/token` (RFC 6749 section 3.2) and `POST /login`, which is the password grant with
//! a body that may also be JSON.

use crate::domain::credentials::Password;
use std::sync::Arc;

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::base::time::Timestamp;
use crate::domain::audit::Origin;
use crate::domain::clients::{Client, Credentials, GrantType};
use crate::domain::tokens::Scope;
use crate::http::error::OAuthError;
use crate::http::extract::{self, BodyError, Fields, Form, MediaType};
use crate::http::finish::to_the_end;
use crate::services::oauth::{PasswordRequest, RefreshRequest, TokenError, TokenResponse, Wish};

const GRANTS: &str = "the grants are password, refresh_token and client_credentials";
const LOGIN_GRANT: &str = "the grant here is password; others are for the token endpoint";

/// More resources than this are refused.
const MOST_RESOURCES: usize = 16;

/// A successful answer (RFC 6749 section 5.1).
#[derive(Serialize, ToSchema)]
pub struct TokenBody {
    /// The access token, a JWT (RFC 9068).
    access_token: String,
    /// Always `Bearer`.
    #[schema(value_type = String, example = "Bearer")]
    token_type: &'static str,
    /// Seconds until the access token ends.
    expires_in: u64,
    /// What it allows, words separated by spaces; absent where it is nothing.
    #[serde(skip_serializing_if = "String::is_empty")]
    scope: String,
    /// The refresh token, where the grant gives one. Opaque.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    refresh_token: Option<String>,
}

/// The form of the token endpoint.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes the form for the documentation")]
pub struct TokenForm {
    /// `password`, `refresh_token` or `client_credentials`.
    grant_type: String,
    /// With `password`: the e-mail address.
    username: Option<String>,
    /// With `password`.
    #[schema(format = Password)]
    password: Option<String>,
    /// With `refresh_token`.
    refresh_token: Option<String>,
    /// Words separated by spaces; if absent, everything that may be granted but `signet:*`,
    /// `users:read` and `revocations:read`, which have to be named.
    scope: Option<String>,
    /// Where the access token will be used (RFC 8707); may be repeated.
    #[schema(max_items = 16)]
    resource: Option<Vec<String>>,
    /// The client, unless it authenticates by the header; `signet-first-party` if absent.
    client_id: Option<String>,
    /// The secret of a confidential client, unless it authenticates by the header.
    #[schema(format = Password)]
    client_secret: Option<String>,
}

/// The form of `/login`.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes the form for the documentation")]
pub struct LoginForm {
    /// `password`, if anything.
    #[schema(pattern = "^password$")]
    grant_type: Option<String>,
    /// The e-mail address.
    username: String,
    /// The password.
    #[schema(format = Password)]
    password: String,
    /// Words separated by spaces; if absent, everything that may be granted but `signet:*`,
    /// `users:read` and `revocations:read`, which have to be named.
    scope: Option<String>,
    /// Where the access token will be used (RFC 8707); may be repeated.
    #[schema(max_items = 16)]
    resource: Option<Vec<String>>,
    /// The client, unless it authenticates by the header; `signet-first-party` if absent.
    client_id: Option<String>,
    /// The secret of a confidential client, unless it authenticates by the header.
    #[schema(format = Password)]
    client_secret: Option<String>,
}

/// The same as JSON: the e-mail address comes as `email` or as `username`. Empty text counts as
/// absent.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes the body for the documentation")]
#[schema(example = json!({ "email": "ada@example.com", "password": "…" }))]
pub struct LoginBody {
    /// `password`, if anything.
    #[schema(pattern = "^(password)?$")]
    grant_type: Option<String>,
    /// The e-mail address; needed unless `username` is there.
    email: Option<String>,
    /// The e-mail address; needed unless `email` is there.
    username: Option<String>,
    /// The password.
    #[schema(format = Password)]
    password: String,
    /// Words separated by spaces; if absent, everything that may be granted but `signet:*`,
    /// `users:read` and `revocations:read`, which have to be named.
    scope: Option<String>,
    /// Where the access token will be used (RFC 8707); several come as a list.
    resource: Option<Resources>,
    /// The client, unless it authenticates by the header; `signet-first-party` if absent.
    client_id: Option<String>,
    /// The secret of a confidential client, unless it authenticates by the header.
    #[schema(format = Password)]
    client_secret: Option<String>,
}

/// One or several.
#[derive(Serialize, ToSchema)]
#[allow(dead_code, reason = "describes a member for the documentation")]
#[serde(untagged)]
enum Resources {
    /// One.
    One(String),
    /// Several, at most 16.
    Several(Vec<String>),
}

/// Exchange a grant for tokens
#[utoipa::path(
    post, path = "/oauth2/token", tag = "OAuth 2.0",
    request_body(content = inline(TokenForm), content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "The tokens", body = TokenBody),
        (status = 400, description = "RFC 6749 section 5.2"),
        (status = 429, description = "Too many wrong passwords, or too many refreshes of one \
            session: try again after `Retry-After`"),
    ),
    security((), ("client" = []))
)]
pub async fn token(
    app: Data<App>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, OAuthError> {
    let form = Form::read(&request, payload).await?;
    let now = app.clock.now();
    let origin = extract::origin(&request, &app);
    let credentials = form.credentials(&request)?;
    let grant = form.required("grant_type")?;
    let grant =
        GrantType::parse(grant).ok_or_else(|| OAuthError::unsupported_grant_type(GRANTS))?;
    let wish = wish(form.optional("scope"), form.all("resource"))?;
    if grant == GrantType::ClientCredentials && credentials.is_none() {
        return Err(TokenError::InvalidClient { basic: false }.into());
    }
    let identified = credentials.is_some();
    let server = &app.authorization_server;
    let client = server.authenticate(credentials, &origin, now).await?;
    let response = match grant {
        GrantType::Password => {
            let username = form.required("username")?.to_owned();
            let password = Password::new(form.required("password")?);
            sign_in(&app, client, PasswordRequest { username, password, wish }, origin, now).await?
        }
        GrantType::RefreshToken => {
            let refresh_token = form.required("refresh_token")?.to_owned();
            let request = RefreshRequest { refresh_token, identified, wish };
            let app = app.clone();
            let refresh = async move {
                app.authorization_server.refresh(&client, request, &origin, now).await
            };
            to_the_end(refresh).await?
        }
        GrantType::ClientCredentials => server.client_credentials(&client, wish, now).await?,
    };
    Ok(answer(&app, grant, response))
}

/// Sign in
///
/// The OAuth 2.0 password form, or the same as JSON.
#[utoipa::path(
    post, path = "/login", tag = "Account",
    request_body(content(
        (inline(LoginForm) = "application/x-www-form-urlencoded"),
        (inline(LoginBody) = "application/json"),
    )),
    responses(
        (status = 200, description = "The tokens", body = TokenBody),
        (status = 400, description = "`invalid_grant`: `Incorrect email or password`, or \
            `Inactive user` to who has the password"),
        (status = 429, description = "Too many wrong passwords, the same for every account: try \
            again after `Retry-After`"),
    ),
    security((), ("client" = []))
)]
pub async fn login(
    app: Data<App>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, OAuthError> {
    let response = log_in(&app, &request, payload).await.map_err(OAuthError::with_detail)?;
    Ok(answer(&app, GrantType::Password, response))
}

async fn log_in(
    app: &Data<App>,
    request: &HttpRequest,
    payload: Payload,
) -> Result<TokenResponse, OAuthError> {
    let (credentials, wanted) = match MediaType::of(request) {
        Some(MediaType::Json) => read_json(request, payload).await?,
        Some(MediaType::Form) => read_form(request, payload).await?,
        _ => return Err(BodyError::WrongType(&[MediaType::Form, MediaType::Json]).into()),
    };
    let (now, origin): (Timestamp, Origin) = (app.clock.now(), extract::origin(request, app));
    let server = &app.authorization_server;
    let client = server.authenticate(credentials, &origin, now).await?;
    Ok(sign_in(app, client, wanted, origin, now).await?)
}

/// To its end also where the client hangs up: whether the password was right is then on record, and
/// an attempt that was reserved does not stay in flight.
async fn sign_in(
    app: &Data<App>,
    client: Arc<Client>,
    request: PasswordRequest,
    origin: Origin,
    now: Timestamp,
) -> Result<TokenResponse, TokenError> {
    let app = app.clone();
    let sign_in =
        async move { app.authorization_server.password(&client, request, &origin, now).await };
    to_the_end(sign_in).await
}

async fn read_form(
    request: &HttpRequest,
    payload: Payload,
) -> Result<(Option<Credentials>, PasswordRequest), OAuthError> {
    let form = Form::read(request, payload).await?;
    if form.optional("grant_type").is_some_and(|grant| grant != "password") {
        return Err(OAuthError::unsupported_grant_type(LOGIN_GRANT));
    }
    let sign_in = PasswordRequest {
        username: form.required("username")?.to_owned(),
        password: Password::new(form.required("password")?),
        wish: wish(form.optional("scope"), form.all("resource"))?,
    };
    Ok((form.credentials(request)?, sign_in))
}

async fn read_json(
    request: &HttpRequest,
    payload: Payload,
) -> Result<(Option<Credentials>, PasswordRequest), OAuthError> {
    let mut fields = Fields::read(request, payload).await?;
    let mut member = |name| fields.optional(name).filter(|value| !value.is_empty());
    let (username, email) = (member("username"), member("email"));
    let (grant, scope) = (member("grant_type"), member("scope"));
    let (id, secret) = (member("client_id"), member("client_secret"));
    let password = fields.password("password");
    let resources = fields.text_or_texts("resource");
    fields.finish().map_err(|problem| OAuthError::invalid_request(problem.to_string()))?;

    if grant.is_some_and(|grant| grant != "password") {
        return Err(OAuthError::unsupported_grant_type(LOGIN_GRANT));
    }
    if username.is_some() && email.is_some() && username != email {
        return Err(OAuthError::invalid_request("username and email differ"));
    }
    let missing = |name| OAuthError::invalid_request(format!("{name} is missing"));
    let sign_in = PasswordRequest {
        username: username.or(email).ok_or_else(|| missing("username"))?,
        password: password.ok_or_else(|| missing("password"))?,
        wish: wish(scope.as_deref(), resources.iter().map(String::as_str))?,
    };
    Ok((extract::credentials(request, id.as_deref(), secret.as_deref())?, sign_in))
}

fn wish<'a>(
    scope: Option<&str>,
    resources: impl Iterator<Item = &'a str>,
) -> Result<Wish, OAuthError> {
    let scope = scope.map(Scope::parse).transpose();
    let scope = scope.map_err(|_| TokenError::InvalidScope("the scope is malformed"))?;
    let mut distinct: Vec<String> = Vec::new();
    // Empty ones count as absent (RFC 6749 section 3.2).
    for resource in resources.filter(|resource| !resource.is_empty()) {
        if !distinct.iter().any(|known| known == resource) {
            distinct.push(resource.to_owned());
        }
    }
    if distinct.len() > MOST_RESOURCES {
        return Err(TokenError::InvalidTarget("at most 16 resources may be named").into());
    }
    // A scope of white space alone names nothing, as if it were absent.
    Ok(Wish { scope: scope.filter(|scope| !scope.is_empty()), resources: distinct })
}

fn answer(app: &App, grant: GrantType, response: TokenResponse) -> HttpResponse {
    app.metrics.count_token(grant.as_str());
    if response.healed {
        app.metrics.sessions_healed.inc();
        tracing::warn!("a refresh token was newer than its session: the store had lost writes");
    }
    HttpResponse::Ok()
        .insert_header(("Cache-Control", "no-store"))
        .insert_header(("Pragma", "no-cache"))
        .json(TokenBody {
            access_token: response.access_token,
            token_type: "Bearer",
            expires_in: response.expires_in,
            scope: response.scope.to_string(),
            refresh_token: response.refresh_token,
        })
}

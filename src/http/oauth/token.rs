//! `POST /oauth2/token` (RFC 6749 section 3.2) and `POST /login`, which is the password grant with
//! a body that may also be JSON.

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::Issuer;
use crate::base::secret::Secret;
use crate::domain::audit::Initiator;
use crate::domain::clients::GrantType;
use crate::domain::credentials::Password;
use crate::domain::tokens::Scope;
use crate::http::error::OAuthError;
use crate::http::extract::{
    self, BodyError, Fields, MediaType, Member, read_form, request_body, required,
};
use crate::http::finish::to_the_end;
use crate::services::oauth::{PasswordRequest, RefreshRequest, TokenError, TokenResponse, Wish};

const GRANTS: &str = "the grants are password, refresh_token and client_credentials";
const LOGIN_GRANT: &str = "the grant here is password; others are for the token endpoint";

const MAX_RESOURCES: usize = 16;

/// A successful answer (RFC 6749 section 5.1).
#[derive(Serialize, ToSchema)]
pub(crate) struct TokenBody {
    /// The access token, a JWT (RFC 9068).
    access_token: String,
    /// Always `Bearer`.
    #[schema(value_type = String, example = "Bearer")]
    token_type: &'static str,
    /// Seconds until the access token expires.
    expires_in: u64,
    /// The scope, words separated by spaces; absent where it is empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    scope: String,
    /// The refresh token, where the grant gives one. Opaque.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    refresh_token: Option<String>,
}

request_body! {
    /// The form of the token endpoint.
    pub(crate) struct TokenForm {
        /// `password`, `refresh_token` or `client_credentials`.
        grant_type: String as String,
        /// With `password`: the e-mail address.
        username: String as Option<String>,
        /// With `password`.
        #[schema(format = Password)]
        password: Password as Option<String>,
        /// With `refresh_token`.
        refresh_token: String as Option<String>,
        /// Words separated by spaces; if absent, everything that may be granted but `signet:*`,
        /// `users:read` and `revocations:read`, which have to be named.
        scope: String as Option<String>,
        /// Where the access token will be used (RFC 8707); may be repeated.
        #[schema(max_items = 16)]
        resource: Vec<String> as Option<Vec<String>>,
        /// The client, unless it authenticates by the header; `signet-first-party` if absent.
        client_id: String as Option<String>,
        /// The secret of a confidential client, unless it authenticates by the header.
        #[schema(format = Password)]
        client_secret: Secret<String> as Option<String>,
    }
}

request_body! {
    /// The form of `/login`.
    pub(crate) struct LoginForm {
        /// `password`, or absent.
        #[schema(pattern = "^password$")]
        grant_type: String as Option<String>,
        /// The e-mail address.
        username: String as String,
        /// The password.
        #[schema(format = Password)]
        password: Password as String,
        /// Words separated by spaces; if absent, everything that may be granted but `signet:*`,
        /// `users:read` and `revocations:read`, which have to be named.
        scope: String as Option<String>,
        /// Where the access token will be used (RFC 8707); may be repeated.
        #[schema(max_items = 16)]
        resource: Vec<String> as Option<Vec<String>>,
        /// The client, unless it authenticates by the header; `signet-first-party` if absent.
        client_id: String as Option<String>,
        /// The secret of a confidential client, unless it authenticates by the header.
        #[schema(format = Password)]
        client_secret: Secret<String> as Option<String>,
    }
}

request_body! {
    /// The same as JSON: the e-mail address is `email` or `username`. Empty text counts as absent.
    #[schema(example = json!({ "email": "ada@example.com", "password": "…" }))]
    pub(crate) struct LoginBody {
        /// `password`, or absent.
        #[schema(pattern = "^(password)?$")]
        grant_type: String as Option<String>,
        /// The e-mail address; needed unless `username` is there.
        email: String as Option<String>,
        /// The e-mail address; needed unless `email` is there.
        username: String as Option<String>,
        /// The password.
        #[schema(format = Password)]
        password: Password as String,
        /// Words separated by spaces; if absent, everything that may be granted but `signet:*`,
        /// `users:read` and `revocations:read`, which have to be named.
        scope: String as Option<String>,
        /// Where the access token will be used (RFC 8707); several come as a list.
        resource: Resources as Option<Resources>,
        /// The client, unless it authenticates by the header; `signet-first-party` if absent.
        client_id: String as Option<String>,
        /// The secret of a confidential client, unless it authenticates by the header.
        #[schema(format = Password)]
        client_secret: Secret<String> as Option<String>,
    }
}

impl From<LoginForm> for LoginBody {
    fn from(form: LoginForm) -> Self {
        Self {
            grant_type: form.grant_type,
            email: None,
            username: form.username,
            password: form.password,
            scope: form.scope,
            resource: form.resource.map(Resources::Several),
            client_id: form.client_id,
            client_secret: form.client_secret,
        }
    }
}

/// One or several.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
enum Resources {
    /// One.
    One(String),
    /// Several, at most 16.
    Several(Vec<String>),
}

impl Resources {
    fn into_list(self) -> Vec<String> {
        match self {
            Self::One(resource) => vec![resource],
            Self::Several(resources) => resources,
        }
    }
}

impl Member for Resources {
    fn read(fields: &mut Fields, name: &'static str) -> Option<Self> {
        match fields.is_list(name) {
            true => Vec::read(fields, name).map(Self::Several),
            false => String::read(fields, name).map(Self::One),
        }
    }
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
pub(crate) async fn token(
    app: Data<Issuer>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, OAuthError> {
    let form: TokenForm = read_form(&request, payload).await?;
    let by = extract::caller(&request, &app);
    let (client_id, client_secret) = (form.client_id.as_deref(), form.client_secret.as_ref());
    let credentials = extract::credentials(&request, client_id, client_secret)?;
    let grant = required("grant_type", form.grant_type)?;
    let grant =
        GrantType::parse(&grant).ok_or_else(|| OAuthError::unsupported_grant_type(GRANTS))?;
    let wish = wish(form.scope, form.resource.unwrap_or_default())?;
    let response = match grant {
        GrantType::Password => {
            let (username, password) = (form.username, form.password);
            let request = PasswordRequest { credentials, username, password, wish };
            sign_in(&app, request, by).await?
        }
        GrantType::RefreshToken => {
            let refresh_token = form.refresh_token;
            let request = RefreshRequest { credentials, refresh_token, wish };
            let app = app.clone();
            let refresh = async move { app.authorization_server.refresh(request, &by).await };
            to_the_end(refresh).await?
        }
        GrantType::ClientCredentials => {
            app.authorization_server.client_credentials(credentials, wish, &by).await?
        }
    };
    Ok(answer(response))
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
        (status = 400, description = "`invalid_grant`: `Incorrect email or password`, or, with the right \
            password of a disabled user, `Inactive user`"),
        (status = 429, description = "Too many wrong passwords, the same for every account: try \
            again after `Retry-After`"),
    ),
    security((), ("client" = []))
)]
pub(crate) async fn login(
    app: Data<Issuer>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, OAuthError> {
    let response = log_in(&app, &request, payload).await.map_err(OAuthError::with_detail)?;
    Ok(answer(response))
}

async fn log_in(
    app: &Data<Issuer>,
    request: &HttpRequest,
    payload: Payload,
) -> Result<TokenResponse, OAuthError> {
    let body: LoginBody = match MediaType::of(request) {
        Some(MediaType::Json) => {
            let mut fields = Fields::read(request, payload).await?;
            let body = fields.body();
            fields.finish().map_err(|problem| OAuthError::invalid_request(problem.to_string()))?;
            body
        }
        Some(MediaType::Form) => read_form::<LoginForm>(request, payload).await?.into(),
        _ => return Err(BodyError::WrongType(&[MediaType::Form, MediaType::Json]).into()),
    };
    let wanted = wanted(request, body)?;
    Ok(sign_in(app, wanted, extract::caller(request, app)).await?)
}

/// Completes the login even when the client hangs up, so that the outcome of the password is recorded
/// and the reserved attempt is released.
async fn sign_in(
    app: &Data<Issuer>,
    request: PasswordRequest,
    by: Initiator,
) -> Result<TokenResponse, TokenError> {
    let app = app.clone();
    to_the_end(async move { app.authorization_server.password(request, &by).await }).await
}

fn wanted(request: &HttpRequest, body: LoginBody) -> Result<PasswordRequest, OAuthError> {
    let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
    if filled(body.grant_type).is_some_and(|grant| grant != "password") {
        return Err(OAuthError::unsupported_grant_type(LOGIN_GRANT));
    }
    let (username, email) = (filled(body.username), filled(body.email));
    if username.is_some() && email.is_some() && username != email {
        return Err(OAuthError::invalid_request("username and email differ"));
    }
    let resources = body.resource.map(Resources::into_list).unwrap_or_default();
    let client_id = filled(body.client_id);
    let client_secret = body.client_secret.filter(|secret| !secret.expose().is_empty());
    Ok(PasswordRequest {
        username: Some(required("username", username.or(email))?),
        password: Some(required("password", body.password)?),
        wish: wish(filled(body.scope), resources)?,
        credentials: extract::credentials(request, client_id.as_deref(), client_secret.as_ref())?,
    })
}

fn wish(scope: Option<String>, resources: Vec<String>) -> Result<Wish, OAuthError> {
    let scope = scope.as_deref().map(Scope::parse).transpose();
    let scope = scope.map_err(|_| TokenError::InvalidScope("the scope is malformed"))?;
    let mut distinct: Vec<String> = Vec::new();
    // Empty ones count as absent (RFC 6749 section 3.2).
    for resource in resources.into_iter().filter(|resource| !resource.is_empty()) {
        if !distinct.contains(&resource) {
            distinct.push(resource);
        }
    }
    if distinct.len() > MAX_RESOURCES {
        return Err(TokenError::InvalidTarget("at most 16 resources may be named").into());
    }
    // A scope of white space alone names nothing, as if it were absent.
    Ok(Wish { scope: scope.filter(|scope| !scope.is_empty()), resources: distinct })
}

fn answer(response: TokenResponse) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header(("Cache-Control", "no-store"))
        .insert_header(("Pragma", "no-cache"))
        .json(TokenBody {
            access_token: response.access.token,
            token_type: "Bearer",
            expires_in: response.access.expires_in,
            scope: response.scope.to_string(),
            refresh_token: response.refresh_token,
        })
}

//! The documentation: the OpenAPI 3.1 document, and Swagger UI from inside the binary.

use std::collections::HashMap;
use std::sync::Arc;

use actix_web::HttpResponse;
use actix_web::http::header;
use actix_web::web::{Bytes, Data, Path};
use utoipa::openapi::security::{
    ClientCredentials, Flow, Http, HttpAuthScheme, OAuth2, Password, Scopes, SecurityScheme,
};
use utoipa::{Modify, OpenApi};
use utoipa_swagger_ui::{Config, oauth};

use super::account::{self, email, recovery, removal, sessions, verify};
use super::admin::{
    audit as admin_audit, clients as admin_clients, keys as admin_keys, roles as admin_roles,
    sessions as admin_sessions, users as admin_users,
};
use super::error::{Answer, ErrorBody, ErrorForm, Problem, ProblemBody};
use super::oauth::{discovery, introspect, revoke, token, userinfo};
use super::openapi::complete;
use super::{health, revocations};
use crate::domain::clients::FIRST_PARTY;
use crate::domain::tokens::scope;
use crate::services::oauth::metadata::path;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Signet",
        description = "A token-issuing identity service: signs RS256 access tokens (RFC 9068), \
            publishes their keys, rotates and revokes refresh tokens.",
        license(name = "MIT OR Apache-2.0"),
    ),
    paths(
        discovery::metadata, discovery::openid_configuration, discovery::jwks,
        revocations::snapshot, revocations::stream,
        token::token, revoke::revoke, introspect::introspect,
        userinfo::userinfo, userinfo::userinfo_by_post,
        account::signup, token::login, account::logout,
        account::read_me, account::change_me, removal::remove, removal::remove_by_post, account::change_password,
        email::ask_verification, email::ask_change, verify::verify,
        recovery::forgot, recovery::reset,
        sessions::list, sessions::end_one, sessions::end_all,
        admin_keys::list_keys, admin_keys::read_key, admin_keys::read_public_key,
        admin_keys::changes::rotate_keys, admin_keys::changes::retire_key, admin_keys::changes::revoke_key,
        admin_keys::changes::import_key, admin_keys::changes::rewrap_keys,
        admin_roles::list_roles, admin_roles::read_role, admin_roles::put_role, admin_roles::remove_role,
        admin_users::list_users, admin_users::read_user, admin_users::changes::add_user,
        admin_users::changes::change_user, admin_users::changes::remove_user,
        admin_users::changes::set_user_password, admin_users::changes::unlock_user,
        admin_clients::list_clients, admin_clients::read_client, admin_clients::changes::add_client,
        admin_clients::changes::change_client, admin_clients::changes::remove_client,
        admin_clients::changes::rotate_client_secret,
        admin_sessions::list_sessions, admin_sessions::list_user_sessions, admin_sessions::end_session,
        admin_sessions::end_user_session, admin_sessions::end_user_sessions,
        admin_audit::list_events,
        health::live, health::ready, health::metrics,
        page, document,
    ),
    components(schemas(ErrorBody, ProblemBody)),
    modifiers(&Security)
)]
struct Api;

struct Security;

impl Modify for Security {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        add_security(openapi, "");
    }
}

/// How users and clients authenticate, with the token endpoint below `prefix`.
fn add_security(openapi: &mut utoipa::openapi::OpenApi, prefix: &str) {
    let scopes = Scopes::from_iter([
        (scope::OPENID, "read claims about the user"),
        (scope::PROFILE, "the name"),
        (scope::EMAIL, "the e-mail address"),
        (scope::ADMIN, "administration, for roles that carry it; granted only where it is ticked"),
    ]);
    let token = format!("{prefix}{}", path::TOKEN);
    let flow = Flow::Password(Password::with_refresh_url(&token, scopes, &token));
    let components = openapi.components.get_or_insert_default();
    components.add_security_scheme("user", SecurityScheme::OAuth2(OAuth2::new([flow])));
    let scopes = Scopes::from_iter([
        (scope::ADMIN, "administration, for clients that have it; granted only where it is ticked"),
        (scope::USERS_READ, "reading users, for clients that have it; only where it is ticked"),
        (
            scope::REVOCATIONS_READ,
            "following revocations, where that is not open to all; only where it is ticked",
        ),
    ]);
    let flow = Flow::ClientCredentials(ClientCredentials::new(&token, scopes));
    components.add_security_scheme("service", SecurityScheme::OAuth2(OAuth2::new([flow])));
    let basic = SecurityScheme::Http(Http::new(HttpAuthScheme::Basic));
    components.add_security_scheme("client", basic);
}

/// The OpenAPI document of routes whose failures have these `forms`.
pub(super) fn openapi(forms: &HashMap<&'static str, ErrorForm>) -> utoipa::openapi::OpenApi {
    let mut document = Api::openapi();
    complete(&mut document, forms);
    document
}

/// The document and the page, made once, and Swagger UI's configuration.
pub(super) struct Docs {
    document: Bytes,
    page: Bytes,
    config: Arc<Config<'static>>,
}

impl Docs {
    pub(super) fn new(prefix: &str, forms: &HashMap<&'static str, ErrorForm>) -> Self {
        let mut document = openapi(forms);
        if !prefix.is_empty() {
            document.servers = Some(vec![utoipa::openapi::Server::new(prefix)]);
            add_security(&mut document, prefix);
        }
        let oauth = oauth::Config::new().client_id(FIRST_PARTY).app_name("Signet");
        let config = Config::with_oauth_config([format!("{prefix}/openapi.json")], oauth)
            // Else the page asks a validator of its makers about every document.
            .validator_url("none");
        Self {
            document: document.to_json().unwrap_or_default().into(),
            page: PAGE.replace("{base}", &format!("{prefix}/docs/")).into(),
            config: Arc::new(config),
        }
    }
}

/// The OpenAPI document
#[utoipa::path(
    get, path = "/openapi.json", tag = "Documentation",
    responses(
        (status = 200, description = "This document", body = Object),
        (status = 404, description = "It is switched off (`docs.enabled`)"),
    )
)]
pub(super) async fn document(docs: Data<Docs>) -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(docs.document.clone())
}

/// This documentation
#[utoipa::path(
    get, path = "/docs", tag = "Documentation",
    responses(
        (status = 200, description = "A page", body = String, content_type = "text/html"),
        (status = 404, description = "It is switched off (`docs.enabled`)"),
    )
)]
pub(super) async fn page(docs: Data<Docs>) -> HttpResponse {
    html(docs.page.clone())
}

const PAGE: &str = r#"<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <title>Signet</title>
  <link rel="stylesheet" href="{base}swagger-ui.css">
  <link rel="icon" href="{base}favicon-32x32.png">
</head>
<body>
  <div id="swagger-ui"></div>
  <script src="{base}swagger-ui-bundle.js"></script>
  <script src="{base}swagger-ui-standalone-preset.js"></script>
  <script src="{base}swagger-initializer.js"></script>
</body>
</html>
"#;

/// Swagger UI styles its elements inline and shows icons from data addresses; everything else
/// comes from here.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
                      img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'";

fn html(text: Bytes) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .insert_header((header::CONTENT_SECURITY_POLICY, POLICY))
        .body(text)
}

pub(super) async fn asset(docs: Data<Docs>, name: Path<String>) -> Answer {
    if name.is_empty() {
        return Ok(html(docs.page.clone()));
    }
    let found = utoipa_swagger_ui::serve(&name, docs.config.clone());
    let file = found.ok().flatten().ok_or_else(|| Problem::missing("no file has this name"))?;
    let mut response = HttpResponse::Ok();
    if file.gzpipped {
        response.insert_header((header::CONTENT_ENCODING, "gzip"));
    }
    Ok(response
        .content_type(file.content_type)
        .insert_header((header::CONTENT_SECURITY_POLICY, POLICY))
        .body(file.bytes.into_owned()))
}

//! The whole route table on one screen: which origins a browser may call a route from, how much of it
//! is logged, in which form it answers failures, and which methods it has.

use std::collections::HashMap;

use actix_web::Route;
use actix_web::guard::{self, Guard};
use actix_web::http::Method;
use actix_web::web;

use super::account::{self, email, recovery, removal, sessions, verify};
use super::admin::{
    audit as admin_audit, clients as admin_clients, keys as admin_keys, roles as admin_roles,
    sessions as admin_sessions, users as admin_users,
};
use super::error::ErrorForm::{self, OAuth, OAuthWithDetail, Problem};
use super::oauth::{discovery, introspect, revoke, token, userinfo};
use super::observe::Verbosity::{self, Each, Failures};
use super::{docs, health, revocations};
use crate::services::oauth::metadata::path;

use Origins::{Any, Listed, No};

/// From which web pages a route may be called (never with cookies: there are none).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Origins {
    Any,
    /// From the pages of `http.cors_origins`.
    Listed,
    No,
}

pub(super) struct Row {
    /// Its pattern, below the path of the issuer.
    pub at: &'static str,
    pub origins: Origins,
    pub verbosity: Verbosity,
    pub form: ErrorForm,
    /// Its methods, as `Allow` names them.
    pub allow: &'static str,
    pub methods: Vec<Route>,
}

/// The form in which each route answers failures.
pub(super) fn forms() -> HashMap<&'static str, ErrorForm> {
    rows(true).into_iter().map(|row| (row.at, row.form)).collect()
}

/// Every route; those of the documentation where it is served.
#[rustfmt::skip]
pub(super) fn rows(docs: bool) -> Vec<Row> {
    const READ: &str = "GET, HEAD";
    let post = web::post;
    let mut rows = Vec::new();
    let mut add = |at, origins, verbosity, form, allow, methods| {
        rows.push(Row { at, origins, verbosity, form, allow, methods });
    };
    add(path::OPENID_CONFIGURATION, Any, Failures, Problem, READ, vec![get().to(discovery::metadata)]);
    add(path::AUTHORIZATION_SERVER, Any, Failures, Problem, READ, vec![get().to(discovery::metadata)]);
    add(path::JWKS, Any, Failures, Problem, READ, vec![get().to(discovery::jwks)]);
    add(path::REVOCATIONS, No, Failures, Problem, READ, vec![get().to(revocations::snapshot)]);
    add(path::REVOCATIONS_STREAM, No, Failures, Problem, "GET", vec![
        web::get().to(revocations::stream),
    ]);

    add(path::TOKEN, Listed, Each, OAuth, "POST", vec![post().to(token::token)]);
    add(path::REVOKE, Listed, Each, OAuth, "POST", vec![post().to(revoke::revoke)]);
    add(path::INTROSPECT, No, Each, OAuth, "POST", vec![post().to(introspect::introspect)]);
    add(path::USERINFO, Listed, Each, OAuth, "GET, HEAD, POST", vec![
        get().to(userinfo::userinfo), post().to(userinfo::userinfo),
    ]);

    add("/signup", Listed, Each, Problem, "POST", vec![post().to(account::signup)]);
    add("/login", Listed, Each, OAuthWithDetail, "POST", vec![post().to(token::login)]);
    add("/logout", Listed, Each, Problem, "POST", vec![post().to(account::logout)]);
    add("/email/verification", Listed, Each, Problem, "POST", vec![post().to(email::ask_verification)]);
    add("/email/verify", Listed, Each, Problem, "POST", vec![post().to(verify::verify)]);
    add("/password/forgot", Listed, Each, Problem, "POST", vec![post().to(recovery::forgot)]);
    add("/password/reset", Listed, Each, Problem, "POST", vec![post().to(recovery::reset)]);
    add("/users/me", Listed, Each, Problem, "GET, HEAD, PATCH, DELETE", vec![
        get().to(account::read_me),
        web::patch().to(account::change_me),
        web::delete().to(removal::remove),
    ]);
    add("/users/me/delete", Listed, Each, Problem, "POST", vec![post().to(removal::remove)]);
    add("/users/me/password", Listed, Each, Problem, "POST", vec![post().to(account::change_password)]);
    add("/users/me/email", Listed, Each, Problem, "POST", vec![post().to(email::ask_change)]);
    add("/users/me/sessions", Listed, Each, Problem, "GET, HEAD, DELETE", vec![
        get().to(sessions::list), web::delete().to(sessions::end_all),
    ]);
    add("/users/me/sessions/{sid}", Listed, Each, Problem, "DELETE", vec![
        web::delete().to(sessions::end_one),
    ]);

    add("/admin/keys", No, Each, Problem, READ, vec![get().to(admin_keys::list_keys)]);
    add("/admin/keys/rotate", No, Each, Problem, "POST", vec![post().to(admin_keys::changes::rotate_keys)]);
    add("/admin/keys/import", No, Each, Problem, "POST", vec![post().to(admin_keys::changes::import_key)]);
    add("/admin/keys/rewrap", No, Each, Problem, "POST", vec![post().to(admin_keys::changes::rewrap_keys)]);
    add("/admin/keys/{kid}", No, Each, Problem, READ, vec![get().to(admin_keys::read_key)]);
    add("/admin/keys/{kid}/public", No, Each, Problem, READ, vec![get().to(admin_keys::read_public_key)]);
    add("/admin/keys/{kid}/retire", No, Each, Problem, "POST", vec![
        post().to(admin_keys::changes::retire_key),
    ]);
    add("/admin/keys/{kid}/revoke", No, Each, Problem, "POST", vec![
        post().to(admin_keys::changes::revoke_key),
    ]);

    add("/admin/roles", No, Each, Problem, READ, vec![get().to(admin_roles::list_roles)]);
    add("/admin/roles/{name}", No, Each, Problem, "GET, HEAD, PUT, DELETE", vec![
        get().to(admin_roles::read_role),
        web::put().to(admin_roles::put_role),
        web::delete().to(admin_roles::remove_role),
    ]);
    add("/admin/users", No, Each, Problem, "GET, HEAD, POST", vec![
        get().to(admin_users::list_users), post().to(admin_users::changes::add_user),
    ]);
    add("/admin/users/{id}", No, Each, Problem, "GET, HEAD, PATCH, DELETE", vec![
        get().to(admin_users::read_user),
        web::patch().to(admin_users::changes::change_user),
        web::delete().to(admin_users::changes::remove_user),
    ]);
    add("/admin/users/{id}/password", No, Each, Problem, "PUT", vec![
        web::put().to(admin_users::changes::set_user_password),
    ]);
    add("/admin/users/{id}/unlock", No, Each, Problem, "POST", vec![
        post().to(admin_users::changes::unlock_user),
    ]);
    add("/admin/users/{id}/sessions", No, Each, Problem, "GET, HEAD, DELETE", vec![
        get().to(admin_sessions::list_user_sessions),
        web::delete().to(admin_sessions::end_user_sessions),
    ]);
    add("/admin/users/{id}/sessions/{sid}", No, Each, Problem, "DELETE", vec![
        web::delete().to(admin_sessions::end_user_session),
    ]);
    add("/admin/clients", No, Each, Problem, "GET, HEAD, POST", vec![
        get().to(admin_clients::list_clients), post().to(admin_clients::changes::add_client),
    ]);
    add("/admin/clients/{client_id}", No, Each, Problem, "GET, HEAD, PATCH, DELETE", vec![
        get().to(admin_clients::read_client),
        web::patch().to(admin_clients::changes::change_client),
        web::delete().to(admin_clients::changes::remove_client),
    ]);
    add("/admin/clients/{client_id}/rotate-secret", No, Each, Problem, "POST", vec![
        post().to(admin_clients::changes::rotate_client_secret),
    ]);
    add("/admin/sessions", No, Each, Problem, READ, vec![get().to(admin_sessions::list_sessions)]);
    add("/admin/sessions/{sid}", No, Each, Problem, "DELETE", vec![
        web::delete().to(admin_sessions::end_session),
    ]);
    add("/admin/audit", No, Each, Problem, READ, vec![get().to(admin_audit::list_events)]);

    add("/health/live", No, Failures, Problem, READ, vec![get().to(health::live)]);
    add("/health/ready", No, Failures, Problem, READ, vec![get().to(health::ready)]);
    add("/metrics", No, Failures, Problem, READ, vec![get().to(health::metrics)]);
    if docs {
        add("/docs", No, Failures, Problem, READ, vec![get().to(docs::page)]);
        add("/docs/{name:.*}", No, Failures, Problem, READ, vec![get().to(docs::asset)]);
        add("/openapi.json", No, Failures, Problem, READ, vec![get().to(docs::document)]);
    }
    rows
}

/// GET, and HEAD, which is GET without the body (RFC 9110 section 9.3.2).
fn get() -> Route {
    struct GetOrHead;
    impl Guard for GetOrHead {
        fn check(&self, context: &guard::GuardContext<'_>) -> bool {
            matches!(context.head().method, Method::GET | Method::HEAD)
        }
    }
    web::route().guard(GetOrHead)
}

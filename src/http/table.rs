//! The whole route table on one screen: which origins a browser may call a route from, how much of it
//! is logged, in which form it answers failures, and which methods it has.

use std::collections::HashMap;

use actix_web::Route;
use actix_web::guard::{self, Guard};
use actix_web::http::Method;
use actix_web::web;

use super::account::{self, email, recovery, removal, sessions, verify};
use super::admin::clients::changes as client_changes;
use super::admin::keys::changes as key_changes;
use super::admin::users::changes as user_changes;
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

    add("/login", Listed, Each, OAuthWithDetail, "POST", vec![post().to(token::login)]);
    let mut own = |at, allow, methods| add(at, Listed, Each, Problem, allow, methods);
    own("/signup", "POST", vec![post().to(account::signup)]);
    own("/logout", "POST", vec![post().to(account::logout)]);
    own("/email/verification", "POST", vec![post().to(email::ask_verification)]);
    own("/email/verify", "POST", vec![post().to(verify::verify)]);
    own("/password/forgot", "POST", vec![post().to(recovery::forgot)]);
    own("/password/reset", "POST", vec![post().to(recovery::reset)]);
    own("/users/me", "GET, HEAD, PATCH, DELETE", vec![
        get().to(account::read_me),
        web::patch().to(account::change_me),
        web::delete().to(removal::remove),
    ]);
    own("/users/me/delete", "POST", vec![post().to(removal::remove)]);
    own("/users/me/password", "POST", vec![post().to(account::change_password)]);
    own("/users/me/email", "POST", vec![post().to(email::ask_change)]);
    own("/users/me/sessions", "GET, HEAD, DELETE", vec![
        get().to(sessions::list), web::delete().to(sessions::end_all),
    ]);
    own("/users/me/sessions/{sid}", "DELETE", vec![web::delete().to(sessions::end_one)]);

    let mut admin = |at, allow, methods| add(at, No, Each, Problem, allow, methods);
    admin("/admin/keys", READ, vec![get().to(admin_keys::list_keys)]);
    admin("/admin/keys/rotate", "POST", vec![post().to(key_changes::rotate_keys)]);
    admin("/admin/keys/import", "POST", vec![post().to(key_changes::import_key)]);
    admin("/admin/keys/rewrap", "POST", vec![post().to(key_changes::rewrap_keys)]);
    admin("/admin/keys/{kid}", READ, vec![get().to(admin_keys::read_key)]);
    admin("/admin/keys/{kid}/public", READ, vec![get().to(admin_keys::read_public_key)]);
    admin("/admin/keys/{kid}/retire", "POST", vec![post().to(key_changes::retire_key)]);
    admin("/admin/keys/{kid}/revoke", "POST", vec![post().to(key_changes::revoke_key)]);

    admin("/admin/roles", READ, vec![get().to(admin_roles::list_roles)]);
    admin("/admin/roles/{name}", "GET, HEAD, PUT, DELETE", vec![
        get().to(admin_roles::read_role),
        web::put().to(admin_roles::put_role),
        web::delete().to(admin_roles::remove_role),
    ]);
    admin("/admin/users", "GET, HEAD, POST", vec![
        get().to(admin_users::list_users), post().to(user_changes::add_user),
    ]);
    admin("/admin/users/{id}", "GET, HEAD, PATCH, DELETE", vec![
        get().to(admin_users::read_user),
        web::patch().to(user_changes::change_user),
        web::delete().to(user_changes::remove_user),
    ]);
    admin("/admin/users/{id}/password", "PUT", vec![
        web::put().to(user_changes::set_user_password),
    ]);
    admin("/admin/users/{id}/unlock", "POST", vec![post().to(user_changes::unlock_user)]);
    admin("/admin/users/{id}/sessions", "GET, HEAD, DELETE", vec![
        get().to(admin_sessions::list_user_sessions),
        web::delete().to(admin_sessions::end_user_sessions),
    ]);
    admin("/admin/users/{id}/sessions/{sid}", "DELETE", vec![
        web::delete().to(admin_sessions::end_user_session),
    ]);
    admin("/admin/clients", "GET, HEAD, POST", vec![
        get().to(admin_clients::list_clients), post().to(client_changes::add_client),
    ]);
    admin("/admin/clients/{client_id}", "GET, HEAD, PATCH, DELETE", vec![
        get().to(admin_clients::read_client),
        web::patch().to(client_changes::change_client),
        web::delete().to(client_changes::remove_client),
    ]);
    admin("/admin/clients/{client_id}/rotate-secret", "POST", vec![
        post().to(client_changes::rotate_client_secret),
    ]);
    admin("/admin/sessions", READ, vec![get().to(admin_sessions::list_sessions)]);
    admin("/admin/sessions/{sid}", "DELETE", vec![web::delete().to(admin_sessions::end_session)]);
    admin("/admin/audit", READ, vec![get().to(admin_audit::list_events)]);

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

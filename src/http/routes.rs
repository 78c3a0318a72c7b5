//! The whole route table, and what stands around each route: which origins a browser may call it
//! from, which methods it has, how much of it is logged.

use std::sync::Arc;

use actix_cors::Cors;
use actix_web::guard::{self, Guard};
use actix_web::http::Method;
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{HttpRequest, Resource, ResponseError, Route};

use super::error::{OAuthError, Problem};
use super::observe::{Observe, RequestIds, Verbosity};
use super::proxies::Proxies;
use super::{
    account, account_removal, admin_audit, admin_clients, admin_keys, admin_roles, admin_sessions,
    admin_users, discovery, docs, email, health, introspect, my_sessions, recovery, revocations,
    revoke, token, userinfo, verify,
};
use crate::app::App;
use crate::services::oauth::metadata::path;

use Origins::{Any, Listed, No};
use Verbosity::{Each, Failures};

/// From which web pages a route may be called (never with cookies: there are none).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origins {
    Any,
    Listed,
    No,
}

/// Makes the routes of one worker.
pub struct Routes {
    app: Data<App>,
    ids: Arc<RequestIds>,
    metadata: Data<discovery::MetadataBody>,
    cache_control: Data<discovery::CacheControl>,
    docs: Data<docs::Docs>,
    listeners: Data<revocations::Listeners>,
    /// The path of the issuer, empty for the root.
    prefix: String,
}

impl Routes {
    /// What all workers share.
    pub fn new(app: Arc<App>) -> Self {
        let random = &app.authorization_server.random;
        let issuer = url::Url::parse(&app.config.issuer).ok();
        let prefix =
            issuer.as_ref().map_or("", |issuer| issuer.path()).trim_end_matches('/').to_owned();
        let proxies = Proxies::new(app.config.http.trusted_proxies.clone());
        let ids = RequestIds::new(u64::from_be_bytes(random.bytes()), proxies);
        Self {
            ids: Arc::new(ids),
            metadata: Data::new(discovery::MetadataBody::new(&app)),
            cache_control: Data::new(discovery::CacheControl::new(&app)),
            docs: Data::new(docs::Docs::new(&prefix)),
            listeners: Data::new(revocations::Listeners::new(&app)),
            prefix,
            app: Data::from(app),
        }
    }

    /// Adds everything, at the root and, where the issuer has a path, below it as well.
    pub fn configure(&self, service: &mut ServiceConfig) {
        service.app_data(self.app.clone());
        service.app_data(self.metadata.clone());
        service.app_data(self.cache_control.clone());
        service.app_data(self.docs.clone());
        service.app_data(self.listeners.clone());
        self.table(service);
        let prefix = &self.prefix;
        if !prefix.is_empty() {
            // RFC 8414 section 3.1 puts the well-known part before the issuer's path.
            for well_known in [path::AUTHORIZATION_SERVER, path::OPENID_CONFIGURATION] {
                let at = format!("{well_known}{prefix}");
                let route = get().to(discovery::metadata);
                self.add(service, &at, well_known, Any, Failures, "GET, HEAD", vec![route]);
            }
            service.service(web::scope(prefix).configure(|service| self.table(service)));
        }
        let observed = self.around("unknown", Each);
        service.default_service(web::route().to(not_found).wrap(observed));
    }

    #[rustfmt::skip]
    fn table(&self, service: &mut ServiceConfig) {
        const READ: &str = "GET, HEAD";
        let post = web::post;
        let mut add = |at: &'static str, origins, verbosity, allow, methods| {
            self.add(service, at, at, origins, verbosity, allow, methods);
        };
        add(path::OPENID_CONFIGURATION, Any, Failures, READ, vec![get().to(discovery::metadata)]);
        add(path::AUTHORIZATION_SERVER, Any, Failures, READ, vec![get().to(discovery::metadata)]);
        add(path::JWKS, Any, Failures, READ, vec![get().to(discovery::jwks)]);
        add(path::REVOCATIONS, No, Failures, READ, vec![get().to(revocations::snapshot)]);
        add(path::REVOCATIONS_STREAM, No, Failures, "GET", vec![
            web::get().to(revocations::stream),
        ]);

        add(path::TOKEN, Listed, Each, "POST", vec![post().to(token::token)]);
        add(path::REVOKE, Listed, Each, "POST", vec![post().to(revoke::revoke)]);
        add(path::INTROSPECT, No, Each, "POST", vec![post().to(introspect::introspect)]);
        add(path::USERINFO, Listed, Each, "GET, HEAD, POST", vec![
            get().to(userinfo::userinfo), post().to(userinfo::userinfo),
        ]);

        add("/signup", Listed, Each, "POST", vec![post().to(account::signup)]);
        add("/login", Listed, Each, "POST", vec![post().to(token::login)]);
        add("/logout", Listed, Each, "POST", vec![post().to(account::logout)]);
        add("/email/verification", Listed, Each, "POST", vec![post().to(email::ask_verification)]);
        add("/email/verify", Listed, Each, "POST", vec![post().to(verify::verify)]);
        add("/password/forgot", Listed, Each, "POST", vec![post().to(recovery::forgot)]);
        add("/password/reset", Listed, Each, "POST", vec![post().to(recovery::reset)]);
        add("/users/me", Listed, Each, "GET, HEAD, PATCH, DELETE", vec![
            get().to(account::read_me),
            web::patch().to(account::change_me),
            web::delete().to(account_removal::remove),
        ]);
        add("/users/me/delete", Listed, Each, "POST", vec![post().to(account_removal::remove)]);
        add("/users/me/password", Listed, Each, "POST", vec![post().to(account::change_password)]);
        add("/users/me/email", Listed, Each, "POST", vec![post().to(email::ask_change)]);
        add("/users/me/sessions", Listed, Each, "GET, HEAD, DELETE", vec![
            get().to(my_sessions::list), web::delete().to(my_sessions::end_all),
        ]);
        add("/users/me/sessions/{sid}", Listed, Each, "DELETE", vec![
            web::delete().to(my_sessions::end_one),
        ]);

        add("/admin/keys", No, Each, READ, vec![get().to(admin_keys::list)]);
        add("/admin/keys/rotate", No, Each, "POST", vec![post().to(admin_keys::changes::rotate)]);
        add("/admin/keys/import", No, Each, "POST", vec![post().to(admin_keys::changes::import)]);
        add("/admin/keys/rewrap", No, Each, "POST", vec![post().to(admin_keys::changes::rewrap)]);
        add("/admin/keys/{kid}", No, Each, READ, vec![get().to(admin_keys::read)]);
        add("/admin/keys/{kid}/public", No, Each, READ, vec![get().to(admin_keys::read_public)]);
        add("/admin/keys/{kid}/retire", No, Each, "POST", vec![
            post().to(admin_keys::changes::retire),
        ]);
        add("/admin/keys/{kid}/revoke", No, Each, "POST", vec![
            post().to(admin_keys::changes::revoke),
        ]);

        add("/admin/roles", No, Each, READ, vec![get().to(admin_roles::list)]);
        add("/admin/roles/{name}", No, Each, "GET, HEAD, PUT, DELETE", vec![
            get().to(admin_roles::read),
            web::put().to(admin_roles::put),
            web::delete().to(admin_roles::remove),
        ]);
        add("/admin/users", No, Each, "GET, HEAD, POST", vec![
            get().to(admin_users::list), post().to(admin_users::changes::create),
        ]);
        add("/admin/users/{id}", No, Each, "GET, HEAD, PATCH, DELETE", vec![
            get().to(admin_users::read),
            web::patch().to(admin_users::changes::change),
            web::delete().to(admin_users::changes::remove),
        ]);
        add("/admin/users/{id}/password", No, Each, "PUT", vec![
            web::put().to(admin_users::changes::set_password),
        ]);
        add("/admin/users/{id}/unlock", No, Each, "POST", vec![
            post().to(admin_users::changes::unlock),
        ]);
        add("/admin/users/{id}/sessions", No, Each, "GET, HEAD, DELETE", vec![
            get().to(admin_sessions::list_of_user),
            web::delete().to(admin_sessions::end_all_of_user),
        ]);
        add("/admin/users/{id}/sessions/{sid}", No, Each, "DELETE", vec![
            web::delete().to(admin_sessions::end_of_user),
        ]);
        add("/admin/clients", No, Each, "GET, HEAD, POST", vec![
            get().to(admin_clients::list), post().to(admin_clients::changes::create),
        ]);
        add("/admin/clients/{client_id}", No, Each, "GET, HEAD, PATCH, DELETE", vec![
            get().to(admin_clients::read),
            web::patch().to(admin_clients::changes::change),
            web::delete().to(admin_clients::changes::remove),
        ]);
        add("/admin/clients/{client_id}/rotate-secret", No, Each, "POST", vec![
            post().to(admin_clients::changes::rotate_secret),
        ]);
        add("/admin/sessions", No, Each, READ, vec![get().to(admin_sessions::list)]);
        add("/admin/sessions/{sid}", No, Each, "DELETE", vec![
            web::delete().to(admin_sessions::end),
        ]);
        add("/admin/audit", No, Each, READ, vec![get().to(admin_audit::list)]);

        add("/health/live", No, Failures, READ, vec![get().to(health::live)]);
        add("/health/ready", No, Failures, READ, vec![get().to(health::ready)]);
        add("/metrics", No, Failures, READ, vec![get().to(health::metrics)]);
        if self.app.config.docs_enabled {
            add("/docs", No, Failures, READ, vec![get().to(docs::page)]);
            add("/docs/{name:.*}", No, Failures, READ, vec![get().to(docs::asset)]);
            add("/openapi.json", No, Failures, READ, vec![get().to(docs::document)]);
        }
    }

    #[allow(clippy::too_many_arguments, reason = "one row of the table")]
    fn add(
        &self,
        service: &mut ServiceConfig,
        at: &str,
        name: &'static str,
        origins: Origins,
        verbosity: Verbosity,
        allow: &'static str,
        methods: Vec<Route>,
    ) {
        let resource = methods.into_iter().fold(web::resource(at), Resource::route);
        let other = move || async move {
            if name == "/login" {
                OAuthError::method_not_allowed(allow).with_detail().error_response()
            } else if speaks_oauth(name) {
                OAuthError::method_not_allowed(allow).error_response()
            } else {
                Problem::method_not_allowed(allow).error_response()
            }
        };
        let resource = resource.default_service(web::route().to(other));
        let observe = self.around(name, verbosity);
        match self.cors(origins, allow) {
            Some(cors) => service.service(resource.wrap(cors).wrap(observe)),
            None => service.service(resource.wrap(observe)),
        };
    }

    fn around(&self, route: &'static str, verbosity: Verbosity) -> Observe {
        let metrics = self.app.metrics.route(route);
        Observe { route, metrics, verbosity, ids: self.ids.clone(), app: self.app.clone() }
    }

    fn cors(&self, origins: Origins, allow: &str) -> Option<Cors> {
        let methods: Vec<Method> =
            allow.split(", ").filter_map(|method| method.parse().ok()).collect();
        let cors = Cors::default()
            .allowed_methods(methods)
            // Tracing adds headers of its own. There are no cookies, so none does harm.
            .allow_any_header()
            .expose_headers(["x-request-id", "retry-after", "www-authenticate", "etag"])
            .max_age(3600);
        let listed = &self.app.config.http.cors_origins;
        match origins {
            Any => Some(cors.allow_any_origin().send_wildcard()),
            Listed if !listed.is_empty() => {
                let listed = listed.clone();
                Some(cors.allowed_origin_fn(move |origin, _| {
                    let matches = |origin| listed.iter().any(|known| known.matches(origin));
                    origin.to_str().is_ok_and(matches)
                }))
            }
            Listed | No => None,
        }
    }
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

async fn not_found(app: Data<App>, request: HttpRequest) -> actix_web::HttpResponse {
    let issuer = url::Url::parse(&app.config.issuer).ok();
    let prefix = issuer.as_ref().map_or("", |issuer| issuer.path()).trim_end_matches('/');
    let path = request.path();
    if speaks_oauth(path.strip_prefix(prefix).unwrap_or(path)) {
        OAuthError::not_found().error_response()
    } else {
        Problem::not_found().error_response()
    }
}

/// Whether errors of `path`, below the issuer's own, have the form of RFC 6749.
pub(super) fn speaks_oauth(path: &str) -> bool {
    path.starts_with("/oauth2/") || path == "/login"
}

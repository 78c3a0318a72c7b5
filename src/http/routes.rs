//! What stands around each route of the table: its origins, its log line and metrics, and the answers
//! to methods and paths that it does not have.

use std::sync::Arc;

use actix_cors::Cors;
use actix_web::Resource;
use actix_web::http::Method;
use actix_web::web::{self, Data, ServiceConfig};

use super::error::ErrorForm;
use super::oauth::discovery;
use super::observe::{Observe, RequestIds, Verbosity};
use super::proxies::Proxies;
use super::table::{Origins, Row, forms, rows};
use super::{docs, revocations};
use crate::app::Issuer;
use crate::services::oauth::metadata::path;

pub(super) struct Routes {
    app: Data<Issuer>,
    ids: Arc<RequestIds>,
    metadata: Data<discovery::MetadataBody>,
    docs: Data<docs::Docs>,
    listeners: Data<revocations::Listeners>,
    /// The path of the issuer, empty for the root.
    prefix: String,
}

impl Routes {
    pub(super) fn new(app: Arc<Issuer>) -> Self {
        let random = &app.stores.random;
        let issuer = url::Url::parse(&app.config.issuer).ok();
        let prefix =
            issuer.as_ref().map_or("", |issuer| issuer.path()).trim_end_matches('/').to_owned();
        let proxies = Proxies::new(app.config.http.trusted_proxies.clone());
        let ids = RequestIds::new(u64::from_be_bytes(random.bytes()), proxies);
        Self {
            ids: Arc::new(ids),
            metadata: Data::new(discovery::MetadataBody::new(&app)),
            docs: Data::new(docs::Docs::new(&prefix, &forms())),
            listeners: Data::new(revocations::Listeners::new(&app)),
            prefix,
            app: Data::from(app),
        }
    }

    /// Adds everything, at the root and, where the issuer has a path, below it as well.
    pub(super) fn configure(&self, service: &mut ServiceConfig) {
        service.app_data(self.app.clone());
        service.app_data(self.metadata.clone());
        service.app_data(self.docs.clone());
        service.app_data(self.listeners.clone());
        self.add_table(service);
        let prefix = &self.prefix;
        if !prefix.is_empty() {
            // RFC 8414 section 3.1 puts the well-known part before the issuer's path.
            let is_metadata = |row: &Row| {
                [path::AUTHORIZATION_SERVER, path::OPENID_CONFIGURATION].contains(&row.at)
            };
            for row in rows(false).into_iter().filter(is_metadata) {
                self.add(service, &format!("{}{prefix}", row.at), row);
            }
            let below = |service: &mut ServiceConfig| {
                self.add_table(service);
                self.add_unknown_of_oauth(service);
            };
            service.service(web::scope(prefix).configure(below));
        }
        // Last, since a scope does not pass on what it has no route for, and an issuer's path may begin
        // with it.
        self.add_unknown_of_oauth(service);
        let observed = self.around("unknown", Verbosity::Each, ErrorForm::Problem);
        let not_found = || async { ErrorForm::Problem.not_found() };
        service.default_service(web::route().to(not_found).wrap(observed));
    }

    fn add_table(&self, service: &mut ServiceConfig) {
        for row in rows(self.app.config.docs_enabled) {
            self.add(service, row.at, row);
        }
    }

    /// Lets paths below `/oauth2` that no route has fail in the form of their neighbours.
    fn add_unknown_of_oauth(&self, service: &mut ServiceConfig) {
        let observed = self.around("unknown", Verbosity::Each, ErrorForm::OAuth);
        let not_found = || async { ErrorForm::OAuth.not_found() };
        let unknown = web::scope("/oauth2").default_service(web::route().to(not_found));
        service.service(unknown.wrap(observed));
    }

    fn add(&self, service: &mut ServiceConfig, path: &str, row: Row) {
        let Row { at, origins, verbosity, form, allow, methods } = row;
        let resource = methods.into_iter().fold(web::resource(path), Resource::route);
        let other = move || async move { form.method_not_allowed(allow) };
        let resource = resource.default_service(web::route().to(other));
        let observe = self.around(at, verbosity, form);
        match self.cors(origins, allow) {
            Some(cors) => service.service(resource.wrap(cors).wrap(observe)),
            None => service.service(resource.wrap(observe)),
        };
    }

    fn around(&self, route: &'static str, verbosity: Verbosity, form: ErrorForm) -> Observe {
        let metrics = self.app.metrics.route(route);
        Observe { route, metrics, verbosity, form, ids: self.ids.clone(), app: self.app.clone() }
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
            Origins::Any => Some(cors.allow_any_origin().send_wildcard()),
            Origins::Listed if !listed.is_empty() => {
                let listed = listed.clone();
                Some(cors.allowed_origin_fn(move |origin, _| {
                    let matches = |origin| listed.iter().any(|known| known.matches(origin));
                    origin.to_str().is_ok_and(matches)
                }))
            }
            Origins::Listed | Origins::No => None,
        }
    }
}

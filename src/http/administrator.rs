//! Who administers Signet by a request: a user with a role that carries the scope for it, or a
//! client in its own name, either with that scope in a token for the audience of administration.

use actix_web::dev;
use actix_web::http::header;
use actix_web::web::{Data, Payload};
use actix_web::{Error, FromRequest, HttpRequest, HttpResponse, HttpResponseBuilder};
use futures_util::future::LocalBoxFuture;
use serde::Serialize;

use super::error::Problem;
use super::extract::{self, Body, Fields};
use super::finish::to_the_end;
use crate::app::Issuer;
use crate::domain::audit::Initiator;
use crate::domain::tokens::{Claims, scope};
use crate::services::authentication::{AdminRequest, BearerError};

pub(super) struct Administrator {
    pub app: Data<Issuer>,
    pub request: HttpRequest,
    /// Who asks, from where and when.
    pub by: Initiator,
    pub claims: Claims,
}

impl Administrator {
    async fn of(app: Data<Issuer>, request: HttpRequest) -> Result<Self, BearerError> {
        let (by, claims) = caller(&app, &request, None).await?;
        Ok(Self { app, request, by, claims })
    }

    /// Runs `work`, a change in the administrator's name, to its end, even if the caller hangs up.
    pub(super) async fn change<T: 'static, E: 'static>(
        &self,
        work: impl AsyncFnOnce(&Issuer, &Initiator) -> Result<T, E> + 'static,
    ) -> Result<T, E> {
        let (app, by) = (self.app.clone(), self.by.clone());
        to_the_end(async move { work(&app, &by).await }).await
    }

    /// 201 with the address of what was created, which `id` names below the path of the request.
    pub(super) fn created(&self, id: impl std::fmt::Display) -> HttpResponseBuilder {
        let mut response = HttpResponse::Created();
        response.insert_header((header::LOCATION, format!("{}/{id}", self.request.path())));
        response
    }
}

impl FromRequest for Administrator {
    type Error = Error;
    type Future = LocalBoxFuture<'static, Result<Self, Error>>;

    fn from_request(request: &HttpRequest, _: &mut dev::Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let app = Data::extract(&request).await?;
            Ok(Self::of(app, request).await.map_err(Problem::from)?)
        })
    }
}

pub(super) struct Asked<B> {
    pub admin: Administrator,
    /// The members of the body, with what is wrong in them.
    pub fields: Fields,
    /// What was read of them.
    pub body: B,
}

impl<B: Body + 'static> FromRequest for Asked<B> {
    type Error = Error;
    type Future = LocalBoxFuture<'static, Result<Self, Error>>;

    /// Who asks is decided after the body has come, which may take its time.
    fn from_request(request: &HttpRequest, payload: &mut dev::Payload) -> Self::Future {
        let request = request.clone();
        let payload = Payload::from_request(&request, payload);
        Box::pin(async move {
            let app = Data::extract(&request).await?;
            extract::bearer(&request).map_err(Problem::from)?;
            let fields = Fields::read_as(B::READING, &request, payload.await?).await;
            let admin = Administrator::of(app, request).await.map_err(Problem::from)?;
            let mut fields = fields.map_err(Problem::from)?;
            let body = fields.body();
            Ok(Self { admin, fields, body })
        })
    }
}

/// Succeeds for who may read users: administrators, and clients that may do that in their own name.
pub(super) async fn reader_of_users(
    app: &Issuer,
    request: &HttpRequest,
) -> Result<(), BearerError> {
    caller(app, request, Some(scope::USERS_READ)).await.map(drop)
}

/// Answers with `body`, which only administrators may see: no cache may store it.
pub(super) fn shown(body: &impl Serialize) -> HttpResponse {
    HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(body)
}

/// The administrator that `request` speaks for, with the claims of the token; a client in its own
/// name also by the scope `own`.
async fn caller(
    app: &Issuer,
    request: &HttpRequest,
    own: Option<&'static str>,
) -> Result<(Initiator, Claims), BearerError> {
    // The pattern and not the path, in which anything may stand.
    let route = request.match_pattern().unwrap_or_default();
    let by = extract::caller(request, app);
    let request = AdminRequest {
        token: extract::bearer(request)?,
        own,
        route: &format!("{} {route}", request.method()),
        by: by.clone(),
    };
    let (actor, claims) = app.authentication.administrator(request).await?;
    Ok((by.acting(actor), claims))
}

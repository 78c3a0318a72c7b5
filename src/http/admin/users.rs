//! Users, for administrators: `/admin/users`. Seen here, also by clients with the scope
//! `users:read`; changed in `changes`; the same as `signet users` does. No answer has anything of a
//! password.

pub(crate) mod changes;

use actix_web::HttpRequest;
use actix_web::http::header::EntityTag;
use actix_web::web::{Data, Path};

use crate::app::Issuer;
use crate::domain::roles::check_role;
use crate::domain::users::{Filter, User};
use crate::http::administrator::{reader_of_users, shown};
use crate::http::error::{Answer, Problem};
use crate::http::extract::Query;
use crate::http::paging::{Kind, Page, PageParams};
use crate::http::precondition;
use crate::views::user::ManagedUserView;

/// List users by address
///
/// Goes on where the previous page ended, also if users were added or removed since. Where a role
/// is asked for that few of many users have, a page may have fewer items than asked for, and others
/// follow.
#[utoipa::path(
    get, path = "/admin/users", tag = "Administration: users",
    params(
        PageParams,
        ("email_prefix" = Option<String>, Query,
            description = "What the address begins with, whatever its case"),
        ("role" = Option<String>, Query, description = "A role that they have"),
        ("disabled" = Option<bool>, Query, description = "Whether they are barred from signing in"),
    ),
    responses(
        (status = 200, description = "A page of them", body = Page<ManagedUserView>),
        (status = 400, description = "A bad parameter"),
    ),
    security(
        ("user" = ["signet:admin"]), ("service" = ["signet:admin"]), ("service" = ["users:read"])
    )
)]
pub(crate) async fn list_users(app: Data<Issuer>, request: HttpRequest) -> Answer {
    reader_of_users(&app, &request).await?;
    let mut query = Query::read(&request);
    let (limit, after) = (query.limit(), query.cursor(Kind::Users).unwrap_or_default());
    let filter = Filter {
        email_prefix: query.take("email_prefix"),
        role: query.take("role"),
        disabled: query.flag("disabled"),
    };
    if let Some(Err(problem)) = filter.role.as_deref().map(check_role) {
        query.reject("role", problem);
    }
    query.finish()?;
    let found = app.stores.users.page(&filter, &after, limit).await?;
    let items: Vec<ManagedUserView> = found.users.into_iter().map(Into::into).collect();
    Ok(shown(&Page::up_to(items, Kind::Users, found.next)))
}

/// Read a user
#[utoipa::path(
    get, path = "/admin/users/{id}", tag = "Administration: users",
    responses(
        (status = 200, description = "The user", body = ManagedUserView,
            headers(("ETag" = String, description = "For `If-Match` of a change"))),
        (status = 304, description = "The user whose `ETag` came in `If-None-Match`"),
    ),
    security(
        ("user" = ["signet:admin"]), ("service" = ["signet:admin"]), ("service" = ["users:read"])
    )
)]
pub(crate) async fn read_user(app: Data<Issuer>, request: HttpRequest, id: Path<String>) -> Answer {
    reader_of_users(&app, &request).await?;
    let user = find(&app, &id).await?;
    Ok(precondition::unless_known(&request, etag(&user), ManagedUserView::from(user)))
}

/// The user that a path names.
pub(in crate::http) async fn find(app: &Issuer, id: &str) -> Result<User, Problem> {
    let user = match id.parse() {
        Ok(id) => app.stores.users.find(id).await?,
        Err(_) => None,
    };
    user.ok_or_else(no_user)
}

pub(super) fn no_user() -> Problem {
    Problem::missing("no user has this id")
}

/// The `ETag` of a user: every change that an administrator can see makes another one.
fn etag(user: &User) -> EntityTag {
    EntityTag::new_strong(user.version.to_string())
}

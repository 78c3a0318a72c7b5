//! The proof of an address: `/email/verify`. A mailed token shows that its bearer reads the address's
//! mail, and not that the account behind it is theirs; so it counts only beside something that the
//! account's owner has, or a new password. Invariant: a refused request uses nothing up.

use actix_web::http::header;
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};

use super::email::{CLOSED, NOT_GOOD, check_mail_is_on};
use crate::app::Issuer;
use crate::base::secret::Secret;
use crate::base::time::Timestamp;
use crate::domain::audit::Initiator;
use crate::domain::credentials::Password;
use crate::http::error::{Answer, Problem};
use crate::http::extract::{self, Fields, request_body};
use crate::http::finish::to_the_end;
use crate::http::signed_in;
use crate::services::accounts::{Evidence, Provable, Voucher};

const ALONE: &str = "is missing: the mailed token alone proves nothing. Give the signup_token, the \
                     account's password, a new_password, or the account's bearer token";
const SEVERAL: &str = "is one too many: give only one of signup_token, password and new_password";

request_body! {
    /// A token from a mail, and one of the others beside it.
    pub(crate) struct ProofBody {
        /// The token from the mail.
        #[schema(format = Password)]
        token: Secret<String> as String,
        /// What `POST /signup` answered.
        #[schema(format = Password)]
        signup_token: Secret<String> as Option<String>,
        /// The password of the account, or of the sign-up.
        #[schema(format = Password)]
        password: Password as Option<String>,
        /// A new password, 8 to 256 characters, none of the commonest. It removes the display name, and
        /// ends all sessions and other tokens of the account.
        #[schema(format = Password, min_length = 8, max_length = 256)]
        new_password: Password as Option<String>,
    }
}

/// Prove an address by a token that was mailed to it
///
/// The mailed token counts together with one of `signup_token`, `password` and `new_password`, or the
/// account's bearer token; alone it is 400 and stays valid, since a stranger may have signed up with
/// the address. Where there is a sign-up and no account yet, this creates the account. With a token
/// from `/users/me/email`, the address becomes that of the account; for such a token only the account's
/// bearer token or `password` count. Wrong passwords count as at the login.
#[utoipa::path(
    post, path = "/email/verify", tag = "Account",
    request_body(content = inline(ProofBody)),
    responses(
        (status = 204, description = "The address is proven"),
        (status = 400, description = "The token is not valid, or what is beside it"),
        (status = 404, description = "This service sends no mail"),
        (status = 429, description = "Too many wrong passwords: try again after `Retry-After`"),
    ),
    security((), ("user" = []))
)]
pub(crate) async fn verify(app: Data<Issuer>, request: HttpRequest, payload: Payload) -> Answer {
    check_mail_is_on(&app)?;
    let mut fields = Fields::read(&request, payload).await?;
    let by = extract::caller(&request, &app);
    let ProofBody { token, signup_token, password, new_password } = fields.body();
    let evidence = evidence(&mut fields, signup_token, password, new_password);
    let found = match &token {
        Some(token) => app.accounts.find_provable(token, by.at).await?,
        None => None,
    };
    if token.is_some() && found.is_none() {
        fields.reject("token", NOT_GOOD);
    }
    if matches!(found, Some(Provable::SignUp(..))) && !app.config.signup_enabled {
        fields.reject("token", CLOSED);
    }
    if let (Some(found), false) = (found, fields.has_errors()) {
        let voucher = match evidence {
            Some(evidence) => vouch(&app, &found, evidence, &by).await?,
            None => vouch_signed_in(&app, &found, &request, by.at).await?,
        };
        match voucher {
            Err((field, problem)) => fields.reject(field, problem),
            Ok(voucher) => {
                let prove = async move {
                    let attempts = &app.login_limits;
                    app.accounts.prove(found, voucher, attempts, &by).await
                };
                // The token was used, or the account has changed, concurrently.
                if !to_the_end(prove).await? {
                    fields.reject("token", NOT_GOOD);
                }
            }
        }
    }
    fields.finish()?;
    Ok(HttpResponse::NoContent().finish())
}

/// The evidence of the body; `None` where it gives none, or more than one, which is an error.
fn evidence(
    fields: &mut Fields,
    signup_token: Option<Secret<String>>,
    password: Option<Password>,
    new_password: Option<Password>,
) -> Option<Evidence> {
    let given = [
        ("signup_token", signup_token.map(Evidence::SignupToken)),
        ("password", password.map(Evidence::Password)),
        ("new_password", new_password.map(Evidence::NewPassword)),
    ];
    let mut given = given.into_iter().filter_map(|(name, given)| Some((name, given?)));
    let (_, first) = given.next()?;
    for (name, _) in given {
        fields.reject(name, SEVERAL);
    }
    Some(first)
}

/// What a checked evidence is worth, or the field that is wrong and why.
type Vouched = Result<Result<Voucher, (&'static str, &'static str)>, Problem>;

/// Checks that the caller is signed in to the account that `found` is of.
async fn vouch_signed_in(
    app: &Issuer,
    found: &Provable,
    request: &HttpRequest,
    now: Timestamp,
) -> Vouched {
    if !request.headers().contains_key(header::AUTHORIZATION) {
        return Ok(Err(("signup_token", ALONE)));
    }
    let (user, _) = signed_in::user(app, request, now).await?;
    match found.user() {
        Some(owner) if owner.id == user.id => Ok(Ok(Voucher::Owner)),
        _ => Ok(Err(("token", "was not mailed for the account that is signed in"))),
    }
}

async fn vouch(
    app: &Data<Issuer>,
    found: &Provable,
    evidence: Evidence,
    by: &Initiator,
) -> Vouched {
    let hashes = matches!(evidence, Evidence::NewPassword(_));
    let (app, found, by) = (app.clone(), found.clone(), by.clone());
    let vouch = async move { app.self_service.vouch(&found, evidence, &by).await };
    // An attempt at a password is settled even when the client hangs up.
    Ok(if hashes { vouch.await } else { to_the_end(vouch).await }?)
}

//! What administrators do to the signing keys. Each change runs to its end even if its caller hangs up.

use actix_web::http::header;
use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use utoipa::ToSchema;

use crate::app::Issuer;
use crate::base::time::Timestamp;
use crate::domain::audit::{Actor, Initiator};
use crate::domain::keys::Algorithm;
use crate::domain::keys::algorithm::UnknownAlgorithm;
use crate::http::admin;
use crate::http::administrator::{administrator, asked, shown};
use crate::http::error::Problem;
use crate::http::extract::{self, Fields};
use crate::http::openapi::Span;
use crate::http::signed_in::is_present_password;
use crate::services::authentication::BearerError;
use crate::services::key_management::{Activation, Grounds, Import, Revoke};
use crate::views::key::{ImportView, KeyView, RewrapView, RotationView};
use crate::views::key_revocation::RevocationView;

/// A PEM of 32 KiB with its line ends escaped, and everything else.
const MAX_IMPORT_BYTES: usize = 64 * 1024;

/// What a rotation may say; nothing is needed.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes the body for the documentation")]
#[schema(example = json!({ "activate_in": "1h" }))]
pub(crate) struct RotateBody {
    /// When the next key starts to sign; `keys.publish_ahead` if absent.
    activate_in: Option<Span>,
    /// Which keys, where more than one algorithm is in use.
    algorithm: Option<String>,
    /// Also sooner than verifiers can follow.
    force: Option<bool>,
    /// Why; needed where it is forced, and kept in the audit trail.
    #[schema(min_length = 1, max_length = 500)]
    reason: Option<String>,
}

/// Let the next key take over
///
/// It is published already; a further one is made.
#[utoipa::path(
    post, path = "/admin/keys/rotate", tag = "Administration: keys",
    operation_id = "rotate_keys",
    request_body(content = inline(Option<RotateBody>)),
    responses(
        (status = 200, description = "What is planned", body = RotationView, example = json!({
            "kid": "n6Cs5bHRM0bMUy_Bq0pZDbV0V6yQXkMyxm2nZcHd7aE",
            "activates_at": "2026-01-31T10:30:00Z",
            "old_retires_at": "2026-01-31T10:41:00Z",
        })),
        (status = 400, description = "Bad fields, or sooner than verifiers can follow"),
        (status = 409, description = "A rotation is under way"),
    ),
    security(("user" = ["signet:admin"]), ("service" = ["signet:admin"]))
)]
pub(crate) async fn rotate(
    app: Data<Issuer>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    let fields = Fields::read_if_any(&request, payload);
    let (actor, mut fields, now) = asked(&app, &request, fields).await?;
    let (activation, algorithm) = (activation(&mut fields), algorithm(&mut fields));
    fields.finish()?;
    let rotate = async move |app: &Issuer, by: &Initiator| {
        app.key_management.rotate(algorithm, &activation, by, now).await
    };
    let handover = admin::change(&app, &request, actor, rotate).await?;
    Ok(shown(&RotationView::from(handover)))
}

/// Why a key is retired.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes the body for the documentation")]
#[schema(example = json!({ "force": true, "reason": "moved to an HSM" }))]
pub(crate) struct RetireBody {
    /// Also while its tokens can be alive.
    force: Option<bool>,
    /// Why; needed where it is forced, and kept in the audit trail.
    #[schema(min_length = 1, max_length = 500)]
    reason: Option<String>,
}

/// Take a key out of JWKS that is not needed
#[utoipa::path(
    post, path = "/admin/keys/{kid}/retire", tag = "Administration: keys",
    operation_id = "retire_key",
    params(("kid" = String, Path, description = "The key's name")),
    request_body(content = inline(Option<RetireBody>)),
    responses(
        (status = 200, description = "The key as it is now", body = KeyView),
        (status = 404, description = "No signing key has this `kid`"),
        (status = 409, description = "It signs, its tokens can be alive, or it is retired already"),
    ),
    security(("user" = ["signet:admin"]), ("service" = ["signet:admin"]))
)]
pub(crate) async fn retire(
    app: Data<Issuer>,
    request: HttpRequest,
    kid: Path<String>,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    let fields = Fields::read_if_any(&request, payload);
    let (actor, mut fields, now) = asked(&app, &request, fields).await?;
    let grounds = grounds(&mut fields);
    fields.finish()?;
    let retire = async move |app: &Issuer, by: &Initiator| {
        app.key_management.retire(&kid, &grounds, by, now).await
    };
    Ok(shown(&KeyView::from(admin::change(&app, &request, actor, retire).await?)))
}

/// Why a key is revoked, and when a new one takes over.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes the body for the documentation")]
#[schema(example = json!({ "reason": "the backup of 30 January was stolen" }))]
pub(crate) struct RevokeBody {
    /// Kept in the audit trail.
    #[schema(min_length = 1, max_length = 500)]
    reason: String,
    /// How long the new key is published before it takes over, at most 90 days; if absent, the longer
    /// of `keys.jwks_max_age` and 15 minutes, and 30 seconds more. With `0s` it signs immediately, and
    /// clients that do not fetch keys so soon refuse its tokens for minutes.
    handover_in: Option<Span>,
}

/// Take a compromised key out of JWKS immediately
///
/// The spare signs from now on. Tokens of the revoked key are dead, which may be the one that made
/// this request. Many verifiers drop a key only when a `kid` that they do not know makes them fetch
/// JWKS, so a new key is published, and takes over after `handover_in`.
#[utoipa::path(
    post, path = "/admin/keys/{kid}/revoke", tag = "Administration: keys",
    operation_id = "revoke_key",
    params(("kid" = String, Path, description = "The key's name")),
    request_body(content = inline(RevokeBody)),
    responses(
        (status = 200, description = "What it means for verifiers",
            body = RevocationView, example = json!({
            "kid": "n6Cs5bHRM0bMUy_Bq0pZDbV0V6yQXkMyxm2nZcHd7aE",
            "only_verified": false,
            "tokens_issued_from": "2026-01-01T09:30:00Z",
            "tokens_issued_until": "2026-01-31T09:30:00Z",
            "active_kid": "Zp1g7dVtQwYb4mHk0cN8sT3xRj5uEoLfA9iGv2nWqK6",
            "active_published_at": "2026-01-01T09:30:00Z",
            "active_in_all_caches_at": "2026-01-01T09:40:05Z",
            "handover_kid": "Bw0fU2mXh7sKcQ9dVt3yJrLgN5pZaE1oTiC8xM4vRkS",
            "handover_at": "2026-01-31T09:45:31Z",
            "verifiers": [{
                "clients": "go-oidc 3, zitadel/oidc",
                "until": "2026-01-31T09:45:31Z",
                "seconds": 931,
                "needs_new_token": true,
            }],
        })),
        (status = 400, description = "No reason, or a `handover_in` of more than 90 days"),
        (status = 404, description = "No key has this name."),
        (status = 409, description = "It is retired already"),
    ),
    security(("user" = ["signet:admin"]), ("service" = ["signet:admin"]))
)]
pub(crate) async fn revoke(
    app: Data<Issuer>,
    request: HttpRequest,
    kid: Path<String>,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    let fields = Fields::read(&request, payload);
    let (actor, mut fields, now) = asked(&app, &request, fields).await?;
    let reason = fields.required("reason").unwrap_or_default();
    let revoke = Revoke { reason, handover_in: fields.duration("handover_in") };
    fields.finish()?;
    let revoke = async move |app: &Issuer, by: &Initiator| {
        app.key_management.revoke(&kid, &revoke, by, now).await
    };
    let revocation = admin::change(&app, &request, actor, revoke).await?;
    Ok(shown(&RevocationView::new(revocation, app.keys.policy())))
}

/// A key that was made elsewhere.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes the body for the documentation")]
#[schema(example = json!({
    "pem": "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIF…\n-----END ENCRYPTED PRIVATE KEY-----\n",
    "passphrase": "…",
    "kid": "2024-11",
    "activate_in": "24h",
}))]
pub(crate) struct ImportBody {
    /// An RSA key: PKCS#1, PKCS#8 or encrypted PKCS#8; or a public key, which then only verifies.
    #[schema(format = Password, max_length = 32768)]
    pem: String,
    /// Opens an encrypted one.
    #[schema(format = Password)]
    passphrase: Option<String>,
    /// RS256 or PS256.
    algorithm: Option<String>,
    /// The name that its tokens carry already; its RFC 7638 thumbprint if absent.
    #[schema(min_length = 1, max_length = 128, pattern = "^[!-~]+$")]
    kid: Option<String>,
    /// When it starts to sign; `keys.publish_ahead` if absent.
    activate_in: Option<Span>,
    /// How long a public key stays published; as long as a token can live if absent.
    verify_for: Option<Span>,
    /// The administrator's own password; needed for a public key.
    #[schema(format = Password)]
    current_password: Option<String>,
    /// Also sooner than verifiers can follow.
    force: Option<bool>,
    /// Why; needed where it is forced, and kept in the audit trail.
    #[schema(min_length = 1, max_length = 500)]
    reason: Option<String>,
}

/// Bring in an RSA key from elsewhere
///
/// A public key only verifies: tokens of an issuer whose place Signet takes. Whoever holds its other
/// half signs what resource servers accept, so it needs `current_password`, and no client can do it in
/// its own name.
#[utoipa::path(
    post, path = "/admin/keys/import", tag = "Administration: keys",
    operation_id = "import_key",
    request_body(content = inline(ImportBody)),
    responses(
        (status = 201, description = "The key is there", body = ImportView,
            headers(("Location" = String)), example = json!({
            "kid": "2024-11",
            "activates_at": "2026-02-01T09:30:00Z",
            "retires_at": null,
        })),
        (status = 400, description = "Bad fields, or a key that is weak or cannot be read"),
        (status = 403, description = "The token does not administer Signet, or is a client's own and \
            the key only verifies"),
        (status = 409, description = "A key of this name is there already"),
        (status = 429, description = "Too many wrong passwords: try again after `Retry-After`"),
    ),
    security(("user" = ["signet:admin"]), ("service" = ["signet:admin"]))
)]
pub(crate) async fn import(
    app: Data<Issuer>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Problem> {
    let fields = Fields::read_up_to(MAX_IMPORT_BYTES, &request, payload);
    let (actor, mut fields, now) = asked(&app, &request, fields).await?;
    let import = Import {
        pem: fields.required_secret("pem").unwrap_or_default(),
        passphrase: fields.secret("passphrase"),
        algorithm: algorithm(&mut fields),
        kid: fields.optional("kid"),
        activation: activation(&mut fields),
        verify_for: fields.duration("verify_for"),
    };
    if import.only_verifies() {
        check_present_password(&app, &request, &actor, &mut fields, now).await?;
    }
    fields.finish()?;
    let import =
        async move |app: &Issuer, by: &Initiator| app.key_management.import(import, by, now).await;
    let view = ImportView::from(admin::change(&app, &request, actor, import).await?);
    let location = format!(
        "{}{}",
        request.path().trim_end_matches("import"),
        utf8_percent_encode(&view.kid, ESCAPED)
    );
    Ok(HttpResponse::Created()
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::LOCATION, location))
        .json(view))
}

/// Notes in `fields` that `current_password` is missing or wrong. Whoever has found an administrator's
/// token must not be able to sign in Signet's name for as long as the key stays.
async fn check_present_password(
    app: &Data<Issuer>,
    request: &HttpRequest,
    actor: &Actor,
    fields: &mut Fields,
    now: Timestamp,
) -> Result<(), Problem> {
    let Actor::User(id) = actor else { return Err(BearerError::NotAPerson.into()) };
    let password = fields.password("current_password");
    // A hash is dear: only where nothing else is wrong.
    let Some(password) = password.filter(|_| !fields.has_errors()) else { return Ok(()) };
    let user = app.stores.users.find(*id).await?.ok_or(BearerError::Invalid)?;
    let origin = extract::origin(request, app);
    if !is_present_password(app, &user, password, &origin, now).await? {
        fields.reject("current_password", "is not the present password");
    }
    Ok(())
}

/// All but what RFC 3986 section 2.3 calls unreserved.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Seal all private keys under the newest key-encryption key
#[utoipa::path(
    post, path = "/admin/keys/rewrap", tag = "Administration: keys",
    operation_id = "rewrap_keys",
    responses(
        (status = 200, description = "What was done", body = RewrapView, example = json!({
            "sealed_under": "3f9d0c1e", "rewrapped": 3, "no_longer_needed": ["a04b77d2"],
        })),
    ),
    security(("user" = ["signet:admin"]), ("service" = ["signet:admin"]))
)]
pub(crate) async fn rewrap(
    app: Data<Issuer>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let now = app.clock.now();
    let actor = administrator(&app, &request, now).await?;
    let rewrap = async move |app: &Issuer, by: &Initiator| app.key_management.rewrap(by, now).await;
    Ok(shown(&RewrapView::from(admin::change(&app, &request, actor, rewrap).await?)))
}

fn activation(fields: &mut Fields) -> Activation {
    Activation { after: fields.duration("activate_in"), grounds: grounds(fields) }
}

/// The use case checks that a forced step has a reason.
fn grounds(fields: &mut Fields) -> Grounds {
    Grounds { forced: fields.flag("force"), reason: fields.optional("reason") }
}

fn algorithm(fields: &mut Fields) -> Option<Algorithm> {
    let name = fields.optional("algorithm")?;
    let algorithm: Result<_, UnknownAlgorithm> = name.parse();
    algorithm.map_err(|unknown| fields.reject("algorithm", unknown.to_string())).ok()
}

//! What administrators do to the signing keys. Each change runs to its end even if its caller hangs up.

use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::header;
use actix_web::web::Path;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::base::secret::Secret;
use crate::domain::audit::Actor;
use crate::domain::credentials::Password;
use crate::domain::keys::Algorithm;
use crate::domain::keys::algorithm::UnknownAlgorithm;
use crate::http::administrator::{Administrator, Asked, shown};
use crate::http::error::{Answer, Problem};
use crate::http::extract::{Fields, Member, Reading, request_body};
use crate::http::openapi::Span;
use crate::http::signed_in::is_present_password;
use crate::services::authentication::BearerError;
use crate::services::key_management::{Activation, Grounds, Import};
use crate::views::key::{ImportView, KeyView, RewrapView, RotationView};
use crate::views::key_revocation::RevocationView;

/// A PEM of 32 KiB with its line ends escaped, and everything else.
const MAX_IMPORT_BYTES: usize = 64 * 1024;

request_body! {
    /// What a rotation may say; nothing is needed.
    #[schema(example = json!({ "activate_in": "1h" }))]
    pub(crate) struct RotateBody (Reading::JSON.if_any()) {
        /// When the next key starts to sign; `keys.publish_ahead` if absent.
        activate_in: Duration as Option<Span>,
        /// Which keys, where more than one algorithm is in use.
        algorithm: Algorithm as Option<String>,
        /// Also sooner than verifiers can follow.
        force: Option<bool> as Option<bool>,
        /// Why; needed where it is forced, and kept in the audit trail.
        #[schema(min_length = 1, max_length = 500)]
        reason: String as Option<String>,
    }
}

/// Let the next key take over
///
/// It is published already; a further one is made.
#[utoipa::path(
    post, path = "/admin/keys/rotate", tag = "Administration: keys",
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
)]
pub(crate) async fn rotate_keys(asked: Asked<RotateBody>) -> Answer {
    let Asked { admin, fields, body } = asked;
    fields.finish()?;
    let grounds = grounds(body.force, body.reason);
    let activation = Activation { after: body.activate_in, grounds };
    let rotate = admin.change(async move |app, by| {
        app.key_management.rotate(body.algorithm, &activation, by).await
    });
    Ok(shown(&RotationView::from(rotate.await?)))
}

request_body! {
    /// Why a key is retired.
    #[schema(example = json!({ "force": true, "reason": "moved to an HSM" }))]
    pub(crate) struct RetireBody (Reading::JSON.if_any()) {
        /// Also while its tokens can be alive.
        force: Option<bool> as Option<bool>,
        /// Why; needed where it is forced, and kept in the audit trail.
        #[schema(min_length = 1, max_length = 500)]
        reason: String as Option<String>,
    }
}

/// Take a key out of JWKS that is not needed
#[utoipa::path(
    post, path = "/admin/keys/{kid}/retire", tag = "Administration: keys",
    request_body(content = inline(Option<RetireBody>)),
    responses(
        (status = 200, description = "The key as it is now", body = KeyView),
        (status = 409, description = "It signs, its tokens can be alive, or it is retired already"),
    ),
)]
pub(crate) async fn retire_key(asked: Asked<RetireBody>, kid: Path<String>) -> Answer {
    let Asked { admin, fields, body } = asked;
    fields.finish()?;
    let grounds = grounds(body.force, body.reason);
    let retire =
        admin.change(async move |app, by| app.key_management.retire(&kid, &grounds, by).await);
    Ok(shown(&KeyView::from(retire.await?)))
}

request_body! {
    /// Why a key is revoked, and when a new one takes over.
    #[schema(example = json!({ "reason": "the backup of 30 January was stolen" }))]
    pub(crate) struct RevokeBody {
        /// Kept in the audit trail.
        #[schema(min_length = 1, max_length = 500)]
        reason: String as String,
        /// How long the new key is published before it takes over, at most 90 days; if absent, the longer
        /// of `keys.jwks_max_age` and 15 minutes, and 30 seconds more. With `0s` it signs immediately, and
        /// clients that do not fetch keys so soon refuse its tokens for minutes.
        handover_in: Duration as Option<Span>,
    }
}

/// Take a compromised key out of JWKS immediately
///
/// The spare signs from now on. Tokens of the revoked key are dead, which may be the one that made
/// this request. Many verifiers drop a key only when a `kid` that they do not know makes them fetch
/// JWKS, so a new key is published, and takes over after `handover_in`.
#[utoipa::path(
    post, path = "/admin/keys/{kid}/revoke", tag = "Administration: keys",
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
)]
pub(crate) async fn revoke_key(asked: Asked<RevokeBody>, kid: Path<String>) -> Answer {
    let Asked { admin, fields, body } = asked;
    let reason = fields.finish_with(body.reason)?;
    let revoke = admin.change(async move |app, by| {
        app.key_management.revoke(&kid, &reason, body.handover_in, by).await
    });
    Ok(shown(&RevocationView::new(revoke.await?, admin.app.keys.policy())))
}

request_body! {
    /// A key that was made elsewhere.
    #[schema(example = json!({
        "pem": "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIF…\n-----END ENCRYPTED PRIVATE KEY-----\n",
        "passphrase": "…",
        "kid": "2024-11",
        "activate_in": "24h",
    }))]
    pub(crate) struct ImportBody (Reading::JSON.up_to(MAX_IMPORT_BYTES)) {
        /// An RSA key: PKCS#1, PKCS#8 or encrypted PKCS#8; or a public key, which then only verifies.
        #[schema(format = Password, max_length = 32768)]
        pem: Secret<String> as String,
        /// Opens an encrypted one.
        #[schema(format = Password)]
        passphrase: Secret<String> as Option<String>,
        /// RS256 or PS256.
        algorithm: Algorithm as Option<String>,
        /// The name that its tokens carry already; its RFC 7638 thumbprint if absent.
        #[schema(min_length = 1, max_length = 128, pattern = "^[!-~]+$")]
        kid: String as Option<String>,
        /// When it starts to sign; `keys.publish_ahead` if absent.
        activate_in: Duration as Option<Span>,
        /// How long a public key stays published; as long as a token can live if absent.
        verify_for: Duration as Option<Span>,
        /// The administrator's own password; needed for a public key.
        #[schema(format = Password)]
        current_password: Password as Option<String>,
        /// Also sooner than verifiers can follow.
        force: Option<bool> as Option<bool>,
        /// Why; needed where it is forced, and kept in the audit trail.
        #[schema(min_length = 1, max_length = 500)]
        reason: String as Option<String>,
    }
}

/// Bring in an RSA key from elsewhere
///
/// A public key only verifies: tokens of an issuer whose place Signet takes. Whoever holds its other
/// half signs what resource servers accept, so it needs `current_password`, and no client can do it in
/// its own name.
#[utoipa::path(
    post, path = "/admin/keys/import", tag = "Administration: keys",
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
)]
pub(crate) async fn import_key(asked: Asked<ImportBody>) -> Answer {
    let Asked { admin, mut fields, body } = asked;
    let grounds = grounds(body.force, body.reason);
    let import = Import {
        pem: body.pem.unwrap_or_default(),
        passphrase: body.passphrase,
        algorithm: body.algorithm,
        kid: body.kid,
        activation: Activation { after: body.activate_in, grounds },
        verify_for: body.verify_for,
    };
    if import.only_verifies() {
        check_present_password(&admin, body.current_password, &mut fields).await?;
    }
    fields.finish()?;
    let import = admin.change(async move |app, by| app.key_management.import(import, by).await);
    let view = ImportView::from(import.await?);
    let keys = admin.request.path().trim_end_matches("import");
    let location = format!("{keys}{}", utf8_percent_encode(&view.kid, ESCAPED));
    Ok(HttpResponse::Created()
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::LOCATION, location))
        .json(view))
}

/// Notes in `fields` that `current_password` is missing or wrong. Whoever has found an administrator's
/// token must not be able to sign in Signet's name for as long as the key stays.
async fn check_present_password(
    admin: &Administrator,
    password: Option<Password>,
    fields: &mut Fields,
) -> Result<(), Problem> {
    const NAME: &str = "current_password";
    let Actor::User(id) = admin.by.actor else { return Err(BearerError::NotAPerson.into()) };
    if password.is_none() {
        fields.require(NAME);
    }
    // A hash is dear: only where nothing else is wrong.
    let Some(password) = password.filter(|_| !fields.has_errors()) else { return Ok(()) };
    let Administrator { app, by, .. } = admin;
    let user = app.stores.users.find(id).await?.ok_or(BearerError::Invalid)?;
    if !is_present_password(app, &user, password, by).await? {
        fields.reject(NAME, "is not the present password");
    }
    Ok(())
}

/// All but what RFC 3986 section 2.3 calls unreserved.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Seal all private keys under the newest key-encryption key
#[utoipa::path(
    post, path = "/admin/keys/rewrap", tag = "Administration: keys",
    responses(
        (status = 200, description = "What was done", body = RewrapView, example = json!({
            "sealed_under": "3f9d0c1e", "rewrapped": 3, "no_longer_needed": ["a04b77d2"],
        })),
    ),
)]
pub(crate) async fn rewrap_keys(admin: Administrator) -> Answer {
    let rewrap = admin.change(async move |app, by| app.key_management.rewrap(by).await);
    Ok(shown(&RewrapView::from(rewrap.await?)))
}

/// The use case checks that a forced step has a reason.
fn grounds(force: Option<Option<bool>>, reason: Option<String>) -> Grounds {
    Grounds { forced: force.flatten().unwrap_or_default(), reason }
}

impl Member for Algorithm {
    fn read(fields: &mut Fields, name: &'static str) -> Option<Self> {
        let algorithm = String::read(fields, name)?.parse();
        algorithm.map_err(|unknown: UnknownAlgorithm| fields.reject(name, unknown.to_string())).ok()
    }
}

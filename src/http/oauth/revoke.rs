//! `POST /oauth2/revoke` (RFC 7009).

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};

use crate::app::Issuer;
use crate::base::secret::Secret;
use crate::domain::clients::Credentials;
use crate::http::error::OAuthError;
use crate::http::extract::{self, read_form, request_body};
use crate::http::finish::to_the_end;

request_body! {
    /// The form of revocation and introspection.
    pub(crate) struct TokenQuestion {
        /// The access or refresh token.
        pub(super) token: String as String,
        /// `access_token` or `refresh_token`; not needed.
        #[allow(dead_code, reason = "every kind of token is found without the hint")]
        token_type_hint: String as Option<String>,
        /// The client, unless it authenticates by the header.
        pub(super) client_id: String as Option<String>,
        /// The secret of a confidential client, unless it authenticates by the header.
        #[schema(format = Password)]
        pub(super) client_secret: Secret<String> as Option<String>,
    }
}

impl TokenQuestion {
    /// The credentials in the header of `request` or in the form.
    pub(super) fn credentials(
        &self,
        request: &HttpRequest,
    ) -> Result<Option<Credentials>, OAuthError> {
        let (id, secret) = (self.client_id.as_deref(), self.client_secret.as_ref());
        extract::credentials(request, id, secret)
    }
}

/// Revoke a token
///
/// Revoking a refresh token ends its session; revoking an access token ends that token alone. The
/// eleventh access token of one session ends the session; the eleventh of a client's own tokens ends
/// all tokens that the client was issued so far. Beyond a hundred revoked tokens of one user that have
/// not expired, the next one ends all tokens that the user was issued up to it; the sessions continue.
/// A token of another issuer, whose key is published here to verify, ends alone, whatever users and
/// sessions it names.
#[utoipa::path(
    post, path = "/oauth2/revoke", tag = "OAuth 2.0",
    request_body(
        content = inline(TokenQuestion), content_type = "application/x-www-form-urlencoded"
    ),
    responses(
        (status = 200, description = "The token is not valid any more, or never was"),
        (status = 400, description = "RFC 6749 section 5.2, or another issuer's token whose `jti` or \
            `sub` is too long for the revocation feed"),
        (status = 429, description = "Too many revocations of one session, of one client's own \
            tokens, or of tokens of another issuer's key: try again after `Retry-After`"),
    ),
    security(("client" = []))
)]
pub(crate) async fn revoke(
    app: Data<Issuer>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, OAuthError> {
    let form: TokenQuestion = read_form(&request, payload).await?;
    let by = extract::caller(&request, &app);
    let (token, credentials) = (form.token.clone(), form.credentials(&request));
    let (token, credentials) = (extract::required("token", token)?, credentials?);
    let revoke = async move { app.authorization_server.revoke(credentials, &token, &by).await };
    to_the_end(revoke).await?;
    Ok(HttpResponse::Ok().insert_header(("Cache-Control", "no-store")).finish())
}

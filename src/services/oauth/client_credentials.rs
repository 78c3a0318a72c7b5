//! The client credentials grant (RFC 6749 section 4.4): a client in its own name.

use super::{AuthorizationServer, TokenError, TokenResponse, Wish, target};
use crate::domain::audit::Initiator;
use crate::domain::clients::{Credentials, GrantType};

impl AuthorizationServer {
    /// A token for the client itself; no refresh token (section 4.4.3).
    pub(crate) async fn client_credentials(
        &self,
        credentials: Option<Credentials>,
        wish: Wish,
        by: &Initiator,
    ) -> Result<TokenResponse, TokenError> {
        let credentials = super::required(credentials)?;
        let client = self.client(&credentials, by).await?;
        super::check_grant(&client, GrantType::ClientCredentials)?;
        let scope = super::scope::grant_scope(&client.scope, None, None, wish.scope.as_ref())?;
        let resources = target::of_grant(&client, &wish, self.access_tokens.policy())?;
        let access = self.sign(&client, &scope, &resources, None, by.at).await?;
        self.metrics.count_token(GrantType::ClientCredentials.as_str());
        Ok(TokenResponse { access, scope, refresh_token: None })
    }
}

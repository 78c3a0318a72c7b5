//! The client credentials grant (RFC 6749 section 4.4): a client in its own name.

use super::{AuthorizationServer, TokenError, TokenResponse, Wish};
use crate::base::time::Timestamp;
use crate::domain::clients::{Client, GrantType};
use crate::domain::tokens::Grant;

impl AuthorizationServer {
    /// A token for `client` itself; no refresh token (section 4.4.3).
    pub async fn client_credentials(
        &self,
        client: &Client,
        wish: Wish,
        now: Timestamp,
    ) -> Result<TokenResponse, TokenError> {
        super::check_grant(client, GrantType::ClientCredentials)?;
        let scope = super::scope::grant_scope(&client.scope, None, None, wish.scope.as_ref())?;
        let resources = super::target::of_grant(client, &wish, self.access_tokens.policy())?;
        let grant = Grant {
            sub: client.client_id.clone(),
            client_id: &client.client_id,
            scope: scope.to_string(),
            resources: &resources,
            lifetime: client.access_token_lifetime,
            session: None,
        };
        let access = self.access_tokens.issue(grant, &self.random, now).await?;
        Ok(TokenResponse {
            access_token: access.token,
            expires_in: access.expires_in,
            scope,
            refresh_token: None,
            healed: false,
        })
    }
}

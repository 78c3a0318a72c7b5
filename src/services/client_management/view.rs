//! A client as it is shown to operators: all but its secrets, of which only the times are told.

use serde::Serialize;

use crate::domain::clients::{Client, ClientType};

/// A client without anything secret. Times are RFC 3339.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct ClientView {
    /// Its public name.
    pub client_id: String,
    /// A name for people.
    pub name: Option<String>,
    /// public or confidential.
    #[serde(rename = "type")]
    #[schema(value_type = String)]
    pub client_type: ClientType,
    /// What it may use at the token endpoint.
    #[schema(value_type = Vec<String>)]
    pub grants: Vec<&'static str>,
    /// What it may ask for.
    pub scopes: Vec<String>,
    /// The resources that it may name (RFC 8707).
    pub audiences: Vec<String>,
    /// Seconds that its access tokens live, where that differs from the configured time.
    pub access_token_lifetime: Option<u64>,
    /// Members of the user's metadata that go into its tokens.
    pub claims: Vec<String>,
    /// Whether it may not get tokens.
    pub disabled: bool,
    /// Its secrets, those that are over included.
    pub secrets: Vec<SecretView>,
    /// When it was registered.
    pub created_at: String,
}

/// When a secret is good.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct SecretView {
    /// When it was made.
    pub created_at: String,
    /// When it ends, once it has a successor.
    pub expires_at: Option<String>,
}

impl From<&Client> for ClientView {
    fn from(client: &Client) -> Self {
        let secret = |secret: &crate::domain::clients::ClientSecret| SecretView {
            created_at: secret.created_at.to_string(),
            expires_at: secret.expires_at.map(|at| at.to_string()),
        };
        Self {
            client_id: client.client_id.clone(),
            name: client.name.clone(),
            client_type: client.client_type,
            grants: client.grant_types.iter().map(|grant| grant.as_str()).collect(),
            scopes: client.scope.words().to_vec(),
            audiences: client.audiences.clone(),
            access_token_lifetime: client.access_token_lifetime.map(|l| l.as_secs()),
            claims: client.claims.clone(),
            disabled: client.disabled_at.is_some(),
            secrets: client.secrets.iter().map(secret).collect(),
            created_at: client.created_at.to_string(),
        }
    }
}

impl From<Client> for ClientView {
    fn from(client: Client) -> Self {
        Self::from(&client)
    }
}

//! A client as it is shown to administrators: everything but the text of its secrets, of which only
//! the times are shown.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::cell::{cell, words};
use crate::base::secret::Secret;
use crate::domain::clients::{Client, ClientSecret, ClientType};

/// A client without anything secret. Times are RFC 3339.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct ClientView {
    /// Its public name.
    pub client_id: String,
    /// A name for people.
    pub name: Option<String>,
    /// public or confidential.
    #[serde(rename = "type")]
    #[schema(value_type = String)]
    pub client_type: ClientType,
    /// The grants that it may use at the token endpoint.
    #[schema(value_type = Vec<String>)]
    pub grants: Vec<&'static str>,
    /// The scopes that it may request.
    pub scopes: Vec<String>,
    /// The resources that it may name (RFC 8707).
    pub audiences: Vec<String>,
    /// The lifetime of its access tokens in seconds, if the client has one of its own.
    pub access_token_lifetime: Option<u64>,
    /// Members of the user's metadata that go into its tokens.
    pub claims: Vec<String>,
    /// Whether the client is disabled, so that it gets no tokens.
    pub disabled: bool,
    /// Its secrets, expired ones included.
    pub secrets: Vec<SecretView>,
    /// When it was registered.
    pub created_at: String,
}

/// The times between which a secret is valid.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct SecretView {
    /// When it was made.
    pub created_at: String,
    /// When it expires, if a newer secret has replaced it.
    pub expires_at: Option<String>,
}

/// A client, with the secret that was just made for it.
#[derive(Serialize, ToSchema)]
#[schema(as = ClientWithSecretBody)]
pub(crate) struct ClientWithSecretView {
    #[serde(flatten)]
    client: ClientView,
    /// The new secret, which no other answer shows; absent for a public client.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    client_secret: Option<String>,
}

impl ClientWithSecretView {
    /// Combines `client` with its new secret, if it has one.
    pub(crate) fn new(client: &Client, secret: Option<&Secret<String>>) -> Self {
        let client_secret = secret.map(|secret| secret.expose().clone());
        Self { client: client.into(), client_secret }
    }
}

impl From<&Client> for ClientView {
    fn from(client: &Client) -> Self {
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
            secrets: client.secrets.iter().map(SecretView::from).collect(),
            created_at: client.created_at.to_string(),
        }
    }
}

impl From<Client> for ClientView {
    fn from(client: Client) -> Self {
        Self::from(&client)
    }
}

impl From<&ClientSecret> for SecretView {
    fn from(secret: &ClientSecret) -> Self {
        Self {
            created_at: secret.created_at.to_string(),
            expires_at: secret.expires_at.map(|at| at.to_string()),
        }
    }
}

impl ClientView {
    pub(crate) const COLUMNS: [&str; 7] =
        ["client_id", "type", "grants", "scope", "secrets", "claims", "name"];

    pub(crate) fn row(&self) -> [String; 7] {
        [
            self.client_id.clone(),
            self.client_type.as_str().to_owned(),
            self.grants.join(","),
            cell(Some(self.scopes.join(" ")).filter(|scope| !scope.is_empty())),
            self.secrets.len().to_string(),
            words(&self.claims),
            cell(self.name.as_ref()),
        ]
    }

    /// The name and the value of everything that is shown of this client.
    pub(crate) fn fields(self) -> [(&'static str, String); 11] {
        let secret = |secret: &SecretView| match &secret.expires_at {
            Some(at) => format!("made {}, ends {at}", secret.created_at),
            None => format!("made {}", secret.created_at),
        };
        let secrets: Vec<_> = self.secrets.iter().map(secret).collect();
        let lifetime = self.access_token_lifetime.map(|seconds| format!("{seconds}s"));
        [
            ("client_id", self.client_id),
            ("type", self.client_type.as_str().to_owned()),
            ("name", cell(self.name)),
            ("grants", words(&self.grants)),
            ("scopes", words(&self.scopes)),
            ("audiences", words(&self.audiences)),
            ("claims", words(&self.claims)),
            ("lifetime", cell(lifetime)),
            ("state", if self.disabled { "disabled" } else { "active" }.to_owned()),
            ("secrets", cell(Some(secrets.join("; ")).filter(|secrets| !secrets.is_empty()))),
            ("created", self.created_at),
        ]
    }
}

/// The JSON of `client` that `signet clients` prints in a list of clients or with a new secret. It
/// differs from [`ClientView`]: `scope` has the scopes, separated by spaces, and `secrets` is the
/// number of secrets.
pub(crate) fn listed(
    client: &Client,
    secret: Option<&Secret<String>>,
) -> serde_json::Result<Value> {
    let mut listed = serde_json::to_value(ClientWithSecretView::new(client, secret))?;
    if let Some(members) = listed.as_object_mut() {
        members.remove("scopes");
        members.insert("scope".into(), client.scope.to_string().into());
        members.insert("secrets".into(), client.secrets.len().into());
    }
    Ok(listed)
}

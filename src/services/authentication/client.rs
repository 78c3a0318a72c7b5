//! Client authentication (RFC 6749 section 2.3).

use std::sync::Arc;

use super::Authentication;
use crate::base::time::Timestamp;
use crate::domain::audit::{Event, Initiator, Kind, Origin};
use crate::domain::clients::registry::AuthenticationError;
use crate::domain::clients::{Client, Credentials, Method};
use crate::storage::StorageError;

/// The characters of a client id from an unknown caller that the audit trail keeps.
const MAX_CLIENT_ID: usize = 100;

/// Why a client is not authenticated.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The client is unknown or disabled, or its credentials are wrong.
    #[error("client authentication failed")]
    Invalid {
        /// Whether the client tried the `Authorization` header, which the answer then names.
        basic: bool,
    },
    /// A store failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl Authentication {
    /// The client that `credentials` prove. A failure is recorded in the audit trail.
    pub async fn client(
        &self,
        credentials: &Credentials,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<Arc<Client>, ClientError> {
        let registered = match self.stores.clients.authenticate(credentials, now).await {
            Ok(client) => return Ok(client),
            Err(AuthenticationError::Storage(error)) => return Err(error.into()),
            Err(AuthenticationError::Invalid { registered }) => registered,
        };
        let id = &credentials.client_id;
        let by = &Initiator::anonymous(origin.clone());
        let shortened = &id[..id.floor_char_boundary(MAX_CLIENT_ID)];
        let refused = Event::new(Kind::ClientRefused, by).client(shortened);
        let refused = if registered { refused.about(id) } else { refused };
        self.stores.audit.record(refused, now).await;
        Err(ClientError::Invalid { basic: credentials.method == Method::Basic })
    }
}

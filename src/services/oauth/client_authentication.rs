//! Client authentication (RFC 6749 section 2.3).

use std::sync::Arc;

use super::{AuthorizationServer, TokenError};
use crate::domain::audit::{Event, Initiator, Kind};
use crate::domain::clients::registry::AuthenticationError;
use crate::domain::clients::{Client, Credentials, Method};

/// The characters of a client id from an unknown caller that the audit trail keeps.
const MAX_CLIENT_ID: usize = 100;

impl AuthorizationServer {
    /// The client that `credentials` prove. A failure is recorded in the audit trail.
    pub(super) async fn client(
        &self,
        credentials: &Credentials,
        by: &Initiator,
    ) -> Result<Arc<Client>, TokenError> {
        let registered = match self.stores.clients.authenticate(credentials, by.at).await {
            Ok(client) => return Ok(client),
            Err(AuthenticationError::Storage(error)) => return Err(error.into()),
            Err(AuthenticationError::Invalid { registered }) => registered,
        };
        let id = &credentials.client_id;
        let shortened = &id[..id.floor_char_boundary(MAX_CLIENT_ID)];
        let refused = Event::new(Kind::ClientRefused, by).client(shortened);
        let refused = if registered { refused.about(id) } else { refused };
        self.stores.audit.record(refused).await;
        Err(TokenError::InvalidClient { basic: credentials.method == Method::Basic })
    }
}

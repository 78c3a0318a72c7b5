//! A signing key as it is shown to administrators, and what became of a rotation, an import and a
//! change of the key-encryption key. Nothing of a private key is in any of them.

use std::fmt;

use serde::Serialize;
use utoipa::ToSchema;

use super::cell::cell;
use crate::base::sealing::sealed_under;
use crate::base::time::Timestamp;
use crate::domain::keys::chain::Handover;
use crate::domain::keys::rotation::{NOT_PLANNED, State};
use crate::domain::keys::{Algorithm, Rewrapped};
use crate::services::key_management::{ImportedKey, KeyStatus};

/// Where the private part of a key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum KeptIn {
    /// In the database, sealed.
    Database,
    /// On a PKCS#11 token.
    Token,
    /// With another issuer: the key only verifies here.
    Nowhere,
}

/// A key without anything secret. Times are RFC 3339.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct KeyView {
    /// The name in the header of its tokens.
    pub kid: String,
    /// The one algorithm it is used with: RS256, PS256, ES256 or EdDSA.
    #[schema(value_type = String)]
    pub algorithm: Algorithm,
    /// pending, active, retiring or retired.
    #[schema(value_type = String)]
    pub state: State,
    /// When it was made or imported, and published.
    pub created_at: String,
    /// When it starts, or started, to sign; absent while that is not decided.
    pub activates_at: Option<String>,
    /// When its successor signs in its place.
    pub deactivates_at: Option<String>,
    /// When it leaves JWKS.
    pub retires_at: Option<String>,
    /// When it was revoked as compromised.
    pub revoked_at: Option<String>,
    /// The state that comes next.
    #[schema(value_type = Option<String>)]
    pub next_state: Option<State>,
    /// When, as it is decided or, by keys.rotate_every, expected.
    pub next_at: Option<String>,
    /// Seconds until every JWKS cache has it; 0 when all have.
    pub in_all_caches_in: u64,
    /// Where its private part is: `database`, `token`, or `nowhere` for a key that only verifies.
    #[schema(value_type = String)]
    pub kept_in: KeptIn,
    /// The id of the key-encryption key that the private part in the database is sealed under.
    pub sealed_under: Option<String>,
}

impl From<KeyStatus> for KeyView {
    fn from(KeyStatus { key, state, next, in_all_caches_in }: KeyStatus) -> Self {
        let planned =
            |at: Option<Timestamp>| at.filter(|at| *at != NOT_PLANNED).map(|at| at.to_string());
        let kept_in = if key.is_foreign() {
            KeptIn::Nowhere
        } else if key.is_on_token() {
            KeptIn::Token
        } else {
            KeptIn::Database
        };
        Self {
            state,
            created_at: key.times.created_at.to_string(),
            activates_at: planned(Some(key.times.activates_at)),
            deactivates_at: planned(key.times.deactivates_at),
            retires_at: planned(key.times.retires_at),
            revoked_at: planned(key.revoked_at),
            next_state: next.map(|(state, _)| state),
            next_at: planned(next.map(|(_, at)| at)),
            in_all_caches_in: in_all_caches_in.as_secs(),
            kept_in,
            sealed_under: sealed_under(&key.private_key).map(str::to_owned),
            kid: key.kid,
            algorithm: key.algorithm,
        }
    }
}

impl KeyView {
    pub(crate) const COLUMNS: [&str; 7] =
        ["kid", "algorithm", "state", "signs from", "next", "in all caches", "sealed under"];

    pub(crate) fn row(&self) -> [String; 7] {
        [
            self.kid.clone(),
            self.algorithm.to_string(),
            match self.revoked_at {
                Some(_) => "revoked".into(),
                None => self.state.to_string(),
            },
            self.activates_at.clone().unwrap_or_else(|| "in reserve".into()),
            match (&self.next_state, &self.next_at) {
                (Some(state), Some(at)) => format!("{state} at {at}"),
                _ => cell(None::<String>),
            },
            match self.in_all_caches_in {
                0 => "yes".into(),
                seconds => format!("in {seconds}s"),
            },
            match self.kept_in {
                KeptIn::Database => cell(self.sealed_under.as_ref()),
                KeptIn::Token => "token".into(),
                KeptIn::Nowhere => cell(None::<String>),
            },
        ]
    }
}

/// A planned rotation. Times are RFC 3339.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct RotationView {
    /// The key that takes over.
    pub kid: String,
    /// It signs from here on.
    pub activates_at: String,
    /// The key that signs now leaves JWKS here.
    pub old_retires_at: String,
}

impl From<Handover> for RotationView {
    fn from(handover: Handover) -> Self {
        Self {
            kid: handover.kid,
            activates_at: handover.at.to_string(),
            old_retires_at: handover.old_retires_at.to_string(),
        }
    }
}

impl fmt::Display for RotationView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kid, activates_at, old_retires_at } = self;
        write!(
            f,
            "key {kid} is published; it signs from {activates_at} on, and the present key leaves \
             JWKS at {old_retires_at}"
        )
    }
}

/// What became of an import. Times are RFC 3339.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct ImportView {
    /// The key's name.
    pub kid: String,
    /// When it signs; null for one that only verifies.
    pub activates_at: Option<String>,
    /// When it leaves JWKS; null while that is not decided.
    pub retires_at: Option<String>,
}

impl From<ImportedKey> for ImportView {
    fn from(ImportedKey { kid, signs_from, retires_at }: ImportedKey) -> Self {
        let text = |at: Option<Timestamp>| at.map(|at| at.to_string());
        Self { kid, activates_at: text(signs_from), retires_at: text(retires_at) }
    }
}

impl fmt::Display for ImportView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "key {} is published", self.kid)?;
        match (&self.activates_at, &self.retires_at) {
            (Some(at), _) => write!(f, "; it signs from {at} on"),
            (None, Some(until)) => write!(f, " until {until}; it only verifies"),
            (None, None) => Ok(()),
        }
    }
}

/// What a change of the key-encryption key did.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct RewrapView {
    /// The id of the key-encryption key that everything is sealed under now.
    pub sealed_under: String,
    /// How many keys and secrets were sealed anew.
    pub rewrapped: usize,
    /// The ids of key-encryption keys that nothing is sealed under any more.
    pub no_longer_needed: Vec<String>,
}

impl From<Rewrapped> for RewrapView {
    fn from(done: Rewrapped) -> Self {
        let Rewrapped { sealed_under, rewrapped, no_longer_needed } = done;
        Self { sealed_under, rewrapped, no_longer_needed }
    }
}

impl fmt::Display for RewrapView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sealed {} keys anew under {}; ", self.rewrapped, self.sealed_under)?;
        match self.no_longer_needed.as_slice() {
            [] => f.write_str("nothing was sealed under another"),
            ids => {
                let ids = ids.join(", ");
                write!(f, "{ids} can be dropped as soon as every instance has the new one")
            }
        }
    }
}

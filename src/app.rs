//! The composition root: it makes a [`Process`] and its [`Issuer`] from a [`Config`]. Only this
//! module chooses storage engines.

mod issuer;
mod process;
mod startup;
mod stores;

pub(crate) use issuer::Issuer;
pub(crate) use process::Process;
pub(crate) use startup::wait_for_stores;
pub(crate) use stores::{Stores, open_database};

use crate::base::random::Random;
use crate::base::sealing::SealingKeys;
use crate::base::time::Timestamp;
use crate::config::{Config, SessionBackend};
use crate::domain::audit::Audit;
use crate::domain::clients::store::ClientStore;
use crate::domain::keys::encryption_key::{self, EncryptionKeyError};
use crate::domain::keys::{Keys, KeysError, Vault};
use crate::domain::login_limits::{LoginLimits, Names};
use crate::domain::revocations::{FollowError, Revocations};
use crate::services::key_management::{KeyManagement, Surroundings};
use crate::services::notifications::NotifierError;
use crate::storage::redis::notices::Notices;
use crate::storage::{Db, StorageError};

/// Why the service cannot be composed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error("the database at {0} cannot be reached")]
    DatabaseUnreachable(String, #[source] StorageError),
    #[error("the database cannot be used")]
    Database(#[source] StorageError),
    #[error("the session store cannot be used")]
    SessionStore(#[source] StorageError),
    #[error(transparent)]
    EncryptionKey(#[from] EncryptionKeyError),
    #[error(
        "the database holds signing keys, but there is no key-encryption key: give the one they \
         were sealed under in keys.encryption_key, or its file in {0}"
    )]
    EncryptionKeyMissing(String),
    #[error("the signing keys cannot be used")]
    Keys(#[from] KeysError),
    #[error("the revocations cannot be read")]
    Revocations(#[from] FollowError),
    #[error("mail cannot be sent")]
    Mail(#[from] NotifierError),
    #[error("the process cannot be set up")]
    Process(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Opens the use cases of signing keys for the command line, which need no session store.
pub(crate) async fn open_key_management(
    config: &Config,
    now: Timestamp,
) -> Result<KeyManagement, StartError> {
    let (db, random) = (open_database(config).await?, Random::system());
    let clients = ClientStore::new(db.clone());
    let audit = Audit::new(db.clone(), random.clone());
    let revocations = Revocations::open(db.clone(), random.clone());
    let revocations = revocations.await.map_err(StartError::Database)?;
    let notices = match &config.sessions.backend {
        SessionBackend::Sql => Notices::Nowhere,
        SessionBackend::Redis(redis) => Notices::OnDemand(Box::new(redis.clone())),
    };
    let around = Surroundings { clients, revocations, audit, notices };
    open_keys(config, &db, around, &random, now).await
}

/// Opens the login limits. Their records are stored where sessions are, under names that are hashed
/// with a key which is sealed beside the signing keys.
async fn open_login_limits(
    config: &Config,
    stores: &Stores,
    keys: &Keys,
    now: Timestamp,
) -> Result<LoginLimits, StartError> {
    let names = Names::new(&keys.refresh_token_key(&stores.random, now).await?);
    let policy = config.login_limits.clone();
    Ok(LoginLimits::new(stores.records(), names, policy))
}

pub(crate) async fn open_login_limits_alone(
    config: &Config,
    stores: &Stores,
    now: Timestamp,
) -> Result<LoginLimits, StartError> {
    let key_management = open_key_management(config, now).await?;
    open_login_limits(config, stores, &key_management.keys, now).await
}

/// Opens the signing keys. The first start makes the key-encryption key and the first signing keys.
async fn open_keys(
    config: &Config,
    db: &Db,
    around: Surroundings,
    random: &Random,
    now: Timestamp,
) -> Result<KeyManagement, StartError> {
    let vault = Vault::open(sealing_keys(config, db, random).await?, config.keys.pkcs11.as_ref())?;
    let (policy, lifetime) = (config.keys.policy.clone(), config.tokens.access_token_lifetime);
    Ok(KeyManagement::open(db, vault, policy, around, lifetime, now).await?)
}

/// Returns the key-encryption keys, the newest first; `None` if none was made yet.
pub(crate) fn find_sealing_keys(
    config: &Config,
) -> Result<Option<SealingKeys>, EncryptionKeyError> {
    match &config.keys.encryption_key {
        Some(given) => encryption_key::parse(given).map(Some),
        None => encryption_key::find(&config.keys.directory),
    }
}

async fn sealing_keys(
    config: &Config,
    db: &Db,
    random: &Random,
) -> Result<SealingKeys, StartError> {
    let directory = &config.keys.directory;
    if let Some(found) = find_sealing_keys(config)? {
        return Ok(found);
    }
    if !Keys::is_empty(db).await.map_err(StartError::Database)? {
        return Err(StartError::EncryptionKeyMissing(directory.display().to_string()));
    }
    Ok(encryption_key::create(directory, random)?)
}

//! The composition root: an [`App`] from a [`Config`]. The only place that picks engines.

mod startup;
mod stores;

use crate::domain::credentials::Hashing;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{Notify, Semaphore};

pub use startup::wait_for_stores;
pub use stores::{Stores, open_database};

use crate::base::metrics::Metrics;
use crate::base::random::Random;
use crate::base::sealing::SealingKeys;
use crate::base::time::{Clock, Timestamp};
use crate::config::{Config, SessionBackend};
use crate::domain::audit::Audit;
use crate::domain::clients::ClientRegistry;
use crate::domain::clients::store::ClientStore;
use crate::domain::keys::encryption_key::{self, EncryptionKeyError};
use crate::domain::keys::{Keys, KeysError, Vault};
use crate::domain::login_limits::{Attempts, Limits, Names, RefreshLimit, RevocationLimit};
use crate::domain::revocations::{FollowError, Revocations};
use crate::domain::roles::{RoleRegistry, RoleStore};
use crate::domain::tokens::{AccessTokens, RefreshTokenKey, Signer};
use crate::services::accounts::{AccountLimits, Accounts, Roles};
use crate::services::client_management::Registrar;
use crate::services::key_management::{Custody, Ledgers};
use crate::services::notifications::{Office, Postman, PostmanError};
use crate::services::oauth::AuthorizationServer;
use crate::storage::redis::{Redis, notices};
use crate::storage::{Db, StorageError};

/// Why the service cannot be composed.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The database does not answer, or not to us.
    #[error("the database at {0} cannot be reached")]
    DatabaseUnreachable(String, #[source] StorageError),
    /// The database.
    #[error("the database cannot be used")]
    Database(#[source] StorageError),
    /// The session store.
    #[error("the session store cannot be used")]
    SessionStore(#[source] StorageError),
    /// The key-encryption key.
    #[error(transparent)]
    EncryptionKey(#[from] EncryptionKeyError),
    /// There are keys, but nothing to open them with.
    #[error(
        "the database holds signing keys, but there is no key-encryption key: give the one they \
         were sealed under in keys.encryption_key, or its file in {0}"
    )]
    EncryptionKeyMissing(String),
    /// The signing keys.
    #[error("the signing keys cannot be used")]
    Keys(#[from] KeysError),
    /// What was revoked before.
    #[error("the revocations cannot be read")]
    Revocations(#[from] FollowError),
    /// The templates or the transport of mail.
    #[error("mail cannot be sent")]
    Mail(#[from] PostmanError),
    /// Threads or metrics.
    #[error("the process cannot be set up")]
    Process(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// The signing keys, for the command line: the session store is not needed.
pub async fn open_custody(config: &Config, now: Timestamp) -> Result<Custody, StartError> {
    let (db, random) = (open_database(config).await?, Random::system());
    let clients = ClientStore::new(db.clone());
    let audit = Audit::new(db.clone(), random.clone());
    let revocations = Revocations::open(db.clone(), random.clone());
    let revocations = revocations.await.map_err(StartError::Database)?;
    open_keys(config, &db, Ledgers { clients, revocations, audit }, &random, now).await
}

/// The attempts to guess passwords, kept where sessions are. Their names are made with a key that
/// lies sealed beside the signing keys.
async fn open_attempts(
    config: &Config,
    stores: &Stores,
    keys: &Keys,
    now: Timestamp,
) -> Result<Attempts, StartError> {
    let names = Names::new(&keys.refresh_token_key(&stores.random, now).await?);
    let policy = config.login_limits.clone();
    Ok(match stores.redis.clone() {
        None => Attempts::in_sql(stores.db.clone(), names, policy),
        Some(redis) => Attempts::in_redis(redis, names, policy),
    })
}

/// The limits on sign-ups, mail and own changes, kept beside the attempts and under the same names.
fn open_limits(config: &Config, stores: &Stores, names: &Names) -> AccountLimits {
    let (sign_ups, mails) = (config.signup_limits.clone(), config.mail_limits.clone());
    let limits = match &stores.redis {
        None => Limits::in_sql(&stores.db, names, sign_ups, mails),
        Some(redis) => Limits::in_redis(redis, names, sign_ups, mails),
    };
    AccountLimits::new(limits, stores.audit.clone())
}

/// The attempts alone, for the command line.
pub async fn open_attempts_alone(
    config: &Config,
    stores: &Stores,
    now: Timestamp,
) -> Result<Attempts, StartError> {
    let custody = open_custody(config, now).await?;
    open_attempts(config, stores, &custody.keys, now).await
}

/// Where instances tell each other that the signing keys have changed.
const KEYS_CHANGED: &str = "signet:keys";
/// And that something was revoked.
const REVOKED: &str = "signet:revocations";

/// Tells the running instances that the signing keys have changed, from the command line.
pub async fn tell_instances(config: &Config) {
    if let SessionBackend::Redis(redis) = &config.sessions.backend {
        match Redis::connect(redis).await {
            Ok(redis) => tell_keys_changed(&redis).await,
            Err(error) => tracing::warn!(%error, "{NOT_TOLD}"),
        }
    }
}

/// They look for themselves every now and then.
const NOT_TOLD: &str = "the instances were not told, and find the change a little later";

async fn tell_keys_changed(redis: &Redis) {
    if let Err(error) = redis.notify(KEYS_CHANGED).await {
        tracing::warn!(%error, "{NOT_TOLD}");
    }
}

/// Opens the signing keys, making the key-encryption key and the first signing keys where this is
/// the very first start.
async fn open_keys(
    config: &Config,
    db: &Db,
    ledgers: Ledgers,
    random: &Random,
    now: Timestamp,
) -> Result<Custody, StartError> {
    let vault = Vault::open(sealing_keys(config, db, random).await?, config.keys.pkcs11.as_ref())?;
    let (policy, lifetime) = (config.keys.policy.clone(), config.tokens.access_token_lifetime);
    Ok(Custody::open(db, vault, policy, ledgers, lifetime, now).await?)
}

/// The key-encryption keys, the newest first, if there are any yet.
pub fn find_sealing_keys(config: &Config) -> Result<Option<SealingKeys>, EncryptionKeyError> {
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

async fn open_postman(
    config: &Config,
    stores: &Stores,
    keys: &Keys,
    now: Timestamp,
) -> Result<Option<Postman>, StartError> {
    let Some(mail) = &config.mail else { return Ok(None) };
    let token_key = keys.mailed_token_key(&stores.random, now).await?;
    let Stores { users, outbox, audit, random, .. } = stores;
    let (users, outbox) = (users.clone(), outbox.clone());
    let office = Office { users, outbox, audit: audit.clone(), random: random.clone() };
    Ok(Some(Postman::new(mail, &config.issuer, office, &token_key)?))
}

/// The running service.
pub struct App {
    /// Its configuration.
    pub config: Config,
    /// Where `now` comes from.
    pub clock: Clock,
    /// The database.
    pub db: Db,
    /// The clients.
    pub clients: ClientStore,
    /// The signing keys.
    pub keys: Keys,
    /// What is done to them.
    pub custody: Custody,
    /// What siblings must hear.
    pub revocations: Revocations,
    /// Signs it.
    pub signer: Signer,
    /// The grants.
    pub authorization_server: AuthorizationServer,
    /// Whole accounts.
    pub accounts: Accounts,
    /// The limits on sign-ups, mail and own changes.
    pub account_limits: AccountLimits,
    /// The roles and who has them.
    pub roles: Roles,
    /// What is done to clients.
    pub registrar: Registrar,
    /// Sends mail, where it is sent.
    pub postman: Option<Postman>,
    /// What is counted.
    pub metrics: Metrics,
    /// Places for who listens for revocations.
    pub listeners: Arc<Semaphore>,
    redis: Option<Redis>,
    keys_changed: Notify,
    revoked_elsewhere: Notify,
    draining: AtomicBool,
}

impl App {
    /// Composes the service over `stores`.
    pub async fn new(config: Config, stores: Stores, clock: Clock) -> Result<Self, StartError> {
        let now = clock.now();
        let Stores { db, clients, revocations, audit, random, .. } = &stores;
        let (clients, audit) = (clients.clone(), audit.clone());
        let revocations = revocations.clone();
        let ledgers = Ledgers { clients, revocations: revocations.clone(), audit };
        let custody = open_keys(&config, db, ledgers, random, now).await?;
        custody.keys.check_can_sign(now).await?;
        // Of an algorithm that is new in the configuration, the first key.
        match custody.maintain(now).await {
            // A key that is bad does not stop a service that has a good one.
            Err(
                error @ (KeysError::Sealed(..)
                | KeysError::Undecided(_)
                | KeysError::Unverified(..)),
            ) => {
                let error = format!("{:#}", anyhow::Error::new(error));
                tracing::error!(error, "the next signing keys were not made");
            }
            maintained => drop(maintained?),
        }
        let keys = custody.keys.clone();
        let signer = Signer::new(keys.clone(), config.issuer.clone());
        custody.maintain_revocations(now).await.map_err(StartError::Database)?;
        revocations.follow(&signer, async || {}, now).await?;
        let attempts = open_attempts(&config, &stores, &keys, now).await?;
        let account_limits = open_limits(&config, &stores, attempts.names());
        let refresh_token_key = keys.refresh_token_key(&stores.random, now).await?;
        let postman = open_postman(&config, &stores, &keys, now).await?;
        let hashing = Hashing::start(config.passwords.clone(), stores.random.clone())
            .map_err(|error| StartError::Process(error.into()))?;
        let metrics = Metrics::new().map_err(|error| StartError::Process(error.into()))?;
        let authorization_server = AuthorizationServer {
            clients: ClientRegistry::new(stores.clients.clone()),
            users: stores.users,
            roles: RoleRegistry::new(RoleStore::new(stores.db.clone())),
            hashing: Arc::new(hashing),
            attempts,
            refresh_limit: RefreshLimit::new(config.refresh_limits),
            revocation_limit: RevocationLimit::new(config.revocation_limits),
            refreshes: metrics.refreshes.clone(),
            sessions: stores.sessions,
            revocations: revocations.clone(),
            requires_verified_email: config.require_verified_email,
            access_tokens: AccessTokens::new(keys.clone(), config.tokens.clone()),
            refresh_tokens: RefreshTokenKey::new(&refresh_token_key),
            audit: stores.audit,
            random: stores.random,
        };
        let listeners = Arc::new(Semaphore::new(config.revocations.max_listeners));
        Ok(Self {
            config,
            clock,
            db: stores.db,
            clients: stores.clients,
            keys,
            custody,
            revocations,
            signer,
            authorization_server,
            accounts: stores.accounts,
            account_limits,
            roles: stores.roles,
            registrar: stores.registrar,
            postman,
            metrics,
            listeners,
            redis: stores.redis,
            keys_changed: Notify::new(),
            revoked_elsewhere: Notify::new(),
            draining: AtomicBool::new(false),
        })
    }

    /// Tells the other instances that the signing keys have changed.
    pub async fn tell_keys_changed(&self) {
        if let Some(redis) = &self.redis {
            tell_keys_changed(redis).await;
        }
    }

    /// Waits until another instance, or the command line, has changed the signing keys.
    pub async fn keys_changed(&self) {
        self.keys_changed.notified().await;
    }

    /// Takes over what is revoked, here or elsewhere, and tells whoever listens.
    pub async fn follow_revocations(&self) -> Result<(), FollowError> {
        let now = self.clock.now();
        let read_keys = async || {
            if let Err(error) = self.keys.reload(now).await {
                tracing::warn!(error = format!("{error:#}"), "the keys were not read anew");
            }
        };
        self.revocations.follow(&self.signer, read_keys, now).await
    }

    /// Tells the other instances that something was revoked.
    pub async fn tell_revoked(&self) {
        if let Some(redis) = &self.redis
            && let Err(error) = redis.notify(REVOKED).await
        {
            tracing::warn!(%error, "{NOT_TOLD}");
        }
    }

    /// How many listen for revocations.
    pub fn listening(&self) -> usize {
        self.config.revocations.max_listeners - self.listeners.available_permits()
    }

    /// Waits until another instance has revoked something.
    pub async fn revoked_elsewhere(&self) {
        self.revoked_elsewhere.notified().await;
    }

    /// Listens for notices of other instances, where they share a Redis. Never ends then.
    pub async fn listen(&self) {
        if let SessionBackend::Redis(redis) = &self.config.sessions.backend {
            let keys = notices::listen(redis, KEYS_CHANGED, || self.keys_changed.notify_one());
            let revoked = notices::listen(redis, REVOKED, || self.revoked_elsewhere.notify_one());
            futures_util::future::join(keys, revoked).await;
        }
    }

    /// From here on readiness is false, and who listens for revocations is sent to another instance.
    pub fn start_draining(&self) {
        self.draining.store(true, Ordering::SeqCst);
        self.revocations.close();
    }

    /// Whether the service is about to stop.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }
}

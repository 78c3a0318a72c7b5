//! The parts of the service that work in the name of one issuer (`iss`): its keys, the use cases,
//! the mail.

use std::ops::Deref;
use std::sync::Arc;

use super::{Process, StartError, Stores, open_keys, open_login_limits};
use crate::domain::clients::store::ClientStore;
use crate::domain::keys::{Keys, KeysError};
use crate::domain::login_limits::{Limits, LoginLimits, Names, RefreshLimit, RevocationLimit};
use crate::domain::revocations::Revocations;
use crate::domain::tokens::{AccessTokens, RefreshTokenKey, Signer};
use crate::services::accounts::{AccountLimits, Accounts, Roles};
use crate::services::authentication::Authentication;
use crate::services::client_management::ClientManagement;
use crate::services::key_management::{KeyManagement, Surroundings};
use crate::services::notifications::{Notifier, NotifierStores};
use crate::services::oauth::{self, AuthorizationServer};
use crate::services::role_management::RoleManagement;

/// An issuer that is served. Dereferences to its process, so that handlers reach clock, configuration
/// and metrics in one step.
pub struct Issuer {
    /// The process that serves it.
    pub process: Arc<Process>,
    /// The clients.
    pub clients: ClientStore,
    /// The signing keys.
    pub keys: Keys,
    /// The use cases of signing keys.
    pub key_management: KeyManagement,
    /// The record of revoked tokens and its feed.
    pub revocations: Revocations,
    /// The signer of the feed.
    pub signer: Signer,
    /// The limits on attempts to check a password.
    pub login_limits: LoginLimits,
    /// The authentication of callers.
    pub authentication: Authentication,
    /// The grants and the endpoints around them.
    pub authorization_server: AuthorizationServer,
    /// The accounts.
    pub accounts: Accounts,
    /// The limits on sign-ups, mail and own changes.
    pub account_limits: AccountLimits,
    /// The roles that users have.
    pub roles: Roles,
    /// The use cases of role definitions.
    pub role_management: RoleManagement,
    /// The use cases of clients.
    pub client_management: ClientManagement,
    /// The sender of mail; `None` while mail is off.
    pub notifier: Option<Notifier>,
}

impl Deref for Issuer {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

impl Issuer {
    /// Composes the issuer that the configuration of `process` names, over `stores`.
    pub async fn open(process: Arc<Process>, stores: Stores) -> Result<Self, StartError> {
        let (config, now) = (&process.config, process.clock.now());
        let revocations = stores.revocations.clone();
        let key_management = open_keys_of_service(&process, &stores).await?;
        let keys = key_management.keys.clone();
        let signer = Signer::new(keys.clone(), config.issuer.clone());
        key_management.maintain_revocations(now).await.map_err(StartError::Database)?;
        revocations.follow(&signer, async || {}, now).await?;

        let login_limits = open_login_limits(config, &stores, &keys, now).await?;
        let account_limits = open_account_limits(&process, &stores, login_limits.names());
        let notifier = open_notifier(&process, &stores, &keys).await?;
        let access_tokens = AccessTokens::new(keys.clone(), config.tokens.clone());
        let authentication = Authentication::new(
            process.stores.clone(),
            access_tokens.clone(),
            process.hashing.clone(),
            login_limits.clone(),
            config.require_verified_email,
        );
        let refresh_token_key = keys.refresh_token_key(&stores.random, now).await?;
        let authorization_server = AuthorizationServer::new(
            authentication.clone(),
            process.stores.clone(),
            access_tokens,
            RefreshTokenKey::new(&refresh_token_key),
            oauth::Limits {
                refreshes: RefreshLimit::new(config.refresh_limits),
                revocations: RevocationLimit::new(config.revocation_limits),
            },
            process.metrics.clone(),
        );
        Ok(Self {
            clients: stores.clients,
            keys,
            key_management,
            revocations,
            signer,
            login_limits,
            authentication,
            authorization_server,
            accounts: stores.accounts,
            account_limits,
            roles: stores.roles,
            role_management: stores.role_management,
            client_management: stores.client_management,
            notifier,
            process,
        })
    }
}

/// Opens the signing keys and makes those that are due. Fails if no key can sign now.
async fn open_keys_of_service(
    process: &Process,
    stores: &Stores,
) -> Result<KeyManagement, StartError> {
    let now = process.clock.now();
    let Stores { db, clients, revocations, audit, random, .. } = stores;
    let (clients, revocations) = (clients.clone(), revocations.clone());
    let (audit, notices) = (audit.clone(), process.notices.clone());
    let around = Surroundings { clients, revocations, audit, notices };
    let key_management = open_keys(&process.config, db, around, random, now).await?;
    key_management.keys.check_can_sign(now).await?;
    // This also makes the first key of an algorithm that is new in the configuration.
    match key_management.maintain(now).await {
        // A key that cannot be used does not stop a service that has a key to sign with.
        Err(
            error @ (KeysError::Sealed(..) | KeysError::Undecided(_) | KeysError::Unverified(..)),
        ) => {
            let error = format!("{:#}", anyhow::Error::new(error));
            tracing::error!(error, "the next signing keys were not made");
        }
        maintained => maintained?,
    }
    Ok(key_management)
}

/// The limits on sign-ups, mail and own changes, kept beside the login limits and under the same names.
fn open_account_limits(process: &Process, stores: &Stores, names: &Names) -> AccountLimits {
    let config = &process.config;
    let (sign_ups, mails) = (config.signup_limits.clone(), config.mail_limits.clone());
    let limits = Limits::new(&stores.records(), names, sign_ups, mails);
    AccountLimits::new(limits, stores.audit.clone())
}

async fn open_notifier(
    process: &Process,
    stores: &Stores,
    keys: &Keys,
) -> Result<Option<Notifier>, StartError> {
    let Some(mail) = &process.config.mail else { return Ok(None) };
    let token_key = keys.mailed_token_key(&stores.random, process.clock.now()).await?;
    let Stores { users, outbox, audit, random, .. } = stores;
    let (users, outbox) = (users.clone(), outbox.clone());
    let notified = NotifierStores { users, outbox, audit: audit.clone(), random: random.clone() };
    Ok(Some(Notifier::new(mail, &process.config.issuer, notified, &token_key)?))
}

//! The parts of the service that work in the name of one issuer (`iss`): its keys, the use cases,
//! the mail.

use std::ops::Deref;
use std::sync::Arc;

use super::{Process, StartError, Stores, open_keys, open_login_limits};
use crate::domain::keys::{Keys, KeysError};
use crate::domain::login_limits::{Limits, LoginLimits, RefreshLimit, RevocationLimit};
use crate::domain::revocations::Revocations;
use crate::domain::tokens::{AccessTokens, RefreshTokenKey, Signer};
use crate::services::accounts::{Accounts, SelfService};
use crate::services::authentication::Authentication;
use crate::services::client_management::ClientManagement;
use crate::services::key_management::{KeyManagement, Surroundings};
use crate::services::notifications::Notifier;
use crate::services::oauth::AuthorizationServer;
use crate::services::role_management::RoleManagement;

/// An issuer that is served. Dereferences to its process, so that handlers reach clock, configuration
/// and metrics in one step.
pub(crate) struct Issuer {
    pub(crate) process: Arc<Process>,
    pub(crate) keys: Keys,
    pub(crate) key_management: KeyManagement,
    pub(crate) revocations: Revocations,
    pub(crate) signer: Signer,
    pub(crate) login_limits: LoginLimits,
    pub(crate) authentication: Authentication,
    pub(crate) authorization_server: AuthorizationServer,
    pub(crate) accounts: Accounts,
    pub(crate) self_service: SelfService,
    pub(crate) role_management: RoleManagement,
    pub(crate) client_management: ClientManagement,
    pub(crate) notifier: Option<Notifier>,
}

impl Deref for Issuer {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

impl Issuer {
    /// Composes the issuer that the configuration of `process` names, over `stores`.
    pub(crate) async fn open(process: Arc<Process>, stores: Stores) -> Result<Self, StartError> {
        let (config, now) = (&process.config, process.clock.now());
        let revocations = stores.revocations.clone();
        let key_management = open_keys_of_service(&process, &stores).await?;
        let keys = key_management.keys.clone();
        let signer = Signer::new(keys.clone(), config.issuer.clone());
        key_management.maintain_revocations(now).await.map_err(StartError::Database)?;
        revocations.follow(&signer, async || {}, now).await?;

        let login_limits = open_login_limits(config, &stores, &keys, now).await?;
        let notifier = open_notifier(&process, &stores, &keys).await?;
        let access_tokens = AccessTokens::new(keys.clone(), config.tokens.clone());
        let authentication = Authentication {
            stores: process.stores.clone(),
            access_tokens: access_tokens.clone(),
            hashing: process.hashing.clone(),
            login_limits: login_limits.clone(),
            requires_verified_email: config.require_verified_email,
        };
        let proof_within = config.mail.as_ref().filter(|_| config.require_verified_email);
        // Kept beside the login limits and under the same names.
        let (sign_ups, mails) = (config.signup_limits.clone(), config.mail_limits.clone());
        let self_service = SelfService {
            accounts: stores.accounts.clone(),
            authentication: authentication.clone(),
            limits: Limits::new(&stores.records(), login_limits.names(), sign_ups, mails),
            proof_within: proof_within.map(|mail| mail.policy.pending_lifetime()),
        };
        let refresh_token_key = keys.refresh_token_key(&stores.random, now).await?;
        let authorization_server = AuthorizationServer {
            authentication: authentication.clone(),
            stores: process.stores.clone(),
            access_tokens,
            refresh_tokens: RefreshTokenKey::new(&refresh_token_key),
            refresh_limit: RefreshLimit::new(config.refresh_limits),
            revocation_limit: RevocationLimit::new(config.revocation_limits),
            metrics: process.metrics.clone(),
        };
        Ok(Self {
            keys,
            key_management,
            revocations,
            signer,
            login_limits,
            authentication,
            authorization_server,
            accounts: stores.accounts,
            self_service,
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

async fn open_notifier(
    process: &Process,
    stores: &Stores,
    keys: &Keys,
) -> Result<Option<Notifier>, StartError> {
    let Some(mail) = &process.config.mail else { return Ok(None) };
    let token_key = keys.mailed_token_key(&stores.random, process.clock.now()).await?;
    let Stores { users, outbox, audit, random, .. } = stores;
    let (users, outbox, audit) = (users.clone(), outbox.clone(), audit.clone());
    let (issuer, random) = (&process.config.issuer, random.clone());
    Ok(Some(Notifier::new(mail, issuer, users, outbox, audit, random, &token_key)?))
}

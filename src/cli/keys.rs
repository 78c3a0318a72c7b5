//! `signet keys`: what there is, and what is done to it. The same as under `/admin/keys`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};

use super::output::{self, Json, show};
use crate::app;
use crate::base::secret::Secret;
use crate::base::time::{Clock, Timestamp};
use crate::config::Config;
use crate::domain::audit::Initiator;
use crate::domain::keys::Algorithm;
use crate::domain::keys::import;
use crate::domain::keys::jwks::Jwk;
use crate::services::key_management::{Activation, Grounds, Import, StoredKeys};
use crate::views::key::{ImportView, KeyView, RewrapView, RotationView};
use crate::views::key_revocation::RevocationView;

/// Longer files hold no key.
const MAX_FILE_BYTES: u64 = 64 * 1024;

#[derive(Subcommand)]
pub(super) enum Command {
    /// List the keys: state, what comes next and when, and whether all JWKS caches have them.
    List(Json),
    /// Let the next key take over; it is published already, and a further one is made.
    Rotate {
        #[command(flatten)]
        activation: ActivationArguments,
        /// Which keys, where more than one algorithm is in use.
        #[arg(long)]
        algorithm: Option<Algorithm>,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Take a key out of JWKS that is not needed.
    Retire {
        // A thumbprint can begin with a hyphen, here and below.
        #[arg(allow_hyphen_values = true)]
        kid: String,
        /// Also while its tokens can be alive.
        #[arg(long, requires = "reason")]
        force: bool,
        /// Why; kept in the audit trail.
        #[arg(long)]
        reason: Option<String>,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Take a compromised key out of JWKS immediately; the spare signs from now on, and a new key takes
    /// over later, since many verifiers drop a key only when they meet one that they do not know.
    Revoke {
        #[arg(allow_hyphen_values = true)]
        kid: String,
        /// Why; kept in the audit trail.
        #[arg(long)]
        reason: String,
        /// How long the new key is published before it takes over, such as 20m; if absent, the
        /// longer of keys.jwks_max_age and 15m, and 30s more. With 0s it signs immediately, and clients
        /// that do not fetch keys so soon refuse its tokens for minutes.
        #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
        handover_in: Option<Duration>,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Vouch for a key whose row in the database is not authentic: it is published again.
    Adopt {
        #[arg(allow_hyphen_values = true)]
        kid: String,
        /// Why; kept in the audit trail.
        #[arg(long)]
        reason: String,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Import an RSA key from elsewhere: PKCS#1, PKCS#8 or encrypted PKCS#8, or a public key,
    /// which then only verifies.
    Import {
        /// A PEM file with one key, whatever else is in it; - for standard input.
        file: PathBuf,
        #[command(flatten)]
        activation: ActivationArguments,
        /// RS256 or PS256.
        #[arg(long)]
        algorithm: Option<Algorithm>,
        /// The name that its tokens carry already; its RFC 7638 thumbprint if absent.
        #[arg(long, allow_hyphen_values = true)]
        kid: Option<String>,
        /// How long a public key stays published; as long as a token can live if absent.
        #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
        verify_for: Option<Duration>,
        /// A file with the passphrase of an encrypted key; asked for if absent.
        #[arg(long, value_name = "FILE")]
        passphrase_file: Option<PathBuf>,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print the public part of a key, as JWK or as PEM.
    Export {
        #[arg(allow_hyphen_values = true)]
        kid: String,
        /// As PEM instead of JWK.
        #[arg(long)]
        pem: bool,
        /// As JWK, which is JSON.
        #[arg(long, conflicts_with = "pem")]
        json: bool,
    },
    /// Seal all private keys under the newest key-encryption key.
    Rewrap(Json),
}

#[derive(Args)]
pub(crate) struct ActivationArguments {
    /// When it starts to sign, such as 1h; keys.publish_ahead if absent.
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    activate_in: Option<Duration>,
    /// Also sooner than verifiers can follow.
    #[arg(long, requires = "reason")]
    force: bool,
    /// Why; kept in the audit trail.
    #[arg(long)]
    reason: Option<String>,
}

impl From<ActivationArguments> for Activation {
    fn from(arguments: ActivationArguments) -> Self {
        let ActivationArguments { activate_in: after, force: forced, reason } = arguments;
        Self { after, grounds: Grounds { forced, reason } }
    }
}

pub(super) async fn run(command: Command, config: &Config) -> Result<()> {
    match command {
        Command::List(Json { json }) => list(config, json, Clock::system().now()).await,
        Command::Export { kid, pem, .. } => export(config, &kid, pem).await,
        command => change(command, config).await,
    }
}

async fn change(command: Command, config: &Config) -> Result<()> {
    // The clock is read when all is there: a passphrase may be waited for.
    let clock = Clock::system();
    let management = app::open_key_management(config, clock.now()).await?;
    // A compromised key can be taken out whether or not the others open.
    let checks_itself =
        matches!(command, Command::Revoke { .. } | Command::Retire { .. } | Command::Adopt { .. });
    if !checks_itself {
        let checked = management.keys.check_all_open(clock.now()).await;
        checked.context("the signing keys cannot be used")?;
    }
    let by = || Initiator::command_line(clock.now());
    match command {
        Command::Rotate { activation, algorithm, json } => {
            let done = management.rotate(algorithm, &activation.into(), &by()).await?;
            let view = RotationView::from(done);
            show(json, &view, &view)
        }
        Command::Retire { kid, force, reason, json } => {
            let grounds = Grounds { forced: force, reason };
            let view = KeyView::from(management.retire(&kid, &grounds, &by()).await?);
            let text = match &view.next_at {
                Some(at) => format!("key {kid} signs no longer; it leaves JWKS at {at}"),
                None => format!("key {kid} has left JWKS"),
            };
            show(json, &view, &text)
        }
        Command::Revoke { kid, reason, handover_in, json } => {
            let revocation = management.revoke(&kid, &reason, handover_in, &by()).await?;
            let view = RevocationView::new(revocation, &config.keys.policy);
            show(json, &view, &view)
        }
        Command::Adopt { kid, reason, json } => {
            let (adopted, status) = management.adopt(&kid, &reason, &by()).await?;
            let text = format!("key {kid} is taken for authentic: {adopted}");
            show(json, &KeyView::from(status), &text)
        }
        Command::Import { file, activation, algorithm, kid, verify_for, passphrase_file, json } => {
            // Text around a key may be in any encoding; the key itself is ASCII.
            let pem = read_file(&file)?;
            let pem = Secret::new(String::from_utf8_lossy(&pem).into_owned());
            let passphrase = passphrase(&pem, passphrase_file.as_deref())?;
            let activation = activation.into();
            let import = Import { pem, passphrase, algorithm, kid, activation, verify_for };
            let view = ImportView::from(management.import(import, &by()).await?);
            show(json, &view, &view)
        }
        Command::Rewrap(Json { json }) => {
            let view = RewrapView::from(management.rewrap(&by()).await?);
            show(json, &view, &view)
        }
        Command::List(_) | Command::Export { .. } => Ok(()),
    }
}

async fn list(config: &Config, json: bool, now: Timestamp) -> Result<()> {
    let keys = stored(config).await?;
    let read = keys.list(&config.keys.policy, now).await;
    let (keys, refused) = read.context("the keys cannot be read")?;
    refused.iter().for_each(|row| eprintln!("signet: {row}"));
    let views = keys.into_iter().map(KeyView::from).collect();
    output::list(json, KeyView::COLUMNS, views, |view| view.row())
}

async fn export(config: &Config, kid: &str, pem: bool) -> Result<()> {
    let public = stored(config).await?.find_public(kid, Clock::system().now()).await?;
    let Some(public) = public else { bail!("there is no key {}", kid.escape_debug()) };
    match pem {
        true => output::print(public.to_pem().trim_end()),
        false => output::json(&Jwk::from(&public)),
    }
}

/// The keys as they are stored, checked where a key-encryption key is at hand.
async fn stored(config: &Config) -> Result<StoredKeys> {
    let db = app::open_database(config).await?;
    let sealing = app::find_sealing_keys(config).ok().flatten();
    if sealing.is_none() {
        eprintln!("signet: the keys are not checked: there is no key-encryption key at hand");
    }
    StoredKeys::of(&db, sealing).await.context("the keys cannot be read")
}

fn read_file(file: &Path) -> Result<zeroize::Zeroizing<Vec<u8>>> {
    use std::io::Read;
    let mut bytes = zeroize::Zeroizing::new(Vec::new());
    let shown = file.display();
    let read = match file.as_os_str() == "-" {
        true => std::io::stdin().lock().take(MAX_FILE_BYTES).read_to_end(&mut bytes),
        false => std::fs::File::open(file)
            .and_then(|file| file.take(MAX_FILE_BYTES).read_to_end(&mut bytes)),
    };
    read.with_context(|| format!("cannot read {shown}"))?;
    if bytes.len() as u64 >= MAX_FILE_BYTES {
        bail!("{shown} is too long for a key");
    }
    Ok(bytes)
}

/// The passphrase of an encrypted key: from a file, or asked for.
fn passphrase(pem: &Secret<String>, file: Option<&Path>) -> Result<Option<Secret<String>>> {
    if !import::is_encrypted(pem.expose()) {
        return Ok(None);
    }
    let passphrase = match file {
        Some(file) => {
            let text = read_file(file)?;
            let text = std::str::from_utf8(&text);
            let text = text.with_context(|| format!("{} is no UTF-8", file.display()))?;
            Secret::new(text.trim_end_matches(['\r', '\n']).into())
        }
        None => Secret::new(
            rpassword::prompt_password("Passphrase: ")
                .context("a passphrase is needed: give --passphrase-file")?,
        ),
    };
    Ok(Some(passphrase))
}

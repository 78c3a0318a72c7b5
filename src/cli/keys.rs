//! `signet keys`: what there is, and what is done to it. The same as under `/admin/keys`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use serde::Serialize;

use super::output;
use crate::app;
use crate::base::secret::Secret;
use crate::base::time::{Clock, Timestamp};
use crate::config::Config;
use crate::domain::audit::Initiator;
use crate::domain::keys::Algorithm;
use crate::domain::keys::import;
use crate::domain::keys::jwks::Jwk;
use crate::services::key_management::view::KeptIn;
use crate::services::key_management::{
    Import, ImportView, KeyView, Revoke, RewrapView, RotationView, StoredKeys, Turn, Why,
};

/// Longer files are no keys.
const LONGEST_FILE: u64 = 64 * 1024;

#[derive(Subcommand)]
pub enum Command {
    /// List the keys: state, what comes next and when, and whether all JWKS caches have them.
    List {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Let the next key take over; it is published already, and a further one is made.
    Rotate {
        #[command(flatten)]
        turn: TurnArguments,
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
    /// Take a compromised key out of JWKS at once; the spare signs from now on, and a new key takes
    /// over later, since many verifiers drop a key only when they meet one that they do not know.
    Revoke {
        #[arg(allow_hyphen_values = true)]
        kid: String,
        /// Why; kept in the audit trail.
        #[arg(long)]
        reason: String,
        /// How long the new key is published before it takes over, such as 20m; if absent, the
        /// longer of keys.jwks_max_age and 15m, and 30s more. With 0s it signs at once, and clients
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
    /// Bring in an RSA key from elsewhere: PKCS#1, PKCS#8 or encrypted PKCS#8, or a public key,
    /// which then only verifies.
    Import {
        /// A PEM file with one key, whatever else is in it; - for standard input.
        file: PathBuf,
        #[command(flatten)]
        turn: TurnArguments,
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
    Rewrap {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Args)]
pub struct TurnArguments {
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

impl TurnArguments {
    fn turn(self) -> Turn {
        let why = Why { forced: self.force, reason: self.reason };
        Turn { activate_in: self.activate_in, why }
    }
}

/// Runs the command.
pub async fn run(command: Command, config: &Config) -> Result<()> {
    match command {
        Command::List { json } => list(config, json, Clock::system().now()).await,
        Command::Export { kid, pem, .. } => export(config, &kid, pem).await,
        command => change(command, config).await,
    }
}

async fn change(command: Command, config: &Config) -> Result<()> {
    // The clock is read when all is there: a passphrase may be waited for.
    let clock = Clock::system();
    let custody = app::open_custody(config, clock.now()).await?;
    // A compromised key can be taken out whether or not the others open.
    let checks_itself =
        matches!(command, Command::Revoke { .. } | Command::Retire { .. } | Command::Adopt { .. });
    if !checks_itself {
        let checked = custody.keys.check_all_open(clock.now()).await;
        checked.context("the signing keys cannot be used")?;
    }
    let by = &Initiator::command_line();
    match command {
        Command::Rotate { turn, algorithm, json } => {
            let done = custody.rotate(algorithm, &turn.turn(), by, clock.now()).await?;
            app::notify_instances(config).await;
            let rotated = RotationView::from(done);
            let text = format!(
                "key {} is published; it signs from {} on, and the present key leaves JWKS at {}",
                rotated.kid, rotated.activates_at, rotated.old_retires_at
            );
            show(json, &rotated, &text)
        }
        Command::Retire { kid, force, reason, json } => {
            let why = Why { forced: force, reason };
            custody.retire(&kid, &why, by, clock.now()).await?;
            app::notify_instances(config).await;
            let view = custody.find(&kid, clock.now()).await?;
            let text = match view.as_ref().and_then(|view| view.next_at.as_ref()) {
                Some(at) => format!("key {kid} signs no longer; it leaves JWKS at {at}"),
                None => format!("key {kid} has left JWKS"),
            };
            show(json, &view, &text)
        }
        Command::Revoke { kid, reason, handover_in, json } => {
            let revoke = Revoke { reason, handover_in };
            let revoked = custody.revoke(&kid, &revoke, by, clock.now()).await?;
            app::notify_instances(config).await;
            let view = custody.hand_over(&revoked).await;
            app::notify_instances(config).await;
            show(json, &view, view.to_string().trim_end())
        }
        Command::Adopt { kid, reason, json } => {
            let adopted = custody.adopt(&kid, &reason, by, clock.now()).await?;
            app::notify_instances(config).await;
            let view = custody.find(&kid, clock.now()).await?;
            show(json, &view, &format!("key {kid} is taken for authentic: {adopted}"))
        }
        Command::Import { file, turn, algorithm, kid, verify_for, passphrase_file, json } => {
            // Text around a key may be in any encoding; the key itself is ASCII.
            let pem = read_file(&file)?;
            let pem = Secret::new(String::from_utf8_lossy(&pem).into_owned());
            let passphrase = passphrase(&pem, passphrase_file.as_deref())?;
            let turn = turn.turn();
            let import = Import { pem, passphrase, algorithm, kid, turn, verify_for };
            let done = custody.import(import, by, clock.now()).await?;
            app::notify_instances(config).await;
            let text = match (done.activates_at, done.retires_at) {
                (Some(at), _) => format!("key {} is published; it signs from {at} on", done.kid),
                (None, Some(until)) => {
                    format!("key {} is published until {until}; it only verifies", done.kid)
                }
                (None, None) => format!("key {} is published", done.kid),
            };
            show(json, &ImportView::from(done), &text)
        }
        Command::Rewrap { json } => {
            let done = RewrapView::from(custody.rewrap(by, clock.now()).await?);
            let dropped = match done.no_longer_needed.as_slice() {
                [] => "; nothing was sealed under another".to_owned(),
                ids => format!(
                    "; {} can be dropped as soon as every instance has the new one",
                    ids.join(", ")
                ),
            };
            let (count, id) = (done.rewrapped, &done.sealed_under);
            show(json, &done, &format!("sealed {count} keys anew under {id}{dropped}"))
        }
        Command::List { .. } | Command::Export { .. } => Ok(()),
    }
}

fn show(json: bool, value: &impl Serialize, text: &str) -> Result<()> {
    if json { output::json(value) } else { output::print(text) }
}

async fn list(config: &Config, json: bool, now: Timestamp) -> Result<()> {
    let keys = stored(config).await?;
    let read = keys.list(&config.keys.policy, now).await;
    let (views, refused) = read.context("the keys cannot be read")?;
    refused.iter().for_each(|row| eprintln!("signet: {row}"));
    if json {
        return output::json(&views);
    }
    let cells = |view: &KeyView| {
        [
            view.kid.clone(),
            view.algorithm.to_string(),
            match view.revoked_at {
                Some(_) => "revoked".into(),
                None => view.state.to_string(),
            },
            view.activates_at.clone().unwrap_or_else(|| "in reserve".into()),
            match (&view.next_state, &view.next_at) {
                (Some(state), Some(at)) => format!("{state} at {at}"),
                _ => "-".into(),
            },
            match view.in_all_caches_in {
                0 => "yes".into(),
                seconds => format!("in {seconds}s"),
            },
            match view.kept_in {
                KeptIn::Database => output::cell(view.sealed_under.clone()),
                KeptIn::Token => "token".into(),
                KeptIn::Nowhere => "-".into(),
            },
        ]
    };
    let rows: Vec<_> = views.iter().map(cells).collect();
    let headings =
        ["kid", "algorithm", "state", "signs from", "next", "in all caches", "sealed under"];
    output::table(headings, &rows)
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
        true => std::io::stdin().lock().take(LONGEST_FILE).read_to_end(&mut bytes),
        false => std::fs::File::open(file)
            .and_then(|file| file.take(LONGEST_FILE).read_to_end(&mut bytes)),
    };
    read.with_context(|| format!("cannot read {shown}"))?;
    if bytes.len() as u64 >= LONGEST_FILE {
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

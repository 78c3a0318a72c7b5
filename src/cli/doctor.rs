//! `signet doctor`: checks whether resource servers can rely on an issuer, as seen from this machine. It
//! needs neither configuration nor database, and the issuer need not be Signet.

mod caching;
mod client;
mod clock;
mod events;
mod fault;
mod http;
mod issuer;
mod jwks;
mod latency;
mod metadata;
mod reach;
mod report;
mod snapshot;
mod stream;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::base::secret::Secret;
use crate::domain::keys::foreign::ForeignKeys;
use client::Client;
use http::Http;
use issuer::Issuer;
use metadata::Metadata;
use report::Report;
use snapshot::Feed;

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The issuer, exactly as tokens name it (`iss`).
    #[arg(long, value_name = "URL")]
    issuer: Issuer,
    /// A confidential client, whose token is revoked to measure how fast the feed publishes that.
    #[arg(long, value_name = "ID", requires = "client_secret_stdin")]
    client_id: Option<String>,
    /// Read the client's secret from standard input, one line.
    #[arg(long, requires = "client_id")]
    client_secret_stdin: bool,
    /// How long all checks may take together, from 1s to 10m.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = timeout)]
    timeout: Duration,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

fn timeout(text: &str) -> Result<Duration, &'static str> {
    let time = humantime::parse_duration(text).map_err(|_| "must be a time such as 30s")?;
    let allowed = Duration::from_secs(1)..=Duration::from_secs(600);
    if allowed.contains(&time) { Ok(time) } else { Err("must be from 1s to 10m") }
}

/// Runs all checks and prints their results; fails if a check failed.
pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let secret = arguments.client_secret_stdin.then(read_secret).transpose()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the runtime cannot be started")?;
    let mut report = Report::default();
    let http = Http::new(Instant::now() + arguments.timeout).context("TLS cannot be set up")?;
    runtime.block_on(examine(&http, arguments, secret.as_ref(), &mut report));
    // The program does not wait for a resolver that does not answer.
    runtime.shutdown_background();
    report.print(&arguments.issuer.name, arguments.json)?;
    Ok(if report.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn read_secret() -> Result<Secret<String>> {
    let secret = super::read_line("secret")?;
    ensure!(!secret.expose().is_empty(), "there is no secret on standard input");
    Ok(secret)
}

async fn examine(
    http: &Http,
    arguments: &Arguments,
    secret: Option<&Secret<String>>,
    report: &mut Report,
) {
    let issuer = &arguments.issuer;
    report.progress(&format!("asking {}", issuer.url));
    if !reach::check(http, issuer, report).await {
        report.skipped("metadata", "the issuer cannot be reached");
        return;
    }
    let Some((metadata, answer)) = metadata::check(http, issuer, report).await else {
        report.skipped("jwks", "no metadata document names its address");
        return;
    };
    clock::check(&http.clock, &answer, report);
    let keys = jwks::check(http, metadata.jwks.as_ref(), report).await;
    let client = client(arguments, secret, &metadata, report);
    let feed = follow(http, issuer, &metadata, keys.as_ref(), client.as_ref(), report).await;
    match &client {
        Some(client) => {
            let (keys, feed) = (keys.as_ref(), feed.as_ref());
            let setting = latency::Setting { http, issuer, keys, feed, client };
            latency::check(&setting, report).await;
        }
        None if secret.is_none() => {
            let why = "no client was given (--client-id): neither tokens nor the feed's latency are checked";
            report.skipped("token", why);
        }
        None => {}
    }
}

fn client<'a>(
    arguments: &'a Arguments,
    secret: Option<&'a Secret<String>>,
    metadata: &'a Metadata,
    report: &mut Report,
) -> Option<Client<'a>> {
    let (client_id, secret) = arguments.client_id.as_deref().zip(secret)?;
    report.hide(secret.expose());
    let issuer = &arguments.issuer;
    if !metadata.is_issuers || !issuer.may_be_asked_at(&issuer.url) {
        let why = "the client's secret is sent to nothing but the issuer, and this may be another service";
        report.skipped("token", why);
        return None;
    }
    Some(Client { client_id, secret, metadata })
}

async fn follow(
    http: &Http,
    issuer: &Issuer,
    metadata: &Metadata,
    keys: Option<&ForeignKeys>,
    client: Option<&Client<'_>>,
    report: &mut Report,
) -> Option<Feed> {
    let named = metadata.revocations.clone().zip(metadata.revocations_stream.clone());
    let Some((snapshot, stream)) = named else {
        let why = "the metadata names no feed of revocations (revocations_uri, revocations_stream_uri): \
                   only introspection shows that a token was revoked";
        report.skipped("statement", why);
        return None;
    };
    let feed = Feed { snapshot, stream, authorization: None, epoch: None };
    let feed = snapshot::check(http, issuer, keys, feed, client, report).await?;
    stream::check(http, &feed, report).await;
    Some(feed)
}

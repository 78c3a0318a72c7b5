//! The rows of the table: each is driven for several rounds, and the limit that it is held against
//! is measured before and after every one of them, since a machine's speed drifts.

use std::time::Duration;

use anyhow::Result;

use crate::clients::{Repeat, Session, User, VirtualClient, open_sessions};
use crate::cores::Cores;
use crate::driver::{self, Errors, Load, Round};
use crate::http::{get, post_form};
use crate::limits::{Hashes, Signatures};
use crate::options::{Options, RowName};
use crate::reference::{JWKS_PATH, Reference};
use crate::signet::{Installation, Server};
use crate::stats::median;

const WARM_UP: Duration = Duration::from_millis(500);

/// How long a bare limit is measured each time, in CPU time.
pub const LIMIT_TIME: Duration = Duration::from_millis(700);

/// A login keeps a core busy for a hundred times longer than any other request: more connections
/// would only wait in line.
const LOGIN_CONNECTIONS: usize = 8;

/// How many access tokens introspection is asked about in turn.
const INTROSPECTED: usize = 64;

/// A row as measured.
pub struct Row {
    pub name: RowName,
    pub limit_name: &'static str,
    rounds: Vec<(Round, Option<f64>)>,
}

impl Row {
    /// The median over the rounds.
    pub fn figure(&self, of: impl Fn(&Round) -> f64) -> f64 {
        median(self.rounds.iter().map(|(round, _)| of(round)))
    }

    /// The limit, in units of work a CPU second.
    pub fn limit(&self) -> Option<f64> {
        let limits: Option<Vec<f64>> = self.rounds.iter().map(|(_, limit)| *limit).collect();
        limits.map(median)
    }

    /// Work done a CPU second of the server against the limit, round by round.
    pub fn ratio(&self) -> Option<f64> {
        let ratio =
            |(round, limit): &(Round, Option<f64>)| Some(round.per_cpu_second() / (*limit)?);
        let ratios: Option<Vec<f64>> = self.rounds.iter().map(ratio).collect();
        ratios.map(median)
    }

    pub fn errors(&self) -> Errors {
        let mut errors = Errors::default();
        self.rounds.iter().for_each(|(round, _)| errors.append(round.errors.clone()));
        errors
    }
}

/// A prepared Signet, and what it is measured with.
pub struct Bench<'a> {
    pub options: &'a Options,
    pub cores: Cores,
    pub installation: &'a Installation,
    pub server: &'a Server,
    pub refreshing: &'a [User],
    pub logging_in: &'a [User],
    /// The Authorization header of a confidential client.
    pub service: &'a str,
    pub signatures: &'a Signatures,
    pub hashes: &'a mut Hashes,
}

impl Bench<'_> {
    /// Measures the row, unless it is one of those that have a table of their own.
    pub fn measure(&mut self, name: RowName) -> Result<Option<Row>> {
        match name {
            RowName::Jwks => self.jwks().map(Some),
            RowName::ClientCredentials => self.client_credentials().map(Some),
            RowName::Refresh => self.refresh().map(Some),
            RowName::Introspection => self.introspection().map(Some),
            RowName::Login => self.login().map(Some),
            RowName::Storm | RowName::Memory | RowName::Rotation | RowName::Revocations => Ok(None),
        }
    }

    fn jwks(&mut self) -> Result<Row> {
        let reference = Reference::start(
            self.server.address,
            JWKS_PATH,
            self.installation.folder(),
            self.cores,
        )?;
        let clients = || repeat(get(JWKS_PATH), "\"keys\"", self.options.connections);
        let load = Load {
            address: reference.address,
            pid: reference.pid(),
            measured: self.options.round.min(Duration::from_millis(1500)),
            ..self.load()
        };
        let mut reference_clients = clients();
        let limit = move || {
            let round = driver::run(&load, &mut reference_clients)?;
            anyhow::ensure!(round.errors.count == 0, "static answer: {:?}", round.errors.first);
            Ok(Some(round.per_cpu_second()))
        };
        rounds(RowName::Jwks, "static answer", self.options, self.load(), clients(), limit)
    }

    fn client_credentials(&mut self) -> Result<Row> {
        let request =
            post_form("/oauth2/token", self.service, &[("grant_type", "client_credentials")]);
        let clients = repeat(request, "access_token", self.options.connections);
        self.signing_row(RowName::ClientCredentials, clients)
    }

    fn refresh(&mut self) -> Result<Row> {
        let clients = open_sessions(self.server.address, self.refreshing, self.options.clients)?;
        self.signing_row(RowName::Refresh, clients)
    }

    fn signing_row<C: VirtualClient + 'static>(
        &mut self,
        name: RowName,
        clients: Vec<C>,
    ) -> Result<Row> {
        let limit = || self.signatures.per_cpu_second(LIMIT_TIME).map(Some);
        rounds(name, "bare RSA-2048 signature", self.options, self.load(), clients, limit)
    }

    fn introspection(&mut self) -> Result<Row> {
        let count = INTROSPECTED.max(self.options.connections);
        let sessions = open_sessions(self.server.address, self.refreshing, count)?;
        let request = |session: Session| Repeat {
            request: post_form(
                "/oauth2/introspect",
                self.service,
                &[("token", session.access_token.as_str())],
            ),
            expected: "\"active\":true",
        };
        let clients: Vec<Repeat> = sessions.into_iter().map(request).collect();
        rounds(RowName::Introspection, "", self.options, self.load(), clients, || Ok(None))
    }

    fn login(&mut self) -> Result<Row> {
        let request =
            |user: &User| Repeat { request: user.login_request(), expected: "access_token" };
        let clients: Vec<Repeat> = self.logging_in.iter().map(request).collect();
        let load = Load { connections: LOGIN_CONNECTIONS.min(clients.len()), ..self.load() };
        let limit = || self.hashes.per_cpu_second(LIMIT_TIME).map(Some);
        rounds(RowName::Login, "bare Argon2id hash", self.options, load, clients, limit)
    }

    fn load(&self) -> Load {
        Load {
            address: self.server.address,
            pid: self.server.pid(),
            cores: self.cores,
            connections: self.options.connections,
            warm_up: WARM_UP,
            measured: self.options.round,
        }
    }
}

fn repeat(request: Vec<u8>, expected: &'static str, count: usize) -> Vec<Repeat> {
    vec![Repeat { request, expected }; count]
}

fn rounds<C: VirtualClient + 'static>(
    name: RowName,
    limit_name: &'static str,
    options: &Options,
    load: Load,
    mut clients: Vec<C>,
    mut limit: impl FnMut() -> Result<Option<f64>>,
) -> Result<Row> {
    let mut rounds = Vec::new();
    let mut before = limit()?;
    for _ in 0..options.rounds {
        let round = driver::run(&load, &mut clients)?;
        let after = limit()?;
        let mean = before.zip(after).map(|(before, after)| (before + after) / 2.0);
        rounds.push((round, mean));
        before = after;
    }
    Ok(Row { name, limit_name, rounds })
}

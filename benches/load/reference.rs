//! The third limit: actix-web giving a ready answer, byte for byte what Signet sends (JWKS, the statement of revocations), and
//! doing nothing else. It runs as a process of its own (this very program, started once more), so
//! that its CPU time is counted as the server's is.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::web::{Bytes, Data};
use actix_web::{App, HttpResponse, HttpServer, web};
use anyhow::{Context, Result};

use crate::cores::Cores;
use crate::http::{BlockingConnection, get};

pub const JWKS_PATH: &str = "/.well-known/jwks.json";

/// The first argument that turns this program into the static server.
pub const ARGUMENT: &str = "serve-static-answer";

/// The running static server; it ends with this value.
pub struct Reference {
    process: Child,
    pub address: SocketAddr,
}

impl Reference {
    /// Copies what the Signet at `original` answers at `path`, and serves it from the server's core.
    pub fn start(original: SocketAddr, path: &str, directory: &Path, cores: Cores) -> Result<Self> {
        let mut connection = BlockingConnection::open(original)?;
        let answer = connection.exchange(&get(path))?;
        // Those that the server writes by itself.
        let own = |name: &str| {
            ["content-length", "date", "connection"]
                .iter()
                .any(|own| name.eq_ignore_ascii_case(own))
        };
        let headers: Vec<(&str, &str)> = answer.headers().filter(|(name, _)| !own(name)).collect();
        let file = directory.join("static-answer.json");
        fs::write(&file, serde_json::to_vec(&(headers, answer.text()))?)?;

        let mut command = Command::new(std::env::current_exe()?);
        command.arg(ARGUMENT).arg(&file).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut process = cores.on_server(|| command.spawn()).context("starting the reference")?;
        let output = process.stdout.take().context("no output of the reference")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        let address = line.trim().parse().context("the reference did not say where it listens")?;
        Ok(Self { process, address })
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Reference {
    fn drop(&mut self) {
        // Failing to end what has already ended is no failure.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

struct Ready {
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Bytes,
}

/// The static server itself: one worker, one route, no middleware.
pub fn serve(file: &str) -> Result<()> {
    let (headers, body): (Vec<(String, String)>, String) =
        serde_json::from_slice(&fs::read(file)?)?;
    let parse = |(name, value): &(String, String)| {
        let name = HeaderName::try_from(name.as_str())?;
        anyhow::Ok((name, HeaderValue::try_from(value.as_str())?))
    };
    let headers = headers.iter().map(parse).collect::<Result<Vec<_>>>()?;
    let ready = Data::new(Ready { headers, body: Bytes::from(body) });
    actix_web::rt::System::new().block_on(async move {
        let app = move || {
            let app = App::new().app_data(ready.clone()).route(JWKS_PATH, web::get().to(answer));
            app.default_service(web::to(answer))
        };
        let server = HttpServer::new(app).workers(1).disable_signals().bind("127.0.0.1:0")?;
        let address = server.addrs().first().copied().context("no address")?;
        println!("{address}");
        server.run().await.context("the static server failed")
    })
}

async fn answer(ready: Data<Ready>) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    for header in &ready.headers {
        response.insert_header(header.clone());
    }
    response.body(ready.body.clone())
}

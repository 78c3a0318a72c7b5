//! TLS: whom the machine trusts, and whom it does not.

use std::net::TcpStream;
use std::process::Command;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use tempfile::TempDir;

use super::issuer::{Issuer, Stream};
use super::{Found, doctor_with};
use crate::support::process::program;

/// An issuer with a certificate of its own for 127.0.0.1, and the folder of `cert.pem`.
fn issuer(subject: &str) -> (Issuer, TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(program("openssl", Vec::new()));
    command.current_dir(folder.path()).args("req -x509 -newkey ec -nodes -days 2".split(' '));
    command.args("-pkeyopt ec_paramgen_curve:P-256 -keyout key.pem -out cert.pem".split(' '));
    command.args(["-subj", subject, "-addext", "subjectAltName=IP:127.0.0.1"]);
    command.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
    let output = command.output().expect("openssl runs");
    assert!(output.status.success(), "{output:?}");
    let file = |name: &str| folder.path().join(name);
    let chain = vec![CertificateDer::from_pem_file(file("cert.pem")).expect("a certificate")];
    let key = PrivateKeyDer::from_pem_file(file("key.pem")).expect("a key");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|config| config.with_no_client_auth().with_single_cert(chain, key))
        .expect("a configuration");
    let config = Arc::new(config);
    let wrap = move |stream: TcpStream| {
        let connection = ServerConnection::new(config.clone()).ok()?;
        Some(Box::new(StreamOwned::new(connection, stream)) as Box<dyn Stream>)
    };
    (Issuer::over("https", Box::new(wrap), Box::new(|_, _, reply| reply)), folder)
}

fn trusting(folder: &TempDir, issuer: &str) -> Found {
    let file = folder.path().join("cert.pem");
    let variables = [("SSL_CERT_FILE", file.to_str().expect("a path"))];
    Found::of(&doctor_with(&variables, &["--issuer", issuer, "--json"], ""))
}

#[test]
fn a_certificate_is_checked_against_the_systems_roots() {
    let (issuer, folder) = issuer("/CN=one");
    let found = trusting(&folder, issuer.base());
    assert!(found.names("failed").is_empty() && found.names("warning").is_empty(), "{found:?}");
    assert!(found.seen("tls", "ok").contains("TLS 1.3"));

    for (subject, seen) in [("/CN=other", "UnknownIssuer"), ("/CN=one", "BadSignature")] {
        let (_, other) = self::issuer(subject);
        trusting(&other, issuer.base()).assert_failed("tls", seen, "SSL_CERT_FILE");
    }
    let found = trusting(&folder, &issuer.base().replace("127.0.0.1", "localhost"));
    found.assert_tells("tls", "failed", "not valid for", "for this very name");
}

#[test]
fn a_machine_that_trusts_nobody() {
    let (issuer, folder) = issuer("/CN=one");
    let empty = folder.path().join("empty.pem");
    std::fs::write(&empty, "").expect("a file");
    let variables = [("SSL_CERT_FILE", empty.to_str().expect("a path"))];
    let arguments = ["--issuer", issuer.base(), "--json"];
    let found = Found::of(&doctor_with(&variables, &arguments, ""));
    found.assert_failed("tls", "trusts no authority", "ca-certificates");
}

#[test]
fn what_speaks_no_tls() {
    let issuer = Issuer::sound();
    let found = Found::at(&issuer.base().replace("http:", "https:"), &[]);
    found.assert_tells("tls", "failed", "no TLS", "TLS 1.2 or 1.3");
    // The other way round.
    let (issuer, _folder) = self::issuer("/CN=one");
    let found = Found::at(&issuer.base().replace("https:", "http:"), &[]);
    assert!(found.names("failed").contains(&"oauth metadata"), "{found:?}");
}

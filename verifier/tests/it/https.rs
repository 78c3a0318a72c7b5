//! HTTPS: the server has to be who it is asked as, by an authority that the system trusts.

use std::process::Command;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use signet_verifier::{FetchError, Unavailable, Verifier};
use tokio_rustls::TlsAcceptor;

use crate::support::issuer::{AUDIENCE, Issuer};
use crate::support::server::Server;

/// Names the issuer for a process that trusts the test's authority: which authorities the system
/// trusts is read from the environment, and that of a running process is not changed.
const ISSUER: &str = "SIGNET_VERIFIER_ISSUER";

async fn ready(issuer: &str) -> Result<(), Unavailable> {
    Verifier::builder(issuer).audience(AUDIENCE).build().unwrap().ready().await
}

/// An authority's certificate in PEM, and a server with one of its certificates, for `localhost`.
fn authority() -> (String, TlsAcceptor) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &authority).unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider);
    let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let config = config.with_single_cert(vec![certificate.der().clone()], key).unwrap();
    (authority.pem(), TlsAcceptor::from(Arc::new(config)))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_is_who_it_is_asked_as() {
    if let Ok(issuer) = std::env::var(ISSUER) {
        assert_eq!(ready(&issuer).await, Ok(()));
        let other_name = issuer.replace("localhost", "127.0.0.1");
        let error = ready(&other_name).await.unwrap_err();
        assert!(error.to_string().contains("not valid for name"), "{error}");
        return;
    }
    let (pem, tls) = authority();
    let server = Server::listen(Some(tls)).await;
    let name = format!("https://localhost:{}", server.address.port());
    let issuer = Issuer::of(server, name.clone());
    // Here nobody knows the authority.
    let error = ready(&name).await.unwrap_err();
    assert!(matches!(error, Unavailable::Keys(FetchError::Connection(_))), "{error}");
    assert!(error.to_string().contains("UnknownIssuer"), "{error}");
    assert_eq!(issuer.count("/jwks.json"), 0);

    let file = std::env::temp_dir().join(format!("signet-verifier-{}.pem", std::process::id()));
    std::fs::write(&file, pem).unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "https::the_server_is_who_it_is_asked_as", "--nocapture"]);
    child.env(ISSUER, &name).env("SSL_CERT_FILE", &file).env_remove("SSL_CERT_DIR");
    let output = tokio::task::spawn_blocking(move || child.output()).await.unwrap().unwrap();
    std::fs::remove_file(&file).unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{printed}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(printed.contains("1 passed"), "{printed}");
    assert!(issuer.count("/jwks.json") >= 1);
}

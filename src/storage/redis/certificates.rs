//! Certificates for TLS with Redis: the authority of the servers, and what the client shows of
//! itself.

use std::path::Path;

use redis::{ClientTlsConfig, ConnectionInfo, IntoConnectionInfo, RedisResult, TlsCertificates};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::secret::Secret;

/// PEM texts, as they were when the service started. By default the system's authorities count and
/// no client certificate is shown.
#[derive(Clone, Debug, Default)]
pub struct Certificates {
    authority: Option<Vec<u8>>,
    client: Option<(Vec<u8>, Secret<Vec<u8>>)>,
}

impl Certificates {
    /// Takes this file's authorities in the place of the system's.
    pub fn with_authority(self, file: &Path) -> Result<Self, String> {
        Ok(Self { authority: Some(read_certificates(file)?), ..self })
    }

    /// Shows this certificate, with those that follow it in the file, to the servers. `client` is
    /// the certificate's file and `key` its private key's; an error comes with whether it is the
    /// key's.
    pub fn with_client(self, client: &Path, key: &Path) -> Result<Self, (bool, String)> {
        let client = read_certificates(client).map_err(|error| (false, error))?;
        let key = read(key).map_err(|error| (true, error))?;
        if PrivateKeyDer::from_pem_slice(&key).is_err() {
            return Err((true, "must name a PEM file with an unencrypted private key".into()));
        }
        Ok(Self { client: Some((client, Secret::new(key))), ..self })
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.authority.is_none() && self.client.is_none()
    }

    pub(super) fn to_library(&self) -> Option<TlsCertificates> {
        let client_tls = self.client.as_ref().map(|(certificate, key)| ClientTlsConfig {
            client_cert: certificate.clone(),
            client_key: key.expose().clone(),
        });
        (!self.is_empty())
            .then(|| TlsCertificates { client_tls, root_cert: self.authority.clone() })
    }

    /// An address with these certificates, where TLS is spoken there.
    pub(super) fn connection_info(&self, url: &Secret<String>) -> RedisResult<ConnectionInfo> {
        let url = url.expose().as_str();
        match self.to_library() {
            Some(certificates) if url.starts_with("rediss:") => {
                let client = redis::Client::build_with_tls(url, certificates)?;
                Ok(client.get_connection_info().clone())
            }
            _ => url.into_connection_info(),
        }
    }
}

fn read(file: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(file)
        .map_err(|error| format!("names {}, which cannot be read: {error}", file.display()))
}

fn read_certificates(file: &Path) -> Result<Vec<u8>, String> {
    let text = read(file)?;
    let mut count = 0;
    for certificate in CertificateDer::pem_slice_iter(&text) {
        let wrong = || format!("names {}, which is not PEM", file.display());
        let certificate = certificate.map_err(|_| wrong())?;
        let mut store = rustls::RootCertStore::empty();
        store.add(certificate).map_err(|_| {
            format!("names {}, which holds something that is no certificate", file.display())
        })?;
        count += 1;
    }
    match count {
        0 => Err(format!("names {}, which holds no certificate in PEM form", file.display())),
        _ => Ok(text),
    }
}

//! Certificates for TLS with Redis: the authority of the servers, and what the client shows of
//! itself.

use std::path::Path;

use redis::{ClientTlsConfig, ConnectionInfo, IntoConnectionInfo, RedisResult, TlsCertificates};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;

use crate::base::secret::Secret;
use crate::storage::tls::{read, read_certificates};

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
        let (text, _) = read_certificates(file)?;
        Ok(Self { authority: Some(text), ..self })
    }

    /// Shows the certificates in the file `client` to the servers, with the private key in the file
    /// `key`. An error comes with whether it is the key's.
    pub fn with_client(self, client: &Path, key: &Path) -> Result<Self, (bool, String)> {
        let (client, _) = read_certificates(client).map_err(|error| (false, error))?;
        let key = read(key).map_err(|error| (true, error))?;
        check_key(&key).map_err(|error| (true, error.to_owned()))?;
        Ok(Self { client: Some((client, Secret::new(key))), ..self })
    }

    pub(crate) fn is_empty(&self) -> bool {
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

/// The one private key of a file: the library would take the first of several.
fn check_key(text: &[u8]) -> Result<(), &'static str> {
    let begins_key = |line: &&[u8]| {
        let line = line.trim_ascii();
        line.starts_with(b"-----BEGIN ") && line.ends_with(b"PRIVATE KEY-----")
    };
    let lines = text.split(|byte| matches!(byte, b'\n' | b'\r'));
    if lines.filter(begins_key).count() > 1 {
        return Err(
            "must name a PEM file with one private key, and this one holds several: leave \
                    out those that are not meant",
        );
    }
    PrivateKeyDer::from_pem_slice(text)
        .map(drop)
        .map_err(|_| "must name a PEM file with an unencrypted private key")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_of_several_private_keys_is_meant_is_not_guessed() {
        let block = |label: &str| format!("-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n");
        let [certificate, key] = ["CERTIFICATE", "PRIVATE KEY"].map(block);
        check_key(format!("{certificate}{key}{certificate}").as_bytes()).unwrap();
        let [rsa, encrypted] = ["RSA PRIVATE KEY", "ENCRYPTED PRIVATE KEY"].map(block);
        for second in [key.clone(), key.replace('\n', "\r\n"), rsa, encrypted] {
            let error = check_key(format!("{key}{certificate}{second}").as_bytes()).unwrap_err();
            assert!(error.contains("several"), "{error}");
        }
        assert!(check_key(certificate.as_bytes()).unwrap_err().contains("unencrypted"));
    }
}

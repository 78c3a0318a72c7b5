//! Files of certificates, checked as they are read, and what the TLS library's errors mean for
//! the operator.

use std::path::Path;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// An explanation of a failed handshake where the library's own words do not help: what the server
/// presents, and what to make instead. `error` is the text of the error with its causes.
pub(crate) fn explain(error: &str) -> Option<&'static str> {
    // PostgreSQL's manual and others make a certificate that is its own authority.
    error.contains("CaUsedAsEndEntity").then_some(
        "the server's certificate is an authority's (CA:TRUE), which may not stand for a server: \
         make it with CA:FALSE, or sign a server certificate with it (docs/operations.md, \
         Certificates)",
    )
}

/// The bytes of a file; the error is the sentence for the operator.
pub(super) fn read(file: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(file)
        .map_err(|error| format!("names {}, which cannot be read: {error}", file.display()))
}

/// A PEM file of one or more certificates, as text and as certificates.
pub(super) fn read_certificates(
    file: &Path,
) -> Result<(Vec<u8>, Vec<CertificateDer<'static>>), String> {
    let text = read(file)?;
    let wrong = |what| format!("names {}, which {what}", file.display());
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<_, _>>()
        .map_err(|_| wrong("is not PEM"))?;
    if certificates.is_empty() {
        return Err(wrong("holds no certificate in PEM form"));
    }
    // A large bundle may have an odd one among many that are good.
    let (good, _) =
        rustls::RootCertStore::empty().add_parsable_certificates(certificates.iter().cloned());
    match good {
        0 => Err(wrong("holds something that is no certificate")),
        _ => Ok((text, certificates)),
    }
}

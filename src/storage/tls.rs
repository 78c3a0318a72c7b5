//! What the TLS library's words mean for whoever set up the certificates.

/// An explanation of a failed handshake where the library's own words do not help: what the server
/// presents, and what to make instead. `error` is the text of the error with its causes.
pub fn explain(error: &str) -> Option<&'static str> {
    // PostgreSQL's manual and others make a certificate that is its own authority.
    error.contains("CaUsedAsEndEntity").then_some(
        "the server's certificate is an authority's (CA:TRUE), which may not stand for a server: \
         make it with CA:FALSE, or sign a server certificate with it (docs/operations.md, \
         Certificates)",
    )
}

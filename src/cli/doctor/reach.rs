//! The way to the issuer: its name, a connection, TLS; and how long each took.

use std::time::Instant;

use url::Host;

use super::fault::seconds;
use super::http::Http;
use super::issuer::Issuer;
use super::report::Report;
use crate::storage::outbound::Target;

pub(super) async fn check(http: &Http, issuer: &Issuer, report: &mut Report) -> bool {
    let start = Instant::now();
    let target = Target::of_operator(&issuer.url);
    let addresses = report.accept("dns", http.in_time(http.outbound.resolve(target)).await);
    let Some(addresses) = addresses else { return false };
    if let Some(Host::Domain(_)) = issuer.url.host() {
        let took = start.elapsed();
        let list: Vec<_> = addresses.iter().map(|address| address.ip().to_string()).collect();
        report.ok("dns", format!("{} in {}", list.join(", "), seconds(took))).took(took);
    } else {
        report.skipped("dns", "the issuer is named by its address");
    }
    let mut silent = Vec::new();
    for address in addresses {
        let start = Instant::now();
        match http.in_time(http.outbound.dial(address)).await {
            Err(fault) => silent.push(fault),
            Ok(stream) => {
                let took = start.elapsed();
                let seen = format!("{address} in {}", seconds(took));
                match silent.first() {
                    None => report.ok("tcp", seen).took(took),
                    Some(fault) => {
                        let mend = "take the address that does not answer out of the DNS, or mend it: \
                                    some clients try it first";
                        report.warning("tcp", format!("{seen}, but {fault}"), mend).took(took)
                    }
                };
                return secure(http, issuer, stream, report).await;
            }
        }
    }
    if let Some(fault) = silent.first() {
        report.fault("tcp", fault);
    }
    false
}

async fn secure(
    http: &Http,
    issuer: &Issuer,
    stream: tokio::net::TcpStream,
    report: &mut Report,
) -> bool {
    if issuer.url.scheme() == "http" {
        if issuer.may_be_asked_at(&issuer.url) {
            report.skipped("tls", "plain HTTP, on this machine");
        } else {
            let mend = "put TLS before the service and name it by https: whoever is on the way can \
                        exchange the keys";
            report.failed("tls", "plain HTTP over a network", mend);
        }
        return true;
    }
    if !http.outbound.has_authorities() {
        let mend = "install the system's root certificates (ca-certificates), or name a file of them in \
                    SSL_CERT_FILE";
        report.failed("tls", "this machine trusts no authority", mend);
        return false;
    }
    let start = Instant::now();
    let encrypted = http.in_time(http.outbound.encrypt(&issuer.url, stream)).await;
    let Some(stream) = report.accept("tls", encrypted) else { return false };
    let took = start.elapsed();
    let version = match stream.get_ref().1.protocol_version() {
        Some(rustls::ProtocolVersion::TLSv1_3) => "TLS 1.3",
        _ => "TLS 1.2",
    };
    report.ok("tls", format!("{version} in {}", seconds(took))).took(took);
    true
}

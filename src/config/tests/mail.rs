//! What the section `mail` accepts and refuses.

use super::{load, messages, production};
use crate::domain::mail::TransportConfig;

#[test]
fn mail_is_off_or_goes_by_files_or_by_a_server() {
    let mail = |variables: &[(&str, &str)]| load(None, variables).map(|config| config.mail);
    let transport = |variables: &[(&str, &str)]| mail(variables).unwrap().unwrap().transport;
    assert!(matches!(transport(&[]), TransportConfig::Files(folder) if folder.ends_with("mail")));
    assert!(mail(&[("SIGNET__MAIL__TRANSPORT", "off")]).unwrap().is_none());
    assert!(load(None, &production()).unwrap().mail.is_none());

    let smtp = |more: &[(&str, &str)]| {
        let mut all = vec![("SIGNET__MAIL__TRANSPORT", "smtp")];
        all.extend(more);
        load(None, &all).map(|config| match config.mail.unwrap().transport {
            TransportConfig::Smtp(smtp) => smtp,
            TransportConfig::Files(_) => panic!("files"),
        })
    };
    let host = ("SIGNET__MAIL__SMTP__HOST", "smtp.example.com");
    let off = ("SIGNET__MAIL__SMTP__TLS", "off");
    assert_eq!(smtp(&[host]).unwrap().port, 587);
    assert_eq!(smtp(&[host, ("SIGNET__MAIL__SMTP__TLS", "tls")]).unwrap().port, 465);
    let said = messages(smtp(&[host, off]).map(|_| unreachable!()));
    assert!(said[0].contains("may be off for a loopback host only"), "{said:?}");
    let permitted = ("SIGNET__MAIL__SMTP__ALLOW_PLAINTEXT", "true");
    assert_eq!(smtp(&[host, off, permitted]).unwrap().port, 25);
    for loopback in ["127.0.0.1", "::1", "localhost"] {
        let smtp = smtp(&[("SIGNET__MAIL__SMTP__HOST", loopback), off]).unwrap();
        assert_eq!(smtp.host, loopback);
    }
    let hello = |more: &[(&str, &str)]| smtp(&[&[host], more].concat()).unwrap().hello;
    assert_eq!(hello(&[]), "127.0.0.1");
    assert_eq!(hello(&[("SIGNET__ISSUER", "https://id.example.com:8443/x")]), "id.example.com");
    assert_eq!(hello(&[("SIGNET__ISSUER", "http://[::1]:8080")]), "::1");
    for (named, sent) in [
        ("mail.example.com", "mail.example.com"),
        ("192.0.2.1", "192.0.2.1"),
        ("[192.0.2.1]", "192.0.2.1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("b\u{fc}cher.example", "xn--bcher-kva.example"),
    ] {
        assert_eq!(hello(&[("SIGNET__MAIL__SMTP__HELLO", named)]), sent);
    }
    let required =
        [("SIGNET__MAIL__TRANSPORT", "off"), ("SIGNET__SIGNUP__REQUIRE_VERIFIED_EMAIL", "true")];
    let said = messages(load(None, &required));
    assert!(said[0].contains("cannot be true while mail.transport is off"), "{said:?}");
    assert!(load(None, &required[1..]).unwrap().require_verified_email);
    let mut nameless = production();
    nameless.extend([("SIGNET__MAIL__TRANSPORT", "smtp"), host]);
    let said = messages(load(None, &nameless));
    assert!(said.len() == 1 && said[0].starts_with("mail.from is required"), "{said:?}");
}

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

/// Variable, value, and what is said.
#[test]
fn bad_values_are_refused_with_a_reason() {
    for (name, value, message) in [
        ("MAIL__TRANSPORT", "pigeon", "must be off or files or smtp, not \"pigeon\""),
        ("MAIL__TRANSPORT", "smtp", "mail.smtp.host is required, since mail.transport is smtp"),
        ("MAIL__FROM", "Shop", "must be an address such as Example <no-reply@example.com>"),
        ("MAIL__DIRECTORY", " ", "mail.directory must name a folder"),
        ("MAIL__VERIFICATION_URL", "/verify", "must be an absolute https URL such as"),
        ("MAIL__RESET_URL", "http://app.example.com/", "must be an absolute https URL such as"),
        ("MAIL__RESET_URL", "https://a.example.com/#/reset", "must have no fragment"),
        ("MAIL__RESET_LIFETIME", "1m", "mail.reset_lifetime must be from 5m to 1day"),
        ("MAIL__VERIFICATION_LIFETIME", "8d", "must be from 5m to 7days"),
        ("MAIL__GIVE_UP_AFTER", "30d", "mail.give_up_after must be from 1m to 14days"),
        ("MAIL__OUTBOX_LIMIT", "1", "mail.outbox_limit must be from 100 to 1000000"),
        ("MAIL__SMTP__HOST", "smtp.example.com:587", "must be a host name or address, without a"),
        ("MAIL__SMTP__HELLO", "a b", "mail.smtp.hello must be a host name or address"),
        ("MAIL__SMTP__HELLO", "a\r\nQUIT", "mail.smtp.hello must be a host name or address"),
        ("MAIL__SMTP__TLS", "ssl", "must be starttls or tls or off, not \"ssl\""),
        ("MAIL__SMTP__USERNAME", "signet", "mail.smtp.password is required with"),
        ("MAIL__SMTP__PASSWORD", "hunter2", "mail.smtp.username is required with"),
        ("MAIL__SMTP__TIMEOUT", "0s", "mail.smtp.timeout must be from 1s to 10m"),
        ("MAIL__SMTP__CONNECTIONS", "0", "mail.smtp.connections must be from 1 to 32, not 0"),
    ] {
        let name = format!("SIGNET__{name}");
        let said = messages(load(None, &[(name.as_str(), value)]));
        assert!(said.len() == 1 && said[0].contains(message), "{name}={value}: {said:?}");
    }
}

//! TLS to the stores with certificates of one's own.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::client::Client;
use crate::support::postgres::Postgres;
use crate::support::process::{Process, free_port, poll};
use crate::support::redis::Redis;
use crate::support::signet::{Builder, Signet};

/// Runs openssl in `folder`.
fn openssl(folder: &Path, arguments: &str) {
    let output = Command::new("openssl").args(arguments.split(' ')).current_dir(folder).output();
    let output = output.expect("openssl runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A certificate for 127.0.0.1 that signs itself, and its key: `name.pem` and `name.key`.
fn self_signed(folder: &Path, name: &str, is_authority: bool) -> (PathBuf, PathBuf) {
    let ca = if is_authority { "TRUE" } else { "FALSE" };
    let subject = "-subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1";
    openssl(
        folder,
        &format!(
            "req -new -x509 -days 2 -nodes -newkey rsa:2048 -keyout {name}.key -out {name}.pem \
             {subject} -addext basicConstraints=critical,CA:{ca}"
        ),
    );
    (folder.join(format!("{name}.pem")), folder.join(format!("{name}.key")))
}

/// A Redis that speaks TLS with a certificate that signs itself, and asks for one; its address.
fn redis(folder: &Path, is_authority: bool, asks: &str) -> (Redis, String, PathBuf) {
    let (certificate, key) = self_signed(folder, "redis", is_authority);
    let port = free_port();
    let path = |path: &Path| path.to_str().expect("UTF-8").to_owned();
    let redis = Redis::start_with(&[
        ("tls-port", &port.to_string()),
        ("tls-cert-file", &path(&certificate)),
        ("tls-key-file", &path(&key)),
        ("tls-ca-cert-file", &path(&folder.join("client.pem"))),
        ("tls-auth-clients", asks),
    ]);
    (redis, format!("rediss://127.0.0.1:{port}"), certificate)
}

fn set_file(builder: Builder, key: &str, path: &Path) -> Builder {
    builder.set(key, path.to_str().expect("UTF-8"))
}

#[tokio::test]
async fn redis_is_known_by_a_file_and_knows_the_client() {
    let folder = tempfile::tempdir().unwrap();
    let (client, key) = self_signed(folder.path(), "client", true);
    let (_redis, url, authority) = redis(folder.path(), false, "yes");
    let builder = || {
        let builder = Signet::builder().redis(&url);
        set_file(builder, "redis.ca_file", &authority)
    };
    let builder_with_client = set_file(builder(), "redis.client_certificate", &client);
    let signet = set_file(builder_with_client, "redis.client_key", &key).start();
    Client::new(signet.base()).new_user().await;
    // Without a certificate, and without the authority, nobody is let in.
    let mut stranger = builder().set("startup_timeout", "3s").prepare();
    stranger.spawn();
    let ended = stranger.process().wait(Duration::from_secs(30)).expect("it ends");
    assert_eq!(ended.code(), Some(1), "{}", stranger.output());
    let mut mistrusting = Signet::builder().redis(&url).prepare();
    mistrusting.spawn();
    let ended = mistrusting.process().wait(Duration::from_secs(20)).expect("it ends");
    assert_eq!(ended.code(), Some(1));
    let output = mistrusting.output();
    assert!(output.contains("UnknownIssuer"), "{output}");
    // Certificates where none is used are a mistake.
    let plain = set_file(Signet::builder().redis("redis://127.0.0.1"), "redis.ca_file", &authority);
    let output = plain.prepare().cli(&["config", "check"], "");
    assert!(String::from_utf8_lossy(&output.stderr).contains("redis.ca_file is without effect"));
}

/// What the manual of PostgreSQL makes is explained in words, and what is made as they say works.
#[tokio::test]
async fn an_authority_in_the_place_of_a_server_is_explained() {
    let folder = tempfile::tempdir().unwrap();
    self_signed(folder.path(), "client", true);
    let (_redis, url, authority) = redis(folder.path(), true, "no");
    let builder = set_file(Signet::builder().redis(&url), "redis.ca_file", &authority);
    expect_explained(builder.prepare());

    for is_authority in [true, false] {
        let mut postgres = Postgres::start();
        postgres.stop();
        let (authority, _) = self_signed(folder.path(), "postgres", is_authority);
        postgres.speak_tls(folder.path(), "postgres");
        postgres.restart();
        let url =
            format!("{}?sslmode=verify-full&sslrootcert={}", postgres.url(), authority.display());
        let builder = Signet::builder().postgres(&url);
        match is_authority {
            true => expect_explained(builder.prepare()),
            false => drop(Client::new(builder.start().base()).new_user().await),
        }
    }
}

#[test]
fn an_authority_in_the_place_of_a_mail_server_is_explained() {
    let folder = tempfile::tempdir().unwrap();
    let (authority, key) = self_signed(folder.path(), "mail", true);
    let port = free_port();
    let mut command = Command::new("openssl");
    command.args(["s_server", "-quiet", "-accept", &port.to_string(), "-cert"]).arg(&authority);
    command.arg("-key").arg(&key).stdin(Stdio::null());
    let _server = Process::spawn(command.stdout(Stdio::null()).stderr(Stdio::null()), "TERM");
    let listens = || std::net::TcpStream::connect(("127.0.0.1", port)).ok();
    poll(Duration::from_secs(20), listens).expect("openssl listens");
    let builder = Signet::builder()
        .set("mail.transport", "smtp")
        .set("mail.from", "no-reply@example.com")
        .set("mail.smtp.host", "127.0.0.1")
        .set("mail.smtp.port", &port.to_string())
        .set("mail.smtp.tls", "tls");
    let signet = set_file(builder, "mail.smtp.ca_file", &authority).prepare();
    let output = signet.cli(&["mail", "test", "ann@example.com"], "");
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("(CA:TRUE)") && text.contains("Certificates)"), "{text}");
}

fn expect_explained(mut signet: Signet) {
    signet.spawn();
    let ended = signet.process().wait(Duration::from_secs(20)).expect("it ends");
    assert_eq!(ended.code(), Some(1));
    let output = signet.output();
    assert!(output.contains("(CA:TRUE)"), "{output}");
    assert!(output.contains("CA:FALSE"), "{output}");
}

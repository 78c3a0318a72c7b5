//! nginx and Apache with the configurations of docs/integrate, in front of a service that only tells
//! what reached it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::services::Service;
use super::world::World;
use super::{AUDIENCE, text};
use crate::support::client::{Client, Send};
use crate::support::process::{Process, free_port, poll, program};
use crate::support::reaper;

/// How long an answer of Signet's is believed, by clocks that count whole seconds, and a margin.
const CACHED: Duration = Duration::from_secs(5 + 1 + 2);

/// Answers every request with what reached it; returns its address.
fn echo() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let lines = BufReader::new(stream.try_clone().expect("a socket")).lines();
            let lines: Vec<_> =
                lines.map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
            let header = |name: &str| {
                let mut named = lines.iter().filter_map(|line| line.split_once(": "));
                named.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
            };
            let target = lines.first().and_then(|line| line.split(' ').nth(1));
            let told = json!({
                "target": target, "subject": header("x-subject"),
                "underscored": header("x_subject"), "authorization": header("authorization"),
            });
            let body = told.to_string();
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close";
            let _ = write!(stream, "{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        }
    });
    address
}

/// A configuration of docs/integrate with other addresses in the place of those that it prints.
fn adapted(path: &str, replaced: &[(&str, &str)]) -> String {
    replaced.iter().fold(text(path), |text, (from, to)| {
        assert!(text.contains(from), "{path} has no {from}");
        text.replace(from, to)
    })
}

fn temporary() -> TempDir {
    let folder = tempfile::Builder::new().prefix("signet-gw-").tempdir().expect("a folder");
    reaper::remove_at_exit(folder.path());
    folder
}

fn module(path: &str) -> &Path {
    let module = Path::new(path);
    assert!(module.exists(), "{path} is missing: run scripts/test, which installs it");
    module
}

fn start(command: &mut Command, port: u16, folder: TempDir) -> Service {
    command.stdin(Stdio::null());
    let mut process = Process::spawn(command, "TERM");
    let ready = poll(Duration::from_secs(20), || {
        let log = || std::fs::read_to_string(folder.path().join("error.log")).unwrap_or_default();
        assert!(process.ended().is_none(), "{command:?} ended: {}", log());
        std::net::TcpStream::connect(("127.0.0.1", port)).ok()
    });
    assert!(ready.is_some(), "{command:?} does not listen");
    Service::new(Client::new(&format!("http://127.0.0.1:{port}")), process, Some(folder))
}

fn start_nginx(world: &World) -> Service {
    module("/usr/lib/nginx/modules/ngx_http_js_module.so");
    let (folder, port) = (temporary(), free_port());
    let path = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    let own = format!(
        "http {{\naccess_log off;\nclient_body_temp_path {};\nproxy_temp_path {};\n",
        path("body"),
        path("proxy")
    );
    let configuration = adapted(
        "nginx/nginx.conf",
        &[
            ("127.0.0.1:8080", world.signet.address()),
            ("127.0.0.1:3000", &echo()),
            ("127.0.0.1:8081", &format!("127.0.0.1:{port}")),
            ("/var/cache/nginx/signet", &path("cache")),
            ("http {\n", &own),
        ],
    );
    let credentials = STANDARD.encode(format!("gateway:{}", world.secret));
    let credentials = format!("proxy_set_header Authorization \"Basic {credentials}\";\n");
    std::os::unix::fs::symlink("/usr/lib/nginx/modules", path("modules")).expect("a link");
    for (name, text) in [
        ("nginx.conf", configuration),
        ("signet.js", text("nginx/signet.js")),
        ("signet-credentials.conf", credentials),
    ] {
        std::fs::write(path(name), text).expect("it can be written");
    }
    let user = if rustix::process::geteuid().is_root() { "user root; " } else { "" };
    let mut command = Command::new(program("nginx", vec!["/usr/sbin".into()]));
    command.arg("-p").arg(folder.path()).args(["-c", "nginx.conf", "-e", &path("error.log"), "-g"]);
    command.arg(format!("daemon off; {user}pid {};", path("pid")));
    start(&mut command, port, folder)
}

fn start_apache(world: &World) -> Service {
    let (folder, port) = (temporary(), free_port());
    let path = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    let modules = [
        "mpm_event",
        "authz_core",
        "authz_user",
        "authn_core",
        "headers",
        "proxy",
        "proxy_http",
        "oauth2",
    ]
    .map(|name| {
        let file = format!("/usr/lib/apache2/modules/mod_{name}.so");
        format!("LoadModule {name}_module {}\n", module(&file).display())
    });
    let site = adapted(
        "apache/orders.conf",
        &[
            ("127.0.0.1:8080", world.signet.address()),
            ("127.0.0.1:3000", &echo()),
            ("127.0.0.1:8081", &format!("127.0.0.1:{port}")),
            ("https://id.example.com", world.signet.issuer()),
        ],
    );
    let configuration = format!(
        "ServerRoot {}\nServerName localhost\nPidFile {}\nErrorLog {}\nUser nobody\nGroup nogroup\n\
         Listen 127.0.0.1:{port}\n{}{site}",
        folder.path().display(),
        path("pid"),
        path("error.log"),
        modules.concat()
    );
    std::fs::write(path("httpd.conf"), configuration).expect("it can be written");
    let mut command = Command::new(program("apache2", vec!["/usr/sbin".into()]));
    command.args(["-f", &path("httpd.conf"), "-DFOREGROUND"]).env("SIGNET_SECRET", &world.secret);
    start(&mut command, port, folder)
}

/// Paths that are, or could be taken for, others than they look like.
const CONFUSING: [&str; 18] = [
    "/admin/..%2forders",
    "/admin/..%2Forders/1",
    "/admin/../orders",
    "/admin/%2e%2e/orders",
    "/admin/.%2e/orders/1",
    "/orders/..%2fadmin",
    "/orders/../admin",
    "/orders/%2e%2e/admin",
    "/orders/1%2f..%2f..%2fadmin",
    "/orders%2f..%2fadmin",
    "/orders/%252e%252e/admin",
    "//orders",
    "/admin//..//orders",
    "/%6frders",
    "/./orders/./1",
    "/orders#/../admin",
    "/ordersandmore",
    "http://elsewhere/orders",
];

/// Sends a request whose target is this, letter for letter; the status and the body.
fn send(gateway: &Service, method: &str, target: &str, token: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(gateway.client.address()).expect("a connection");
    let head = format!(
        "{method} {target} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\
         Connection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).expect("it is sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    let (_, body) = answer.split_once("\r\n\r\n").expect("a head");
    (status.expect("a status"), body.to_owned())
}

/// Nothing reaches the service behind but what was decided upon, under the same name.
async fn is_not_confused(world: &World, gateway: &Service) {
    let login = async |role| {
        let user = world.user(role).await;
        world.login(&user, "orders:read", &[AUDIENCE]).await.access_token
    };
    let (reader, boss) = (login(None).await, login(Some("manager")).await);
    for target in CONFUSING.into_iter().chain(["/orders", "/orders/1"]) {
        let (status, body) = send(gateway, "GET", target, &reader);
        assert_eq!(status == 200, body.contains("target"), "{target}: {status} {body}");
        assert!(status != 200 || reached(&body) == "/orders", "GET {target}: {body}");
        let (status, body) = send(gateway, "DELETE", target, &boss);
        assert_eq!(status == 200, body.contains("target"), "{target}: {status} {body}");
        if status == 200 {
            let path = reached(&body).to_lowercase().replace("%2e", ".").replace("%2f", "/");
            assert!(path.starts_with("/orders/"), "DELETE {target}: {body}");
            assert!(!path.contains("/.") && !path.contains("//"), "DELETE {target}: {body}");
        }
    }
    assert_eq!(reached(&send(gateway, "GET", "/orders", &reader).1), "/orders");
    assert_eq!(reached(&send(gateway, "GET", "/orders?page=2", &reader).1), "/orders?page=2");
    assert_eq!(reached(&send(gateway, "DELETE", "/orders/a%20b", &boss).1), "/orders/a%20b");
}

/// The target that the service behind was sent.
fn reached(body: &str) -> String {
    let start = body.find('{').expect("what reached it");
    let told: Value = serde_json::from_str(&body[start..]).expect("JSON");
    told["target"].as_str().expect("a target").to_owned()
}

/// What reaches the service behind: who is calling, whatever the caller says, and no token.
async fn passes_on_who_is_calling(world: &World, gateway: &Service) {
    let user = world.user(None).await;
    let token = world.login(&user, "orders:read", &[AUDIENCE]).await.access_token;
    let sub = crate::support::jwt::Jwt::decode(&token).claims["sub"].clone();
    let request = gateway.client.get("/orders").bearer_auth(&token).header("x-subject", "evil");
    let told = request.header("X_Subject", "evil").answer().await.expect(200).json();
    assert_eq!(
        told,
        json!({ "target": "/orders", "subject": sub, "underscored": null, "authorization": null })
    );
    // Who may read may do nothing else.
    for (method, path) in [("POST", "/orders"), ("DELETE", "/orders"), ("PUT", "/orders/1")] {
        let method = method.parse().expect("a method");
        let answer = gateway.client.request(method, path).bearer_auth(&token).answer().await;
        assert!([403, 405].contains(&answer.status), "{path}: {answer:?}");
    }
}

#[tokio::test]
async fn nginx_asks_and_believes_for_a_few_seconds() {
    let mut world = World::start();
    let gateway = start_nginx(&world);
    world.check(&gateway.client, 401).await;
    passes_on_who_is_calling(&world, &gateway).await;
    is_not_confused(&world, &gateway).await;

    let token = world.token().await;
    gateway.orders(&token).await.expect(200);
    world.logout(&token).await;
    let took = gateway.answers(&token, 401, CACHED).await;
    println!("401 after {took:?}");
    let fresh = world.token().await;
    gateway.orders(&fresh).await.expect(200);
    world.signet.kill9();
    gateway.answers(&fresh, 503, CACHED).await;
    let refused = gateway.orders(&fresh).await.expect(503);
    assert_eq!(refused.header("retry-after"), Some("1"));
    gateway.client.get("/orders").answer().await.expect(401);
    world.signet.restart();
    gateway.answers(&fresh, 200, CACHED).await;
    gateway.client.get("/elsewhere").answer().await.expect(404);
}

#[tokio::test]
async fn apache_verifies_and_asks_before_anything_is_deleted() {
    let world = World::start();
    let gateway = start_apache(&world);
    world.check(&gateway.client, 403).await;
    passes_on_who_is_calling(&world, &gateway).await;
    is_not_confused(&world, &gateway).await;

    let boss = world.user(Some("manager")).await;
    let resources = [AUDIENCE, world.signet.issuer()];
    let token = world.login(&boss, "orders:read", &resources).await.access_token;
    // The first way to look at a token must not answer for the second.
    gateway.orders(&token).await.expect(200);
    gateway.delete(&token).await.expect(200);
    world.logout(&token).await;
    let start = std::time::Instant::now();
    while gateway.delete(&token).await.status != 401 {
        assert!(start.elapsed() < CACHED, "it may still delete");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // As its page says: what is only read is open until the token expires.
    gateway.orders(&token).await.expect(200);
}

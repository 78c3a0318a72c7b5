//! The OpenAPI document: the same from the command and the service, valid, complete and true. That
//! the answers are those it lists is checked with every answer that any test gets (support/contract).

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::api::administration::Admin;
use crate::interop::{folder, python};
use crate::support::client::{Answer, Client, Send, unique_email};
use crate::support::contract::{document, operations};
use crate::support::signet::{Backend, Signet};

/// Every route of the contract that is served.
const ROUTES: &str = "
    GET    /.well-known/openid-configuration
    GET    /.well-known/oauth-authorization-server
    GET    /.well-known/jwks.json
    POST   /oauth2/token
    POST   /oauth2/revoke
    POST   /oauth2/introspect
    GET    /oauth2/userinfo
    POST   /oauth2/userinfo
    GET    /revocations
    GET    /revocations/stream
    POST   /signup
    POST   /login
    POST   /logout
    GET    /users/me
    PATCH  /users/me
    DELETE /users/me
    POST   /users/me/delete
    POST   /email/verification
    POST   /email/verify
    POST   /password/forgot
    POST   /password/reset
    POST   /users/me/password
    POST   /users/me/email
    GET    /users/me/sessions
    DELETE /users/me/sessions
    DELETE /users/me/sessions/{sid}
    GET    /admin/keys
    GET    /admin/keys/{kid}
    GET    /admin/keys/{kid}/public
    POST   /admin/keys/rotate
    POST   /admin/keys/{kid}/retire
    POST   /admin/keys/{kid}/revoke
    POST   /admin/keys/import
    POST   /admin/keys/rewrap
    GET    /admin/roles
    GET    /admin/roles/{name}
    PUT    /admin/roles/{name}
    DELETE /admin/roles/{name}
    GET    /admin/users
    POST   /admin/users
    GET    /admin/users/{id}
    PATCH  /admin/users/{id}
    DELETE /admin/users/{id}
    PUT    /admin/users/{id}/password
    POST   /admin/users/{id}/unlock
    GET    /admin/users/{id}/sessions
    DELETE /admin/users/{id}/sessions
    DELETE /admin/users/{id}/sessions/{sid}
    GET    /admin/clients
    POST   /admin/clients
    GET    /admin/clients/{client_id}
    PATCH  /admin/clients/{client_id}
    DELETE /admin/clients/{client_id}
    POST   /admin/clients/{client_id}/rotate-secret
    GET    /admin/sessions
    DELETE /admin/sessions/{sid}
    GET    /admin/audit
    GET    /health/live
    GET    /health/ready
    GET    /metrics
";

/// Routes that show the document, and need not be in it.
const ABOUT_ITSELF: [&str; 3] = ["/docs", "/docs/", "/openapi.json"];

fn routes() -> BTreeSet<(String, String)> {
    let words = |line: &str| {
        let (method, path) = line.trim().split_once(' ').expect("method and path");
        (method.to_owned(), path.trim().to_owned())
    };
    ROUTES.trim().lines().map(words).collect()
}

#[tokio::test]
async fn the_command_prints_what_the_service_shows() {
    let signet = Signet::shared();
    let printed = signet.cli_ok(&["openapi"], "");
    let printed: serde_json::Value = serde_json::from_str(&printed).expect("JSON");
    let served = Client::shared().get("/openapi.json").answer().await.expect(200).json();
    assert_eq!(printed, served);
}

#[tokio::test]
async fn every_route_is_described_and_nothing_else() {
    let document = Client::shared().get("/openapi.json").answer().await.expect(200).json();
    let (mut described, mut ids) = (BTreeSet::new(), BTreeSet::new());
    for (path, methods) in document["paths"].as_object().expect("paths") {
        if ABOUT_ITSELF.contains(&path.as_str()) {
            continue;
        }
        for (method, operation) in methods.as_object().expect("methods") {
            described.insert((method.to_uppercase(), path.clone()));
            let id = operation["operationId"].as_str().expect("an id").to_owned();
            assert!(ids.insert(id), "{method} {path}: another operation has this id: {operation}");
            let text = |member: &str| operation[member].as_str().is_some_and(|t| !t.is_empty());
            assert!(text("summary") || text("description"), "{method} {path}: {operation}");
            let answers = operation["responses"].as_object().expect("responses");
            assert!(answers.keys().any(|status| status.starts_with('2')), "{method} {path}");
        }
    }
    assert_eq!(described, routes());
}

#[tokio::test]
async fn every_described_route_is_served() {
    let client = Client::shared();
    for (method, path) in routes() {
        let method: Method = method.parse().expect("a method");
        let path = path.replace("{sid}", "01890000-0000-7000-8000-000000000000");
        // Its head alone: one of them is a stream.
        let answer = client.request(method.clone(), &path).send().await.expect("an answer");
        assert!(![404, 405].contains(&answer.status().as_u16()), "{method} {path}: {answer:?}");
    }
}

#[tokio::test]
async fn every_reference_leads_somewhere() {
    let document = Client::shared().get("/openapi.json").answer().await.expect(200).json();
    let text = document.to_string();
    let mut references = 0;
    for rest in text.split("\"$ref\":\"#").skip(1) {
        let pointer = rest.split('"').next().expect("a pointer");
        assert!(document.pointer(pointer).is_some(), "{pointer} leads nowhere");
        references += 1;
    }
    assert!(references > 0);
}

#[tokio::test]
async fn it_is_valid() {
    let mut command = Command::new(python());
    command.arg(folder().join("openapi.py")).stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut validator = command.spawn().expect("Python runs");
    let mut input = validator.stdin.take().expect("a pipe");
    input.write_all(document().to_string().as_bytes()).expect("it reads");
    drop(input);
    let output = validator.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn every_answer_is_described() {
    for (method, path, operation) in operations() {
        for (status, answer) in operation["responses"].as_object().expect("responses") {
            let description = answer["description"].as_str().unwrap_or_default();
            assert!(!description.trim().is_empty(), "{method} {path} {status}: {answer}");
            // Every error says what it is.
            assert!(status < &"400".to_owned() || answer["content"].is_object(), "{answer}");
        }
    }
}

/// The way to something that is not there.
fn filled_in(template: &str) -> String {
    let id = "01890000-0000-7000-8000-000000000000";
    let part = |part: &str| if part.starts_with('{') { id } else { part }.to_owned();
    template.split('/').map(part).collect::<Vec<_>>().join("/")
}

/// The ways into an operation: names of security schemes, `None` for everybody.
fn ways_in(operation: &'static Value) -> Vec<Option<&'static str>> {
    let name =
        |way: &'static Value| way.as_object().and_then(|way| way.keys().next()).map(String::as_str);
    match operation["security"].as_array() {
        Some(ways) => ways.iter().map(name).collect(),
        None => vec![None],
    }
}

/// A request for that operation that brings neither token nor body.
fn plain(client: &Client, method: &Method, path: &str) -> RequestBuilder {
    client.request(method.clone(), &filled_in(path))
}

#[tokio::test]
async fn who_is_not_let_in_is_told_as_the_document_says() {
    let signet = Signet::start();
    let client = Client::new(signet.base());
    let options = ["--grants", "client_credentials", "--scopes", "read"];
    let secret = signet.add_confidential("service", &options);
    let own = client.client_token(("service", &secret)).await;
    let (mut closed, mut forbidden) = (0, 0);
    for (method, path, operation) in operations() {
        let ways = ways_in(operation);
        if ways.contains(&None) {
            continue;
        }
        closed += 1;
        let request = plain(&client, &method, path);
        if ways == [Some("client")] {
            request.form(&[("token", "x")]).answer().await.expect(401);
            continue;
        }
        let answer = request.answer().await.expect(401);
        assert_eq!(answer.header("www-authenticate"), Some("Bearer realm=\"signet\""), "{path}");
        if path == "/logout" {
            continue;
        }
        forbidden += 1;
        plain(&client, &method, path).bearer_auth(&own).answer().await.expect(403);
    }
    assert!(closed > 30 && forbidden > 30, "{closed} {forbidden}");
    // The one thing that a client may do by a token of its own.
    plain(&client, &Method::POST, "/logout").bearer_auth(&own).answer().await.expect(204);
    plain(&client, &Method::GET, "/users/me").bearer_auth(&own).answer().await.expect(401);
}

#[tokio::test]
async fn bodies_of_other_types_and_too_large_ones_are_refused_as_the_document_says() {
    let Admin { client, token, signet: _signet, .. } = Admin::start(Backend::Sqlite).await;
    let mut operations_with_body = 0;
    for (method, path, operation) in operations() {
        let Some(content) = operation["requestBody"]["content"].as_object() else { continue };
        operations_with_body += 1;
        let is_for_clients = ways_in(operation).contains(&Some("client"));
        let send = async |media_type: &str, coding: Option<&str>, body: String| {
            let mut request = plain(&client, &method, path).header("content-type", media_type);
            if !is_for_clients {
                request = request.bearer_auth(&token);
            }
            if let Some(coding) = coding {
                request = request.header("content-encoding", coding);
            }
            request.body(body).answer().await
        };
        let answer = send("text/plain", None, "{}".into()).await.expect(415);
        for media_type in content.keys() {
            assert!(answer.body.contains(media_type), "{method} {path}: {answer:?}");
            send(media_type, None, " ".repeat(100_000)).await.expect(413);
            // It is taken, whatever is said of what is in it.
            assert_ne!(send(media_type, None, "{}".into()).await.status, 415, "{method} {path}");
            for (parameters, coding, status, said) in [
                ("; charset=utf-16", None, 400, "UTF-8"),
                ("", Some("gzip"), 415, "Content-Encoding"),
            ] {
                let answer = send(&format!("{media_type}{parameters}"), coding, "{}".into()).await;
                let answer = answer.expect(status);
                assert!(
                    answer.body.contains(said) && !answer.body.contains(media_type),
                    "{answer:?}"
                );
            }
        }
    }
    assert!(operations_with_body > 20, "{operations_with_body}");
}

/// What the document says of a member of the JSON body.
fn member(path: &str, member: &str) -> &'static Value {
    let body = &document()["paths"][path]["post"]["requestBody"];
    &body["content"]["application/json"]["schema"]["properties"][member]
}

fn bound(schema: &Value, name: &str) -> usize {
    let bound = schema[name].as_u64().unwrap_or_else(|| panic!("no {name}: {schema}"));
    usize::try_from(bound).expect("a small number")
}

#[tokio::test]
async fn bounds_are_those_of_the_service() {
    let Admin { client, token, signet: _signet, .. } = Admin::start(Backend::Sqlite).await;
    let signup = async |password: String, name: String| -> Answer {
        let body = json!({ "email": unique_email(), "password": password, "name": name });
        client.post("/signup").json(&body).answer().await
    };
    let text = |length: usize| "\u{e4}9".chars().cycle().take(length).collect::<String>();
    let (password, name) = (member("/signup", "password"), member("/signup", "name"));
    let (least, most) = (bound(password, "minLength"), bound(password, "maxLength"));
    let longest = bound(name, "maxLength");
    for (password, name, status) in [
        (least, 0, 201),
        (most, longest, 201),
        (least - 1, 0, 400),
        (most + 1, 0, 400),
        (least, longest + 1, 400),
    ] {
        signup(text(password), text(name)).await.expect(status);
    }
    let lists = operations().filter(|(_, path, _)| path.starts_with("/admin/"));
    let mut limits = 0;
    for (_, path, operation) in lists {
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        let Some(limit) = parameters.into_iter().find(|p| p["name"] == "limit") else { continue };
        limits += 1;
        let (least, most) =
            (bound(&limit["schema"], "minimum"), bound(&limit["schema"], "maximum"));
        for (limit, status) in [(least, 200), (most, 200), (least - 1, 400), (most + 1, 400)] {
            let request = client.get(&format!("{path}?limit={limit}")).bearer_auth(&token);
            request.answer().await.expect(status);
        }
    }
    assert_eq!(limits, 4);
}

/// What the schemas of bodies leave open is taken, and what they rule out is not.
#[tokio::test]
async fn null_is_taken_where_the_document_says() {
    let admin = Admin::start(Backend::Sqlite).await;
    let client_id = "reports";
    let mut tried = 0;
    for (path, least) in [
        ("/admin/users", json!({ "email": "ada@example.com" })),
        ("/admin/clients", json!({ "client_id": client_id, "type": "confidential" })),
        ("/signup", json!({ "email": "bob@example.com", "password": "eleven purple tractors" })),
    ] {
        let schema = &document()["paths"][path]["post"]["requestBody"]["content"];
        let properties = schema["application/json"]["schema"]["properties"].as_object();
        for (name, schema) in properties.expect("members") {
            tried += 1;
            let mut body = least.clone();
            body[name] = Value::Null;
            // What is needed differs each time; what counts is whether null is what is wrong.
            let answer = admin.send("POST", path, body).await;
            let is_refused =
                answer.status == 400 && answer.problem_fields().iter().any(|field| field == name);
            let is_allowed = schema["type"].as_array().is_some_and(|t| t.contains(&json!("null")))
                || schema["oneOf"].as_array().is_some_and(|s| s.contains(&json!({"type": "null"})));
            assert_eq!(is_refused, !is_allowed, "{path} {name}: {schema} {answer:?}");
        }
    }
    assert!(tried > 15, "{tried}");
    let path = format!("/admin/clients/{client_id}/rotate-secret");
    admin.send("POST", &path, json!({ "keep_old_for": 0 })).await.expect(200);
    admin.send("POST", &path, json!({ "keep_old_for": null })).await.expect(200);
    admin.send("POST", &path, Value::Null).await.expect_problem(400);
    admin.request("POST", &path).answer().await.expect(200);
}

//! Bodies that two readers could read in two ways are refused.

use serde_json::json;

use crate::support::client::{Answer, Client, PASSWORD, Send, unique_email};
use crate::support::fixtures::confidential;
use crate::support::raw::Connection;
use crate::support::signet::Signet;

async fn post(client: &Client, path: &str, body: &str) -> Answer {
    let request = client.post(path).header("content-type", "application/json");
    request.body(body.to_owned()).answer().await
}

#[tokio::test]
async fn repeated_json_members_are_refused() {
    let client = Client::shared();
    let user = client.new_user().await;
    let (taken, new) = (user.email, unique_email());
    // RFC 8259 section 4: which of the two counts is up to the reader.
    for (first, second) in [(&taken, &new), (&new, &new)] {
        let body = json!({ "email": second, "password": PASSWORD }).to_string();
        let body = format!("{{\"email\": {},{}", json!(first), &body[1..]);
        post(&client, "/signup", &body).await.expect_problem(400);
    }
    // Neither made an account.
    client.try_login(&new, PASSWORD).await.expect_oauth_error(400, "invalid_grant");
    for (member, other) in
        [("email", json!(taken)), ("password", json!("wrong one")), ("password", json!(PASSWORD))]
    {
        let body = json!({ "email": taken, "password": PASSWORD }).to_string();
        let body = format!("{{\"{member}\": {other},{}", &body[1..]);
        post(&client, "/login", &body).await.expect_oauth_error(400, "invalid_request");
    }
    // However it is written.
    let body = format!(
        r#"{{"email": {0}, "password": "{PASSWORD}", "\u0065mail": {0}}}"#,
        json!(taken).to_string()
    );
    post(&client, "/login", &body).await.expect_oauth_error(400, "invalid_request");
}

#[tokio::test]
async fn a_login_names_one_user_and_one_grant() {
    let client = Client::shared();
    let (user, other) = (client.new_user().await, client.new_user().await);
    let login = async |username: &str, email: &str, grant: &str| {
        let mut body = json!({ "username": username, "email": email, "password": PASSWORD });
        if !grant.is_empty() {
            body["grant_type"] = json!(grant);
        }
        client.post("/login").json(&body).answer().await
    };
    let answer = login(&user.email, &other.email, "").await;
    answer.expect_oauth_error(400, "invalid_request");
    let answer = login(&user.email, &user.email, "client_credentials").await;
    let answer = answer.expect_oauth_error(400, "unsupported_grant_type");
    // What it names are the grants of this endpoint.
    assert!(answer.body.contains("password") && !answer.body.contains("refresh"), "{answer:?}");
    login(&user.email, &user.email, "").await.tokens();
    login(&user.email, &user.email, "password").await.tokens();
}

/// Java clients name ISO-8859-1 or us-ascii out of habit, whatever is in the body.
#[tokio::test]
async fn a_charset_is_believed_where_the_body_reads_the_same_in_all() {
    let signet = Signet::start();
    let client = Client::new(signet.base());
    let send = async |path: &str, media_type: &str, charset: &str, body: &str| {
        let content_type = format!("{media_type}; charset={charset}");
        let request = client.post(path).header("content-type", content_type);
        request.body(body.to_owned()).answer().await
    };
    const FORM: &str = "application/x-www-form-urlencoded";
    const JSON: &str = "application/json";
    let email = unique_email();
    client.try_signup(&email, PASSWORD).await.expect(201);
    let form =
        format!("username={}&password={}", email.replace('@', "%40"), PASSWORD.replace(' ', "+"));
    let grant = format!("grant_type=password&{form}");
    for charset in ["ISO-8859-1", "iso-8859-1", "us-ascii", "\"US-ASCII\"", "windows-1252", "utf-8"]
    {
        send("/login", FORM, charset, &form).await.tokens();
        send("/oauth2/token", FORM, charset, &grant).await.tokens();
        let json = json!({ "email": email, "password": PASSWORD }).to_string();
        send("/login", JSON, charset, &json).await.tokens();
        send("/login", JSON, charset, &json.replace("eleven", "\\u0065leven")).await.tokens();
        let json = json!({ "email": unique_email(), "password": PASSWORD }).to_string();
        send("/signup", JSON, charset, &json).await.expect(201);
    }
    // What is not ASCII could be one of two texts, also where the body writes it in ASCII.
    let secret = "elf p\u{fc}rpurne Traktoren";
    let other = unique_email();
    client.try_signup(&other, secret).await.expect(201);
    let as_form =
        |password: &str| format!("username={}&password={password}", other.replace('@', "%40"));
    for password in
        ["elf+p%C3%BCrpurne+Traktoren", "elf+p%FCrpurne+Traktoren", "elf+p\u{fc}rpurne+Traktoren"]
    {
        let form = as_form(password);
        let grant = format!("grant_type=password&{form}");
        for charset in ["ISO-8859-1", "us-ascii"] {
            let refused = send("/login", FORM, charset, &form).await;
            refused.expect_oauth_error(400, "invalid_request");
            let refused = send("/oauth2/token", FORM, charset, &grant).await;
            refused.expect_oauth_error(400, "invalid_request");
        }
    }
    let refused = send("/oauth2/token", FORM, "us-ascii", "grant_type=password&n%C3%A4me=x").await;
    refused.expect_oauth_error(400, "invalid_request");
    let json = json!({ "email": other, "password": secret }).to_string();
    let refused = send("/login", JSON, "ISO-8859-1", &json).await;
    refused.expect_oauth_error(400, "invalid_request");
    let named = json!({ "email": unique_email(), "password": PASSWORD, "name": "J\u{fc}rgen" });
    send("/signup", JSON, "us-ascii", &named.to_string()).await.expect_problem(400);
    send("/login", FORM, "UTF-8", &as_form("elf+p%C3%BCrpurne+Traktoren")).await.tokens();
    for charset in ["utf-16", "utf-16le", "iso-2022-jp", "no-such-charset"] {
        let refused = send("/oauth2/token", FORM, charset, &grant).await;
        let refused = refused.expect_oauth_error(400, "invalid_request");
        assert!(refused.body.contains("charset"), "{refused:?}");
        let json = json!({ "email": email, "password": PASSWORD }).to_string();
        let refused = send("/login", JSON, charset, &json).await;
        refused.expect_oauth_error(400, "invalid_request");
        send("/signup", JSON, charset, &json).await.expect_problem(400);
    }
}

#[tokio::test]
async fn an_empty_body_needs_no_media_type() {
    let client = Client::shared();
    let (id, secret) = confidential();
    for path in ["/oauth2/token", "/oauth2/introspect", "/oauth2/revoke"] {
        let post = || client.post(path).basic_auth(id, Some(secret));
        // An empty request names no client, so it is refused before its client is authenticated.
        let wrong = || client.post(path).basic_auth(id, Some("wrong"));
        let anonymous = || client.post(path);
        for request in [
            post(),
            post().header("content-length", "0"),
            post().body(""),
            anonymous(),
            anonymous().header("content-length", "0"),
            anonymous().body(""),
            wrong(),
        ] {
            let answer = request.answer().await.expect_oauth_error(400, "invalid_request");
            assert!(answer.body.contains("application/x-www-form-urlencoded"), "{answer:?}");
        }
        // A form says what it is, also an empty one.
        let empty = anonymous().header("content-type", "application/x-www-form-urlencoded");
        let status = if path == "/oauth2/introspect" { 401 } else { 400 };
        empty.answer().await.expect(status);
        // Whatever is in a body has to say what it is.
        let refused = post().body("grant_type=client_credentials&token=x").answer().await;
        refused.expect_oauth_error(415, "invalid_request");
        let refused = post().header("content-type", "text/plain").answer().await;
        refused.expect_oauth_error(415, "invalid_request");
        let refused = post().body(" ".repeat(20_000)).answer().await;
        refused.expect_oauth_error(413, "invalid_request");
    }
    // Nor do chunks of which there are none.
    let mut raw = Connection::open(client.address());
    raw.send(
        "POST /oauth2/token HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    );
    let answer = raw.answer();
    assert_eq!((answer.status, answer.body.contains("invalid_request")), (400, true), "{answer:?}");
}

#[tokio::test]
async fn codings_are_unsupported() {
    let client = Client::shared();
    let user = client.new_user().await;
    let login = json!({ "email": user.email, "password": PASSWORD }).to_string();
    let signup = json!({ "email": unique_email(), "password": PASSWORD }).to_string();
    let form = format!("grant_type=refresh_token&refresh_token={}", user.tokens.refresh_token);
    let form_type = "application/x-www-form-urlencoded";
    // The bodies are plain, so that nothing but what is said of them can be the reason.
    for (path, media_type, body) in [
        ("/login", "application/json", &login),
        ("/signup", "application/json", &signup),
        ("/oauth2/token", form_type, &form),
    ] {
        let send = async |charset: &str, coding: &str| {
            let content_type = format!("{media_type}{charset}");
            let request = client.post(path).header("content-type", content_type);
            request.header("content-encoding", coding).body(body.clone()).answer().await
        };
        for (charset, coding) in [("", "gzip"), ("; charset=utf-8", "br")] {
            let answer = send(charset, coding).await;
            assert_eq!(answer.status, 415, "{path} {charset} {coding}: {answer:?}");
            if path == "/signup" {
                answer.expect_problem(415);
            } else {
                answer.expect_oauth_error(415, "invalid_request");
            }
        }
        let answer = send("; charset=UTF-8", "identity").await;
        assert!([200, 201].contains(&answer.status), "{path}: {answer:?}");
    }
}

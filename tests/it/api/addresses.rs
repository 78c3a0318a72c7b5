//! One mailbox, one address: spellings that only look like an address are refused wherever one comes
//! in, internationalised domains have one form, and what earlier versions let in goes on.

use serde_json::{Value, json};

use super::administration::Admin;
use crate::mail::database;
use crate::support::client::{Client, PASSWORD, Send};
use crate::support::on_every_backend;
use crate::support::signet::{Backend, Signet};

const OTHER_PASSWORD: &str = "thirteen green barrels";
/// `ceo@corp.example`, the first letter in full width.
const WIDE: &str = "\u{ff43}eo@corp.example";
const UNICODE: &str = "test@b\u{fc}cher.example";
const ASCII: &str = "test@xn--bcher-kva.example";

on_every_backend!(
    compatibility_spellings_are_refused_everywhere,
    an_internationalised_domain_has_one_form,
    pairs_of_before_go_on,
    a_compatibility_spelling_of_before_goes_on,
);

async fn compatibility_spellings_are_refused_everywhere(backend: Backend) {
    let admin = Admin::start(backend).await;
    let (signet, client) = (&admin.signet, &admin.client);
    let signed_up = client.try_signup("ceo@corp.example", PASSWORD).await.expect(201).json();
    let tokens = client.login("ceo@corp.example", PASSWORD).await;
    for spelling in
        [WIDE, "o\u{fb03}ce@corp.example", "ceo@corp.\u{ff45}xample", "ceo\u{b9}@a.example"]
    {
        let answer = client.try_signup(spelling, PASSWORD).await.expect_problem(400);
        assert_eq!(answer.problem_fields(), ["email"], "{spelling}");
        let message = answer.json()["errors"][0]["message"].as_str().unwrap_or_default().to_owned();
        assert!(message.contains("compatibility"), "{message}");
        // At login it is merely unknown, and at no time the account that it looks like.
        let answer = client.try_login(spelling, PASSWORD).await;
        let answer = answer.expect_oauth_error(400, "invalid_grant");
        assert_eq!(answer.json()["detail"], "Incorrect email or password");

        let body = json!({ "email": spelling, "current_password": PASSWORD });
        let change = client.post("/users/me/email").bearer_auth(&tokens.access_token).json(&body);
        assert_eq!(change.answer().await.expect_problem(400).problem_fields(), ["email"]);
        for path in ["/password/forgot", "/email/verification"] {
            let answer = client.post(path).json(&json!({ "email": spelling })).answer().await;
            assert_eq!(answer.expect_problem(400).problem_fields(), ["email"]);
        }
        let answer = admin.send("POST", "/admin/users", json!({ "email": spelling })).await;
        assert_eq!(answer.expect_problem(400).problem_fields(), ["email"]);
        let path = format!("/admin/users/{}", signed_up["id"].as_str().expect("an id"));
        let etag = admin.get(&path).await.header("etag").expect("a version").to_owned();
        let answer = admin.change("PATCH", &path, &etag, json!({ "email": spelling })).await;
        assert_eq!(answer.expect_problem(400).problem_fields(), ["email"]);

        for arguments in [
            &["users", "add", spelling, "--password-stdin"][..],
            &["users", "set", "ceo@corp.example", "--email", spelling],
            &["users", "show", spelling],
        ] {
            let output = signet.cli(arguments, PASSWORD);
            assert_eq!(output.status.code(), Some(1), "{arguments:?} {output:?}");
        }
        let line = json!({ "email": spelling }).to_string();
        std::fs::write(signet.folder().join("users.jsonl"), line).expect("a file");
        let output = signet.cli(&["users", "import", "users.jsonl"], "");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(1) && said.contains("compatibility"), "{output:?}");
    }
    assert_eq!(signet.cli_json(&["users", "check-addresses"], ""), json!([]));
}

async fn an_internationalised_domain_has_one_form(backend: Backend) {
    let admin = Admin::start(backend).await;
    let client = &admin.client;
    client.try_signup(ASCII, PASSWORD).await.expect(201);
    for same in [UNICODE, "Test@BU\u{308}CHER.example", "test@XN--BCHER-KVA.Example"] {
        client.try_signup(same, PASSWORD).await.expect_problem(409);
        let tokens = client.login(same, PASSWORD).await;
        let me = client.me(&tokens.access_token).await.expect(200).json();
        assert_eq!(me["email"], ASCII, "as it was written");
        let answer = admin.send("POST", "/admin/users", json!({ "email": same })).await;
        answer.expect_problem(409);
        let output = admin.signet.cli(&["users", "add", same, "--password-stdin"], PASSWORD);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert_eq!(admin.signet.cli_json(&["users", "show", same], "")["email"], ASCII);
        let query = url::form_urlencoded::byte_serialize(same.as_bytes()).collect::<String>();
        let list = admin.get(&format!("/admin/users?email_prefix={query}")).await.expect(200);
        assert_eq!(list.json()["items"].as_array().map(Vec::len), Some(1), "{same}: {list:?}");
    }
    // Guesses at either form are guesses at the one account.
    let mut statuses = Vec::new();
    for number in 0..14 {
        let email = if number % 2 == 0 { UNICODE } else { ASCII };
        statuses.push(client.try_login(email, &format!("{OTHER_PASSWORD} {number}")).await.status);
    }
    assert!(statuses.contains(&429), "{statuses:?}");
    client.try_signup("test@xn--a.example", PASSWORD).await.expect_problem(400);
}

/// Puts the address of the user `email` as an earlier version has stored it.
async fn store_as(signet: &Signet, email: &str, address: &str, key: &str) {
    let update = sqlx::query("UPDATE users SET email = $2, email_key = $3 WHERE email = $1")
        .bind(email.to_owned())
        .bind(address.to_owned())
        .bind(key.to_owned());
    assert_eq!(database(signet).await.execute(update).await.expect("it runs"), 1);
}

async fn pairs_of_before_go_on(backend: Backend) {
    let admin = Admin::start(backend).await;
    let (signet, client) = (&admin.signet, &admin.client);
    for (email, address) in [("one@example.com", UNICODE), ("two@example.com", ASCII)] {
        client.try_signup(email, &format!("{PASSWORD} {address}")).await.expect(201);
        store_as(signet, email, address, address).await;
    }
    for address in [UNICODE, ASCII] {
        let password = format!("{PASSWORD} {address}");
        let tokens = client.login(address, &password).await;
        let me = client.me(&tokens.access_token).await.expect(200).json();
        assert_eq!(me["email"], address);
        // What belongs to the account is done to it, and not to the other one.
        let body = json!({ "current_password": password, "new_password": password.clone() + "!" });
        let change = client.post("/users/me/password").bearer_auth(&tokens.access_token);
        change.json(&body).answer().await.expect(204);
        let tokens = client.login(address, &(password + "!")).await;
        assert_eq!(client.me(&tokens.access_token).await.expect(200).json()["email"], address);
        let set = ["users", "set", address, "--name", address];
        assert_eq!(signet.cli_json(&set, "")["name"], address);
        let path = format!("/admin/users/{}", me["id"].as_str().expect("an id"));
        let etag = admin.get(&path).await.header("etag").expect("a version").to_owned();
        let body = json!({ "name": "Test", "email": address.to_uppercase().replace("EXAMPLE", "example") });
        admin.change("PATCH", &path, &etag, body).await.expect(200);
        client.try_signup(address, PASSWORD).await.expect_problem(409);
    }
    // Neither takes the other one's spelling, and nobody else joins them.
    let output = signet.cli(&["users", "set", ASCII, "--email", UNICODE], "");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let body = json!({ "email": "Test@B\u{dc}CHER.example" });
    admin.send("POST", "/admin/users", body).await.expect_problem(409);
    let findings = signet.cli_json(&["users", "check-addresses"], "");
    let findings = findings.as_array().expect("a list");
    assert_eq!(findings.len(), 2, "{findings:?}");
    assert!(findings.iter().all(|finding| finding["problem"] == "same_mailbox"), "{findings:?}");
    assert_eq!(findings[0]["other_id"], findings[1]["id"]);
    // All of them are listed, page by page.
    let listed = signet.cli_json(&["users", "list"], "");
    assert!(listed.as_array().is_some_and(|list| list.len() >= 3), "{listed}");
    let both = admin.get("/admin/users?email_prefix=test").await.expect(200).json();
    assert_eq!(both["items"].as_array().map(Vec::len), Some(2), "{both}");

    // One alone, in the form of before, is found by either form.
    signet.cli_ok(&["users", "delete", UNICODE], "");
    for address in [UNICODE, ASCII] {
        client.login(address, &format!("{PASSWORD} {ASCII}!")).await;
        client.try_signup(address, PASSWORD).await.expect_problem(409);
    }
    assert_eq!(signet.cli_json(&["users", "check-addresses"], ""), json!([]));
}

async fn a_compatibility_spelling_of_before_goes_on(backend: Backend) {
    let signet = Signet::builder().backend(backend).start();
    let client = Client::new(signet.base());
    client.try_signup("old@example.com", PASSWORD).await.expect(201);
    store_as(&signet, "old@example.com", WIDE, "ceo@corp.example").await;
    for spelling in [WIDE, "\u{ff23}EO@corp.example", "ceo@corp.example"] {
        client.login(spelling, PASSWORD).await;
    }
    client.try_login("c\u{ff45}o@corp.example", PASSWORD).await.expect(400);
    let findings = signet.cli_json(&["users", "check-addresses"], "");
    let finding = &findings[0];
    let said = |member: &str| finding[member].as_str().unwrap_or_default();
    assert_eq!(findings.as_array().map(Vec::len), Some(1), "{findings}");
    assert_eq!((said("email"), said("problem")), (WIDE, "compatibility_spelling"));
    assert_eq!((said("other"), &finding["other_id"]), ("ceo@corp.example", &Value::Null));
    let table = signet.cli_ok(&["users", "check-addresses"], "");
    assert!(table.contains(WIDE) && table.contains("ceo@corp.example"), "{table}");
    // The operator gives it the address that was meant.
    signet.cli_ok(&["users", "set", WIDE, "--email", "ceo@corp.example"], "");
    client.login("ceo@corp.example", PASSWORD).await;
    client.try_login(WIDE, PASSWORD).await.expect(400);
    let table = signet.cli_ok(&["users", "check-addresses"], "");
    assert_eq!(table.trim(), "every address is in order");
}

//! A real browser on `/docs`: its Authorize button logs in and its Execute button calls `/users/me`,
//! under the page's own security policy and without a word to anybody but Signet.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::folder;
use crate::support::client::{Client, PASSWORD, Send, User};
use crate::support::process::{Process, program, program_of};
use crate::support::reaper;
use crate::support::signet::Signet;

/// What the script reports.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    /// What the dialog said once the password was right.
    logged_in: String,
    while_logged_in: Shown,
    /// Warnings and errors of the browser until then.
    complaints_so_far: Vec<Complaint>,
    logged_out: Shown,
    /// What the dialog said to a wrong password.
    mistyped: String,
    logged_in_again: Shown,
    /// Warnings and errors since the logout.
    complaints: Vec<Complaint>,
    requests: Vec<Request>,
}

/// An answer as the page shows it.
#[derive(Debug, Deserialize)]
struct Shown {
    status: u16,
    body: String,
}

#[derive(Debug, Deserialize)]
struct Complaint {
    source: String,
    text: String,
    url: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Request {
    method: String,
    url: String,
}

fn chromium() -> PathBuf {
    let names = ["chromium", "chromium-browser", "google-chrome", "Google Chrome"];
    program_of(&names, vec!["/Applications/Google Chrome.app/Contents/MacOS".into()])
}

/// Runs docs_page.mjs for this user.
fn visit(page: &str, user: &User) -> Report {
    let profile = tempfile::Builder::new().prefix("signet-it-").tempdir().expect("a folder");
    reaper::remove_at_exit(profile.path());
    let mut command = Command::new(program("node", Vec::new()));
    command.arg(folder().join("docs_page.mjs")).stdin(Stdio::piped()).stdout(Stdio::piped());
    let told = json!({
        "chromium": chromium(),
        "profile": profile.path(),
        "page": page,
        "username": user.email,
        "password": PASSWORD,
    });
    let mut process = Process::spawn(&mut command, "TERM");
    let mut input = process.child().stdin.take().expect("a pipe");
    input.write_all(told.to_string().as_bytes()).expect("it reads");
    drop(input);
    let mut report = String::new();
    let mut output = process.child().stdout.take().expect("a pipe");
    output.read_to_string(&mut report).expect("text");
    let status = process.wait(Duration::from_secs(30)).expect("it ends after its report");
    assert!(status.success(), "docs_page.mjs: {status}");
    serde_json::from_str(&report).unwrap_or_else(|error| panic!("{error}: {report}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_logs_in_on_the_page_and_reads_its_account() {
    let signet = Signet::start();
    let client = Client::new(signet.base());
    let user = client.new_user().await;
    let page = format!("{}/docs", signet.base());
    let report = tokio::task::block_in_place(|| visit(&page, &user));

    assert_eq!(report.logged_in, "Authorized");
    for shown in [&report.while_logged_in, &report.logged_in_again] {
        assert_eq!(shown.status, 200, "{report:?}");
        assert!(shown.body.contains(&user.email), "{report:?}");
    }
    assert_eq!(report.logged_out.status, 401, "{report:?}");
    assert!(!report.logged_out.body.contains(&user.email), "{report:?}");
    assert!(report.mistyped.contains("Incorrect email or password"), "{report:?}");

    // What was refused on purpose is all that the browser's console may speak of.
    assert!(report.complaints_so_far.is_empty(), "{report:?}");
    assert_eq!(report.complaints.len(), 2, "{report:?}");
    for (complaint, (path, status)) in
        report.complaints.iter().zip([("/users/me", "401"), ("/oauth2/token", "400")])
    {
        assert_eq!(complaint.source, "network", "{report:?}");
        assert!(complaint.text.contains(status), "{report:?}");
        assert_eq!(complaint.url, Some(format!("{}{path}", signet.base())), "{report:?}");
    }
    let own = format!("{}/", signet.base());
    for Request { method, url } in &report.requests {
        // The page's icons are inside its stylesheet.
        assert!(url.starts_with(&own) || url.starts_with("data:image/"), "{method} {url}");
    }
    let tokens = report.requests.iter().filter(|r| r.method == "POST" && r.url.ends_with("/token"));
    assert_eq!(tokens.count(), 3, "{report:?}");

    // And the user can tell these logins from others.
    let listed = client.get("/users/me/sessions").bearer_auth(&user.tokens.access_token);
    let listed = listed.answer().await.expect(200).json();
    let agents = listed.as_array().expect("a list").iter().filter_map(|s| s["user_agent"].as_str());
    assert_eq!(agents.filter(|agent| agent.starts_with("Chrome on ")).count(), 2, "{listed}");
    assert_eq!(listed[0]["address"], Value::from("127.0.0.1"), "{listed}");
}

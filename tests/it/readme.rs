//! The README's tour and its examples do what they say, as printed.

use std::path::Path;
use std::process::Command;

use crate::support::client::{Client, User};
use crate::support::process::program;
use crate::support::signet::Signet;

const PRINTED_ADDRESS: &str = "http://127.0.0.1:8080";

/// The first block of code in `language` after `heading`, with this instance's address.
fn example(heading: &str, language: &str, signet: &Signet) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = std::fs::read_to_string(path).expect("the README");
    let (_, rest) = readme.split_once(heading).unwrap_or_else(|| panic!("no {heading}"));
    let (_, rest) = rest.split_once(&format!("```{language}\n")).expect("a block of code");
    let (code, _) = rest.split_once("```").expect("its end");
    assert!(code.contains(PRINTED_ADDRESS), "{code}");
    code.replace(PRINTED_ADDRESS, signet.base())
}

/// Runs the command and returns what it printed.
fn run(command: &mut Command) -> String {
    let output = command.output().expect("it runs");
    let (out, error) = (output.stdout, String::from_utf8_lossy(&output.stderr).into_owned());
    let out = String::from_utf8(out).expect("it speaks UTF-8");
    assert!(output.status.success(), "{command:?}\n{out}\n{error}");
    out
}

#[test]
fn the_tour_works_as_printed() {
    program("curl", Vec::new());
    let signet = Signet::start();
    let tour = example("## Five minutes", "sh", &signet);
    assert!(tour.contains("cargo run -q -- "), "{tour}");
    let tour = tour.replace("cargo run -q -- ", concat!(env!("CARGO_BIN_EXE_signet"), " "));
    let mut command = Command::new("bash");
    // A failing curl must not pass for a working tour.
    command.args([
        "-euo",
        "pipefail",
        "-c",
        &format!("curl() {{ command curl -f \"$@\"; }}\n{tour}"),
    ]);
    command.current_dir(signet.folder()).envs(signet.environment());
    let printed = run(&mut command);
    for expected in [
        "\"email\":\"ada@example.com\"",
        "\"name\":\"Ada\"",
        "\"sid\":",
        "\"jwks_uri\":",
        "\"keys\":",
        "\"access_token\":",
        "\"active\":true",
        "\"active\":false",
    ] {
        assert!(printed.contains(expected), "{expected} is missing: {printed}");
    }
}

#[tokio::test]
async fn the_python_and_node_examples_verify() {
    let signet = Signet::start();
    let User { id, tokens, .. } = Client::new(signet.base()).new_user().await;
    let call = "\nimport sys\nprint(verify(sys.argv[1])[\"sub\"])\n";
    let python = example("Python, with PyJWT", "python", &signet) + call;
    let mut command = Command::new(crate::interop::python());
    let printed = run(command.args(["-c", &python, &tokens.access_token]));
    assert_eq!(printed.trim(), id);

    let call = "\nconsole.log((await verify(process.argv.at(-1))).sub)\n";
    let node = example("Node, with jose", "js", &signet) + call;
    crate::interop::installed("node_modules/jose");
    let mut command = Command::new(program("node", Vec::new()));
    // Packages are looked for from the working folder on.
    command.current_dir(crate::interop::folder());
    let arguments = ["--input-type=module", "-e", &node, "--", &tokens.access_token];
    assert_eq!(run(command.args(arguments)).trim(), id);
}

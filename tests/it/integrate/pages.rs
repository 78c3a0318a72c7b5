//! The pages of docs/integrate print what is in the files beside them, and the versions that are tested.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use super::{folder, text};
use crate::support::signet::Signet;

/// The names of the pages.
fn pages() -> Vec<String> {
    let entries = std::fs::read_dir(folder()).expect("the pages");
    let names = entries.map(|entry| entry.expect("an entry").file_name().into_string().unwrap());
    let mut pages: Vec<_> = names.filter(|name| name.ends_with(".md")).collect();
    pages.sort();
    assert!(pages.len() > 9, "{pages:?}");
    pages
}

/// The blocks of code of a page, with their languages.
fn blocks(page: &str) -> Vec<(String, String)> {
    let text = text(page);
    let parts: Vec<_> = text.split("\n```").collect();
    assert!(parts.len() % 2 == 1, "{page}: a block of code does not end");
    let block = |part: &&str| {
        let (language, code) = part.split_once('\n').expect("a block of code");
        (language.to_owned(), format!("{code}\n"))
    };
    parts.iter().skip(1).step_by(2).map(block).collect()
}

/// All files below docs/integrate but the pages.
fn sources() -> Vec<(PathBuf, String)> {
    let (mut folders, mut sources) = (vec![folder()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let is_page = path.extension().is_some_and(|extension| extension == "md");
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(text) = std::fs::read_to_string(&path)
                && !is_page
            {
                sources.push((path, text));
            }
        }
    }
    sources
}

#[test]
fn what_a_page_prints_is_in_the_files() {
    let sources = sources();
    for page in pages() {
        for (language, code) in blocks(&page) {
            if language == "sh" {
                continue;
            }
            // An excerpt may be indented less than it is in the file.
            let found = sources.iter().any(|(_, source)| {
                (0..=24).step_by(2).any(|indent| source.contains(&indented(&code, indent)))
            });
            assert!(found, "{page}: no file has\n{code}");
        }
    }
}

fn indented(code: &str, spaces: usize) -> String {
    let indent = |line: &str| match line {
        "" => "\n".to_owned(),
        line => format!("{}{line}\n", " ".repeat(spaces)),
    };
    code.lines().map(indent).collect()
}

#[test]
fn every_page_is_listed_and_every_link_leads_somewhere() {
    let readme = text("README.md");
    for page in pages() {
        assert!(
            page == "README.md" || readme.contains(&format!("]({page})")),
            "{page} is not listed"
        );
        let text = text(&page);
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let (path, _) = target.split_once('#').unwrap_or((target, ""));
            let there =
                path.is_empty() || path.starts_with("https://") || folder().join(path).exists();
            assert!(there, "{page}: {target}");
        }
    }
}

#[test]
fn the_versions_are_those_that_are_tested() {
    let interop = crate::interop::folder();
    let tested = std::fs::read_to_string(interop.join("requirements.txt")).expect("a file");
    for example in ["fastapi", "django"] {
        for pin in text(&format!("{example}/requirements.txt")).lines() {
            assert!(tested.lines().any(|line| line == pin), "{example}: {pin}");
        }
    }
    let read = |text: String| serde_json::from_str::<Value>(&text).expect("JSON");
    let tested = read(std::fs::read_to_string(interop.join("package.json")).expect("a file"));
    assert_eq!(read(text("express/package.json"))["dependencies"], tested["dependencies"]);
    // The Go service is built from its own go.mod; the clients beside it are not to differ.
    let tested = std::fs::read_to_string(interop.join("go.mod")).expect("a file");
    for module in ["github.com/coreos/go-oidc/v3 ", "github.com/go-jose/go-jose/v4 "] {
        let version = |text: &str| {
            let line = text.lines().find(|line| line.trim().starts_with(module));
            line.map(|line| line.trim().replace(" // indirect", "").to_owned())
        };
        let required = version(&text("go/go.mod"));
        assert!(required.is_some() && required == version(&tested), "{module}: {required:?}");
    }
}

#[test]
fn clients_are_registered_as_printed() {
    let signet = Signet::start();
    let (_, commands) = blocks("README.md").into_iter().next().expect("the commands");
    assert!(commands.contains("clients add shop"), "{commands}");
    let commands = commands.replace("http://127.0.0.1:8080", signet.base());
    let signup = format!(
        "curl -sf {}/signup -H 'Content-Type: application/json' \
         -d '{{\"email\":\"ada@example.com\",\"password\":\"seven-quiet-otters\"}}'",
        signet.base()
    );
    let script = format!(
        "signet() {{ {} \"$@\"; }}\ncurl() {{ command curl -f \"$@\"; }}\n{signup}\n{commands}",
        env!("CARGO_BIN_EXE_signet")
    );
    let mut command = Command::new("bash");
    command.args(["-euo", "pipefail", "-c", &script]);
    command.current_dir(signet.folder()).envs(signet.environment());
    let output = command.output().expect("it runs");
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{printed}{}", String::from_utf8_lossy(&output.stderr));
    assert!(printed.contains("\"access_token\""), "{printed}");
}

//! `signet doctor`: a real Signet has nothing to mend, and each fault of an issuer is named, with what
//! to mend.

mod faults;
mod issuer;
mod keys;
mod signet;
mod tls;

use std::io::Write;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// Runs it where there is nothing but the program, with these variables.
fn doctor_with(variables: &[(&str, &str)], arguments: &[&str], input: &str) -> Output {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(env!("CARGO_BIN_EXE_signet"));
    command.arg("doctor").args(arguments).current_dir(folder.path()).env_clear();
    command.envs(variables.iter().copied());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = command.spawn().expect("it runs");
    let mut pipe = process.stdin.take().expect("a pipe");
    // It reads nothing unless it is told to.
    let _ = pipe.write_all(input.as_bytes());
    drop(pipe);
    let output = process.wait_with_output().expect("it ends");
    let left = std::fs::read_dir(folder.path()).expect("a folder").count();
    assert_eq!(left, 0, "it leaves nothing behind");
    output
}

fn doctor(arguments: &[&str]) -> Output {
    doctor_with(&[], arguments, "")
}

/// What it found.
#[derive(Debug)]
struct Found(Value);

impl Found {
    /// The output of `--json`, after checking that the exit code says the same.
    #[track_caller]
    fn of(output: &Output) -> Self {
        let text = String::from_utf8_lossy(&output.stdout);
        let found: Value =
            serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {output:?}"));
        let code = if found["ok"] == true { 0 } else { 1 };
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        let found = Self(found);
        assert_eq!(found.names("failed").is_empty(), code == 0, "{found:?}");
        found
    }

    /// All checks of the issuer with these arguments besides.
    #[track_caller]
    fn at(issuer: &str, more: &[&str]) -> Self {
        Self::of(&doctor(&[&["--issuer", issuer, "--json"], more].concat()))
    }

    fn checks(&self) -> &Vec<Value> {
        self.0["checks"].as_array().expect("checks")
    }

    /// The checks that ended so.
    fn names(&self, status: &str) -> Vec<&str> {
        let so = self.checks().iter().filter(|check| check["status"] == status);
        so.map(|check| check["check"].as_str().expect("a name")).collect()
    }

    #[track_caller]
    fn check(&self, name: &str) -> &Value {
        let mut named = self.checks().iter().filter(|check| check["check"] == name);
        let found = named.next().unwrap_or_else(|| panic!("no check {name}: {self:?}"));
        assert!(named.next().is_none(), "{name} stands twice: {self:?}");
        found
    }

    /// What was seen in a check that ended so.
    #[track_caller]
    fn seen(&self, name: &str, status: &str) -> &str {
        let check = self.check(name);
        assert_eq!(check["status"], status, "{check}");
        check["seen"].as_str().expect("what was seen")
    }

    /// Checks that `name` alone failed, that it tells of `seen`, and says to `mend` it.
    #[track_caller]
    fn assert_failed(&self, name: &str, seen: &str, mend: &str) {
        assert_eq!(self.names("failed"), [name], "{self:?}");
        self.assert_tells(name, "failed", seen, mend);
    }

    /// Checks that nothing failed, and that `name` is warned about.
    #[track_caller]
    fn assert_warned(&self, name: &str, seen: &str, mend: &str) {
        assert_eq!((self.names("failed"), self.names("warning")), (vec![], vec![name]), "{self:?}");
        self.assert_tells(name, "warning", seen, mend);
    }

    #[track_caller]
    fn assert_tells(&self, name: &str, status: &str, seen: &str, mend: &str) {
        assert!(self.seen(name, status).contains(seen), "{}", self.check(name));
        let advice = self.check(name)["mend"].as_str().expect("what to mend");
        assert!(advice.contains(mend), "{advice}");
    }
}

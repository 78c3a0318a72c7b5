//! The command line: what it does, what it prints, how it ends.

mod administration;
mod clients;
mod doctor;
mod export;
mod import;
mod import_claims;
mod import_files;
mod import_interrupted;
mod import_systems;
mod keys;
mod keys_import;
mod production;
mod roles;
mod service;
mod usage;
mod users;

use std::process::Output;

use serde_json::Value;

/// The items of a list in JSON.
fn items(list: &Value) -> &Vec<Value> {
    list.as_array().unwrap_or_else(|| panic!("a list: {list}"))
}

/// Checks a failure: exit code 1, one clear line on standard error, nothing on standard output.
#[track_caller]
fn assert_fails(output: &Output) -> String {
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(error.trim_end().lines().count(), 1, "{error}");
    assert!(output.stdout.is_empty(), "{output:?}");
    error
}

/// Checks that the usage is told to be wrong: exit code 2, and why on standard error.
#[track_caller]
fn assert_misused(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(!output.stderr.is_empty() && output.stdout.is_empty(), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

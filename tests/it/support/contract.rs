//! The OpenAPI document, and that every answer a test gets from an operation is one of those that the
//! document lists.

use std::process::Command;
use std::sync::LazyLock;

use reqwest::Method;
use serde_json::Value;

use super::client::Answer;

/// The document, as the command prints it.
pub fn document() -> &'static Value {
    static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_signet"));
        let output = command.arg("openapi").output().expect("it runs");
        serde_json::from_slice(&output.stdout).expect("JSON")
    });
    &DOCUMENT
}

/// Method, path and description of every operation.
pub fn operations() -> impl Iterator<Item = (Method, &'static str, &'static Value)> {
    let paths = document()["paths"].as_object().expect("paths");
    paths.iter().flat_map(|(path, methods)| {
        let methods = methods.as_object().expect("methods").iter();
        methods.map(|(method, operation)| {
            (method.to_uppercase().parse().expect("a method"), path.as_str(), operation)
        })
    })
}

/// What the document says of `method` at `path`.
fn operation(method: &Method, path: &str) -> Option<&'static Value> {
    let matches = |template: &str| {
        let is_like =
            |(part, of): (&str, &str)| part == of || (of.starts_with('{') && !part.is_empty());
        template.split('/').count() == path.split('/').count()
            && path.split('/').zip(template.split('/')).all(is_like)
    };
    let paths = document()["paths"].as_object().expect("paths");
    // A path that is written out goes before one with a part for anything.
    let methods = paths.get(path).or_else(|| {
        paths.iter().find(|(template, _)| matches(template)).map(|(_, methods)| methods)
    });
    methods?.get(method.as_str().to_lowercase())
}

/// Fails where the document knows the operation, and not this answer to it.
#[track_caller]
pub fn check(method: &Method, path: &str, answer: &Answer) {
    let Some(operation) = operation(method, path) else { return };
    let listed = &operation["responses"][answer.status.to_string()];
    assert!(listed.is_object(), "{method} {path}: the document does not list this: {answer:?}");
    if !answer.body.is_empty() {
        let content = listed["content"].get(answer.media_type());
        assert!(content.is_some(), "{method} {path}: the document has another type: {answer:?}");
    }
    for name in listed["headers"].as_object().into_iter().flat_map(|headers| headers.keys()) {
        let is_sometimes = name == "WWW-Authenticate" && is_clients(operation);
        let is_there = answer.headers.contains_key(name);
        assert!(is_there || is_sometimes, "{method} {path}: no {name}: {answer:?}");
    }
}

/// Whether clients authenticate there, whose challenge depends on how they tried.
fn is_clients(operation: &Value) -> bool {
    let requirements = operation["security"].as_array().into_iter().flatten();
    requirements.into_iter().any(|requirement| requirement.get("client").is_some())
}

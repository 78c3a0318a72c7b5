//! The logins that FastAPI's tutorials teach, against Signet: what their clients send, and what those
//! look at in the answer. A file for each tutorial; the services they log in to are FastAPI.

mod fastapi_security;
mod fastapi_users;
mod full_stack_template;
mod json_login;
mod refresh_and_roles;

use crate::support::client::Answer;

/// The member `detail`, the text that these tutorials' front ends show.
#[track_caller]
fn detail(answer: &Answer) -> String {
    match answer.json()["detail"].as_str() {
        Some(text) if !text.is_empty() => text.to_owned(),
        _ => panic!("no detail: {answer:?}"),
    }
}

//! `signet users check-addresses`: what earlier versions let in and this one would refuse. It changes
//! nothing: which of two accounts goes, or which address is meant, is for an operator to decide.

use std::collections::BTreeMap;

use anyhow::Result;
use serde::Serialize;

use super::for_each;
use crate::app::Stores;
use crate::cli::output;
use crate::domain::users::email;

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Problem {
    /// It looks like another address, and is another mailbox.
    CompatibilitySpelling,
    /// Another account has the same address in another form.
    SameMailbox,
}

#[derive(Serialize)]
struct Finding {
    id: String,
    email: String,
    problem: Problem,
    /// The address that it is taken for: in plain letters, or as the other account has it.
    other: String,
    /// The other account, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    other_id: Option<String>,
}

pub(super) async fn check(stores: &Stores, json: bool) -> Result<()> {
    let findings = find(stores).await?;
    if findings.is_empty() && !json {
        return output::print("every address is in order");
    }
    output::list(json, ["email", "problem", "other", "id"], findings, |finding| {
        let problem = match finding.problem {
            Problem::CompatibilitySpelling => "compatibility spelling of",
            Problem::SameMailbox => "same mailbox as",
        };
        [finding.email, problem.to_owned(), finding.other, finding.id]
    })
}

async fn find(stores: &Stores) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    // Only those whose domain has several forms are kept in memory.
    let mut by_mailbox: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    for_each(stores, |user| {
        let id = user.id.to_string();
        if email::is_compatibility_spelling(&user.email) {
            findings.push(Finding {
                id: id.clone(),
                email: user.email.clone(),
                problem: Problem::CompatibilitySpelling,
                other: email::plain_spelling(&user.email),
                other_id: None,
            });
        }
        if email::is_international(&user.email) {
            by_mailbox.entry(email::key_of(&user.email)).or_default().push((id, user.email));
        }
        Ok(())
    })
    .await?;
    for accounts in by_mailbox.values().filter(|accounts| accounts.len() > 1) {
        for (number, (id, address)) in accounts.iter().enumerate() {
            // In a circle, so that each names another one.
            let Some((other_id, other)) = accounts.iter().cycle().nth(number + 1) else { continue };
            findings.push(Finding {
                id: id.clone(),
                email: address.clone(),
                problem: Problem::SameMailbox,
                other: other.clone(),
                other_id: Some(other_id.clone()),
            });
        }
    }
    Ok(findings)
}

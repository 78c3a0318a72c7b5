//! `signet users check-addresses`: what earlier versions let in and this one would refuse. It changes
//! nothing: which of two accounts goes, or which address is meant, is for an operator to decide.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::Serialize;

use super::PAGE;
use crate::app::Stores;
use crate::cli::output;
use crate::domain::users::{User, email};

/// Why an operator should look at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Problem {
    /// It looks like another address, and is another mailbox.
    CompatibilitySpelling,
    /// Another account has the same address in another form.
    SameMailbox,
}

impl Problem {
    fn in_words(self) -> &'static str {
        match self {
            Self::CompatibilitySpelling => "compatibility spelling of",
            Self::SameMailbox => "same mailbox as",
        }
    }
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

/// Checks all addresses and prints those that an operator should look at.
pub(super) async fn check(stores: &Stores, json: bool) -> Result<()> {
    let findings = find(stores).await?;
    if json {
        return output::json(&findings);
    }
    if findings.is_empty() {
        return output::print("every address is in order");
    }
    let cells = |finding: &Finding| {
        [
            finding.email.clone(),
            finding.problem.in_words().to_owned(),
            finding.other.clone(),
            finding.id.clone(),
        ]
    };
    let rows: Vec<_> = findings.iter().map(cells).collect();
    output::table(["email", "problem", "other", "id"], &rows)
}

async fn find(stores: &Stores) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    // Only those whose domain has several forms are kept in memory.
    let mut by_mailbox: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    let mut after = String::new();
    loop {
        let page = stores.users.list(&after, PAGE).await.context("the users cannot be read")?;
        let Some(last) = page.last() else { break };
        after = last.email_key.clone();
        for user in page {
            if email::is_compatibility_spelling(&user.email) {
                findings.push(spelling(&user));
            }
            if email::is_international(&user.email) {
                let mailbox = by_mailbox.entry(email::key_of(&user.email)).or_default();
                mailbox.push((user.id.to_string(), user.email));
            }
        }
    }
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

fn spelling(user: &User) -> Finding {
    Finding {
        id: user.id.to_string(),
        email: user.email.clone(),
        problem: Problem::CompatibilitySpelling,
        other: email::plain_spelling(&user.email),
        other_id: None,
    }
}

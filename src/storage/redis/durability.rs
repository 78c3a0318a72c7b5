//! Checks that Redis keeps what Signet writes to it. A Redis user without the category `@dangerous`
//! may run neither `CONFIG` nor `INFO`, and Redis logs each refusal in its ACL log, so Signet sends
//! a refused command again only after a while.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::{Redis, StorageError, Stored};

/// The time before a refused command is sent again: the permissions may have changed.
const REFUSED_FOR: Duration = Duration::from_secs(10 * 60);

#[derive(Default)]
pub(super) struct Refusal(Mutex<Option<Instant>>);

impl Refusal {
    fn stands(&self) -> bool {
        let refused = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        refused.is_some_and(|at| at.elapsed() < REFUSED_FOR)
    }

    fn note(&self) -> bool {
        let mut refused = self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        refused.replace(Instant::now()).is_none()
    }
}

enum Verdict {
    Good,
    Unknown,
    Bad(String),
}

impl Redis {
    /// Checks that Redis answers, persists its data and never evicts any. The error names the wrong
    /// setting. Where Redis does not show its settings to this user, the log warns once and the
    /// check passes.
    pub async fn check_keeps_data(&self) -> Stored<()> {
        if self.memory.settings.stands() {
            return self.ping().await;
        }
        let mut command = redis::cmd("CONFIG");
        command.arg("GET").arg("maxmemory-policy").arg("appendonly").arg("save");
        let verdicts = match self.query_masters::<Vec<(String, String)>>(&command).await {
            Ok(servers) => servers.iter().map(|settings| judge(settings)).collect(),
            // A hosted Redis may refuse `CONFIG` and still show in `INFO` whether it evicts.
            Err(StorageError::Internal(_)) => self.judge_eviction().await?,
            Err(error) => return Err(error),
        };
        let mut is_unknown = verdicts.is_empty();
        for verdict in verdicts {
            match verdict {
                Verdict::Good => {}
                Verdict::Unknown => is_unknown = true,
                Verdict::Bad(problem) => return Err(StorageError::Unavailable(problem.into())),
            }
        }
        if is_unknown {
            if self.memory.settings.note() {
                tracing::warn!(
                    "Redis does not show its settings to this user (CONFIG GET, INFO memory): \
                     whether it persists and does not evict is not checked"
                );
            }
            return self.ping().await;
        }
        Ok(())
    }

    /// Reads from `INFO memory` whether each server evicts. It does not show whether one persists.
    async fn judge_eviction(&self) -> Stored<Vec<Verdict>> {
        let servers = self.info("memory").await?;
        let policy = |info: &String| {
            let policy = find_line(info, "maxmemory_policy:")?;
            Some(find_eviction(policy).map_or(Verdict::Good, Verdict::Bad))
        };
        Ok(servers.iter().map(|info| policy(info).unwrap_or(Verdict::Unknown)).collect())
    }

    /// Returns a section of each server's `INFO`; an empty list where this user may not read it.
    async fn info(&self, section: &str) -> Stored<Vec<String>> {
        match self.query_masters(redis::cmd("INFO").arg(section)).await {
            Err(StorageError::Internal(_)) => Ok(Vec::new()),
            answer => answer,
        }
    }

    /// Returns the ids of the server processes that hold the data now, which change with each
    /// restart and failover. `None` where this user may not read them.
    pub async fn run_ids(&self) -> Stored<Option<String>> {
        if self.memory.processes.stands() {
            return Ok(None);
        }
        let servers = self.info("server").await?;
        let run_ids: Option<Vec<_>> = servers
            .iter()
            .map(|info| find_line(info, "run_id:").filter(|id| !id.is_empty()))
            .collect();
        match run_ids.filter(|run_ids| !run_ids.is_empty()) {
            Some(mut run_ids) => {
                run_ids.sort_unstable();
                Ok(Some(format!("[{}]", run_ids.join(" "))))
            }
            None => {
                if self.memory.processes.note() && self.is_cluster() {
                    tracing::warn!(
                        "the cluster does not show its processes to this user: permit INFO (ACL \
                         +info), or a node's restart that loses writes goes unnoticed"
                    );
                }
                Ok(None)
            }
        }
    }

    /// Checks that Redis answers at all; a refusal counts as an answer.
    pub(super) async fn ping(&self) -> Stored<()> {
        match self.query::<redis::Value>(&redis::cmd("PING")).await {
            Ok(_) | Err(StorageError::Internal(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

fn find_line<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

fn judge(settings: &[(String, String)]) -> Verdict {
    let find = |name: &str| settings.iter().find(|(key, _)| key == name).map(|(_, value)| value);
    if let Some(problem) = find("maxmemory-policy").and_then(|policy| find_eviction(policy)) {
        return Verdict::Bad(problem);
    }
    match (find("maxmemory-policy"), find("appendonly"), find("save")) {
        (Some(_), Some(appendonly), Some(save)) if appendonly != "yes" && save.is_empty() => {
            Verdict::Bad(
                "Redis forgets all sessions when it restarts: set appendonly to 'yes', or save \
                 points"
                    .to_owned(),
            )
        }
        (Some(_), Some(_), Some(_)) => Verdict::Good,
        _ => Verdict::Unknown,
    }
}

fn find_eviction(policy: &str) -> Option<String> {
    (policy != "noeviction").then(|| {
        format!(
            "Redis may drop sessions when its memory is full: maxmemory-policy is '{policy}', \
             and must be 'noeviction'"
        )
    })
}

//! `signet audit`: the audit trail, as under `/admin/audit`.

use std::time::Duration;

use anyhow::{Context, Result};
use clap::Subcommand;

use super::output;
use crate::base::time::Timestamp;
use crate::config::Config;
use crate::domain::audit::{Filter, Kept};
use crate::views::event::EventView;

const PAGE: i64 = 500;

#[derive(Subcommand)]
pub(super) enum Command {
    /// List events, newest first.
    List {
        /// The kind of event, such as user.disabled.
        #[arg(long)]
        event: Option<String>,
        /// The subject of the event: the id of a user or client, or the kid of a key.
        #[arg(long, allow_hyphen_values = true)]
        subject: Option<String>,
        /// The actor: user:ID, client:ID, a bare id, cli, or system.
        #[arg(long)]
        actor: Option<String>,
        /// The earliest time, such as 2026-01-30T09:30:00Z, or 24h for a day before now.
        #[arg(long, value_name = "TIME", value_parser = Moment::parse)]
        since: Option<Moment>,
        /// The time before which events are listed, in the same forms.
        #[arg(long, value_name = "TIME", value_parser = Moment::parse)]
        until: Option<Moment>,
        /// The maximum number of events.
        #[arg(long, value_name = "NUMBER", default_value = "100",
              value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
}

pub(super) async fn run(command: Command, config: &Config) -> Result<()> {
    let Command::List { event, subject, actor, since, until, limit, json } = command;
    let (now, stores) = super::open(config).await?;
    let [since, until] = [since, until].map(|moment| moment.map(|moment| moment.seen_from(now)));
    let filter = Filter { event, subject, actor, since, until };
    let mut found: Vec<Kept> = Vec::new();
    while found.len() < limit as usize {
        let wanted = PAGE.min(i64::from(limit) - found.len() as i64);
        let after = found.last().map(|kept| &kept.place);
        let page = stores.audit.list(&filter, after, wanted).await;
        let page = page.context("the audit trail cannot be read")?;
        let is_last = (page.len() as i64) < wanted;
        found.extend(page);
        if is_last {
            break;
        }
    }
    let views = found.into_iter().map(EventView::from).collect();
    output::list(json, EventView::COLUMNS, views, EventView::row)
}

/// A time, or a time span before now.
#[derive(Clone, Copy)]
pub(super) enum Moment {
    At(Timestamp),
    Ago(Duration),
}

impl Moment {
    fn parse(text: &str) -> Result<Self, &'static str> {
        let ago = || humantime::parse_duration(text).ok().map(Self::Ago);
        let moment = Timestamp::parse(text).map(Self::At).or_else(ago);
        moment.ok_or("must be a time such as 2026-01-30T09:30:00Z, or 24h for a day before now")
    }

    fn seen_from(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(time) => time,
            Self::Ago(span) => now.minus(span),
        }
    }
}

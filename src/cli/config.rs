//! `signet config`: check it, and show what is in effect and where it comes from.

use anyhow::{Context, Result};
use clap::Subcommand;

use super::output;
use crate::config::Config;
use crate::domain::mail::Transport;

#[derive(Subcommand)]
pub(super) enum Command {
    /// Say whether the configuration is sound; exit 1 with everything that is wrong if not.
    Check,
    /// Show every setting in effect and its origin, secrets masked.
    Show {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
}

/// The configuration was loaded, so it is sound but for the files that it names.
pub(super) fn run(command: Command, config: &Config) -> Result<()> {
    match command {
        Command::Check => {
            if let Some(mail) = &config.mail {
                mail.load_templates().context("mail.templates")?;
                Transport::open(&mail.transport).context("mail.smtp")?;
            }
            output::print("the configuration is sound")
        }
        Command::Show { json } => output::print(config.show(json).trim_end()),
    }
}

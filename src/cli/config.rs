//! `signet config`: checks the configuration, or shows every setting in effect and its origin.

use anyhow::{Context, Result};
use clap::Subcommand;

use super::output::{self, Json};
use crate::config::Config;
use crate::domain::mail::Transport;

#[derive(Subcommand)]
pub(super) enum Command {
    /// Check the configuration; print everything that is wrong and exit 1 if it is not sound.
    Check,
    /// Show every setting in effect and its origin, secrets masked.
    Show(Json),
}

/// Runs the command. `config` was loaded, so only the files that it names can still be wrong.
pub(super) fn run(command: Command, config: &Config) -> Result<()> {
    match command {
        Command::Check => {
            if let Some(mail) = &config.mail {
                mail.load_templates().context("mail.templates")?;
                Transport::open(&mail.transport).context("mail.smtp")?;
            }
            output::print("the configuration is sound")
        }
        Command::Show(Json { json }) => output::print(config.show(json).trim_end()),
    }
}

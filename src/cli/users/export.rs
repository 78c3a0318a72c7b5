//! `signet users export`: all users, page by page, in the form that `signet users import` reads.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use serde::Serialize;
use uuid::Uuid;

use super::import::Fields;
use super::{Act, cell, for_each};
use crate::app::Stores;
use crate::domain::audit::Kind;
use crate::domain::users::{Metadata, User};

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A JSON object a line.
    Jsonl,
    /// A table with the names of its columns in the first line.
    Csv,
}

#[derive(Args)]
pub(crate) struct Arguments {
    /// How to write them; as the name of the output says if absent, else jsonl.
    #[arg(long)]
    format: Option<Format>,
    /// Write into this file, readable by its owner alone, instead of to standard output.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace the file if it is there.
    #[arg(long, requires = "output")]
    force: bool,
    /// With the password hashes, which are as good as weak passwords: keep them safe.
    #[arg(long)]
    with_password_hashes: bool,
}

pub(super) async fn run(arguments: Arguments, act: &Act<'_>) -> Result<()> {
    let Act { stores, by, .. } = *act;
    let Arguments { format, output, force, with_password_hashes: with_hashes } = arguments;
    let is_csv =
        |path: &PathBuf| path.extension().is_some_and(|end| end.eq_ignore_ascii_case("csv"));
    let format = match format {
        None if output.as_ref().is_some_and(is_csv) => Format::Csv,
        format => format.unwrap_or(Format::Jsonl),
    };
    let file = output.as_deref().map(|path| Output::create(path, force)).transpose()?;
    // Recorded before the first user is written, so that an export that is cut off is recorded too.
    let hashes = if with_hashes { "with password hashes" } else { "without password hashes" };
    stores.accounts.record_transfer(Kind::UsersExported, hashes.into(), by).await;
    match file {
        None => write_all(io::stdout().lock(), format, with_hashes, stores).await,
        Some(file) => {
            write_all(&file.file, format, with_hashes, stores).await?;
            file.finish()
        }
    }
}

async fn write_all(
    output: impl Write,
    format: Format,
    with_hashes: bool,
    stores: &Stores,
) -> Result<()> {
    let mut writer = Writer::new(output, format, with_hashes)?;
    for_each(stores, |user| Ok(writer.write(&Row::of(&user, with_hashes))?)).await?;
    Ok(writer.flush()?)
}

/// A user, with the names and in the order of [`Fields::NAMES`].
#[derive(Serialize)]
struct Row<'a> {
    id: Uuid,
    email: &'a str,
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    password_hash: Option<&'a str>,
    roles: &'a [String],
    disabled: bool,
    email_verified: bool,
    created_at: String,
    metadata: &'a Metadata,
}

impl<'a> Row<'a> {
    fn of(user: &'a User, with_hash: bool) -> Self {
        Self {
            id: user.id,
            email: &user.email,
            name: user.name.as_deref(),
            password_hash: with_hash.then(|| user.password_hash.expose().as_str()),
            roles: &user.roles,
            disabled: !user.is_active(),
            email_verified: user.email_verified_at.is_some(),
            created_at: user.created_at.to_string(),
            metadata: &user.metadata,
        }
    }
}

enum Writer<W: Write> {
    Lines(BufWriter<W>),
    Table(Box<csv::Writer<W>>),
}

impl<W: Write> Writer<W> {
    fn new(output: W, format: Format, with_hashes: bool) -> io::Result<Self> {
        if format == Format::Jsonl {
            return Ok(Self::Lines(BufWriter::new(output)));
        }
        let mut table = csv::Writer::from_writer(output);
        let is_written = |name: &&str| with_hashes || *name != "password_hash";
        table.write_record(Fields::NAMES.iter().filter(|name| is_written(name)))?;
        Ok(Self::Table(Box::new(table)))
    }

    fn write(&mut self, row: &Row) -> io::Result<()> {
        match self {
            Self::Lines(lines) => {
                serde_json::to_writer(&mut *lines, row)?;
                lines.write_all(b"\n")
            }
            Self::Table(table) => {
                let mut write = |text: &str| table.write_field(&*cell::neutralise(text));
                write(&row.id.to_string())?;
                write(row.email)?;
                write(row.name.unwrap_or_default())?;
                if let Some(hash) = row.password_hash {
                    write(hash)?;
                }
                write(&row.roles.join(" "))?;
                write(&row.disabled.to_string())?;
                write(&row.email_verified.to_string())?;
                write(&row.created_at)?;
                write(&serde_json::to_string(row.metadata)?)?;
                Ok(table.write_record(None::<&[u8]>)?)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Lines(lines) => lines.flush(),
            Self::Table(table) => table.flush(),
        }
    }
}

/// A file that takes its name when it is whole, and is gone where it does not become so.
struct Output {
    file: File,
    partial: PathBuf,
    path: PathBuf,
    force: bool,
}

impl Output {
    fn create(path: &Path, force: bool) -> Result<Self> {
        if !force && path.symlink_metadata().is_ok() {
            bail!("{} is there already: use --force to replace it", path.display());
        }
        let mut partial = path.as_os_str().to_owned();
        partial.push(format!(".{}.partial", std::process::id()));
        let partial = PathBuf::from(partial);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&partial);
        let file = file.with_context(|| format!("cannot create {}", partial.display()))?;
        Ok(Self { file, partial, path: path.to_owned(), force })
    }

    fn finish(self) -> Result<()> {
        self.file.sync_all()?;
        // A link never replaces what another process has made since.
        let named = match self.force {
            true => std::fs::rename(&self.partial, &self.path),
            false => std::fs::hard_link(&self.partial, &self.path),
        };
        named.with_context(|| format!("cannot create {}", self.path.display()))
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        // After a rename there is nothing left to remove.
        let _ = std::fs::remove_file(&self.partial);
    }
}

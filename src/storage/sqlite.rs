//! The file of SQLite: where an address leads, and how the file is made. The one place where a path
//! is decoded: `sqlite://` and the path as it is, in which `%XX` stands for any byte, so that `%3F`
//! is a question mark; parameters follow a bare one.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// What an address may hold as it is.
const PLAIN: AsciiSet = NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_');

/// The file that `url` names, and its parameters; an error says what is wrong with it.
pub(crate) fn parse_url(url: &str) -> Result<(PathBuf, Option<&str>), &'static str> {
    let address = url.strip_prefix("sqlite://").unwrap_or(url);
    let (path, parameters) = match address.split_once('?') {
        Some((path, parameters)) => (path, Some(parameters)),
        None => (address, None),
    };
    let path = percent_decode_str(path).decode_utf8();
    let path = path.map_err(|_| "must be UTF-8, also in what %XX stands for")?;
    if path.is_empty() || path == ":memory:" || path.contains('\0') {
        return Err("must be sqlite://path/to/file");
    }
    Ok((PathBuf::from(path.as_ref()), parameters))
}

/// The address of a file in the one form that the driver decodes to the same path.
pub(super) fn address(path: &Path, parameters: Option<&str>) -> io::Result<String> {
    // Absolute: the first folder of a relative path would be a URL's host.
    let path = std::path::absolute(path)?;
    let path = path.to_str().ok_or_else(|| io::Error::other("the path is not UTF-8"))?;
    let path = utf8_percent_encode(path, &PLAIN);
    Ok(match parameters {
        Some(parameters) => format!("sqlite://{path}?{parameters}"),
        None => format!("sqlite://{path}"),
    })
}

/// What was made on the way to a database file, to be taken away again where it cannot be used.
#[derive(Default)]
pub(super) struct Made {
    file: Option<PathBuf>,
    folders: Vec<PathBuf>,
}

impl Made {
    /// Makes the file, readable by its owner alone since it holds password hashes, and its folders.
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        let mut made = Self::default();
        match made.fill(path) {
            Ok(()) => Ok(made),
            Err(error) => {
                made.remove();
                Err(error)
            }
        }
    }

    fn fill(&mut self, path: &Path) -> io::Result<()> {
        let folders = path.ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty());
        let missing: Vec<_> = folders.take_while(|folder| !folder.exists()).collect();
        for folder in missing.into_iter().rev() {
            match fs::create_dir(folder) {
                Ok(()) => self.folders.push(folder.to_owned()),
                // By another process.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        match OpenOptions::new().create_new(true).append(true).mode(0o600).open(path) {
            Ok(_) => self.file = Some(path.to_owned()),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                OpenOptions::new().append(true).open(path)?;
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Removes what was made and is not used yet: only an empty file and empty folders.
    pub(super) fn remove(self) {
        if let Some(file) = self.file
            && fs::metadata(&file).is_ok_and(|file| file.len() == 0)
        {
            // What cannot be removed stays, and is not what the start failed of.
            let _ = fs::remove_file(&file);
        }
        for folder in self.folders.iter().rev() {
            let _ = fs::remove_dir(folder);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_decoded_once() {
        for (url, path, parameters) in [
            ("sqlite://data/signet.db", "data/signet.db", None),
            ("sqlite:///var/lib/a b.db?mode=rwc", "/var/lib/a b.db", Some("mode=rwc")),
            ("sqlite://a%20b/c%2520.db", "a b/c%20.db", None),
            ("sqlite://what%3F#1.db", "what?#1.db", None),
            ("sqlite://100%.db", "100%.db", None),
            ("sqlite://b%C3%BCcher/ü.db", "bücher/ü.db", None),
        ] {
            assert_eq!(parse_url(url), Ok((PathBuf::from(path), parameters)), "{url}");
        }
        for url in ["sqlite://", "sqlite://?mode=rw", "sqlite://a%00b", "sqlite://%FF"] {
            assert!(parse_url(url).is_err(), "{url}");
        }
    }

    #[test]
    fn the_drivers_address_leads_to_the_same_file() {
        for path in ["/a b/c%20.db", "/what?#1.db", "/100%.db", "/ü+&=.db"] {
            let url = address(Path::new(path), None).unwrap();
            assert_eq!(parse_url(&url), Ok((PathBuf::from(path), None)), "{url}");
            assert!(url::Url::parse(&url).is_ok_and(|parsed| parsed.as_str() == url), "{url}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_taken_away() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/c.db");
        Made::create(&path).unwrap().remove();
        assert!(!folder.path().join("a").exists());
        Made::create(&path).unwrap();
        Made::create(&path).unwrap().remove();
        assert!(path.exists(), "only what was made is removed");
        let made = Made::create(&folder.path().join("a/new.db")).unwrap();
        fs::write(folder.path().join("a/new.db"), "used").unwrap();
        made.remove();
        assert!(folder.path().join("a/new.db").exists(), "another process uses it");
        assert!(Made::create(&folder.path().join("a/b/c.db/d.db")).is_err());
    }
}

//! The layers of configuration as text, each with its origin, merged by the `config` crate. Nothing
//! is interpreted here; `check` does that. The known keys are exactly those of
//! `config/default.toml`; every other key is a problem that names the nearest known one. Values are
//! read one by one, not by one deserialisation, so that all problems are reported together; and no
//! parser's excerpt is repeated, since it may show a secret.

use std::collections::BTreeMap;
use std::path::Path;

use config::{Map, Value, ValueKind};

use super::{Problem, Profile};

const DEFAULTS: &str = include_str!("../../config/default.toml");

pub(super) const DEFAULT_ORIGIN: &str = "default";

const PREFIX: &str = "SIGNET__";
const FILE_SUFFIX: &str = "_file";

/// The merged values of all layers, by dotted key, each with its origin.
pub(super) type Values = BTreeMap<String, Value>;

fn built_in(profile: Profile) -> &'static str {
    match profile {
        Profile::Development => include_str!("../../config/development.toml"),
        Profile::Production => include_str!("../../config/production.toml"),
    }
}

/// Dotted keys with their values and their origin.
type Layer = Map<String, Value>;

pub(super) struct Reader<'a> {
    known: Vec<String>,
    problems: &'a mut Vec<Problem>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(problems: &'a mut Vec<Problem>) -> Self {
        let mut reader = Self { known: Vec::new(), problems };
        // Read before the profile is known, hence without a check of its keys.
        let mut layer = Layer::default();
        reader.read_table(DEFAULTS, DEFAULT_ORIGIN, &mut layer);
        reader.known = layer.into_keys().collect();
        reader.known.sort();
        reader
    }

    /// Reads all layers and merges them. The profile is determined first, since it decides which
    /// file is read; `None` if it is invalid.
    pub(super) fn read(
        mut self,
        profile: Option<&str>,
        folder: &Path,
        file: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
    ) -> (Option<Profile>, Values) {
        let mut argument = Layer::default();
        if let Some(name) = profile {
            let origin = "--profile".to_owned();
            argument.insert("profile".into(), Value::new(Some(&origin), name));
        }
        let base = [
            self.read_text(DEFAULTS, DEFAULT_ORIGIN),
            self.read_file(folder, Path::new("config/default.toml"), false),
        ];
        let mut named = vec![];
        named.extend(file.map(|file| self.read_file(folder, file, true)));
        named.push(self.read_environment(folder, environment));
        named.push(argument);

        let settled = self.merge(base.iter().chain(&named));
        let profile = settled.get("profile").and_then(|value| self.read_profile(value));
        let mut layers = base.to_vec();
        if let Some(profile) = profile {
            layers.extend(self.read_profile_files(profile, folder));
        }
        layers.extend(named);
        (profile, self.merge(layers.iter()))
    }

    fn merge<'l>(&mut self, layers: impl Iterator<Item = &'l Layer>) -> Values {
        let builder =
            layers.flatten().try_fold(config::Config::builder(), |builder, (key, value)| {
                builder.set_override(key, value.clone())
            });
        let mut values = Values::new();
        match builder.and_then(|builder| builder.build()) {
            Ok(merged) => flatten(merged.cache, "", &mut values),
            Err(error) => self.problems.push(Problem::new("configuration", error.to_string())),
        }
        values
    }

    fn read_profile(&mut self, value: &Value) -> Option<Profile> {
        let name = value.kind.to_string();
        let profile = Profile::parse(&name);
        if profile.is_none() {
            let message = format!("must be development or production, not \"{name}\"");
            self.problems.push(Problem::new("profile", message).from(value));
        }
        profile
    }

    /// The built-in file of the profile, then the one of the working directory.
    fn read_profile_files(&mut self, profile: Profile, folder: &Path) -> [Layer; 2] {
        let path = format!("config/{}.toml", profile.as_str());
        let mut layers = [
            self.read_text(built_in(profile), &format!("{path} (built in)")),
            self.read_file(folder, Path::new(&path), false),
        ];
        if let Some(value) = layers[1].remove("profile") {
            let message = "cannot be set in a profile's own file";
            self.problems.push(Problem::new("profile", message).from(&value));
        }
        layers
    }

    fn read_file(&mut self, folder: &Path, path: &Path, required: bool) -> Layer {
        let origin = path.display().to_string();
        match std::fs::read_to_string(folder.join(path)) {
            Ok(text) => self.read_text(&text, &origin),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !required => {
                Layer::default()
            }
            Err(error) => {
                self.problems.push(Problem::new(&origin, format!("cannot be read: {error}")));
                Layer::default()
            }
        }
    }

    fn read_text(&mut self, text: &str, origin: &str) -> Layer {
        let mut layer = Layer::default();
        self.read_table(text, origin, &mut layer);
        let known = &self.known;
        let unknown: Values = layer.extract_if(|key, _| !known.contains(key)).collect();
        for (key, value) in unknown {
            let message = format!("is unknown; the nearest known key is {}", self.nearest(&key));
            self.problems.push(Problem::new(&key, message).from(&value));
        }
        // An empty value counts as absent: a copy of default.toml must not hide other layers.
        if origin != DEFAULT_ORIGIN {
            layer.retain(|_, value| value.kind != ValueKind::String(String::new()));
        }
        layer
    }

    fn read_table(&mut self, text: &str, origin: &str, layer: &mut Layer) {
        match text.parse::<toml::Table>() {
            Ok(table) => collect(table, "", &origin.to_owned(), layer),
            Err(error) => {
                // Only the parser's message: its excerpt of the file may show a secret.
                let start = error.span().map_or(0, |span| span.start);
                let line = text.bytes().take(start).filter(|byte| *byte == b'\n').count() + 1;
                let message = format!("line {line} is not TOML: {}", error.message());
                self.problems.push(Problem::new(origin, message));
            }
        }
    }

    /// Reads `SIGNET__SECTION__KEY` and `SIGNET__SECTION__KEY_FILE`.
    #[allow(clippy::indexing_slicing, reason = "the prefix was found before")]
    fn read_environment(
        &mut self,
        folder: &Path,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Layer {
        // Sorted, so that the same mistakes always give the same report.
        let variables: BTreeMap<_, _> = environment
            .filter(|(name, value)| name.starts_with(PREFIX) && !value.is_empty())
            .collect();
        let mut layer = Layer::default();
        for (name, value) in variables {
            let key = name[PREFIX.len()..].to_lowercase().replace("__", ".");
            let (key, value) = match key.strip_suffix(FILE_SUFFIX) {
                Some(stem) if self.is_known(stem) => {
                    let Some(content) = self.read_value_file(folder, stem, &name, &value) else {
                        continue;
                    };
                    (stem.to_owned(), content)
                }
                _ => (key, value),
            };
            if !self.is_known(&key) || name.to_uppercase() != name {
                let nearest = variable(self.nearest(&key));
                let message = format!("is unknown; the nearest known variable is {nearest}");
                self.problems.push(Problem::new(&name, message));
                continue;
            }
            let value = Value::new(Some(&name), value);
            if let Some(other) = layer.insert(key.clone(), value) {
                let message = format!("is given twice, by {} and {name}", origin(&other));
                self.problems.push(Problem::new(&key, message));
            }
        }
        layer
    }

    fn read_value_file(
        &mut self,
        folder: &Path,
        key: &str,
        name: &str,
        path: &str,
    ) -> Option<String> {
        let message = match std::fs::read_to_string(folder.join(path)) {
            Ok(content) => match content.trim_end_matches(['\r', '\n']) {
                "" => format!("the file {path} is empty"),
                content => return Some(content.to_owned()),
            },
            Err(error) => format!("the file {path} cannot be read: {error}"),
        };
        self.problems.push(Problem { origin: Some(name.to_owned()), ..Problem::new(key, message) });
        None
    }

    fn is_known(&self, key: &str) -> bool {
        self.known.iter().any(|known| known == key)
    }

    fn nearest(&self, key: &str) -> &str {
        let distance = |known: &&String| strsim::damerau_levenshtein(known, key);
        self.known.iter().min_by_key(distance).map_or("", String::as_str)
    }
}

fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.to_uppercase().replace('.', "__"))
}

pub(super) fn origin(value: &Value) -> &str {
    value.origin().unwrap_or(DEFAULT_ORIGIN)
}

fn collect(table: toml::Table, prefix: &str, origin: &String, layer: &mut Layer) {
    for (name, value) in table {
        let key = format!("{prefix}{name}");
        match value {
            toml::Value::Table(table) if !table.is_empty() => {
                collect(table, &format!("{key}."), origin, layer);
            }
            value => {
                layer.insert(key, from_toml(value, origin));
            }
        }
    }
}

fn from_toml(value: toml::Value, origin: &String) -> Value {
    let kind = match value {
        toml::Value::String(text) => ValueKind::String(text),
        toml::Value::Integer(number) => ValueKind::I64(number),
        toml::Value::Float(number) => ValueKind::Float(number),
        toml::Value::Boolean(flag) => ValueKind::Boolean(flag),
        toml::Value::Datetime(time) => ValueKind::String(time.to_string()),
        toml::Value::Array(items) => {
            ValueKind::Array(items.into_iter().map(|item| from_toml(item, origin)).collect())
        }
        // An empty table, or one inside a list: wrong for every key, which `check` reports.
        toml::Value::Table(_) => ValueKind::Nil,
    };
    Value::new(Some(origin), kind)
}

fn flatten(value: Value, key: &str, into: &mut Values) {
    match value.kind {
        ValueKind::Table(table) => {
            for (name, value) in table {
                let key = if key.is_empty() { name } else { format!("{key}.{name}") };
                flatten(value, &key, into);
            }
        }
        _ => {
            into.insert(key.to_owned(), value);
        }
    }
}

//! The Rust files below a folder as modules, and which of them each one names in its code.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The files of a folder of the repository, by their paths in it.
#[derive(Clone)]
pub struct Tree {
    pub files: BTreeMap<String, String>,
}

impl Tree {
    /// Reads `folder` of the repository.
    pub fn read(folder: &str) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        let mut paths = Vec::new();
        walk(&root, &mut paths);
        assert!(paths.len() > 3, "{} is not where the files are", root.display());
        let read = |path: PathBuf| {
            let text = std::fs::read_to_string(&path).expect("a file of text");
            let name = path.strip_prefix(&root).expect("a path below the root");
            (name.to_string_lossy().into_owned(), text)
        };
        Self { files: paths.into_iter().map(read).collect() }
    }

    /// The tree with `code` added to `file`, which is made where it does not exist.
    pub fn planted(&self, file: &str, code: &str) -> Self {
        let mut tree = self.clone();
        let text = tree.files.entry(file.to_owned()).or_insert_with(|| "//! Planted.\n".into());
        *text = text.replacen('\n', &format!("\n{code}\n"), 1);
        tree
    }

    /// The module in each file: `domain/keys` for `domain/keys/mod.rs` and `domain/keys.rs`.
    pub fn modules(&self) -> BTreeMap<String, &str> {
        let named = self.files.iter().map(|(file, text)| (module_of(file), text.as_str()));
        named.filter(|(module, _)| module != "lib" && module != "main").collect()
    }

    /// The modules that each module names in its code, its unit tests aside.
    pub fn imports(&self) -> BTreeMap<String, BTreeSet<String>> {
        let modules = self.modules();
        let resolve = |module: &str, text: &str| {
            let paths = paths(without_tests(text));
            let named = paths.iter().filter_map(|path| resolve(&modules, module, path));
            named.filter(|named| named != module).collect()
        };
        modules.iter().map(|(module, text)| (module.clone(), resolve(module, text))).collect()
    }
}

fn walk(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let is_ours = !name.starts_with('.') && name != "node_modules" && name != "target";
        if path.is_dir() && is_ours {
            walk(&path, paths);
        } else if name.ends_with(".rs") {
            paths.push(path);
        }
    }
}

/// `http/oauth` for `http/oauth/mod.rs`, `http/token` for `http/token.rs`.
pub fn module_of(file: &str) -> String {
    let module = file.trim_end_matches(".rs");
    module.strip_suffix("/mod").unwrap_or(module).to_owned()
}

/// The code of `text` in one line, without comments.
pub fn code(text: &str) -> String {
    let lines = text.lines().map(|line| line.split("//").next().unwrap_or_default());
    lines.collect::<Vec<_>>().join(" ")
}

/// The text up to the unit tests, which stand at the end of a file.
fn without_tests(text: &str) -> &str {
    let starts = ["#[cfg(test)]\nmod tests {", "#[cfg(test)]\npub(crate) mod tests {"];
    let end = starts.iter().filter_map(|start| text.find(start)).min();
    end.map_or(text, |end| &text[..end])
}

/// Every path that the code of `text` names: those of `use`, with each member of a group, and those
/// that begin with `crate`, `super` or `self`.
pub fn paths(text: &str) -> Vec<String> {
    let code = code(text);
    let mut found = Vec::new();
    for statement in code.split(';') {
        let statement = statement.trim();
        let imported = statement.rsplit_once("use ").filter(|(before, tree)| {
            (before.is_empty() || before.ends_with(char::is_whitespace)) && !tree.contains('(')
        });
        if let Some((_, tree)) = imported {
            expand("", tree, &mut found);
        }
    }
    for start in ["crate::", "super::", "self::"] {
        for (position, _) in code.match_indices(start) {
            let is_inner = code[..position].ends_with(|c: char| c.is_alphanumeric() || c == '_');
            let path = code[position..].split(|c: char| !is_path(c)).next().unwrap_or_default();
            if !is_inner {
                found.push(path.trim_end_matches(':').to_owned());
            }
        }
    }
    found
}

fn is_path(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == ':'
}

/// Adds the paths of a tree of `use`.
fn expand(prefix: &str, tree: &str, found: &mut Vec<String>) {
    let tree = tree.trim();
    let Some((head, group)) = tree.split_once('{') else {
        let name = tree.split_whitespace().next().unwrap_or_default();
        if !name.is_empty() {
            found.push(format!("{prefix}{name}"));
        }
        return;
    };
    let group = group.trim_end().trim_end_matches('}');
    let (mut depth, mut member) = (0, String::new());
    for c in group.chars().chain([',']) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if c == ',' && depth == 0 {
            let closing = member.matches('{').count() - member.matches('}').count();
            member.push_str(&"}".repeat(closing));
            expand(&format!("{prefix}{}", head.trim()), &std::mem::take(&mut member), found);
        } else {
            member.push(c);
        }
    }
}

/// The module that `path`, as `module` writes it, leads into: the deepest one that is a file.
fn resolve(modules: &BTreeMap<String, &str>, module: &str, path: &str) -> Option<String> {
    let mut names = path.split("::").peekable();
    let mut at: Vec<&str> = module.split('/').collect();
    match names.peek().copied() {
        Some("crate") => {
            names.next();
            at.clear();
        }
        Some("self") => drop(names.next()),
        Some("super") => {
            while names.next_if_eq(&"super").is_some() {
                at.pop();
            }
        }
        // A child of the module itself, or another crate.
        Some(child) if modules.contains_key(&format!("{module}/{child}")) => {}
        _ => return None,
    }
    let mut deepest = Some(at.join("/")).filter(|module| modules.contains_key(module));
    for name in names {
        at.push(name);
        let module = at.join("/");
        if !modules.contains_key(&module) {
            break;
        }
        deepest = Some(module);
    }
    deepest
}

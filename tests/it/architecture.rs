//! The house rules that a compiler does not hold: who imports whom, which crate is used where, how
//! long a file may be, and that every file says what it is for.

use std::path::{Path, PathBuf};

const LONGEST_FILE: usize = 400;

/// Pure values, for everybody.
const BASE: &[&str] = &["secret", "time", "fault"];

/// What each domain may know beside `BASE` and `storage`. Other domains' stores are closed to it.
const DOMAINS: &[(&str, &[&str])] = &[
    ("keys", &[]),
    ("tokens", &["keys"]),
    ("users", &[]),
    ("roles", &["tokens", "users"]),
    ("clients", &["tokens", "users"]),
    ("sessions", &["revocations"]),
    ("attempts", &[]),
    ("revocations", &["tokens"]),
    ("audit", &[]),
    ("mail", &[]),
];

/// What each of the other modules may know beside `BASE`. `*` stands for all domains.
const OTHERS: &[(&str, &[&str])] = &[
    ("time", &[]),
    ("secret", &[]),
    ("telemetry", &[]),
    ("metrics", &[]),
    ("fault", &[]),
    ("storage", &[]),
    // Across domains, one file a use case.
    ("accounts", &["*", "storage"]),
    ("custody", &["*", "storage"]),
    ("postman", &["*", "storage"]),
    ("registrar", &["*", "storage"]),
    ("oauth", &["*", "storage", "accounts", "metrics"]),
    // Builds the domains' policies.
    ("config", &["*", "storage", "telemetry"]),
    (
        "app",
        &[
            "*",
            "storage",
            "accounts",
            "custody",
            "registrar",
            "postman",
            "oauth",
            "config",
            "metrics",
            "telemetry",
        ],
    ),
    (
        "http",
        &["*", "storage", "accounts", "custody", "registrar", "oauth", "config", "app", "metrics"],
    ),
    (
        "cli",
        &[
            "*",
            "storage",
            "accounts",
            "custody",
            "registrar",
            "postman",
            "oauth",
            "config",
            "app",
            "metrics",
            "telemetry",
            "http",
        ],
    ),
];

/// Crates, and the only places where they may be used: folders end with a slash, and a star stands
/// for any end of a name.
const CRATES: &[(&str, &[&str])] = &[
    ("actix_web", &["http/", "cli/serve.rs"]),
    ("sqlx", &["storage/", "*/store*"]),
    ("redis", &["storage/redis*", "*/store_redis*"]),
    ("jsonwebtoken", &["tokens/", "keys/"]),
    ("rsa", &["keys/"]),
    ("cryptoki", &["keys/"]),
    ("lettre", &["mail/letter.rs", "mail/transport*"]),
    ("hyper", &["cli/doctor/"]),
    ("tokio_rustls", &["cli/doctor/"]),
    ("rustls_native_certs", &["cli/doctor/"]),
    ("minijinja", &["mail/template.rs"]),
    ("argon2", &["users/password*"]),
    ("argon2id", &["users/password*"]),
    ("scrypt", &["users/password*"]),
    ("pbkdf2", &["users/password*"]),
    ("bcrypt", &["users/password*"]),
    ("sha_crypt", &["users/password*"]),
    ("yescrypt", &["users/password*"]),
    ("md5", &["users/password*"]),
];

/// Every Rust file below `folder` of the repository, by its path there, with its lines.
fn files(folder: &str) -> Vec<(String, Vec<String>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut paths = Vec::new();
    walk(&root, &mut paths);
    assert!(paths.len() > 5, "{} is not where the files are", root.display());
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).expect("text");
        let name = path.strip_prefix(&root).expect("below the root").to_string_lossy().into_owned();
        (name, text.lines().map(str::to_owned).collect())
    };
    paths.into_iter().map(read).collect()
}

fn walk(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() && !name.starts_with('.') && name != "node_modules" {
            walk(&path, paths);
        } else if name.ends_with(".rs") {
            paths.push(path);
        }
    }
}

/// The paths that begin with `prefix` in the code of `lines`, without it; comments aside. Of a
/// group in braces, every member.
fn paths_after(lines: &[String], prefix: &str) -> Vec<String> {
    let code: Vec<_> =
        lines.iter().map(|line| line.split("//").next().unwrap_or_default()).collect();
    let code = code.join(" ");
    let in_name = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let mut found = Vec::new();
    for (position, _) in code.match_indices(prefix) {
        if code[..position].ends_with(in_name) {
            continue;
        }
        let rest = &code[position + prefix.len()..];
        let members = match rest.strip_prefix('{') {
            Some(group) => group.split('}').next().unwrap_or_default().split(',').collect(),
            None => vec![rest],
        };
        let names = members.into_iter().map(str::trim_start).filter(|name| !name.is_empty());
        found.extend(
            names.map(|name| name.split(|c| !in_name(c)).next().unwrap_or(name).to_owned()),
        );
    }
    found
}

/// The top-level module that a file belongs to.
fn module_of(file: &str) -> &str {
    file.split('/').next().unwrap_or_default().trim_end_matches(".rs")
}

fn may_import(module: &str, imported: &str) -> bool {
    let is_domain = |name: &str| DOMAINS.iter().any(|(domain, _)| *domain == name);
    if module == imported || (BASE.contains(&imported) && !BASE.contains(&module)) {
        return true;
    }
    if let Some((_, others)) = DOMAINS.iter().find(|(domain, _)| *domain == module) {
        return imported == "storage" || others.contains(&imported);
    }
    let (_, allowed) = OTHERS
        .iter()
        .find(|(other, _)| *other == module)
        .unwrap_or_else(|| panic!("the module {module} has no row in the table of imports"));
    allowed.contains(&imported) || (allowed.contains(&"*") && is_domain(imported))
}

#[test]
fn modules_import_only_what_lies_below_them() {
    let mut violations = Vec::new();
    for (file, lines) in files("src") {
        let module = module_of(&file);
        if ["lib", "main"].contains(&module) {
            continue;
        }
        for path in paths_after(&lines, "crate::") {
            let imported = path.split(':').next().unwrap_or_default();
            // Identifiers and random names are made with the time: the one step between the two.
            let known = module == "secret" && path.starts_with("time::");
            if !known && !may_import(module, imported) {
                violations.push(format!("{file} imports {path}"));
            }
            let is_domain = |name: &str| DOMAINS.iter().any(|(domain, _)| *domain == name);
            if is_domain(module) && imported != module && path.contains("::store") {
                violations.push(format!("{file} reaches into another domain's store: {path}"));
            }
        }
    }
    assert!(violations.is_empty(), "{violations:#?}");
}

fn is_at(file: &str, place: &str) -> bool {
    let matches = |file: &str, place: &str| match place.strip_suffix(['/', '*']) {
        Some(start) => file.starts_with(start),
        None => file == place,
    };
    match place.strip_prefix("*/") {
        Some(place) => file.split_once('/').is_some_and(|(_, name)| matches(name, place)),
        None => matches(file, place),
    }
}

#[test]
fn crates_are_used_only_where_they_belong() {
    let mut violations = Vec::new();
    for (file, lines) in files("src") {
        for (name, places) in CRATES {
            let used = !paths_after(&lines, &format!("{name}::")).is_empty();
            if used && !places.iter().any(|place| is_at(&file, place)) {
                violations.push(format!("{file} uses {name}"));
            }
        }
    }
    assert!(violations.is_empty(), "{violations:#?}");
}

#[test]
fn passwords_are_checked_within_the_limits_on_guessing() {
    let checks = |lines: &[String]| {
        let code = lines.concat().replace(' ', "");
        code.contains("hashing.verify(") || code.contains("password::verify(")
    };
    let places: Vec<_> =
        files("src").into_iter().filter(|(_, lines)| checks(lines)).map(|(file, _)| file).collect();
    assert_eq!(places.len(), 2, "{places:?}");
    assert!(places.contains(&"oauth/password_check.rs".to_owned()), "{places:?}");
    assert!(places.contains(&"users/hashing.rs".to_owned()), "{places:?}");
}

#[test]
fn no_file_is_too_long() {
    for folder in ["src", "tests", "argon2id", "verifier"] {
        for (file, lines) in files(folder) {
            assert!(lines.len() < LONGEST_FILE, "{folder}/{file} has {} lines", lines.len());
        }
    }
}

#[test]
fn every_file_begins_with_what_it_is_for() {
    for folder in ["src", "tests", "argon2id", "verifier"] {
        for (file, lines) in files(folder) {
            let first = lines.first().map(String::as_str).unwrap_or_default();
            assert!(first.starts_with("//! "), "{folder}/{file} begins with {first:?}");
        }
    }
}

#[test]
fn the_rules_catch_what_breaks_them() {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(paths_after(&lines("use crate::http::error;"), "crate::"), ["http::error"]);
    let group = lines("use crate::{\n    http::error, time::Clock,\n};");
    assert_eq!(paths_after(&group, "crate::"), ["http::error", "time::Clock"]);
    assert_eq!(paths_after(&lines("// use crate::http"), "crate::"), [""; 0]);
    assert_eq!(paths_after(&lines("crate::storage::redis::Redis"), "redis::"), [""; 0]);
    assert_eq!(paths_after(&lines("fn f(c: redis::Client)"), "redis::"), ["Client"]);
    assert!(!may_import("sessions", "http") && !may_import("users", "config"));
    assert!(!may_import("storage", "users") && !may_import("http", "cli"));
    assert!(may_import("oauth", "sessions") && may_import("cli", "http"));
    assert!(is_at("users/store.rs", "*/store*") && !is_at("users/mod.rs", "*/store*"));
    assert!(is_at("sessions/store_redis.rs", "*/store_redis*"));
    assert!(is_at("http/token.rs", "http/") && !is_at("oauth/http.rs", "http/"));
}

//! The rules of the house that a compiler does not hold: who imports whom, that no files stand in a
//! circle, which crate is used where, how long a file may be, and that every file says what it is
//! for. Each rule is shown to fail on a planted breach.

mod circles;
mod tree;

use circles::circles;
use tree::{Tree, code, module_of, paths};

const MAX_LINES: usize = 400;

/// What each layer may import beside `base`, and beside itself where it is one room.
const LAYERS: &[(&str, &[&str])] = &[
    ("base", &[]),
    ("storage", &[]),
    ("domain", &["storage"]),
    ("services", &["storage", "domain"]),
    ("config", &["storage", "domain"]),
    ("app", &["storage", "domain", "services", "config"]),
    ("jobs", &["storage", "domain", "services", "config", "app"]),
    ("views", &["domain", "services"]),
    ("http", &["storage", "domain", "services", "config", "app", "views"]),
    ("cli", &["storage", "domain", "services", "config", "app", "views"]),
];

/// What a room of a layer may import of the same layer. Whatever is not named: nothing.
const ROOMS: &[(&str, &[&str])] = &[
    ("domain/tokens", &["domain/keys"]),
    ("domain/revocations", &["domain/tokens"]),
    ("domain/sessions", &["domain/revocations"]),
    ("domain/clients", &["domain/tokens"]),
    ("domain/roles", &["domain/tokens"]),
    ("domain/mail", &["domain/outbox"]),
    // A password is not to be the address.
    ("domain/credentials", &["domain/users"]),
    ("services/oauth", &["services/authentication"]),
    // A present password is checked within the login limits.
    ("services/accounts", &["services/authentication"]),
];

/// The commands that start the service, or show its interface.
const ABOVE_HTTP: &[&str] = &["cli/serve", "cli/openapi"];

/// Crates, and the only places where they may be used: folders end with a slash, and a star stands
/// for any beginning or end of a name.
const CRATES: &[(&str, &[&str])] = &[
    ("actix_web", &["http/", "cli/serve.rs"]),
    ("sqlx", &["storage/", "*/store*"]),
    ("redis", &["storage/redis*", "storage/records.rs", "*/store_redis*"]),
    ("jsonwebtoken", &["domain/tokens/", "domain/keys/"]),
    ("rsa", &["domain/keys/"]),
    ("cryptoki", &["domain/keys/"]),
    ("lettre", &["domain/mail/"]),
    ("hyper", &["storage/outbound*"]),
    ("tokio_rustls", &["storage/outbound*"]),
    ("rustls_native_certs", &["storage/outbound*"]),
    ("minijinja", &["domain/mail/"]),
    ("argon2", &["domain/credentials/"]),
    ("argon2id", &["domain/credentials/"]),
    ("scrypt", &["domain/credentials/"]),
    ("pbkdf2", &["domain/credentials/"]),
    ("bcrypt", &["domain/credentials/"]),
    ("md5", &["domain/credentials/"]),
    ("sha_crypt", &["domain/credentials/"]),
    ("yescrypt", &["domain/credentials/"]),
];

/// The layer of a module, and its room: `domain`, `domain/keys`.
fn place(module: &str) -> (&str, &str) {
    let layer = module.split('/').next().unwrap_or_default();
    let is_of_rooms = ["base", "domain", "services"].contains(&layer);
    let end = module.match_indices('/').nth(1).map_or(module.len(), |(end, _)| end);
    (layer, if is_of_rooms { &module[..end] } else { layer })
}

fn may_import(module: &str, imported: &str) -> bool {
    let ((layer, room), (other_layer, other_room)) = (place(module), place(imported));
    if room == other_room || other_layer == "base" {
        return true;
    }
    if layer == other_layer {
        return ROOMS.iter().any(|(known, others)| *known == room && others.contains(&other_room));
    }
    let (_, below) = LAYERS
        .iter()
        .find(|(known, _)| *known == layer)
        .unwrap_or_else(|| panic!("the layer {layer} has no row in the table"));
    let is_above_http = ABOVE_HTTP.iter().any(|command| module.starts_with(command));
    below.contains(&other_layer) || (is_above_http && ["http", "jobs"].contains(&other_layer))
}

fn imports_against_the_layers(tree: &Tree) -> Vec<String> {
    let imports = tree.imports();
    let pairs = imports.iter().flat_map(|(from, to)| to.iter().map(move |to| (from, to)));
    let breaches = pairs.filter(|(from, to)| !may_import(from, to));
    breaches.map(|(from, to)| format!("{from} imports {to}")).collect()
}

/// A store is opened by its own domain, by services and by `app`, which picks engines.
fn stores_reached_into(tree: &Tree) -> Vec<String> {
    let names_a_store = |path: &str| {
        path.starts_with("crate::domain")
            && path.split("::").any(|name| name.starts_with("store") || name.ends_with("Store"))
    };
    let may = |module: &str, path: &str| {
        let (layer, room) = place(module);
        ["services", "app"].contains(&layer) || path.replace("::", "/").contains(room)
    };
    let modules = tree.modules();
    let named = modules
        .iter()
        .flat_map(|(module, text)| paths(text).into_iter().map(move |path| (module, path)));
    let breaches = named.filter(|(module, path)| names_a_store(path) && !may(module, path));
    breaches.map(|(module, path)| format!("{module} reaches into {path}")).collect()
}

fn is_at(file: &str, place: &str) -> bool {
    let matches = |file: &str, place: &str| match place.strip_suffix(['/', '*']) {
        Some(start) => file.starts_with(start),
        None => file == place,
    };
    match place.strip_prefix("*/") {
        Some(place) => file.match_indices('/').any(|(at, _)| matches(&file[at + 1..], place)),
        None => matches(file, place),
    }
}

/// Whether `code` names the crate itself: not a module of ours that is called like it.
fn uses(code: &str, name: &str) -> bool {
    let start = format!("{name}::");
    code.match_indices(&start).any(|(position, _)| {
        !code[..position].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':')
    })
}

fn crates_out_of_place(tree: &Tree) -> Vec<String> {
    let mut breaches = Vec::new();
    for (file, text) in &tree.files {
        let code = code(text);
        for (name, places) in CRATES {
            if uses(&code, name) && !places.iter().any(|place| is_at(file, place)) {
                breaches.push(format!("{file} uses {name}"));
            }
        }
    }
    breaches
}

/// A password is checked in two places: by the pool's threads, and within the limits on guessing.
fn unlimited_checks_of_passwords(tree: &Tree) -> Vec<String> {
    let checks = |text: &str| {
        let code = code(text).replace(' ', "");
        code.contains("hashing.verify(") || code.contains("password::verify(")
    };
    let places = ["services/authentication/password.rs", "domain/credentials/hashing.rs"];
    let files = tree.files.iter().filter(|(_, text)| checks(text)).map(|(file, _)| file.clone());
    files.filter(|file| !places.contains(&file.as_str())).collect()
}

/// What only tests set is read in these files, in code that a release build is compiled without.
const DEBUG_ONLY: &[(&str, &str, &str)] = &[
    ("base/debug.rs", "base/mod.rs", "#[cfg(debug_assertions)]\npub(crate) mod debug;"),
    ("base/fault.rs", "base/fault.rs", "#[cfg(debug_assertions)]\npub(crate) fn point("),
];

/// The configuration is the one reader of environment variables in a release build.
fn variables_read_in_release_builds(tree: &Tree) -> Vec<String> {
    let reads = |text: &str| {
        let code = code(text);
        code.contains("env::var(") || code.contains("env::var_os(")
    };
    let is_debug_only = |file: &str| {
        let mut known = DEBUG_ONLY.iter().filter(|(debug_only, ..)| *debug_only == file);
        known.any(|(_, at, cfg)| tree.files.get(*at).is_some_and(|text| text.contains(cfg)))
    };
    let files = tree.files.iter().filter(|(file, text)| reads(text) && !is_debug_only(file));
    files.map(|(file, _)| format!("{file} reads an environment variable")).collect()
}

fn long_files(tree: &Tree) -> Vec<String> {
    let long = tree.files.iter().filter(|(_, text)| text.lines().count() >= MAX_LINES);
    long.map(|(file, text)| format!("{file} has {} lines", text.lines().count())).collect()
}

fn files_without_a_header(tree: &Tree) -> Vec<String> {
    let bare = tree.files.iter().filter(|(_, text)| !text.starts_with("//! "));
    bare.map(|(file, _)| format!("{file} does not begin with what it is for")).collect()
}

fn circles_of_files(tree: &Tree) -> Vec<String> {
    circles(&tree.imports()).iter().map(|circle| circle.join(" <-> ")).collect()
}

/// The trees whose files are held to length and header.
const FOLDERS: &[&str] = &["src", "tests", "argon2id", "verifier"];

#[test]
fn imports_go_down_only() {
    assert_eq!(imports_against_the_layers(&Tree::read("src")), [""; 0]);
}

#[test]
fn no_files_stand_in_a_circle() {
    assert_eq!(circles_of_files(&Tree::read("src")), [""; 0]);
}

#[test]
fn stores_are_opened_by_their_domain_and_by_services() {
    assert_eq!(stores_reached_into(&Tree::read("src")), [""; 0]);
}

#[test]
fn crates_are_used_only_where_they_belong() {
    assert_eq!(crates_out_of_place(&Tree::read("src")), [""; 0]);
}

#[test]
fn passwords_are_checked_within_the_limits_on_guessing() {
    assert_eq!(unlimited_checks_of_passwords(&Tree::read("src")), [""; 0]);
}

#[test]
fn what_only_tests_set_is_read_in_debug_builds_alone() {
    assert_eq!(variables_read_in_release_builds(&Tree::read("src")), [""; 0]);
}

#[test]
fn no_file_is_too_long_and_each_says_what_it_is_for() {
    for folder in FOLDERS {
        let tree = Tree::read(folder);
        assert_eq!(long_files(&tree), [""; 0], "{folder}");
        assert_eq!(files_without_a_header(&tree), [""; 0], "{folder}");
    }
}

#[test]
fn a_planted_breach_of_each_rule_is_found() {
    type Rule = fn(&Tree) -> Vec<String>;
    let tree = Tree::read("src");
    let layers: Rule = imports_against_the_layers;
    let long = "// A line.\n".repeat(MAX_LINES);
    let breaches: &[(Rule, &str, &str)] = &[
        (layers, "domain/sessions/mod.rs", "use crate::http::error::Problem;"),
        (layers, "domain/keys/mod.rs", "use crate::{app::App, base::time::Clock};"),
        (layers, "domain/keys/mod.rs", "fn planted(config: &crate::config::Config) {}"),
        (layers, "domain/audit/mod.rs", "use crate::domain::users::User;"),
        (layers, "services/accounts/mod.rs", "use crate::services::oauth::TokenError;"),
        (layers, "http/health.rs", "use crate::cli;"),
        (layers, "cli/keys.rs", "use crate::http;"),
        (layers, "services/role_management.rs", "use crate::views::role::RoleView;"),
        (layers, "storage/mod.rs", "use crate::domain::audit;"),
        (circles_of_files, "base/time.rs", "use super::random::Random;"),
        (circles_of_files, "domain/keys/algorithm.rs", "use super::chain;"),
        (stores_reached_into, "http/health.rs", "use crate::domain::users::UserStore;"),
        (stores_reached_into, "domain/roles/mod.rs", "use crate::domain::tokens::store::X;"),
        (crates_out_of_place, "domain/users/mod.rs", "use sqlx::Row;"),
        (crates_out_of_place, "services/accounts/mod.rs", "fn f(_: actix_web::HttpRequest) {}"),
        (unlimited_checks_of_passwords, "http/health.rs", "fn f() { hashing.verify(x); }"),
        (variables_read_in_release_builds, "app.rs", "fn f() { std::env::var(x); }"),
        (long_files, "http/health.rs", &long),
        (files_without_a_header, "http/planted.rs", ""),
    ];
    for (rule, file, code) in breaches {
        let mut planted = tree.planted(file, code);
        if code.is_empty() {
            planted.files.insert((*file).into(), "use std::fmt;\n".into());
        }
        assert!(rule(&planted).len() > rule(&tree).len(), "not found: {code} in {file}");
    }
}

#[test]
fn paths_are_read_as_the_compiler_reads_them() {
    let group = "use crate::{\n    http::error, // comment\n    time::{self, Clock},\n};";
    let found = paths(group);
    for path in ["crate::http::error", "crate::time::self", "crate::time::Clock"] {
        assert!(found.contains(&path.to_owned()), "{path} is not in {found:?}");
    }
    assert_eq!(paths("// use crate::http;"), [""; 0]);
    assert!(paths("fn f(x: super::Session) {}").contains(&"super::Session".to_owned()));
    assert!(uses("fn f(c: redis::Client)", "redis") && !uses("storage::redis::Redis", "redis"));
    assert!(is_at("domain/users/store.rs", "*/store*"));
    assert!(!is_at("domain/users/mod.rs", "*/store*"));
    assert!(is_at("domain/sessions/store_redis/page.rs", "*/store_redis*"));
    assert_eq!(module_of("domain/keys/mod.rs"), "domain/keys");
}

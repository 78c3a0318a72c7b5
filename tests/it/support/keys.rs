//! Signing keys: as the command line lists them, as JWKS publishes them, and made beforehand.

use std::cell::Cell;
use std::path::Path;
use std::sync::OnceLock;

use rsa::RsaPrivateKey;
use rsa::pkcs8::DecodePrivateKey;
use serde_json::Value;
use signet::domain::keys::{Algorithm, SigningKey};

use super::signet::Signet;

/// The key named `kid`, as `keys list --json` shows it.
pub fn key(signet: &Signet, kid: &str) -> Value {
    let list = signet.cli_json(&["keys", "list"], "");
    let key = list.as_array().and_then(|keys| keys.iter().find(|key| key["kid"] == kid));
    key.unwrap_or_else(|| panic!("no key {kid}: {list}")).clone()
}

/// The names of the keys in this state.
pub fn kids(signet: &Signet, state: &str) -> Vec<String> {
    let list = signet.cli_json(&["keys", "list"], "");
    let in_state = list.as_array().expect("a list").iter().filter(|key| key["state"] == state);
    in_state.map(|key| key["kid"].as_str().expect("a kid").to_owned()).collect()
}

/// The name of the one key that signs.
#[track_caller]
pub fn active(signet: &Signet) -> String {
    let [kid] = kids(signet, "active").try_into().expect("exactly one key signs");
    kid
}

/// The name of the one key that waits in reserve.
#[track_caller]
pub fn spare(signet: &Signet) -> String {
    let mut kids = kids(signet, "pending");
    kids.retain(|kid| key(signet, kid)["activates_at"].is_null());
    let [kid] = kids.try_into().expect("exactly one spare");
    kid
}

/// The names in a key set, sorted.
pub fn published(jwks: &Value) -> Vec<String> {
    let keys = jwks["keys"].as_array().expect("keys");
    let mut kids: Vec<_> =
        keys.iter().map(|key| key["kid"].as_str().expect("a kid").to_owned()).collect();
    kids.sort();
    kids
}

/// `text` without the names that keys have by themselves: a thumbprint (RFC 7638) can hold any
/// characters of base64url, and so any short word or option that a test looks for.
pub fn without_kids(text: &str) -> String {
    let is_inside = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    let words = text.split_inclusive(|c| !is_inside(c));
    words.filter(|word| word.trim_end_matches(|c| !is_inside(c)).len() != 43).collect()
}

/// An RSA key that was made elsewhere, and its thumbprint.
pub fn foreign_key() -> (RsaPrivateKey, String) {
    let key = SigningKey::generate(Algorithm::Rs256, 2048).expect("a key");
    let document = key.to_pkcs8().expect("PKCS#8");
    let private = RsaPrivateKey::from_pkcs8_der(document.expose()).expect("an RSA key");
    (private, key.public.kid)
}

/// How many keys an instance finds ready. It makes two at its first start, and its own once these
/// are used.
const READY: usize = 3;
/// How many sets of ready keys there are.
const SETS: usize = 16;
/// The set of the instance that tests share, which no other has.
pub const SHARED_SET: usize = SETS;

/// The set of the next instance of this test: two instances of one test have no key in common.
pub fn next_set() -> usize {
    // The runner gives each test a thread of its own.
    thread_local! {
        static NEXT: Cell<usize> = const { Cell::new(0) };
    }
    NEXT.replace(NEXT.get() + 1) % SETS
}

/// Lays the keys of a set into `folder`, where a debug build takes them from. To make an RSA key
/// takes longer than all the rest of a start, so each is made once a run.
pub fn lay_ready(set: usize, folder: &Path) {
    const COUNT: usize = (SETS + 1) * READY;
    static KEYS: [OnceLock<Vec<u8>>; COUNT] = [const { OnceLock::new() }; COUNT];
    std::fs::create_dir(folder).expect("a folder for keys");
    for number in 0..READY {
        let document = KEYS[set * READY + number].get_or_init(|| {
            let key = SigningKey::generate(Algorithm::Rs256, 2048).expect("a key");
            key.to_pkcs8().expect("PKCS#8").expose().to_vec()
        });
        std::fs::write(folder.join(number.to_string()), document).expect("a file");
    }
}

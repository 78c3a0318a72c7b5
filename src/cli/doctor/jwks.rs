//! The key set (RFC 7517): whether every resource server can verify with it, now and after the next
//! rotation.

use std::collections::BTreeMap;
use std::time::Duration;

use url::Url;

use super::caching::{self, Keeping};
use super::fault::{Fault, seconds};
use super::http::Http;
use super::report::Report;
use crate::domain::keys::foreign::{ForeignKey, ForeignKeys, Material};
use crate::storage::outbound::Request;

const MAX_BYTES: usize = 1 << 20;
/// The shortest sensible `max-age`; below it, verifiers ask all the time.
const MIN_AGE: Duration = Duration::from_secs(30);
/// The longest sensible `max-age`; beyond it, verifiers go on trusting a revoked key.
const MAX_AGE: Duration = Duration::from_secs(86_400);
/// RFC 7518 section 3.3.
const MIN_RSA_BITS: usize = 2048;

pub(super) async fn check(
    http: &Http,
    url: Option<&Url>,
    report: &mut Report,
) -> Option<ForeignKeys> {
    let Some(url) = url else {
        report.skipped("jwks", "the metadata leads to no key set");
        return None;
    };
    let answer = http.get(url, Request::default(), MAX_BYTES).await;
    let answer = report.accept_at("jwks", url, answer)?;
    let Some(keys) = ForeignKeys::parse(&answer.body).filter(|keys| !keys.0.is_empty()) else {
        let fault = Fault::Content("it is no key set (RFC 7517 section 5), or an empty one");
        report.failed("jwks", format!("{fault}: {url}"), fault.mend());
        return None;
    };
    let took = answer.head_after;
    report.ok("jwks", format!("{} keys in {}", keys.0.len(), seconds(took))).took(took);
    names(&keys, report);
    uses(&keys, report);
    strength(&keys, report);
    spare(&keys, report);
    caching(Keeping::of(&answer), report);
    caching::revalidate(http, url, Request::default(), &answer, MAX_BYTES, "jwks etag", report)
        .await;
    Some(keys)
}

fn name(key: &ForeignKey) -> &str {
    key.kid.as_deref().unwrap_or("(without kid)")
}

fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().collect::<Vec<_>>().join(", ")
}

#[allow(clippy::indexing_slicing, reason = "every `kid` was counted above")]
fn names(keys: &ForeignKeys, report: &mut Report) {
    let mut count = BTreeMap::new();
    for key in &keys.0 {
        *count.entry(name(key)).or_insert(0) += 1;
    }
    let mut twice: Vec<_> =
        keys.0.iter().filter_map(|key| key.kid.as_deref()).filter(|kid| count[kid] > 1).collect();
    twice.dedup();
    if keys.0.iter().any(|key| key.kid.is_none()) {
        let mend = "give each key a kid, such as its thumbprint (RFC 7638): verifiers choose by it";
        report.failed("kids", "a key has no kid", mend);
    } else if !twice.is_empty() {
        let mend = "give each key a kid of its own: verifiers take either, and refuse what the other \
                    signed";
        report.failed("kids", format!("one kid for several keys: {}", list(twice)), mend);
    } else {
        report.ok("kids", "each has its own");
    }
}

fn uses(keys: &ForeignKeys, report: &mut Report) {
    let lacking = keys.0.iter().filter(|key| key.key_use.is_none() || key.alg.is_none());
    let lacking: Vec<_> = lacking.map(name).collect();
    if lacking.is_empty() {
        report.ok("use and alg", "each key says what it is for");
    } else {
        let mend =
            "publish use and alg with each key, so that a verifier takes it for nothing else";
        report.warning("use and alg", format!("not said by: {}", list(lacking)), mend);
    }
}

enum Quality {
    Good,
    /// It is better replaced, and why.
    Dated(&'static str),
    /// It must be replaced, and why.
    Bad(&'static str),
}

fn quality(key: &ForeignKey) -> Quality {
    if key.is_private {
        return Quality::Bad("its private part is published");
    }
    match &key.material {
        Material::Rsa { bits, .. } if *bits < MIN_RSA_BITS => Quality::Bad("RSA below 2048 bits"),
        Material::Rsa { exponent: Some(0..=2), .. } => Quality::Bad("its exponent is below 3"),
        Material::Rsa { exponent: Some(e), .. } if e % 2 == 0 => {
            Quality::Bad("its exponent is even")
        }
        Material::Rsa { exponent: Some(e), .. } if *e < 65537 => {
            Quality::Dated("its exponent is below 65537")
        }
        Material::Rsa { exponent: None, .. } => {
            Quality::Dated("its exponent is longer than 64 bits")
        }
        Material::Rsa { .. } => Quality::Good,
        Material::Ec(curve) if ["P-256", "P-384", "P-521"].contains(&curve.as_str()) => {
            Quality::Good
        }
        Material::Okp(curve) if ["Ed25519", "Ed448"].contains(&curve.as_str()) => Quality::Good,
        Material::Ec(_) | Material::Okp(_) => Quality::Dated("few verifiers know its curve"),
        Material::Symmetric => Quality::Bad("it is a secret, and published"),
        Material::Unknown(_) => Quality::Dated("few verifiers know its type, or it lacks members"),
    }
}

fn strength(keys: &ForeignKeys, report: &mut Report) {
    let (mut bad, mut dated) = (Vec::new(), Vec::new());
    for key in keys.0.iter().filter(|key| key.signs() || key.is_private) {
        match quality(key) {
            Quality::Good => {}
            Quality::Dated(why) => dated.push(format!("{}: {why}", name(key))),
            Quality::Bad(why) => bad.push(format!("{}: {why}", name(key))),
        }
    }
    if !bad.is_empty() {
        let mend = "rotate to a key that is sound (RSA of 2048 bits with the exponent 65537, P-256 or \
                    Ed25519) and take this one out: tokens can be forged with it, or soon";
        report.failed("key strength", bad.join(", "), mend);
    } else if !dated.is_empty() {
        let mend =
            "rotate to RSA of 2048 bits with the exponent 65537, P-256 or Ed25519 when you can";
        report.warning("key strength", dated.join(", "), mend);
    } else {
        report.ok("key strength", "each is sound");
    }
}

/// A key that is published before it signs is known to every verifier by then.
fn spare(keys: &ForeignKeys, report: &mut Report) {
    let mut kinds = BTreeMap::new();
    for key in keys.0.iter().filter(|key| key.signs()) {
        let kind = key.alg.clone().unwrap_or_else(|| match &key.material {
            Material::Rsa { .. } => "RSA".to_owned(),
            Material::Ec(curve) | Material::Okp(curve) | Material::Unknown(curve) => curve.clone(),
            Material::Symmetric => "oct".to_owned(),
        });
        *kinds.entry(kind).or_insert(0) += 1;
    }
    let alone: Vec<_> =
        kinds.iter().filter(|(_, count)| **count < 2).map(|(kind, _)| kind.as_str()).collect();
    if alone.is_empty() {
        report.ok("spare key", "for each algorithm, more than one key is published");
    } else {
        let mend = "publish the next key ahead of its use: when this one is revoked, verifiers that keep \
                    the set know no successor";
        report.warning("spare key", format!("only one key for {}", list(alone)), mend);
    }
}

fn caching(keeping: Keeping, report: &mut Report) {
    match keeping {
        Keeping::Unsaid => {
            let mend = "let the service or its proxy send Cache-Control with max-age, such as 300: \
                        verifiers guess otherwise, and miss a rotation or ask all the time";
            report.failed("jwks caching", "the answer does not say how long it may be kept", mend);
        }
        Keeping::Not => {
            let mend =
                "allow some minutes by max-age, so that an outage does not stop verification";
            report.warning("jwks caching", "it may not be kept", mend);
        }
        Keeping::For(age) => {
            let seen = format!("max-age is {}", seconds(age));
            let short = "allow half a minute at least, unless a key is about to change";
            let long = "allow a day at most: a key that was revoked is believed for so long";
            match age {
                age if age < MIN_AGE => report.warning("jwks caching", seen, short),
                age if age > MAX_AGE => report.warning("jwks caching", seen, long),
                _ => report.ok("jwks caching", seen),
            };
        }
    }
}

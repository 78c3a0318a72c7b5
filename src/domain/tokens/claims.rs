//! Members of a user's metadata that a client's access tokens contain: an allow-list of names, none
//! of which has a meaning for verifiers of tokens or in an introspection answer.

use serde_json::{Map, Value};

const MAX_CLAIMS: usize = 20;
const MAX_NAME_LENGTH: usize = 64;
/// The maximum size of all added claims as JSON, in bytes: a token has to fit into a header.
pub(crate) const MAX_CLAIMS_BYTES: usize = 2048;

/// Names that a client cannot add, since the user's metadata would be read as the claim that they
/// stand for. Most are registered with IANA as "JSON Web Token Claims"; those that the syntax of a
/// client's claims excludes are left out.
#[rustfmt::skip]
const TAKEN: &[&str] = &[
    // RFC 7519 section 4.1
    "iss", "sub", "aud", "exp", "nbf", "iat", "jti",
    // RFC 8693 sections 4.1 to 4.4, RFC 9068 section 2.2 (the last three by RFC 7643)
    "act", "scope", "client_id", "may_act", "roles", "groups", "entitlements",
    // OpenID Connect Core 1.0 sections 2, 3, 5.1, 5.6.2 and 7.4
    "azp", "nonce", "auth_time", "at_hash", "c_hash", "acr", "amr", "sub_jwk",
    "name", "given_name", "family_name", "middle_name", "nickname", "preferred_username",
    "profile", "picture", "website", "email", "email_verified", "gender", "birthdate", "zoneinfo",
    "locale", "phone_number", "phone_number_verified", "address", "updated_at",
    "_claim_names", "_claim_sources",
    // OpenID Connect logout (sid, events), FAPI (s_hash), Federation 1.0
    "sid", "s_hash", "metadata", "metadata_policy", "metadata_policy_crit", "constraints", "crit",
    "trust_marks", "trust_mark_issuers", "trust_mark_owners", "trust_mark_type", "trust_chain",
    "trust_anchor", "authority_hints", "source_endpoint", "keys", "jwks", "logo_uri", "ref",
    "delegation",
    // OpenID Connect for Identity Assurance
    "verified_claims", "place_of_birth", "nationalities", "birth_family_name", "birth_given_name",
    "birth_middle_name", "salutation", "title", "msisdn", "also_known_as",
    // RFC 7662 section 2.2: members of an answer about a token
    "active", "username", "token_type",
    // RFC 7800, RFC 9449, RFC 9200, RFC 9396, RFC 9701 and RFC 9493
    "cnf", "htm", "htu", "ath", "ace_profile", "cnonce", "exi", "authorization_details",
    "token_introspection", "sub_id",
    // RFC 8417 and RFC 8485
    "events", "toe", "txn", "vot", "vtm",
    // Verifiable credentials, SD-JWT (RFC 9901) and status lists
    "vc", "vp", "_sd", "_sd_alg", "sd_hash", "vct", "status", "status_list", "ttl",
    // Telephony: RFC 8055, RFC 8225, RFC 8443, RFC 8588, RFC 8946, RFC 9027, RFC 9448, RFC 9475,
    // RFC 9795, and 3GPP
    "sip_from_tag", "sip_date", "sip_callid", "sip_cseq_num", "sip_via_branch", "orig", "dest",
    "mky", "rph", "sph", "attest", "origid", "div", "rcd", "rcdi", "crn", "jcard", "atc",
    "at_use_nbr", "msgi",
    // Networks and devices: RFC 9246, RFC 9321, RFC 9711
    "cdniv", "cdnicrit", "cdniip", "cdniuc", "cdniets", "cdnistt", "cdnistd", "sig_val_claims",
    "eat_nonce", "eat_profile", "ueid", "sueids", "oemid", "hwmodel", "hwversion", "oemboot",
    "dbgstat", "location", "uptime", "bootcount", "bootseed", "dloas", "swname", "swversion",
    "submods", "manifests", "measurements", "measres", "intuse", "geohash",
    // Access to registration data, and others
    "rdap_allowed_purposes", "rdap_dnt_allowed", "opt",
    // Names from which common verifiers read rights without a standard
    "scp", "scopes", "role", "permissions", "authorities", "realm_access", "resource_access",
    // Names by which common verifiers distinguish users and kinds of tokens without a standard
    "user_id", "user_name", "uid", "upn", "oid", "tid", "token_use", "typ", "type", "fresh",
];

/// Checks the names of the claims that a client adds, without repetitions. The error is the
/// sentence for the operator.
pub(crate) fn check(names: &[String]) -> Result<Vec<String>, String> {
    let mut checked: Vec<String> = Vec::new();
    for name in names {
        check_name(name)?;
        if !checked.contains(name) {
            checked.push(name.clone());
        }
    }
    if checked.len() > MAX_CLAIMS {
        return Err(format!("a client adds at most {MAX_CLAIMS} claims"));
    }
    Ok(checked)
}

fn check_name(name: &str) -> Result<(), String> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if name.is_empty() || name.len() > MAX_NAME_LENGTH || !name.chars().all(allowed) {
        return Err("a claim's name is 1 to 64 characters of a-z, 0-9 and _".into());
    }
    if TAKEN.contains(&name) {
        return Err(format!("a claim {name} has a meaning of its own and cannot be added"));
    }
    Ok(())
}

/// Whether the user's metadata may have a claim of this name.
pub(super) fn is_free(name: &str) -> bool {
    check_name(name).is_ok()
}

/// The claims would have made a token too long.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooLarge;

/// Whether a value is not empty. Null and an empty text, list or object are empty: validators
/// refuse them, and readers treat them as absent.
pub(crate) fn has_value(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(members) => !members.is_empty(),
        Value::Bool(_) | Value::Number(_) => true,
    }
}

/// The members of `metadata` that `names` allow, without empty ones. Fails when they are too large
/// together, since a part of them could be read as all.
pub(crate) fn select(
    names: &[String],
    metadata: &Map<String, Value>,
) -> Result<Map<String, Value>, TooLarge> {
    // A name may have become reserved since the client was registered.
    let allowed = names.iter().filter(|name| is_free(name));
    let given = allowed.filter_map(|name| metadata.get_key_value(name));
    let present = given.filter(|(_, value)| has_value(value));
    let claims: Map<_, _> = present.map(|(name, value)| (name.clone(), value.clone())).collect();
    let length = serde_json::to_string(&claims).map_or(usize::MAX, |text| text.len());
    if length > MAX_CLAIMS_BYTES { Err(TooLarge) } else { Ok(claims) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn names(text: &str) -> Vec<String> {
        text.split(',').map(str::to_owned).collect()
    }

    #[test]
    fn names_with_a_meaning_cannot_be_had() {
        assert_eq!(check(&names("department,plan,department")), Ok(names("department,plan")));
        assert_eq!(check(&[]), Ok(Vec::new()));
        for bad in ["", "Plan", "plan-b", "plan b", "plän", "https://a/plan", &"p".repeat(65)] {
            assert!(check(&[bad.to_owned()]).is_err(), "{bad}");
        }
        for taken in TAKEN {
            assert!(check(&[(*taken).to_owned()]).unwrap_err().contains(taken), "{taken}");
        }
        let many: Vec<_> = (0..21).map(|n| format!("claim_{n}")).collect();
        assert!(check(&many).is_err() && check(&many[1..]).is_ok());
    }

    #[test]
    fn every_taken_name_stands_once_and_could_have_been_asked_for() {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let mut seen = std::collections::HashSet::new();
        for name in TAKEN {
            assert!(name.chars().all(allowed) && seen.insert(name), "{name}");
        }
    }

    #[test]
    fn what_is_allowed_and_there_is_taken() {
        let metadata = json!({
            "department": "R&D", "seats": 3, "beta": true, "tags": ["a"], "unit": { "id": 7 },
            "nothing": null, "secret": "x", "sub": "somebody-else",
            "blank": "", "none": [], "bare": {}, "zero": 0, "off": false, "space": " ",
            "inner": [""],
        });
        let metadata = metadata.as_object().unwrap();
        let selected = |allowed: &str| {
            select(&names(allowed), metadata).map(|claims| Value::Object(claims).to_string())
        };
        assert_eq!(selected("department,absent,nothing").unwrap(), r#"{"department":"R&D"}"#);
        let all = select(&names("seats,beta,tags,unit"), metadata).unwrap();
        assert_eq!(
            Value::Object(all),
            json!({
                "seats": 3, "beta": true, "tags": ["a"], "unit": { "id": 7 },
            })
        );
        // What is empty is left out; what only looks like it is not.
        assert_eq!(selected("blank,none,bare,nothing").unwrap(), "{}");
        let all = select(&names("zero,off,space,inner"), metadata).unwrap();
        assert_eq!(
            Value::Object(all),
            json!({ "zero": 0, "off": false, "space": " ", "inner": [""] })
        );
        // Not even where the allow-list was tampered with.
        assert_eq!(selected("sub").unwrap(), "{}");
    }

    #[test]
    fn beyond_the_bound_none_is_taken() {
        let filled = |length: usize| json!({ "a": "x".repeat(length), "b": 1 });
        let overhead = filled(0).to_string().len();
        let select = |length: usize| {
            select(&names("a,b"), filled(length).as_object().unwrap()).map(|claims| claims.len())
        };
        assert_eq!(select(MAX_CLAIMS_BYTES - overhead), Ok(2));
        assert_eq!(select(MAX_CLAIMS_BYTES - overhead + 1), Err(TooLarge));
    }
}

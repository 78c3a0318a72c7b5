//! Reads a JWK Set (RFC 7517 section 5). Keys that are for something else, too weak or not
//! understood are left out, so that they do not keep the others from being used.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA256, RsaPublicKeyComponents,
};
use serde::Deserialize;
use serde_json::Value;

use super::{Key, KeySet};
use crate::algorithm::Algorithm;
use crate::jws::decode;

/// The maximum number of keys that are read.
const MAX_KEYS: usize = 256;
/// RSA moduli in bits.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;
/// The longest public exponent in bytes; 65537 has three.
const MAX_EXPONENT_BYTES: usize = 4;

#[derive(Deserialize)]
struct JwkSet {
    keys: Vec<Value>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    n: Option<String>,
    e: Option<String>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

/// A key for one algorithm, with the bytes that distinguish it from others.
struct Candidate {
    key: Key,
    material: Vec<u8>,
}

impl KeySet {
    /// The keys of `json` that verify by one of `allowed`.
    pub fn read(json: &[u8], allowed: &[Algorithm]) -> serde_json::Result<Self> {
        let set: JwkSet = serde_json::from_slice(json)?;
        let jwks = set.keys.into_iter().take(MAX_KEYS);
        let jwks = jwks.filter_map(|jwk| serde_json::from_value::<Jwk>(jwk).ok());
        Ok(Self(distinct(jwks.flat_map(|jwk| jwk.candidates(allowed)).collect())))
    }
}

/// The keys that each name identifies. If two different keys share name and algorithm, neither is
/// used. The same key twice is one.
#[allow(clippy::indexing_slicing, reason = "the position was found in the same list")]
fn distinct(candidates: Vec<Candidate>) -> Vec<Key> {
    let same = |a: &Key, b: &Key| a.kid == b.kid && a.algorithm == b.algorithm;
    let mut kept: Vec<Candidate> = Vec::with_capacity(candidates.len());
    let mut ambiguous: Vec<usize> = Vec::new();
    for candidate in candidates {
        match kept.iter().position(|other| same(&other.key, &candidate.key)) {
            Some(at) if kept[at].material != candidate.material => ambiguous.push(at),
            Some(_) => {}
            None => kept.push(candidate),
        }
    }
    let clear = kept.into_iter().enumerate().filter(|(at, _)| !ambiguous.contains(at));
    clear.map(|(_, candidate)| candidate.key).collect()
}

impl Jwk {
    fn candidates(&self, allowed: &[Algorithm]) -> Vec<Candidate> {
        let Some(kid) = self.kid.as_deref().filter(|_| self.verifies_signatures()) else {
            return Vec::new();
        };
        let pinned = self.alg.as_deref().map(Algorithm::from_name);
        let permitted = |algorithm: &Algorithm| match pinned {
            Some(pinned) => pinned == Some(*algorithm),
            None => true,
        };
        let algorithms = allowed.iter().copied().filter(permitted);
        let candidate = |algorithm| {
            let (public, material) = self.public(algorithm)?;
            Some(Candidate { key: Key::new(kid, algorithm, public), material })
        };
        algorithms.filter_map(candidate).collect()
    }

    /// RFC 7517 sections 4.2 and 4.3.
    fn verifies_signatures(&self) -> bool {
        let usage = self.usage.as_deref().is_none_or(|usage| usage == "sig");
        let operations = self.key_ops.as_ref();
        usage && operations.is_none_or(|operations| operations.iter().any(|op| op == "verify"))
    }

    /// The key as one of `algorithm`, if it is of the kind that has it.
    fn public(&self, algorithm: Algorithm) -> Option<(ParsedPublicKey, Vec<u8>)> {
        match (algorithm, self.kty.as_str(), self.crv.as_deref()) {
            (Algorithm::RS256 | Algorithm::PS256, "RSA", _) => self.rsa(algorithm),
            (Algorithm::ES256, "EC", Some("P-256")) => {
                let mut point = vec![4];
                point.extend(coordinate(self.x.as_deref()?)?);
                point.extend(coordinate(self.y.as_deref()?)?);
                let public = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &point).ok()?;
                Some((public, point))
            }
            (Algorithm::EdDSA, "OKP", Some("Ed25519")) => {
                let point = coordinate(self.x.as_deref()?)?;
                Some((ParsedPublicKey::new(&ED25519, &point).ok()?, point))
            }
            _ => None,
        }
    }

    /// Short moduli can be factored, and with an exponent of 1 anybody can sign.
    fn rsa(&self, algorithm: Algorithm) -> Option<(ParsedPublicKey, Vec<u8>)> {
        let n = integer(self.n.as_deref()?)?;
        let e = integer(self.e.as_deref()?)?;
        let bits = n.len() * 8 - n.first()?.leading_zeros() as usize;
        let odd = |number: &[u8]| number.last().is_some_and(|last| last % 2 == 1);
        let exponent = odd(&e) && e != [1] && e.len() <= MAX_EXPONENT_BYTES;
        if !RSA_BITS.contains(&bits) || !odd(&n) || !exponent {
            return None;
        }
        let parameters = match algorithm {
            Algorithm::PS256 => &RSA_PSS_2048_8192_SHA256,
            _ => &RSA_PKCS1_2048_8192_SHA256,
        };
        let components = RsaPublicKeyComponents { n: &n, e: &e };
        let public = components.to_parsed_public_key(parameters).ok()?;
        Some((public, [n.as_slice(), &[0], &e].concat()))
    }
}

/// A number without the zeros before it, which some issuers write.
#[allow(clippy::indexing_slicing, reason = "zeros were counted in the same bytes")]
fn integer(text: &str) -> Option<Vec<u8>> {
    let bytes = decode(text)?;
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    Some(bytes[zeros..].to_vec())
}

/// A coordinate of a point on either curve.
fn coordinate(text: &str) -> Option<Vec<u8>> {
    decode(text).filter(|bytes| bytes.len() == 32)
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::rsa::KeySize;
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair, RsaKeyPair};
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::json;

    use super::*;

    fn rsa(kid: &str) -> Value {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let components: RsaPublicKeyComponents<Vec<u8>> = pair.public_key().into();
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        json!({ "kty": "RSA", "kid": kid, "use": "sig", "alg": "RS256",
                "n": encode(&components.n), "e": encode(&components.e) })
    }

    fn ed25519(kid: &str) -> Value {
        let pair = Ed25519KeyPair::generate().unwrap();
        let x = URL_SAFE_NO_PAD.encode(pair.public_key());
        json!({ "kty": "OKP", "crv": "Ed25519", "kid": kid, "x": x })
    }

    fn read(keys: &[Value]) -> Vec<(String, Algorithm)> {
        let json = json!({ "keys": keys }).to_string();
        let set = KeySet::read(json.as_bytes(), &Algorithm::ALL).unwrap();
        set.0.iter().map(|key| (key.kid.to_string(), key.algorithm)).collect()
    }

    fn with(jwk: &Value, member: &str, value: Value) -> Value {
        let mut jwk = jwk.clone();
        jwk[member] = value;
        jwk
    }

    #[test]
    fn each_key_has_its_own_algorithm() {
        let mut unpinned = rsa("any");
        unpinned.as_object_mut().unwrap().remove("alg");
        let pairs = read(&[rsa("a"), ed25519("b"), unpinned]);
        let expected = [
            ("a", Algorithm::RS256),
            ("b", Algorithm::EdDSA),
            ("any", Algorithm::RS256),
            ("any", Algorithm::PS256),
        ];
        assert_eq!(pairs, expected.map(|(kid, algorithm)| (kid.to_owned(), algorithm)));
        let json = json!({ "keys": [rsa("a"), ed25519("b")] }).to_string();
        let set = KeySet::read(json.as_bytes(), &[Algorithm::EdDSA]).unwrap();
        assert_eq!(set.len(), 1);
    }

    #[test]
    fn what_cannot_be_used_is_left_out_and_the_rest_stays() {
        let good = rsa("good");
        let short = URL_SAFE_NO_PAD.encode([0xff; 128]);
        let secret = json!({ "kty": "oct", "kid": "x", "k": "c2VjcmV0", "alg": "HS256" });
        for bad in [
            with(&good, "use", json!("enc")),
            with(&good, "key_ops", json!(["encrypt"])),
            with(&good, "alg", json!("RS512")),
            with(&good, "alg", json!("ES256")),
            with(&good, "alg", json!(7)),
            with(&good, "kty", json!("EC")),
            with(&good, "n", json!(short)),
            with(&good, "n", json!("")),
            with(&good, "n", json!("AQ==")),
            with(&good, "e", json!("AQ")),
            with(&good, "e", json!("AAE")),
            with(&good, "e", json!("Ag")),
            with(&good, "kid", Value::Null),
            with(&ed25519("x"), "crv", json!("Ed448")),
            with(&ed25519("x"), "x", json!("AAAA")),
            json!({ "kty": "EC", "crv": "P-256", "kid": "x", "x": "AA", "y": "AA" }),
            json!({ "kty": "AKP", "kid": "x" }),
            secret,
            json!("a string"),
        ] {
            assert!(read(std::slice::from_ref(&bad)).is_empty(), "{bad}");
            assert_eq!(read(&[bad.clone(), rsa("other")]).len(), 1, "{bad}");
        }
        assert_eq!(read(&[good]).len(), 1);
        for bad in ["", "[]", "{}", r#"{"keys":{}}"#] {
            assert!(KeySet::read(bad.as_bytes(), &Algorithm::ALL).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_name_for_two_keys_is_a_name_for_none() {
        let one = rsa("1");
        assert_eq!(read(&[one.clone(), one.clone()]).len(), 1);
        assert_eq!(read(&[one.clone(), rsa("1"), one.clone()]).len(), 0);
        // If the kinds differ, the algorithm distinguishes them (RFC 7517 section 4.5).
        assert_eq!(read(&[one, ed25519("1")]).len(), 2);
    }
}

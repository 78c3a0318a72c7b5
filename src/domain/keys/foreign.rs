//! The key set that another service publishes (RFC 7517), unchanged: to report what is wrong with
//! it, and to verify with it. It is never trusted for Signet's own tokens.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::{Map, Value};

/// The parameters of a key (RFC 7518 section 6, RFC 8037 section 2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Material {
    Rsa {
        bits: usize,
        /// The public exponent; `None` if it is longer than 64 bits.
        exponent: Option<u64>,
    },
    /// A point on this curve.
    Ec(String),
    /// An octet key pair on this curve.
    Okp(String),
    Symmetric,
    /// An unknown type, or members that do not fit the type.
    Unknown(String),
}

#[derive(Clone, Debug)]
pub(crate) struct ForeignKey {
    pub(crate) kid: Option<String>,
    pub(crate) key_use: Option<String>,
    pub(crate) alg: Option<String>,
    pub(crate) material: Material,
    pub(crate) is_private: bool,
    decoding_key: Option<DecodingKey>,
}

#[derive(Clone, Debug)]
pub(crate) struct ForeignKeys(pub Vec<ForeignKey>);

impl ForeignKeys {
    /// Reads the JSON document; `None` if it is no key set (RFC 7517 section 5).
    pub(crate) fn parse(document: &[u8]) -> Option<Self> {
        let document: Map<String, Value> = serde_json::from_slice(document).ok()?;
        let keys = document.get("keys")?.as_array()?;
        keys.iter()
            .map(|key| key.as_object().map(ForeignKey::read))
            .collect::<Option<_>>()
            .map(Self)
    }

    /// The only key with this `kid`.
    pub(crate) fn find(&self, kid: &str) -> Option<&ForeignKey> {
        let mut named = self.0.iter().filter(|key| key.kid.as_deref() == Some(kid));
        named.next().filter(|_| named.next().is_none())
    }
}

impl ForeignKey {
    fn read(jwk: &Map<String, Value>) -> Self {
        let text = |name: &str| jwk.get(name).and_then(Value::as_str);
        let (material, decoding_key) = material(&text);
        Self {
            kid: text("kid").map(str::to_owned),
            key_use: text("use").map(str::to_owned),
            alg: text("alg").map(str::to_owned),
            material,
            is_private: ["d", "p", "q", "k"].iter().any(|name| jwk.contains_key(*name)),
            decoding_key,
        }
    }

    /// Whether `use` and `key_ops`, if present, allow signatures.
    pub(crate) fn signs(&self) -> bool {
        self.key_use.as_deref().is_none_or(|key_use| key_use == "sig")
    }

    /// The key to verify `algorithm` with, if it is a key of that algorithm.
    pub(crate) fn decoding_key(&self, algorithm: Algorithm) -> Option<&DecodingKey> {
        use Algorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
        let fits = match &self.material {
            Material::Rsa { .. } => {
                matches!(algorithm, RS256 | RS384 | RS512 | PS256 | PS384 | PS512)
            }
            Material::Ec(curve) => {
                matches!((curve.as_str(), algorithm), ("P-256", ES256) | ("P-384", ES384))
            }
            Material::Okp(curve) => curve == "Ed25519" && algorithm == EdDSA,
            Material::Symmetric | Material::Unknown(_) => false,
        };
        let named = self.alg.as_deref().is_none_or(|alg| alg.parse() == Ok(algorithm));
        self.decoding_key.as_ref().filter(|_| fits && named && self.signs())
    }
}

fn material<'a>(text: &impl Fn(&str) -> Option<&'a str>) -> (Material, Option<DecodingKey>) {
    let kty = text("kty").unwrap_or_default();
    let decode = |name: &str| URL_SAFE_NO_PAD.decode(text(name)?).ok();
    let curve = || text("crv").unwrap_or_default().to_owned();
    let read = match kty {
        "RSA" => decode("n").zip(decode("e")).map(|(n, e)| {
            let material = Material::Rsa { bits: bits(&n), exponent: number(&e) };
            (material, Some(DecodingKey::from_rsa_raw_components(&n, &e)))
        }),
        "EC" => text("x")
            .zip(text("y"))
            .map(|(x, y)| (Material::Ec(curve()), DecodingKey::from_ec_components(x, y).ok())),
        "OKP" => {
            text("x").map(|x| (Material::Okp(curve()), DecodingKey::from_ed_components(x).ok()))
        }
        "oct" => Some((Material::Symmetric, None)),
        _ => None,
    };
    read.unwrap_or_else(|| (Material::Unknown(kty.to_owned()), None))
}

fn bits(bytes: &[u8]) -> usize {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    let first = bytes.get(zeros).map_or(0, |byte| byte.leading_zeros() as usize);
    (bytes.len() - zeros) * 8 - first
}

fn number(bytes: &[u8]) -> Option<u64> {
    let push =
        |number: u64, byte: &u8| number.checked_mul(256).map(|shifted| shifted + u64::from(*byte));
    bytes.iter().try_fold(0, push)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(jwk: &str) -> ForeignKey {
        let keys = ForeignKeys::parse(format!("{{\"keys\":[{jwk}]}}").as_bytes()).unwrap();
        keys.0.into_iter().next().unwrap()
    }

    #[test]
    fn rsa_keys_are_measured() {
        let n = URL_SAFE_NO_PAD.encode([&[0, 0, 0x80][..], &[1; 127]].concat());
        let key = one(&format!(r#"{{"kty":"RSA","n":"{n}","e":"AQAB","kid":"a"}}"#));
        assert_eq!(key.material, Material::Rsa { bits: 1024, exponent: Some(65537) });
        assert_eq!((bits(&[]), bits(&[0]), bits(&[1]), bits(&[0xff, 0])), (0, 0, 1, 16));
        assert_eq!((number(&[0; 9]), number(&[1; 9])), (Some(0), None));
    }

    #[test]
    fn a_key_verifies_by_its_own_algorithm_only() {
        let rsa = one(r#"{"kty":"RSA","n":"AQAB","e":"AQAB","alg":"RS256"}"#);
        assert!(rsa.decoding_key(Algorithm::RS256).is_some());
        for other in [Algorithm::PS256, Algorithm::HS256, Algorithm::ES256] {
            assert!(rsa.decoding_key(other).is_none(), "{other:?}");
        }
        let secret = one(r#"{"kty":"oct","k":"AQAB"}"#);
        assert!(secret.is_private && secret.decoding_key(Algorithm::HS256).is_none());
        let sealing = one(r#"{"kty":"RSA","n":"AQAB","e":"AQAB","use":"enc"}"#);
        assert!(sealing.decoding_key(Algorithm::RS256).is_none());
    }

    #[test]
    fn what_is_no_key_set_is_refused_and_unknown_keys_are_not() {
        for bad in ["", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":[1]}"#] {
            assert!(ForeignKeys::parse(bad.as_bytes()).is_none(), "{bad}");
        }
        assert_eq!(one(r#"{"kty":"new"}"#).material, Material::Unknown("new".into()));
        assert_eq!(one(r#"{"kty":"RSA"}"#).material, Material::Unknown("RSA".into()));
    }

    #[test]
    fn a_name_that_stands_twice_names_nothing() {
        let keys = br#"{"keys":[{"kid":"a"},{"kid":"a"},{"kid":"b"}]}"#;
        let keys = ForeignKeys::parse(keys).unwrap();
        assert!(keys.find("a").is_none() && keys.find("b").is_some() && keys.find("c").is_none());
    }
}

//! JSON Web Tokens read and verified with an implementation that the service does not use.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rsa::pkcs1v15::{Signature, VerifyingKey};
use rsa::sha2::{Digest, Sha256};
use rsa::signature::Verifier;
use rsa::{BigUint, RsaPublicKey};
use serde_json::Value;

/// A token's two readable parts.
#[derive(Clone, Debug)]
pub struct Jwt {
    pub header: Value,
    pub claims: Value,
}

impl Jwt {
    /// Reads the token and believes everything.
    pub fn decode(token: &str) -> Self {
        let parts: Vec<_> = token.split('.').collect();
        assert_eq!(parts.len(), 3, "three parts: {token}");
        let read = |part| serde_json::from_slice(&decode(part)).expect("JSON");
        Self { header: read(parts[0]), claims: read(parts[1]) }
    }

    /// Reads the token after checking its RS256 signature with the key set's key of its `kid`.
    pub fn verify(token: &str, jwks: &Value) -> Self {
        let jwt = Self::decode(token);
        assert_eq!(jwt.header["alg"], "RS256");
        let keys = jwks["keys"].as_array().expect("keys");
        let key = keys.iter().find(|key| key["kid"] == jwt.header["kid"]).expect("its key");
        let (signed, signature) = token.rsplit_once('.').expect("a signature");
        let signature = Signature::try_from(decode(signature).as_slice()).expect("a signature");
        let verifier = VerifyingKey::<Sha256>::new(public_key(key));
        verifier.verify(signed.as_bytes(), &signature).expect("the signature is good");
        jwt
    }
}

/// The RSA key that a JSON Web Key describes.
pub fn public_key(jwk: &Value) -> RsaPublicKey {
    let number = |member: &str| BigUint::from_bytes_be(&decode(jwk[member].as_str().unwrap()));
    RsaPublicKey::new(number("n"), number("e")).expect("an RSA key")
}

/// The SHA-256 thumbprint of an RSA key (RFC 7638), from its members alone.
pub fn thumbprint(jwk: &Value) -> String {
    let canonical = format!(r#"{{"e":{},"kty":{},"n":{}}}"#, jwk["e"], jwk["kty"], jwk["n"]);
    URL_SAFE_NO_PAD.encode(Sha256::digest(canonical))
}

fn decode(part: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(part).expect("base64url without padding")
}

//! Keys that sign what they are given, good or bad.

use std::sync::{Arc, OnceLock};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256,
    RSA_PSS_SHA256, RsaKeyPair, RsaPublicKeyComponents,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// Base64url of anything.
pub fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A private key with its name and algorithm.
pub struct SigningKey {
    pub kid: String,
    pub alg: &'static str,
    pair: Pair,
}

enum Pair {
    Rsa(Arc<RsaKeyPair>),
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

impl SigningKey {
    /// A key of its own for `alg`.
    pub fn generate(kid: &str, alg: &'static str) -> Self {
        let pair = match alg {
            "ES256" => {
                let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING);
                Pair::Ec(pair.expect("a key"))
            }
            "EdDSA" => Pair::Ed(Ed25519KeyPair::generate().expect("a key")),
            _ => Pair::Rsa(Arc::new(RsaKeyPair::generate(KeySize::Rsa2048).expect("a key"))),
        };
        Self { kid: kid.to_owned(), alg, pair }
    }

    /// An RSA key that all tests share, since making one takes a while.
    pub fn shared(kid: &str, alg: &'static str) -> Self {
        static PAIR: OnceLock<Arc<RsaKeyPair>> = OnceLock::new();
        let pair =
            PAIR.get_or_init(|| Arc::new(RsaKeyPair::generate(KeySize::Rsa2048).expect("a key")));
        Self { kid: kid.to_owned(), alg, pair: Pair::Rsa(Arc::clone(pair)) }
    }

    /// The public half.
    pub fn jwk(&self) -> Value {
        let mut jwk = match &self.pair {
            Pair::Rsa(pair) => {
                let public: RsaPublicKeyComponents<Vec<u8>> = pair.public_key().into();
                json!({ "kty": "RSA", "n": encode(public.n), "e": encode(public.e) })
            }
            Pair::Ec(pair) => {
                let point = pair.public_key().as_ref();
                json!({ "kty": "EC", "crv": "P-256",
                        "x": encode(&point[1..33]), "y": encode(&point[33..]) })
            }
            Pair::Ed(pair) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "x": encode(pair.public_key()) })
            }
        };
        jwk["kid"] = json!(self.kid);
        jwk["alg"] = json!(self.alg);
        jwk["use"] = json!("sig");
        jwk
    }

    /// The header of a token of this type.
    pub fn header(&self, typ: &str) -> Value {
        json!({ "alg": self.alg, "kid": self.kid, "typ": typ })
    }

    /// Signs any header and payload.
    pub fn sign(&self, header: &str, payload: &str) -> String {
        let signed = format!("{}.{}", encode(header), encode(payload));
        let signature = self.signature(signed.as_bytes());
        format!("{signed}.{}", encode(signature))
    }

    /// Signs bytes.
    pub fn signature(&self, message: &[u8]) -> Vec<u8> {
        match &self.pair {
            Pair::Rsa(pair) => {
                let padding = match self.alg {
                    "PS256" => &RSA_PSS_SHA256 as &'static dyn aws_lc_rs::signature::RsaEncoding,
                    _ => &RSA_PKCS1_SHA256,
                };
                let mut signature = vec![0; pair.public_modulus_len()];
                let random = SystemRandom::new();
                pair.sign(padding, &random, message, &mut signature).expect("a signature");
                signature
            }
            Pair::Ec(pair) => {
                let random = SystemRandom::new();
                pair.sign(&random, message).expect("a signature").as_ref().to_vec()
            }
            Pair::Ed(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }
}

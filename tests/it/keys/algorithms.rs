//! Tokens of every algorithm: how their keys are published, who verifies them, and that a key is
//! good for its own algorithm alone (RFC 8725 section 3.1).

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rsa::pkcs8::{EncodePrivateKey, LineEnding};
use rsa::sha2::Sha256;
use rsa::signature::{RandomizedSigner, SignatureEncoding, Signer};
use serde_json::{Value, json};

use crate::interop::verifiers::{jose, pyjwt};
use crate::support::client::Client;
use crate::support::jwt::{Jwt, public_key, thumbprint};
use crate::support::keys::{foreign_key, published};
use crate::support::signet::Signet;

const ORDERS: &str = "https://orders.example.com";

/// Checks the published keys of an algorithm: their members, and that nothing else is there.
fn assert_members(jwks: &Value, algorithm: &str) {
    let keys = jwks["keys"].as_array().expect("keys");
    let keys: Vec<_> = keys.iter().filter(|key| key["alg"] == algorithm).collect();
    assert!(!keys.is_empty(), "no key for {algorithm}: {jwks}");
    let length = |member: &Value| {
        URL_SAFE_NO_PAD.decode(member.as_str().expect("text")).expect("base64url").len()
    };
    for key in keys {
        let mut members: Vec<_> = key.as_object().expect("a key").keys().collect();
        members.sort();
        assert_eq!(key["use"], "sig");
        match algorithm {
            "ES256" => {
                // RFC 7518 section 6.2: coordinates in full length.
                assert_eq!(members, ["alg", "crv", "kid", "kty", "use", "x", "y"]);
                assert_eq!((&key["kty"], &key["crv"]), (&json!("EC"), &json!("P-256")));
                assert_eq!((length(&key["x"]), length(&key["y"])), (32, 32));
            }
            "EdDSA" => {
                // RFC 8037 section 2.
                assert_eq!(members, ["alg", "crv", "kid", "kty", "use", "x"]);
                assert_eq!((&key["kty"], &key["crv"]), (&json!("OKP"), &json!("Ed25519")));
                assert_eq!(length(&key["x"]), 32);
            }
            _ => {
                assert_eq!(members, ["alg", "e", "kid", "kty", "n", "use"]);
                assert_eq!(key["kty"], "RSA");
                assert_eq!(key["kid"], thumbprint(key));
                public_key(key);
            }
        }
    }
}

/// Checks that a token is signed by `algorithm`, and that stock verifiers take it for nothing else.
fn assert_verified(signet: &Signet, audience: &str, token: &str, algorithm: &str) {
    let jwt = Jwt::decode(token);
    assert_eq!((&jwt.header["alg"], &jwt.header["typ"]), (&json!(algorithm), &json!("at+jwt")));
    for verify in [jose, pyjwt] {
        let claims = verify(signet.base(), audience, token, algorithm).expect("it is good");
        assert_eq!(claims, jwt.claims);
        let other = if algorithm == "RS256" { "ES256" } else { "RS256" };
        verify(signet.base(), audience, token, other).expect_err("another algorithm is wanted");
    }
}

async fn signs_by(algorithm: &str) {
    let signet = Signet::builder().set("keys.algorithm", algorithm).start();
    let client = Client::new(signet.base());
    assert_members(&client.jwks().await, algorithm);
    let user = client.new_user().await;
    assert_verified(&signet, signet.issuer(), &user.tokens.access_token, algorithm);
    client.me(&user.tokens.access_token).await.expect(200);
    let next = client.refresh(&user.tokens.refresh_token).await.tokens();
    client.me(&next.access_token).await.expect(200);
}

#[tokio::test]
async fn es256() {
    signs_by("ES256").await;
}

#[tokio::test]
async fn eddsa() {
    signs_by("EdDSA").await;
}

#[tokio::test]
async fn ps256() {
    signs_by("PS256").await;
}

#[tokio::test]
async fn an_audience_has_its_own_algorithm() {
    let setting = format!("{ORDERS}=ES256");
    let signet = Signet::builder().set("keys.audience_algorithms", &setting).start();
    let client = Client::new(signet.base());
    let jwks = client.jwks().await;
    assert_members(&jwks, "RS256");
    assert_members(&jwks, "ES256");
    let other = "https://other.example.com";
    let audiences = format!("{ORDERS},{other}");
    let options = ["--grants", "client_credentials", "--audiences", &audiences];
    let secret = signet.add_confidential("shop", &options);
    let token = async |resources: &[&str]| {
        let mut fields = vec![("grant_type", "client_credentials")];
        fields.extend(resources.iter().map(|resource| ("resource", *resource)));
        let answer = client.token_as(("shop", &secret), &fields).await.expect(200).json();
        answer["access_token"].as_str().expect("a token").to_owned()
    };
    assert_verified(&signet, ORDERS, &token(&[ORDERS]).await, "ES256");
    assert_verified(&signet, other, &token(&[other]).await, "RS256");
    // Those who would have to agree do not.
    assert_verified(&signet, ORDERS, &token(&[ORDERS, other]).await, "RS256");
}

#[tokio::test]
async fn another_algorithm_takes_over_only_when_its_key_is_known() {
    let mut signet = Signet::start();
    let client = Client::new(signet.base());
    let before = Jwt::decode(&client.new_user().await.tokens.access_token);
    signet.term();
    let mut changed = signet.sibling_with(|builder| builder.set("keys.algorithm", "ES256"));
    changed.restart();
    let client = Client::new(changed.base());
    let jwks = client.jwks().await;
    assert_members(&jwks, "RS256");
    assert_members(&jwks, "ES256");
    let user = client.new_user().await;
    let jwt = Jwt::verify(&user.tokens.access_token, &jwks);
    assert_eq!(jwt.header["kid"], before.header["kid"]);
    client.me(&user.tokens.access_token).await.expect(200);
    // The key that will take over, forced: both kinds are good from then on.
    let rotate = ["--activate-in", "0s", "--force", "--reason", "a drill"];
    changed.cli_ok(&[&["keys", "rotate"][..], &rotate].concat(), "");
    let start = std::time::Instant::now();
    loop {
        let token = client.refresh(&user.tokens.refresh_token).await.tokens().access_token;
        client.me(&token).await.expect(200);
        client.me(&user.tokens.access_token).await.expect(200);
        if Jwt::decode(&token).header["alg"] == "ES256" {
            break;
        }
        assert!(start.elapsed().as_secs() < 10, "it does not take over");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn a_good_signature_under_another_label_is_none() {
    let signet = Signet::builder().set("keys.also", "ES256,PS256").start();
    let client = Client::new(signet.base());
    let (private, kid) = foreign_key();
    let pem = private.to_pkcs8_pem(LineEnding::LF).expect("PEM");
    let turn = ["--activate-in", "0s", "--force", "--reason", "to sign by its private part"];
    signet.cli_ok(&[&["keys", "import", "-"][..], &turn].concat(), &pem);
    let start = std::time::Instant::now();
    while !published(&client.jwks().await).contains(&kid) {
        assert!(start.elapsed().as_secs() < 10, "it is not published");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let token = client.new_user().await.tokens.access_token;
    let labelled = |alg: &str, kid: &str| json!({"alg": alg, "typ": "at+jwt", "kid": kid});
    let pkcs1: Sign = &|message| {
        let signer = rsa::pkcs1v15::SigningKey::<Sha256>::new(private.clone());
        signer.sign(message).to_vec()
    };
    let pss: Sign = &|message| {
        let signer = rsa::pss::SigningKey::<Sha256>::new(private.clone());
        signer.sign_with_rng(&mut rsa::rand_core::OsRng, message).to_vec()
    };
    let by = |alg: &str, kid: &str, sign| relabelled(&token, &labelled(alg, kid), Some(sign));
    client.me(&by("RS256", &kid, pkcs1)).await.expect(200);
    for alg in ["PS256", "RS384", "RS512", "ES256", "EdDSA", "HS256", "none"] {
        for sign in [pkcs1, pss] {
            client.me(&by(alg, &kid, sign)).await.expect(401);
        }
    }
    client.me(&by("RS256", &kid, pss)).await.expect(401);
    // By the names of other keys, of the same and of other algorithms.
    for other in published(&client.jwks().await).iter().filter(|other| **other != kid) {
        for alg in ["RS256", "PS256", "ES256"] {
            for sign in [pkcs1, pss] {
                client.me(&by(alg, other, sign)).await.expect(401);
            }
        }
    }
}

/// How a message is signed.
type Sign<'a> = &'a dyn Fn(&[u8]) -> Vec<u8>;

/// The token with another header; the signature is made anew if `sign` is given.
fn relabelled(token: &str, header: &Value, sign: Option<Sign>) -> String {
    let parts: Vec<_> = token.split('.').collect();
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), parts[1]);
    let signature = match sign {
        Some(sign) => URL_SAFE_NO_PAD.encode(sign(signed.as_bytes())),
        None => parts[2].to_owned(),
    };
    format!("{signed}.{signature}")
}

#[tokio::test]
async fn a_key_is_good_for_its_own_algorithm_alone() {
    for (algorithm, also) in [("RS256", "ES256"), ("ES256", "RS256")] {
        let signet =
            Signet::builder().set("keys.algorithm", algorithm).set("keys.also", also).start();
        let client = Client::new(signet.base());
        let token = client.new_user().await.tokens.access_token;
        let header = Jwt::decode(&token).header;
        let kid = header["kid"].as_str().expect("a kid");
        let labelled = |alg: &str, kid: &str| json!({"alg": alg, "typ": "at+jwt", "kid": kid});
        for other in ["RS256", "RS384", "PS256", "ES256", "ES384", "EdDSA", "HS256", "none", ""] {
            if other != algorithm {
                client.me(&relabelled(&token, &labelled(other, kid), None)).await.expect(401);
            }
        }
        // By the key of another algorithm, and by none.
        let jwks = client.jwks().await;
        for key in jwks["keys"].as_array().expect("keys") {
            let other = key["kid"].as_str().expect("a kid");
            for alg in [algorithm, also] {
                if (other, alg) != (kid, algorithm) {
                    let token = relabelled(&token, &labelled(alg, other), None);
                    client.me(&token).await.expect(401);
                }
            }
        }
        let nothing: Sign = &|_| Vec::new();
        for alg in ["none", "None", algorithm] {
            client.me(&relabelled(&token, &labelled(alg, kid), Some(nothing))).await.expect(401);
        }
        // The public key as the secret of an HMAC, in every form in which it is public.
        let pem = signet.cli_ok(&["keys", "export", kid, "--pem"], "");
        let jwk = signet.cli_ok(&["keys", "export", kid], "");
        let base64: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        let der = base64::engine::general_purpose::STANDARD.decode(base64).expect("base64");
        for secret in
            [pem.as_bytes(), pem.trim_end().as_bytes(), jwk.as_bytes(), &der, kid.as_bytes()]
        {
            let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
            let mac = |message: &[u8]| hmac::sign(&key, message).as_ref().to_vec();
            for alg in ["HS256", algorithm] {
                let forged = relabelled(&token, &labelled(alg, kid), Some(&mac));
                client.me(&forged).await.expect(401);
            }
        }
    }
}

//! Good tokens, and all kinds of others.

use serde_json::{Value, json};
use signet_verifier::{Algorithm, Error, Reason, Verifier};

use crate::support::issuer::{AUDIENCE, Issuer, now};
use crate::support::signing::{SigningKey, encode};

async fn reason(verifier: &Verifier, token: &str) -> Reason {
    match verifier.verify(token).await {
        Err(Error::Invalid(reason)) => reason,
        other => panic!("{other:?} for {token}"),
    }
}

#[tokio::test]
async fn a_good_token_says_who_and_what() {
    let issuer = Issuer::start().await;
    let verifier = issuer.verifier().await;
    let changes = json!({ "sub": "ada", "sid": "s", "jti": "t", "department": "R&D" });
    let token = verifier.verify(&issuer.token(changes)).await.unwrap();
    assert_eq!((token.subject(), token.client_id(), token.id()), ("ada", "web", "t"));
    assert_eq!((token.session(), token.audiences().collect()), (Some("s"), vec![AUDIENCE]));
    assert!(token.expires_at() > now() && token.issued_at() <= now());
    assert_eq!(token.scopes().collect::<Vec<_>>(), ["reports:read", "reports:write"]);
    assert!(token.require_scope("reports:read").is_ok() && token.require_role("analyst").is_ok());
    assert_eq!(token.require_scope("admin").unwrap_err().status(), 403);
    let own: Value = token.claims().unwrap();
    assert_eq!(own["department"], "R&D");
}

#[tokio::test]
async fn every_algorithm_verifies_with_its_own_key() {
    let issuer = Issuer::start().await;
    for alg in ["PS256", "ES256", "EdDSA"] {
        issuer.add_key(SigningKey::generate(alg, alg));
        let verifier = issuer.verifier().await;
        // The second time the header is recognised.
        for _ in 0..2 {
            let token = issuer.token(json!({}));
            assert!(verifier.verify(&token).await.is_ok(), "{alg}");
            let (signed, signature) = token.rsplit_once('.').unwrap();
            let mut other = signature.as_bytes().to_vec();
            other[10] = if other[10] == b'A' { b'B' } else { b'A' };
            let forged = format!("{signed}.{}", String::from_utf8(other).unwrap());
            assert_eq!(reason(&verifier, &forged).await, Reason::Signature, "{alg}");
        }
        let rsa_only = issuer.builder().algorithms(&[Algorithm::RS256]).build().unwrap();
        rsa_only.ready().await.unwrap();
        assert_eq!(reason(&rsa_only, &issuer.token(json!({}))).await, Reason::UnknownKey, "{alg}");
    }
}

#[tokio::test]
async fn hostile_tokens_are_refused_and_each_for_its_reason() {
    let issuer = Issuer::start().await;
    let pss = SigningKey::shared("pss", "PS256");
    let rsa = SigningKey::shared("1", "RS256");
    issuer.add_key(SigningKey::generate("ec", "ES256"));
    let ec = issuer.key();
    let verifier = issuer.verifier().await;
    let claims = issuer.claims().to_string();
    let good = rsa.sign(&rsa.header("at+jwt").to_string(), &claims);
    assert!(verifier.verify(&good).await.is_ok());

    let header = |changes: Value| {
        let mut header = rsa.header("at+jwt");
        for (name, value) in changes.as_object().unwrap() {
            header[name] = value.clone();
        }
        rsa.sign(&header.to_string(), &claims)
    };
    let unsigned = |header: &str| format!("{}.{}.", encode(header), encode(&claims));
    let segments: Vec<&str> = good.split('.').collect();
    let jwk = rsa.jwk();
    // A secret that everybody knows: the public key, in the forms that libraries took it in.
    let hmac = |secret: &str| {
        let header = json!({ "alg": "HS256", "kid": "1", "typ": "at+jwt" }).to_string();
        let signed = format!("{}.{}", encode(header), encode(&claims));
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret.as_bytes());
        format!("{signed}.{}", encode(aws_lc_rs::hmac::sign(&key, signed.as_bytes())))
    };
    let own_key = SigningKey::generate("1", "EdDSA");
    let with_own_key = {
        let mut header = own_key.header("at+jwt");
        header["jwk"] = own_key.jwk();
        own_key.sign(&header.to_string(), &claims)
    };
    let payload = |payload: &str| rsa.sign(&rsa.header("at+jwt").to_string(), payload);

    for (name, token, expected) in [
        ("empty", String::new(), Reason::Malformed),
        ("dots", "..".into(), Reason::Malformed),
        ("a word", "token".into(), Reason::Malformed),
        ("huge", "a".repeat(1 << 20), Reason::TooLong),
        ("one segment less", format!("{}.{}", segments[0], segments[1]), Reason::Malformed),
        ("one more", format!("{good}.x"), Reason::Signature),
        ("cut off", good[..good.len() - 20].into(), Reason::Signature),
        ("padded", format!("{good}="), Reason::Signature),
        ("a space", format!("{good} "), Reason::Signature),
        ("no signature", format!("{}.{}.", segments[0], segments[1]), Reason::Signature),
        ("no payload", format!("{}..{}", segments[0], segments[2]), Reason::Signature),
        ("alg none", unsigned(r#"{"alg":"none","kid":"1","typ":"at+jwt"}"#), Reason::Algorithm),
        ("alg None", unsigned(r#"{"alg":"None","kid":"1","typ":"at+jwt"}"#), Reason::Algorithm),
        ("no alg", header(json!({ "alg": null })), Reason::Malformed),
        ("HS256 with n", hmac(jwk["n"].as_str().unwrap()), Reason::Algorithm),
        ("HS256 with the JWK", hmac(&jwk.to_string()), Reason::Algorithm),
        ("RS512", header(json!({ "alg": "RS512" })), Reason::Algorithm),
        ("another key's alg", header(json!({ "alg": "ES256" })), Reason::Algorithm),
        ("PS256 with an RS256 key", header(json!({ "alg": "PS256" })), Reason::Algorithm),
        (
            "a PSS signature for RS256",
            pss.sign(&rsa.header("at+jwt").to_string(), &claims),
            Reason::Signature,
        ),
        (
            "another kind of key",
            ec.sign(&rsa.header("at+jwt").to_string(), &claims),
            Reason::Signature,
        ),
        ("no kid", header(json!({ "kid": null })), Reason::Malformed),
        ("a long kid", header(json!({ "kid": "k".repeat(300) })), Reason::Malformed),
        ("an ID token", header(json!({ "typ": "JWT" })), Reason::Type),
        ("no typ", header(json!({ "typ": "" })), Reason::Type),
        ("a change of the feed", header(json!({ "typ": "secevent+jwt" })), Reason::Type),
        ("crit", header(json!({ "crit": ["exp"] })), Reason::Critical),
        ("unencoded payload", header(json!({ "b64": false, "crit": ["b64"] })), Reason::Critical),
        ("a key of its own", with_own_key, Reason::Algorithm),
        (
            "a header that repeats",
            rsa.sign(r#"{"alg":"RS256","kid":"1","typ":"at+jwt","alg":"RS256"}"#, &claims),
            Reason::Malformed,
        ),
        (
            "a payload that repeats",
            payload(&claims.replacen('{', r#"{"sub":"root","#, 1)),
            Reason::Malformed,
        ),
        (
            "a payload that repeats within",
            payload(&claims.replacen('{', r#"{"x":{"a":1,"a":2},"#, 1)),
            Reason::Malformed,
        ),
        ("a payload that is none", payload("[]"), Reason::Malformed),
        ("half a payload", payload(&claims[..claims.len() - 1]), Reason::Malformed),
        ("two payloads", payload(&format!("{claims}{claims}")), Reason::Malformed),
        ("not UTF-8", latin1(&rsa, &claims), Reason::Malformed),
    ] {
        assert_eq!(reason(&verifier, &token).await, expected, "{name}");
    }
    // Keys that a header points to are neither used nor asked for.
    let pointing = header(json!({ "jku": format!("{}/evil", issuer.name), "x5u": "x", "jwk": {} }));
    assert!(verifier.verify(&pointing).await.is_ok());
    assert_eq!(issuer.count("/evil"), 0);
}

fn latin1(key: &SigningKey, claims: &str) -> String {
    let payload = claims.replace("user-", "us\u{e9}r-");
    let payload: Vec<u8> = payload.chars().map(|c| c as u8).collect();
    let signed = format!("{}.{}", encode(key.header("at+jwt").to_string()), encode(payload));
    let signature = encode(key.signature(signed.as_bytes()));
    format!("{signed}.{signature}")
}

#[tokio::test]
async fn claims_are_checked_after_the_signature() {
    let issuer = Issuer::start().await;
    let verifier = issuer.verifier().await;
    for (changes, expected) in [
        (json!({ "iss": "https://evil.example.com" }), Reason::Issuer),
        (json!({ "iss": format!("{}/", issuer.name) }), Reason::Issuer),
        (json!({ "aud": "https://other.example.com" }), Reason::Audience),
        (json!({ "aud": [] }), Reason::Audience),
        (json!({ "aud": { "x": AUDIENCE } }), Reason::Malformed),
        (json!({ "exp": now() - 6 }), Reason::Expired),
        (json!({ "exp": "never" }), Reason::Malformed),
        (json!({ "nbf": now() + 60 }), Reason::TooEarly),
        (json!({ "iat": now() + 3600 }), Reason::TooEarly),
        (json!({ "iat": null }), Reason::Malformed),
    ] {
        let token = issuer.token(changes.clone());
        assert_eq!(reason(&verifier, &token).await, expected, "{changes}");
        // Without the key nobody learns which of them was wrong.
        let forged = format!("{}AA", &token[..token.len() - 2]);
        let forged =
            if forged == token { format!("{}BA", &token[..token.len() - 2]) } else { forged };
        assert_eq!(reason(&verifier, &forged).await, Reason::Signature, "{changes}");
    }
    let several = issuer.token(json!({ "aud": ["x", AUDIENCE], "exp": now() - 3 }));
    assert!(verifier.verify(&several).await.is_ok(), "within the leeway");
}

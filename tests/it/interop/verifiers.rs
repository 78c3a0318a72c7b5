//! PyJWT's `PyJWKClient`, Authlib's `JWTBearerTokenValidator`, jose's `createRemoteJWKSet` and the
//! `jsonwebtoken` crate verify access tokens, and refuse altered ones and those for somebody else.

use std::process::Command;

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::Value;

use super::{folder, installed, python};
use crate::support::client::{Client, PASSWORD, Send, User};
use crate::support::fixtures::confidential;
use crate::support::jwt::Jwt;
use crate::support::process::program;
use crate::support::signet::Signet;

/// What a verifier makes of a token: its claims, or why not.
pub type Verdict = Result<Value, String>;

fn run(mut command: Command, arguments: [&str; 4]) -> Verdict {
    let output = command.args(arguments).output().expect("the verifier runs");
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    Ok(serde_json::from_slice(&output.stdout).expect("claims"))
}

/// Checks a verifier with a good token and with bad ones; `refusals` are the words by which it
/// says that the signature and the audience are wrong.
async fn check(verify: impl AsyncFn(&str, &str, &str) -> Verdict, refusals: [&str; 2]) {
    let issuer = Signet::shared().issuer();
    let User { tokens, .. } = Client::shared().new_user().await;
    let token = tokens.access_token.as_str();
    let claims = verify(issuer, issuer, token).await.expect("a good token is accepted");
    assert_eq!(claims, Jwt::decode(token).claims);

    let other = Client::shared().new_user().await.tokens.access_token;
    let (signed, _) = token.rsplit_once('.').expect("a signature");
    let (_, signature) = other.rsplit_once('.').expect("a signature");
    let forged = format!("{signed}.{signature}");
    let error = verify(issuer, issuer, &forged).await.expect_err("a forged one is refused");
    assert!(error.contains(refusals[0]), "{error}");
    let error = verify(issuer, "https://somebody.else.example", token).await;
    let error = error.expect_err("one for somebody else is refused");
    assert!(error.contains(refusals[1]), "{error}");
}

/// PyJWT takes this algorithm and no other.
pub fn pyjwt(issuer: &str, audience: &str, token: &str, algorithm: &str) -> Verdict {
    let mut command = Command::new(python());
    command.arg(folder().join("verify.py"));
    run(command, [issuer, audience, token, algorithm])
}

/// jose takes this algorithm and no other.
pub fn jose(issuer: &str, audience: &str, token: &str, algorithm: &str) -> Verdict {
    installed("node_modules/jose");
    let mut command = Command::new(program("node", Vec::new()));
    command.arg(folder().join("verify.mjs"));
    run(command, [issuer, audience, token, algorithm])
}

#[tokio::test]
async fn pyjwt_verifies() {
    let verify =
        async |issuer: &str, audience: &str, token: &str| pyjwt(issuer, audience, token, "RS256");
    check(verify, ["InvalidSignatureError", "InvalidAudienceError"]).await;
}

#[tokio::test]
async fn jose_verifies() {
    let verify =
        async |issuer: &str, audience: &str, token: &str| jose(issuer, audience, token, "RS256");
    check(verify, ["ERR_JWS_SIGNATURE_VERIFICATION_FAILED", "unexpected \"aud\" claim"]).await;
}

/// Authlib's validator for RFC 9068, for a service that asks for this scope.
fn authlib(issuer: &str, audience: &str, token: &str, scope: &str) -> Verdict {
    let mut command = Command::new(python());
    command.arg(folder().join("verify_authlib.py"));
    run(command, [issuer, audience, token, scope])
}

#[tokio::test]
async fn authlib_verifies() {
    let verify = async |issuer: &str, audience: &str, token: &str| {
        authlib(issuer, audience, token, "openid")
    };
    check(verify, ["BadSignatureError", "'aud'"]).await;

    // With roles and without, of a user and of a client: it refuses an empty claim.
    let (issuer, client) = (Signet::shared().issuer(), Client::shared());
    let user = client.new_user().await;
    Signet::shared().cli_ok(&["users", "set", &user.email, "--roles", "editor"], "");
    let of_user = client.login(&user.email, PASSWORD).await.access_token;
    let claims = authlib(issuer, issuer, &of_user, "openid").expect("a good token is accepted");
    assert_eq!(claims["roles"], serde_json::json!(["editor"]));
    let of_client = client.client_token(confidential()).await;
    authlib(issuer, issuer, &of_client, "read").expect("a good token is accepted");
    let error = authlib(issuer, issuer, &of_client, "delete").expect_err("too narrow");
    assert!(error.contains("InsufficientScopeError"), "{error}");
}

/// The Rust crate that the README names.
pub async fn jsonwebtoken(issuer: &str, audience: &str, token: &str) -> Verdict {
    let client = Client::new(issuer);
    let path = "/.well-known/oauth-authorization-server";
    let metadata = client.get(path).answer().await.expect(200).json();
    let path = metadata["jwks_uri"].as_str().and_then(|address| address.strip_prefix(issuer));
    let jwks = client.get(path.expect("below the issuer")).answer().await.expect(200);
    let jwks: JwkSet = serde_json::from_str(&jwks.body).expect("a key set");
    let header = jsonwebtoken::decode_header(token).map_err(|error| error.to_string())?;
    let key = jwks.find(&header.kid.expect("a kid")).expect("its key");
    let key = DecodingKey::from_jwk(key).expect("an RSA key");
    let mut validation = Validation::new(Algorithm::RS256);
    validation.set_issuer(&[issuer]);
    validation.set_audience(&[audience]);
    let verified = jsonwebtoken::decode::<Value>(token, &key, &validation);
    verified.map(|token| token.claims).map_err(|error| format!("{error:?}"))
}

#[tokio::test]
async fn jsonwebtoken_verifies() {
    check(jsonwebtoken, ["InvalidSignature", "InvalidAudience"]).await;
}

//! The drill for a compromised key: verifiers that follow no feed, each with a caching JWKS client at
//! its defaults, drop it at the handover, and take every good token before, meanwhile and after.

use std::time::Duration;

use super::streams::Stream;
use crate::support::client::Client;
use crate::support::jwt::Jwt;
use crate::support::signet::Signet;

const CLIENT: &str = "drill";
/// Longer than any of the clients waits after it has asked for keys.
const HANDOVER_IN: &str = "35s";
const PATIENCE: Duration = Duration::from_secs(120);
const PACE: Duration = Duration::from_millis(100);
/// Tokens of each key.
const SOME: usize = 20;

struct Drill {
    client: Client,
    secret: String,
    streams: Vec<Stream>,
    given: usize,
}

impl Drill {
    /// Takes a token, gives it to every verifier, and returns it with its `kid`.
    async fn issue(&mut self) -> (String, String) {
        tokio::time::sleep(PACE).await;
        let token = self.client.client_token((CLIENT, &self.secret)).await;
        self.give(&token);
        let kid = Jwt::decode(&token).header["kid"].as_str().expect("a kid").to_owned();
        (token, kid)
    }

    fn give(&mut self, token: &str) {
        self.streams.iter_mut().for_each(|stream| stream.give(&token.into()));
        self.given += 1;
    }

    /// Issues tokens until some of them are signed by this key.
    async fn issue_until(&mut self, expected: &str) {
        let start = std::time::Instant::now();
        let mut signed = 0;
        while signed < SOME {
            assert!(start.elapsed() < PATIENCE, "{expected} does not sign");
            let (_, kid) = self.issue().await;
            assert!(kid == expected || signed == 0, "{kid} signs after {expected}");
            signed += usize::from(kid == expected);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_verifier_drops_a_revoked_key_at_the_handover() {
    let signet =
        Signet::builder().set("keys.jwks_max_age", "5s").set("keys.publish_ahead", "35s").start();
    let secret = signet.add_confidential(CLIENT, &["--grants", "client_credentials"]);
    let client = Client::new(signet.base());
    let streams = Stream::start_all(signet.issuer(), signet.issuer());
    let mut drill = Drill { client, secret, streams, given: 0 };
    let (stolen, revoked) = drill.issue().await;
    for _ in 0..SOME {
        drill.issue().await;
    }
    // One of them follows max-age: it is not to meet a token of the key after that has left.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let reason = ["--reason", "a drill", "--handover-in", HANDOVER_IN];
    let revoke = [&["keys", "revoke", revoked.as_str()], &reason[..]].concat();
    let view = signet.cli_json(&revoke, "");
    let [stand_in, new] = ["active_kid", "handover_kid"]
        .map(|member| view[member].as_str().unwrap_or_else(|| panic!("{view}")).to_owned());
    // The process learns of it within two seconds.
    let start = std::time::Instant::now();
    loop {
        let token = drill.client.client_token((CLIENT, &drill.secret)).await;
        if Jwt::decode(&token).header["kid"] == *stand_in {
            break;
        }
        assert!(start.elapsed() < PATIENCE, "{stand_in} does not sign");
        tokio::time::sleep(PACE).await;
    }
    drill.issue_until(&stand_in).await;
    drill.issue_until(&new).await;
    // Each has met tokens of the new key before this one.
    drill.give(&stolen);

    let mut kids = vec![revoked, stand_in, new];
    kids.sort();
    let given = drill.given;
    for stream in drill.streams {
        let (language, refused) = (stream.language, stream.refused);
        let report = stream.finish();
        assert_eq!((refused, report.failed), (0, 1), "{language}: {report:?}");
        assert_eq!((report.verified, &report.kids), (given - 1, &kids), "{language}: {report:?}");
    }
}

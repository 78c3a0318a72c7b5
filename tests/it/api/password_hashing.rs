//! How passwords are stored: Argon2id in PHC strings, renewed at login when the settings changed.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::support::client::{Client, PASSWORD};
use crate::support::postgres::Postgres;
use crate::support::process::poll;
use crate::support::signet::Signet;

#[tokio::test]
async fn hashes_follow_the_settings_at_the_next_login() {
    let database = Postgres::shared().fresh_database();
    let stored = || {
        let sql = "SELECT password_hash FROM users WHERE email = 'ada@example.com'";
        Postgres::shared().sql(&database, sql)
    };
    let key = STANDARD.encode(signet::base::random::Random::system().bytes::<32>());
    let builder = || Signet::builder().postgres(&database).set("keys.encryption_key", &key);

    let cheap = builder().start();
    let client = Client::new(cheap.base());
    client.try_signup("ada@example.com", PASSWORD).await.expect(201);
    let hash = stored();
    assert!(hash.starts_with("$argon2id$v=19$m=8,t=1,p=1$"), "{hash}");
    client.login("ada@example.com", PASSWORD).await;
    assert_eq!(stored(), hash, "nothing changed, and yet it was hashed again");
    drop(cheap);

    let dear = builder().with_default_hashing().start();
    let client = Client::new(dear.base());
    let refused = client.try_login("ada@example.com", "not the password").await;
    refused.expect_oauth_error(400, "invalid_grant");
    assert_eq!(stored(), hash);
    client.login("ada@example.com", PASSWORD).await;
    // The answer does not wait for the new hash.
    let renewed = || stored().starts_with("$argon2id$v=19$m=19456,t=2,p=1$").then_some(());
    assert!(poll(Duration::from_secs(20), renewed).is_some(), "{}", stored());
    client.login("ada@example.com", PASSWORD).await;
}

//! More logins than can be hashed: some are told to come back, and nothing else waits.

use std::time::{Duration, Instant};

use futures_util::future::join_all;

use crate::support::client::{Client, PASSWORD, Send};
use crate::support::signet::Signet;

#[tokio::test]
async fn beyond_the_queue_logins_come_back_later_and_refreshes_go_on() {
    let signet = Signet::builder()
        .set("passwords.threads", "1")
        .set("passwords.queue", "2")
        .set("passwords.memory_kib", "65536")
        .set("passwords.iterations", "8")
        .start();
    let client = Client::new(signet.base());
    let user = client.new_user().await;
    let start = Instant::now();
    let logins = join_all((0..12).map(|_| client.try_login(&user.email, PASSWORD)));
    let others = async {
        // The logins are on their way.
        tokio::time::sleep(Duration::from_millis(50)).await;
        let next = client.refresh(&user.tokens.refresh_token).await.tokens();
        client.me(&next.access_token).await.expect(200);
        client.get("/health/ready").answer().await.expect(200);
        client.jwks().await;
        start.elapsed()
    };
    let (answers, others) = futures_util::future::join(logins, others).await;
    assert!(others < start.elapsed(), "the others waited for all the logins");
    let refused: Vec<_> = answers.iter().filter(|answer| answer.status == 503).collect();
    assert!(!refused.is_empty() && refused.len() <= 12 - 3, "{} refused", refused.len());
    for answer in &refused {
        assert!(answer.header("retry-after").is_some(), "{answer:?}");
        assert_eq!(answer.json()["error"], "temporarily_unavailable");
    }
    let served = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(served + refused.len(), 12, "{answers:?}");
}

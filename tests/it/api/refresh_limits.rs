//! The limit on refreshing one session in a loop.

use crate::support::client::{Client, Send};
use crate::support::signet::Signet;

#[tokio::test]
async fn a_session_in_a_loop_is_told_to_slow_down_and_goes_on_later() {
    let mut signet = Signet::builder()
        .set("refresh_limits.burst", "20")
        .set("refresh_limits.per_second", "1")
        .start();
    let client = Client::new(signet.base());
    let (looping, other) = (client.new_user().await, client.new_user().await);
    // What is not genuine counts against nobody.
    let forged = format!("{}x", looping.tokens.refresh_token);
    for _ in 0..50 {
        client.refresh(&forged).await.expect_oauth_error(400, "invalid_grant");
    }
    let mut newest = looping.tokens.refresh_token;
    let mut done = 0;
    let limited = loop {
        let answer = client.refresh(&newest).await;
        if answer.status != 200 {
            break answer;
        }
        newest = answer.tokens().refresh_token;
        done += 1;
        assert!(done < 200, "nobody stops it");
    };
    assert!(done >= 20, "{done}");
    let limited = limited.expect_oauth_error(429, "temporarily_unavailable");
    assert_eq!(limited.header("retry-after"), Some("1"), "{limited:?}");
    client.refresh(&other.tokens.refresh_token).await.tokens();
    let metrics = client.get("/metrics").answer().await.expect(200).body;
    assert!(metrics.contains("\nsignet_refreshes_limited_total 1\n"), "{metrics}");
    signet.advance(1);
    client.refresh(&newest).await.tokens();
}

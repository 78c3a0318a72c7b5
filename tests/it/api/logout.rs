//! POST /logout: the end of one session.

use crate::support::client::{Client, PASSWORD, Send};
use crate::support::fixtures::confidential;

#[tokio::test]
async fn it_ends_the_tokens_session_and_no_other() {
    let client = Client::shared();
    let user = client.new_user().await;
    let other = client.login(&user.email, PASSWORD).await;
    let next = client.refresh(&user.tokens.refresh_token).await.tokens();
    let answer = client.post("/logout").bearer_auth(&user.tokens.access_token).answer().await;
    assert!([200, 204].contains(&answer.status), "{answer:?}");
    for ended in [&user.tokens, &next] {
        client.me(&ended.access_token).await.expect_problem(401);
        assert!(!client.is_active(confidential(), &ended.access_token).await);
        let refused = client.refresh(&ended.refresh_token).await;
        refused.expect_oauth_error(400, "invalid_grant");
    }
    client.me(&other.access_token).await.expect(200);
    client.refresh(&other.refresh_token).await.tokens();
}

#[tokio::test]
async fn a_second_logout_finds_the_token_dead() {
    let client = Client::shared();
    let user = client.new_user().await;
    let logout =
        async || client.post("/logout").bearer_auth(&user.tokens.access_token).answer().await;
    assert!([200, 204].contains(&logout().await.status));
    logout().await.expect_problem(401);
}

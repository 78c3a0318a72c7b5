//! FastAPI's own tutorial, "OAuth2 with Password (and hashing), Bearer with JWT tokens": the form of
//! its documentation page, `/users/me`, and the user who is no longer active.

use super::detail;
use crate::interop::fastapi;
use crate::support::client::{Answer, Client, PASSWORD, Send};
use crate::support::signet::Signet;

/// The request of the Authorize button, where no client is filled in.
async fn authorize(client: &Client, username: &str, password: &str) -> Answer {
    let form = [
        ("grant_type", "password"),
        ("username", username),
        ("password", password),
        ("scope", ""),
        ("client_id", ""),
        ("client_secret", ""),
    ];
    client.post("/login").header("authorization", "Basic Og==").form(&form).answer().await
}

/// A request with the header as the button builds it from the answer.
async fn get(client: &Client, path: &str, login: &Answer) -> Answer {
    let login = login.json();
    let text = |member: &str| login[member].as_str().expect("a text").to_owned();
    let header = format!("{} {}", text("token_type"), text("access_token"));
    client.get(path).header("authorization", header).answer().await
}

#[tokio::test]
async fn the_form_logs_in_and_the_token_opens_users_me_and_a_fastapi_route() {
    let client = Client::shared();
    let user = client.new_user().await;
    let login = authorize(&client, &user.email, PASSWORD).await.expect(200);
    let me = get(&client, "/users/me", &login).await.expect(200).json();
    assert_eq!(me["email"], user.email.as_str());
    let whoami = get(&fastapi::shared(), "/whoami", &login).await.expect(200).json();
    assert_eq!(whoami["sub"], user.id.as_str());
}

#[tokio::test]
async fn a_wrong_password_is_told_in_the_detail() {
    let client = Client::shared();
    let user = client.new_user().await;
    for username in [user.email.as_str(), "johndoe", "nobody@example.com"] {
        let refused = authorize(&client, username, "hunter2").await.expect(400);
        assert_eq!(detail(&refused), "Incorrect email or password");
    }
}

#[tokio::test]
async fn without_a_token_or_with_a_bad_one_the_answer_is_401_with_a_challenge() {
    let good = Client::shared().new_user().await.tokens.access_token;
    for (client, path) in [(Client::shared(), "/users/me"), (fastapi::shared(), "/whoami")] {
        let bad = ["fake-super-secret-token", &good[..good.len() - 4]];
        let with = bad.map(|token| client.get(path).bearer_auth(token));
        for request in [client.get(path)].into_iter().chain(with) {
            let refused = request.answer().await.expect(401);
            let challenge = refused.header("www-authenticate").expect("a challenge");
            assert!(challenge.starts_with("Bearer"), "{refused:?}");
            detail(&refused);
        }
    }
}

#[tokio::test]
async fn an_inactive_user_is_told_so_and_the_tokens_of_before_are_over() {
    let client = Client::shared();
    let user = client.new_user().await;
    let login = authorize(&client, &user.email, PASSWORD).await.expect(200);
    get(&fastapi::shared(), "/account", &login).await.expect(200);
    Signet::shared().cli_ok(&["users", "disable", &user.email], "");

    let refused = authorize(&client, &user.email, PASSWORD).await.expect(400);
    assert_eq!(detail(&refused), "Inactive user");
    get(&client, "/users/me", &login).await.expect(401);
    // A service that asks Signet hears it at once; one that looks at the token alone, when it ends.
    get(&fastapi::shared(), "/account", &login).await.expect(401);
    get(&fastapi::shared(), "/whoami", &login).await.expect(200);

    Signet::shared().cli_ok(&["users", "enable", &user.email], "");
    authorize(&client, &user.email, PASSWORD).await.expect(200);
}

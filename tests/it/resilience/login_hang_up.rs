//! Clients that hang up while their password is being checked: what it turned out to be counts all
//! the same.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::support::client::{Client, PASSWORD, Send};
use crate::support::signet::Signet;

const WRONG: &str = "thirteen yellow wagons";

/// Asks to log in and resets the connection, after a while that ends before the hash does.
async fn ask_and_hang_up(signet: &Signet, email: &str, password: &str, after: Duration) {
    let body =
        format!("username={}&password={}", email.replace('@', "%40"), password.replace(' ', "+"));
    let request = format!(
        "POST /login HTTP/1.1\r\nhost: {}\r\n\
         content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{body}",
        signet.address(),
        body.len()
    );
    let mut stream = TcpStream::connect(signet.address()).await.expect("it listens");
    stream.set_nodelay(true).expect("small packets");
    stream.write_all(request.as_bytes()).await.expect("it reads");
    tokio::time::sleep(after).await;
    stream.set_zero_linger().expect("a reset");
}

/// A moment after the request has arrived, and most often before it is answered.
fn moment(number: u64) -> Duration {
    Duration::from_millis(5 + number % 10)
}

async fn hashes(client: &Client) -> u64 {
    let metrics = client.get("/metrics").answer().await.expect(200).body;
    let line = metrics.lines().find(|line| line.starts_with("signet_password_hashes_total "));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).expect("a number")
}

/// Waits until no login is under way any more: a busy machine may need a while for one hash.
async fn settle(client: &Client) {
    let (mut before, mut unchanged) = (hashes(client).await, 0);
    while unchanged < 5 {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let now = hashes(client).await;
        unchanged = if now == before { unchanged + 1 } else { 0 };
        before = now;
    }
}

fn start() -> Signet {
    Signet::builder()
        .with_default_hashing()
        .set("login_limits.shortest_delay", "15m")
        .set("login_limits.longest_delay", "1h")
        .set("login_limits.longest_shared_delay", "1h")
        .start()
}

#[tokio::test]
async fn right_passwords_are_held_against_nobody() {
    let signet = start();
    let client = Client::new(signet.base());
    let user = client.new_user().await;
    for number in 0..30 {
        ask_and_hang_up(&signet, &user.email, PASSWORD, moment(number)).await;
    }
    settle(&client).await;
    client.login(&user.email, PASSWORD).await;
}

#[tokio::test]
async fn wrong_passwords_count_also_for_who_does_not_wait() {
    let signet = start();
    let client = Client::new(signet.base());
    let user = client.new_user().await;
    let before = hashes(&client).await;
    for number in 0..60 {
        ask_and_hang_up(&signet, &user.email, WRONG, moment(number)).await;
    }
    settle(&client).await;
    let computed = hashes(&client).await - before;
    assert!((1..=10).contains(&computed), "{computed} hashes");
    for _ in computed..10 {
        client.try_login(&user.email, WRONG).await.expect(400);
    }
    client.try_login(&user.email, PASSWORD).await.expect(429);
}

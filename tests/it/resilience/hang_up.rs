//! Clients that hang up right after asking: what was done for them is on record all the same.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::support::client::{Client, FIRST_PARTY, PASSWORD};
use crate::support::postgres::Postgres;
use crate::support::signet::Signet;

const TIMES: u64 = 30;

/// Sends `request` and is gone `after`, by a reset or by an ordinary end of the connection.
async fn hang_up(signet: &Signet, request: &str, after: Duration, reset: bool) {
    let mut stream = TcpStream::connect(signet.address()).await.expect("it listens");
    stream.set_nodelay(true).expect("small packets");
    stream.write_all(request.as_bytes()).await.expect("it reads");
    tokio::time::sleep(after).await;
    if reset {
        stream.set_zero_linger().expect("a reset");
    }
}

/// Makes each removal of a row take long, so that many ends fall between it and the next step.
const SLOW: &str = "\
    CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS \
        'BEGIN PERFORM pg_sleep(0.05); RETURN NULL; END'; \
    CREATE TRIGGER slow AFTER DELETE ON users FOR EACH ROW EXECUTE FUNCTION slow(); \
    CREATE TRIGGER slow AFTER DELETE ON sessions FOR EACH ROW EXECUTE FUNCTION slow()";

/// From at once to what the whole request takes.
fn moment(number: u64) -> (Duration, bool) {
    (Duration::from_millis(number / 2 * 10), number.is_multiple_of(2))
}

struct Service {
    signet: Signet,
    database: String,
}

impl Service {
    fn start() -> Self {
        let database = Postgres::shared().fresh_database();
        let signet = Signet::builder().postgres(&database).start();
        Postgres::shared().sql(&database, SLOW);
        Self { signet, database }
    }

    fn sql(&self, sql: &str) -> String {
        Postgres::shared().sql(&self.database, sql)
    }

    /// What is under way when nobody waits for it any more takes a moment to finish.
    async fn settle(&self) {
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
}

#[tokio::test]
async fn every_removal_of_an_account_is_on_record() {
    let service = Service::start();
    let client = Client::new(service.signet.base());
    let mut ids = Vec::new();
    for number in 0..TIMES {
        let user = client.new_user().await;
        let body = format!("{{\"current_password\":\"{PASSWORD}\"}}");
        let request = format!(
            "DELETE /users/me HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            service.signet.address(),
            user.tokens.access_token,
            body.len()
        );
        let (after, reset) = moment(number);
        hang_up(&service.signet, &request, after, reset).await;
        ids.push(format!("('{}')", user.id));
    }
    service.settle().await;
    let gone = format!(
        "(SELECT id FROM (VALUES {}) AS made (id) WHERE id NOT IN (SELECT id FROM users)) AS gone",
        ids.join(",")
    );
    let count = service.sql(&format!("SELECT count(*) FROM {gone}"));
    // Those that got through at all; without any, nothing would be tested.
    assert_ne!(count, "0", "no request got through");
    let missing = service.sql(&format!(
        "SELECT id FROM {gone} WHERE id NOT IN \
         (SELECT subject FROM audit_events WHERE event = 'user.deleted')"
    ));
    assert_eq!(missing, "", "of {count} that are gone");
}

#[tokio::test]
async fn every_session_ended_by_reuse_is_on_record() {
    let service = Service::start();
    let client = Client::new(service.signet.base());
    let email = client.new_user().await.email;
    for number in 0..TIMES {
        let first = client.login(&email, PASSWORD).await.refresh_token;
        let second = client.refresh(&first).await.tokens().refresh_token;
        client.refresh(&second).await.tokens();
        let body =
            format!("grant_type=refresh_token&client_id={FIRST_PARTY}&refresh_token={first}");
        let request = format!(
            "POST /oauth2/token HTTP/1.1\r\nhost: {}\r\n\
             content-type: application/x-www-form-urlencoded\r\n\
             content-length: {}\r\n\r\n{body}",
            service.signet.address(),
            body.len()
        );
        let (after, reset) = moment(number);
        hang_up(&service.signet, &request, after, reset).await;
    }
    service.settle().await;
    // Each login began a session, and nothing but reuse ends any here.
    let begun = service.sql("SELECT count(*) FROM audit_events WHERE event = 'login.succeeded'");
    let left = service.sql("SELECT count(*) FROM sessions");
    let [begun, left] = [begun, left].map(|count| count.parse::<u32>().expect("a number"));
    assert_eq!(u64::from(begun), TIMES + 1);
    assert!(begun - left > 0, "no request got through");
    let kept = service.sql("SELECT count(*) FROM audit_events WHERE event = 'refresh.reused'");
    assert_eq!(kept, (begun - left).to_string(), "of {begun} sessions, {left} are left");
}

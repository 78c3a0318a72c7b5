//! The virtual clients: what each sends next, and what it makes of the answer.

use std::net::SocketAddr;

use anyhow::{Context, Result, bail};

use crate::http::{Answer, BlockingConnection, post_form};

/// The client that everyone may log in with, and that needs no registration.
pub const FIRST_PARTY: &str = "signet-first-party";

/// One client of the service, with at most one request in flight.
pub trait VirtualClient {
    /// What to send next.
    fn request(&self) -> &[u8];

    /// Takes the answer; false when it is not the one a client may count on.
    fn accept(&mut self, answer: &Answer) -> bool;
}

/// Sends the same again and again, and expects 200 and a text in the answer.
#[derive(Clone)]
pub struct Repeat {
    pub request: Vec<u8>,
    pub expected: &'static str,
}

impl VirtualClient for Repeat {
    fn request(&self) -> &[u8] {
        &self.request
    }

    fn accept(&mut self, answer: &Answer) -> bool {
        let expected = self.expected.as_bytes();
        answer.status() == 200
            && answer.body().windows(expected.len()).any(|window| window == expected)
    }
}

/// A session: presents its newest refresh token, and takes the next one from the answer.
#[derive(Clone)]
pub struct Session {
    refresh: Vec<u8>,
    pub access_token: String,
}

impl Session {
    /// Logs `user` in.
    pub fn open(connection: &mut BlockingConnection, user: &User) -> Result<Self> {
        let answer = connection.exchange(&user.login_request())?;
        if answer.status() != 200 {
            bail!("login answered {}: {}", answer.status(), answer.text());
        }
        let access_token = answer.member("access_token").context("no access token")?.to_owned();
        let mut session = Self { refresh: Vec::new(), access_token };
        session.take_refresh_token(answer).then_some(session).context("no refresh token")
    }

    fn take_refresh_token(&mut self, answer: &Answer) -> bool {
        let Some(token) = answer.member("refresh_token") else { return false };
        let fields =
            [("grant_type", "refresh_token"), ("client_id", FIRST_PARTY), ("refresh_token", token)];
        self.refresh = post_form("/oauth2/token", "", &fields);
        true
    }
}

impl VirtualClient for Session {
    fn request(&self) -> &[u8] {
        &self.refresh
    }

    fn accept(&mut self, answer: &Answer) -> bool {
        answer.status() == 200 && self.take_refresh_token(answer)
    }
}

/// Someone who can log in.
#[derive(Clone, Debug)]
pub struct User {
    pub email: String,
    pub password: String,
}

impl User {
    pub fn numbered(number: usize) -> Self {
        let email = format!("user-{number}@example.com");
        Self { email, password: format!("a long enough password {number}") }
    }

    pub fn login_request(&self) -> Vec<u8> {
        let fields = [("username", self.email.as_str()), ("password", self.password.as_str())];
        post_form("/login", "", &fields)
    }
}

/// Opens `count` sessions, spread over the users.
pub fn open_sessions(address: SocketAddr, users: &[User], count: usize) -> Result<Vec<Session>> {
    let mut connection = BlockingConnection::open(address)?;
    let users = users.iter().cycle().take(count);
    users.map(|user| Session::open(&mut connection, user)).collect()
}

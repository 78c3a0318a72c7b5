//! How a session came about: every store keeps it, refreshes leave it alone, and its own end counts.

use signet::domain::sessions::{Login, NewSession, SessionKind};

use super::engines::{Engine, IDLE, Opened, at, exchange, new_id, new_session, open};
use crate::support::on_each;

on_each!(Engine [Sqlite Postgres Pooler Redis], |engine| &open(engine).await, {
    what_a_login_brought_is_kept_and_its_own_end_comes,
});

async fn what_a_login_brought_is_kept_and_its_own_end_comes(Opened { sessions, .. }: &Opened) {
    let user_id = new_id();
    let ends_at = at(IDLE + 500);
    let online = Login {
        kind: SessionKind::Online,
        browser_sid: Some(new_id()),
        auth_time: at(-300),
        acr: Some("urn:signet:aal2".into()),
        amr: "pwd otp mfa".into(),
        ends_at: Some(ends_at),
        details: Some(r#"{"claims":{"id_token":{"email":null}}}"#.into()),
    };
    let browser = Login { kind: SessionKind::Browser, details: None, ..online.clone() };
    let standing = Login { kind: SessionKind::Standing, acr: None, ..online.clone() };
    for login in [online, browser, standing] {
        let new = NewSession { login: login.clone(), ..new_session(user_id) };
        let sid = sessions.start(new, at(0)).await.unwrap().sid;
        assert_eq!(exchange(sessions, user_id, sid, 1, at(9_000)).await.unwrap(), 2);
        let found = sessions.find(user_id, sid, at(IDLE + 499)).await.unwrap();
        assert_eq!(found.map(|session| session.login), Some(login.clone()));
        let listed = sessions.list(user_id, at(IDLE + 499)).await.unwrap();
        assert!(listed.iter().any(|session| session.sid == sid && session.login == login));
        assert_eq!(sessions.find(user_id, sid, ends_at).await.unwrap(), None, "its own end");
    }
}

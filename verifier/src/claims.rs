//! The claims of an access token (RFC 9068 section 2.2), read in one pass, and the rules that they
//! have to follow (section 4).

use std::borrow::Cow;

use serde::de::MapAccess;

use crate::error::Reason;
use crate::json::{self, Members, NumericDate, Text, Value, once};

/// How far in the future `iat` may be, in seconds, whatever the leeway: beyond it, the clock that
/// dated the token is wrong.
const FUTURE: i64 = 60;

/// The claims of an access token. Every token has them all, except `scope`, `roles` and `sid`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// `sub`
    pub sub: Box<str>,
    /// `aud`
    pub aud: Vec<Box<str>>,
    /// `exp`
    pub exp: i64,
    /// `iat`
    pub iat: i64,
    /// `jti`
    pub jti: Box<str>,
    /// `client_id`
    pub client_id: Box<str>,
    /// `scope`; empty where there is none.
    pub scope: Box<str>,
    /// `roles`; empty where there are none.
    pub roles: Vec<Box<str>>,
    /// `sid`
    pub sid: Option<Box<str>>,
}

/// What a verifier requires of the claims.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The issuer, which `iss` has to name exactly.
    pub issuer: String,
    /// The accepted audiences, one of which `aud` has to contain.
    pub audiences: Vec<String>,
    /// The permitted difference between clocks, in seconds.
    pub leeway: i64,
}

impl Rules {
    /// Reads the payload of a token whose signature was verified, and checks its claims at `now`,
    /// in seconds since 1970.
    pub fn read(&self, payload: &[u8], now: i64) -> Result<Claims, Reason> {
        let payload = json::object(payload, Payload::default()).map_err(|_| Reason::Malformed)?;
        if payload.iss.as_ref().ok_or(Reason::Claims)?.0 != self.issuer {
            return Err(Reason::Issuer);
        }
        let aud = audiences(payload.aud.ok_or(Reason::Claims)?)?;
        if !aud.iter().any(|aud| self.audiences.iter().any(|ours| **aud == **ours)) {
            return Err(Reason::Audience);
        }
        let NumericDate(exp) = payload.exp.ok_or(Reason::Claims)?;
        if now >= exp.saturating_add(self.leeway) {
            return Err(Reason::Expired);
        }
        let NumericDate(iat) = payload.iat.ok_or(Reason::Claims)?;
        let nbf = payload.nbf.map_or(0, |NumericDate(nbf)| nbf);
        if iat > now.saturating_add(FUTURE) || nbf > now.saturating_add(self.leeway) {
            return Err(Reason::TooEarly);
        }
        let owned = |text: Text<'_>| Box::<str>::from(text.0);
        let required = |text: Option<Text<'_>>| text.map(owned).ok_or(Reason::Claims);
        Ok(Claims {
            sub: required(payload.sub)?,
            aud,
            exp,
            iat,
            jti: required(payload.jti)?,
            client_id: required(payload.client_id)?,
            scope: payload.scope.map(owned).unwrap_or_default(),
            roles: payload.roles.map(roles).unwrap_or_default(),
            sid: payload.sid.map(owned),
        })
    }
}

#[derive(Default)]
struct Payload<'de> {
    iss: Option<Text<'de>>,
    sub: Option<Text<'de>>,
    aud: Option<Value<'de>>,
    exp: Option<NumericDate>,
    nbf: Option<NumericDate>,
    iat: Option<NumericDate>,
    jti: Option<Text<'de>>,
    client_id: Option<Text<'de>>,
    scope: Option<Text<'de>>,
    roles: Option<Value<'de>>,
    sid: Option<Text<'de>>,
}

impl<'de> Members<'de> for Payload<'de> {
    fn member<A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        match name {
            "iss" => once(&mut self.iss, map),
            "sub" => once(&mut self.sub, map),
            "aud" => once(&mut self.aud, map),
            "exp" => once(&mut self.exp, map),
            "nbf" => once(&mut self.nbf, map),
            "iat" => once(&mut self.iat, map),
            "jti" => once(&mut self.jti, map),
            "client_id" => once(&mut self.client_id, map),
            "scope" => once(&mut self.scope, map),
            "roles" => once(&mut self.roles, map),
            "sid" => once(&mut self.sid, map),
            _ => Ok(false),
        }
    }
}

/// Reads `aud`: a string, or an array of strings alone (RFC 7519 section 4.1.3).
fn audiences(aud: Value<'_>) -> Result<Vec<Box<str>>, Reason> {
    match aud {
        Value::Text(one) => Ok(vec![one.into()]),
        Value::Texts { texts, only: true } => Ok(owned(texts)),
        _ => Err(Reason::Malformed),
    }
}

/// Reads `roles`: the strings in an array. Other forms, which RFC 9068 section 2.2.3.1 allows by
/// reference to RFC 7643, are ignored.
fn roles(roles: Value<'_>) -> Vec<Box<str>> {
    match roles {
        Value::Texts { texts, .. } => owned(texts),
        _ => Vec::new(),
    }
}

fn owned(texts: Vec<Cow<'_, str>>) -> Vec<Box<str>> {
    texts.into_iter().map(Into::into).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1000;
    const GOOD: &str = r#"{"iss":"https://id","sub":"u","aud":"https://api","exp":1600,"iat":990,
        "jti":"t","client_id":"c","scope":"a b","roles":["admin"],"sid":"s","auth_time":5}"#;

    fn read(payload: &str) -> Result<Claims, Reason> {
        let rules = Rules {
            issuer: "https://id".into(),
            audiences: vec!["https://api".into(), "api".into()],
            leeway: 10,
        };
        rules.read(payload.as_bytes(), NOW)
    }

    fn with(from: &str, to: &str) -> Result<Claims, Reason> {
        let changed = GOOD.replace(from, to);
        assert_ne!(changed, GOOD, "{from} is there");
        read(&changed)
    }

    #[test]
    fn claims_are_read() {
        let claims = read(GOOD).unwrap();
        assert_eq!((&*claims.sub, &*claims.client_id, &*claims.jti), ("u", "c", "t"));
        assert_eq!((&*claims.scope, claims.sid.as_deref()), ("a b", Some("s")));
        assert_eq!((claims.aud, claims.roles), (vec!["https://api".into()], vec!["admin".into()]));
        assert_eq!((claims.exp, claims.iat), (1600, 990));
        // A client's own token has no session.
        assert!(with(r#","sid":"s""#, "").unwrap().sid.is_none());
        assert!(with(r#""scope":"a b","#, "").unwrap().scope.is_empty());
    }

    #[test]
    fn what_every_token_has_must_be_there() {
        for claim in ["iss", "sub", "aud", "exp", "iat", "jti", "client_id"] {
            let without = with(&format!("\"{claim}\":"), "\"other\":");
            assert_eq!(without, Err(Reason::Claims), "{claim}");
        }
    }

    #[test]
    fn issuer_and_audience_are_exact() {
        for issuer in ["https://id/", "HTTPS://id", "https://id2", ""] {
            assert_eq!(with("https://id", issuer), Err(Reason::Issuer), "{issuer}");
        }
        for (audience, result) in [
            (r#"["x","api"]"#, Ok(())),
            (r#""api""#, Ok(())),
            (r#""https://api/""#, Err(Reason::Audience)),
            ("[]", Err(Reason::Audience)),
            (r#"["x"]"#, Err(Reason::Audience)),
            (r#"["api",7]"#, Err(Reason::Malformed)),
            (r#"{"api":"api"}"#, Err(Reason::Malformed)),
            ("null", Err(Reason::Malformed)),
        ] {
            assert_eq!(with(r#""https://api""#, audience).map(|_| ()), result, "{audience}");
        }
    }

    #[test]
    fn times_have_their_leeway() {
        for (exp, result) in
            [("991", Ok(())), ("990", Err(Reason::Expired)), ("0", Err(Reason::Expired))]
        {
            assert_eq!(with("1600", exp).map(|_| ()), result, "{exp}");
        }
        for (iat, result) in [("1060", Ok(())), ("1061", Err(Reason::TooEarly))] {
            assert_eq!(with("990", iat).map(|_| ()), result, "{iat}");
        }
        for (nbf, result) in [("1010", Ok(())), ("1011", Err(Reason::TooEarly))] {
            assert_eq!(with("auth_time\":5", &format!("nbf\":{nbf}")).map(|_| ()), result, "{nbf}");
        }
        for malformed in ["\"1600\"", "-1", "null", "1e99", "[1600]"] {
            assert_eq!(with("1600", malformed), Err(Reason::Malformed), "{malformed}");
        }
    }

    #[test]
    fn members_that_stand_twice_are_refused() {
        for twice in [
            r#""sub":"u","#,
            r#""auth_time":5,"#,
            r#""x":{"y":1,"y":1},"#,
            r#""roles":[{"a":1,"a":2}],"#,
        ] {
            let payload = GOOD.replacen('{', &format!("{{{twice}"), 1);
            assert_eq!(read(&payload), Err(Reason::Malformed), "{twice}");
        }
    }

    #[test]
    fn roles_are_the_names_in_an_array() {
        let roles = |json: &str| with(r#"["admin"]"#, json).unwrap().roles.len();
        assert_eq!(roles(r#"["a","b",{"value":"c"},7]"#), 2);
        for other in [r#""admin""#, "null", "{}", "true"] {
            assert_eq!(roles(other), 0, "{other}");
        }
    }
}

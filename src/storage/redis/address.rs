//! The addresses of Redis: which forms are understood, checked before anything connects. What is
//! not understood is refused, so that no part of an address is without effect. Messages repeat
//! nothing of an address that could be a password.

use redis::IntoConnectionInfo;
use url::Url;

use crate::base::secret::Secret;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// One server, or the login at the master that sentinels watch.
    Server,
    ClusterNode,
    Sentinel,
}

const TCP_FORM: &str = "must be redis://host:6379 or rediss://host:6379, with user:password@ before \
                        the host where needed (special characters in the password as %XX)";
const SERVER_FORM: &str = "must be redis://host:6379 or rediss://host:6379, with user:password@ before the host where \
     needed (special characters in the password as %XX), or unix:///path/to/redis.sock";

/// Parameters of an address with a host, and of a socket's.
const TCP_PARAMETERS: &[&str] = &["protocol"];
const SOCKET_PARAMETERS: &[&str] = &["db", "user", "pass", "protocol"];

/// Checks an address; returns what is wrong with it and what would be right.
pub(crate) fn check_address(text: &str, place: Place) -> Result<Secret<String>, String> {
    let form = if place == Place::Server { SERVER_FORM } else { TCP_FORM };
    let url = Url::parse(text).map_err(|_| form)?;
    let parameters = match url.scheme() {
        "redis" | "rediss" if url.has_host() => TCP_PARAMETERS,
        // A host would be taken for the first folder's name, and lost.
        "unix" | "redis+unix" if place == Place::Server && !url.has_host() => SOCKET_PARAMETERS,
        _ => return Err(form.into()),
    };
    check_parameters(&url, parameters)?;
    let wrong = || {
        format!(
            "{form}; a path is the number of the database, as in redis://host:6379/3, and \
             #insecure is the only fragment, for rediss"
        )
    };
    if url.fragment().is_some() && url.scheme() != "rediss" {
        return Err(wrong());
    }
    let info = text.into_connection_info().map_err(|_| wrong())?;
    match (info.redis_settings().db(), place) {
        (0, _) | (1.., Place::Server) => Ok(Secret::new(text.to_owned())),
        (_, Place::Server) => Err("must name a database by a number from 0".into()),
        (_, Place::ClusterNode) => Err("must name no database: a cluster has only number 0".into()),
        (_, Place::Sentinel) => {
            Err("must name no database: that of the master is named in redis.url".into())
        }
    }
}

/// Refuses parameters that are not `known` or come twice.
pub(crate) fn check_parameters(url: &Url, known: &[&str]) -> Result<(), String> {
    let mut seen = Vec::new();
    for (name, _) in url.query_pairs() {
        if known.contains(&name.as_ref()) && !seen.contains(&name) {
            seen.push(name);
            continue;
        }
        // A password with an unescaped question mark would end up here.
        let is_word = name.len() < 40 && name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        let shown = match url.query() {
            Some(query) if is_word && !query.contains('@') => format!("the parameter {name:?}"),
            _ => "a parameter".to_owned(),
        };
        let known = known.join(", ");
        let wrong = if seen.contains(&name) { "twice" } else { "which is unknown" };
        let hint = match name.as_ref() {
            "db" => "; the number of the database is the path, as in redis://host:6379/3",
            _ => "",
        };
        return Err(format!("has {shown}, {wrong}: it may have {known}{hint}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_an_address_counts_or_is_refused() {
        for (text, place) in [
            ("redis://a", Place::Server),
            ("redis://user:p%3Fw@a:6379/3?protocol=resp3", Place::Server),
            ("rediss://a/#insecure", Place::Server),
            ("unix:///run/redis.sock?db=2&user=u&pass=p", Place::Server),
            ("redis+unix:///run/redis%20a.sock", Place::Server),
            ("redis://a:6379/0", Place::ClusterNode),
            ("redis://:pw@a:26379", Place::Sentinel),
        ] {
            assert!(check_address(text, place).is_ok(), "{text}");
        }
        for (text, place, part) in [
            ("redis://a?db=3", Place::Server, "redis://host:6379/3"),
            ("redis://a?timeout=3", Place::Server, "\"timeout\""),
            ("redis://a?protocol=3&protocol=2", Place::Server, "twice"),
            ("redis://a?protocol=4", Place::Server, "redis://host"),
            ("redis://a/three", Place::Server, "redis://host:6379/3"),
            ("redis://a/-1", Place::Server, "from 0"),
            ("redis://a/#secure", Place::Server, "#insecure"),
            ("redis://a/#insecure", Place::Server, "for rediss"),
            ("unix://run/redis.sock", Place::Server, "unix:///"),
            ("unix:///run/redis.sock?database=1", Place::Server, "\"database\""),
            ("unix:///run/redis.sock", Place::ClusterNode, "redis://host"),
            ("redis://a/1", Place::ClusterNode, "only number 0"),
            ("redis://a?db=0", Place::ClusterNode, "\"db\""),
            ("redis://a/1", Place::Sentinel, "redis.url"),
            ("redis://a?db=0", Place::Sentinel, "\"db\""),
            ("http://a", Place::Server, "redis://host"),
        ] {
            let error = check_address(text, place).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
        for text in ["redis://u:hun?ter2@a", "redis://u?hunter@a", "redis://a?hunter2=1"] {
            let error = check_address(text, Place::Server).unwrap_err();
            assert!(!error.contains("hunter") && !error.contains("ter2"), "{error}");
        }
    }
}

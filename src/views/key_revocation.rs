//! The effects on verifiers when a signing key is revoked, as administrators see them.

use std::time::Duration;

use serde::Serialize;

use crate::base::time::Timestamp;
use crate::domain::keys::Policy;
use crate::services::key_management::KeyRevocation;

/// The effects on verifiers when a key is revoked. Times are RFC 3339.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct RevocationView {
    /// The revoked key.
    pub kid: String,
    /// The time of issue of the first tokens that end with the key before their `exp`; absent if it
    /// never signed.
    pub tokens_issued_from: Option<String>,
    /// The time of issue of the last such tokens; absent if the key never signed.
    pub tokens_issued_until: Option<String>,
    /// Whether the key only verified: another issuer signed its tokens, and all of them have ended.
    pub only_verified: bool,
    /// The key that signs now.
    pub active_kid: Option<String>,
    /// When the key that signs now was published.
    pub active_published_at: Option<String>,
    /// From this time on, every cache that follows `max-age` has the key that signs now.
    pub active_in_all_caches_at: Option<String>,
    /// The new key that takes over, so that verifiers fetch JWKS; null while it is being made.
    pub handover_kid: Option<String>,
    /// When the new key takes over, or the earliest possible time while that key is being made.
    pub handover_at: String,
    /// How long verifiers accept tokens of the revoked key, for each library that they use.
    pub verifiers: Vec<VerifierView>,
}

/// How long verifiers with the same libraries accept tokens of a revoked key by default.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct VerifierView {
    /// The names of the libraries.
    pub clients: String,
    /// The latest time at which they accept such tokens. Where `needs_new_token` is true, they do
    /// so until they receive a token of the new key, from this time on.
    pub until: String,
    /// The number of seconds from the revocation to `until`.
    pub seconds: u64,
    /// Whether they drop the revoked key only when they receive a token of the new one.
    pub needs_new_token: bool,
}

/// How verifiers with the same libraries cache keys by default.
struct Verifier {
    clients: &'static str,
    /// The maximum time in their cache; `None` where keys stay until a token has an unknown `kid`.
    keeps: Option<Duration>,
    /// Whether an unknown `kid` makes them fetch the set, and drop the keys that are not in it.
    asks: bool,
    /// Whether a longer `max-age` makes them keep the set longer.
    follows_max_age: bool,
}

const fn minutes(number: u64) -> Option<Duration> {
    Some(Duration::from_secs(number * 60))
}

const fn verifier(clients: &'static str, keeps: Option<Duration>, asks: bool) -> Verifier {
    Verifier { clients, keeps, asks, follows_max_age: false }
}

const VERIFIERS: [Verifier; 7] = [
    verifier("Nimbus, Spring, PyJWT", minutes(5), true),
    verifier("jose", minutes(10), true),
    verifier("go-oidc 3, zitadel/oidc", None, true),
    verifier("Quarkus", None, true),
    Verifier { follows_max_age: true, ..verifier("jwx", minutes(15), false) },
    verifier("keyfunc", minutes(60), false),
    verifier("jwks-rsa", minutes(600), false),
];

impl Verifier {
    fn view(&self, jwks_max_age: Duration, now: Timestamp, handover_at: Timestamp) -> VerifierView {
        let longer = |keeps: Duration| match self.follows_max_age {
            true => keeps.max(jwks_max_age),
            false => keeps,
        };
        let kept_until = self.keeps.map(|keeps| now.plus(longer(keeps)));
        let needs_new_token = self.asks && kept_until.is_none_or(|kept| handover_at < kept);
        let until = kept_until.filter(|_| !needs_new_token).unwrap_or(handover_at);
        VerifierView {
            clients: self.clients.to_owned(),
            until: until.to_string(),
            seconds: until.since(now).as_secs(),
            needs_new_token,
        }
    }
}

impl RevocationView {
    /// Computes the effects of `revocation` under `policy`.
    pub(crate) fn new(revocation: KeyRevocation, policy: &Policy) -> Self {
        let KeyRevocation { kid, revoked, at: now, successor, handover_at } = revocation;
        let text = |at: Option<Timestamp>| at.map(|at| at.to_string());
        let active = revoked.active.as_ref();
        let published = active.map(|link| link.times.created_at);
        let verifier = |verifier: &Verifier| verifier.view(policy.jwks_max_age, now, handover_at);
        Self {
            kid,
            only_verified: revoked.only_verified,
            tokens_issued_from: text(revoked.signed_from),
            tokens_issued_until: text(revoked.signed_until),
            active_kid: active.map(|link| link.kid.clone()),
            active_published_at: text(published),
            active_in_all_caches_at: text(published.map(|at| policy.in_all_caches(at))),
            handover_kid: successor.map(|link| link.kid),
            handover_at: handover_at.to_string(),
            verifiers: VERIFIERS.iter().map(verifier).collect(),
        }
    }
}

impl std::fmt::Display for RevocationView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "key {} is revoked and has left JWKS", self.kid)?;
        let dead = match (&self.tokens_issued_from, &self.tokens_issued_until) {
            (Some(from), Some(until)) => {
                format!("all that it signed, issued from {from} to {until}")
            }
            _ if self.only_verified => "all that another issuer signed with it".to_owned(),
            _ => "none: it never signed here".to_owned(),
        };
        writeln!(f, "  dead tokens      {dead}")?;
        if let (Some(kid), Some(since), Some(at)) =
            (&self.active_kid, &self.active_published_at, &self.active_in_all_caches_at)
        {
            writeln!(f, "  signs now        {kid}, published since {since}")?;
            writeln!(f, "                   every cache that follows max-age has it from {at}")?;
        }
        let at = &self.handover_at;
        match &self.handover_kid {
            Some(kid) => writeln!(f, "  takes over       {kid} at {at}")?,
            None => writeln!(f, "  takes over       a key that is still being made, from {at} on")?,
        }
        writeln!(f, "  still taken by   followers of the revocation feed: for a second at most")?;
        writeln!(f, "                   others, unless they are configured otherwise:")?;
        for VerifierView { clients, until, seconds, needs_new_token } in &self.verifiers {
            let seconds = humantime::format_duration(Duration::from_secs(*seconds));
            let until = match needs_new_token {
                true => format!("its first token of the new key, from {until} on ({seconds})"),
                false => format!("{until} ({seconds})"),
            };
            writeln!(f, "                   {clients:<24} until {until}")?;
        }
        write!(f, "                   any other client: as long as it keeps JWKS; restart it")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_client_drops_the_key_when_its_cache_ends_or_at_the_new_key() {
        let at = Timestamp::from_unix;
        let until = |clients: &str, max_age: u64, handover: i64| {
            let verifier = VERIFIERS.iter().find(|verifier| verifier.clients.contains(clients));
            let max_age = Duration::from_secs(max_age);
            let view = verifier.unwrap().view(max_age, at(1000), at(1000 + handover));
            (view.seconds, view.needs_new_token)
        };
        for (clients, usual, soon) in [
            ("Spring", (300, false), (35, true)),
            ("jose", (600, false), (35, true)),
            ("go-oidc", (930, true), (35, true)),
            ("Quarkus", (930, true), (35, true)),
            ("jwx", (900, false), (900, false)),
            ("keyfunc", (3600, false), (3600, false)),
            ("jwks-rsa", (36_000, false), (36_000, false)),
        ] {
            assert_eq!(until(clients, 600, 930), usual, "{clients}");
            assert_eq!(until(clients, 5, 35), soon, "{clients}");
        }
        assert_eq!(until("jwx", 3600, 3630), (3600, false));
    }
}

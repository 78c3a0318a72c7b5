//! Writing: from a row of the outbox to a message. Whether it is still wanted is checked once more,
//! and the token is made now, so that it is good for its whole lifetime from when it is sent.

use url::Url;

use super::{MessageContext, Notifier, WriteError};
use crate::base::secret::{Fingerprint, Secret};
use crate::base::time::Timestamp;
use crate::domain::mail::Message;
use crate::domain::mail::template::Fields;
use crate::domain::outbox::{Entry, Kind};
use crate::domain::users::{MailedToken, Purpose, TokenOwner, User, email};
use crate::storage::Stored;

struct Issued {
    token: Secret<String>,
    expires_in: String,
    link: Option<Secret<String>>,
}

impl Notifier {
    /// The message of `claimed`; `None` where it is not wanted any more.
    pub(super) async fn write(
        &self,
        claimed: &Entry,
        now: Timestamp,
    ) -> Result<Option<Message>, WriteError> {
        let (user, wanted) = if is_for_signup(claimed) {
            (None, self.users.find_by_address(&claimed.recipient).await?.is_none())
        } else {
            let user = match claimed.user_id {
                Some(id) => self.users.find(id).await?,
                None => None,
            };
            let wanted = is_wanted(claimed, user.as_ref());
            (user, wanted)
        };
        if !wanted {
            return Ok(None);
        }
        let mut issued = None;
        if let Some(purpose) = purpose(claimed.kind) {
            issued = self.issue(purpose, claimed, now).await?;
            if issued.is_none() {
                return Ok(None);
            }
        }
        let MessageContext { templates, service, issuer, config } = &self.context;
        let fields = Fields {
            service,
            issuer,
            email: &claimed.recipient,
            name: user.as_ref().and_then(|user| known_name(user, claimed)),
            link: issued.as_ref().and_then(|issued| Some(issued.link.as_ref()?.expose().as_str())),
            token: issued.as_ref().map(|issued| issued.token.expose().as_str()),
            expires_in: issued.as_ref().map(|issued| issued.expires_in.as_str()),
        };
        let rendered = templates.render(claimed.kind, &fields)?;
        Ok(Some(Message::write(claimed.id, &config.from, &claimed.recipient, rendered, now)?))
    }

    /// Makes the token of `claimed` good; `None` where it was used already, so that its message
    /// must have arrived.
    async fn issue(
        &self,
        purpose: Purpose,
        claimed: &Entry,
        now: Timestamp,
    ) -> Stored<Option<Issued>> {
        let lifetime = match purpose {
            Purpose::ResetPassword => self.policy().reset_lifetime,
            Purpose::VerifyEmail | Purpose::ChangeEmail => self.policy().verification_lifetime,
        };
        let token = self.tokens.token(purpose, claimed.id);
        let fingerprint = Fingerprint::of(token.expose().as_bytes());
        let (id, email, expires_at) = (claimed.id, claimed.recipient.clone(), now.plus(lifetime));
        let owner = match claimed.user_id {
            id if is_for_signup(claimed) => TokenOwner::SignUp(id),
            Some(id) => TokenOwner::User(id),
            None => return Ok(None),
        };
        let epoch = claimed.epoch;
        let kept = MailedToken { id, purpose, owner, email, epoch, expires_at };
        if !self.users.issue_token(&kept, &fingerprint).await? {
            return Ok(None);
        }
        let link = self.context.config.page(claimed.kind).map(|page| link(page, &token));
        Ok(Some(Issued { token, expires_in: in_words(lifetime.as_secs()), link }))
    }
}

fn purpose(kind: Kind) -> Option<Purpose> {
    match kind {
        Kind::Verification | Kind::SignUp => Some(Purpose::VerifyEmail),
        Kind::PasswordReset => Some(Purpose::ResetPassword),
        Kind::EmailChange => Some(Purpose::ChangeEmail),
        Kind::AccountExists
        | Kind::EmailChangeAsked
        | Kind::EmailChanged
        | Kind::PasswordChanged
        | Kind::Test => None,
    }
}

/// Whether the message is for an address that is only signed up. Of a sign-up, the row names the
/// record in the place of a user; what was asked for by the address names nothing.
fn is_for_signup(claimed: &Entry) -> bool {
    claimed.kind == Kind::SignUp
        || (claimed.kind == Kind::PasswordReset && claimed.user_id.is_none())
}

/// Whether the message still holds. A notice of what has happened always does.
fn is_wanted(claimed: &Entry, user: Option<&User>) -> bool {
    let fits = |user: &User| user.is_in(claimed.epoch);
    match claimed.kind {
        Kind::EmailChangeAsked | Kind::EmailChanged | Kind::PasswordChanged => true,
        Kind::EmailChange => user.is_some_and(fits),
        Kind::Verification => user.is_some_and(|user| {
            fits(user) && has_address(user, claimed) && user.email_verified_at.is_none()
        }),
        Kind::PasswordReset | Kind::AccountExists => {
            user.is_some_and(|user| fits(user) && has_address(user, claimed))
        }
        // Has no account to look at.
        Kind::SignUp | Kind::Test => false,
    }
}

fn has_address(user: &User, claimed: &Entry) -> bool {
    email::key_of(&user.email) == email::key_of(&claimed.recipient)
}

/// The display name, where its owner is known to read the message. Any caller may sign up with
/// another person's address, and the name that they chose is not to be mailed there.
fn known_name<'u>(user: &'u User, claimed: &Entry) -> Option<&'u str> {
    let known = user.email_verified_at.is_some() && has_address(user, claimed);
    user.name.as_deref().filter(|_| known)
}

/// The page with the token in its fragment: that stays in the browser, and goes to no server, its
/// logs, or other sites as a referrer.
fn link(page: &Url, token: &Secret<String>) -> Secret<String> {
    let mut url = page.clone();
    url.set_fragment(Some(&format!("token={}", token.expose())));
    Secret::new(url.into())
}

fn in_words(seconds: u64) -> String {
    let (count, unit) = match seconds {
        86_400.. if seconds.is_multiple_of(86_400) => (seconds / 86_400, "day"),
        3600.. if seconds.is_multiple_of(3600) => (seconds / 3600, "hour"),
        _ => (seconds / 60, "minute"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_stay_in_the_fragment() {
        let page = Url::parse("https://app.example.com/verify?lang=en").unwrap();
        let link = link(&page, &Secret::new("abc-_1".into()));
        assert_eq!(link.expose(), "https://app.example.com/verify?lang=en#token=abc-_1");
    }

    #[test]
    fn lifetimes_are_said_in_words() {
        for (seconds, words) in [
            (300, "5 minutes"),
            (1800, "30 minutes"),
            (3600, "1 hour"),
            (5400, "90 minutes"),
            (86_400, "1 day"),
            (172_800, "2 days"),
        ] {
            assert_eq!(in_words(seconds), words);
        }
    }
}

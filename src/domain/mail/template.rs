//! Templates of messages: for each kind a text and an HTML template (minijinja), built in, or read from
//! the operator's folder. All are rendered once at the start, with and without each value that may be
//! absent, so that none fails later: a variable that does not exist is an error, and so is printing one
//! that has no value. HTML is escaped.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Value;
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior, escape_formatter};

use crate::domain::outbox::Kind;

const MAX_FILE_BYTES: u64 = 64 * 1024;
/// The length of a subject; receivers cut longer ones off.
const MAX_SUBJECT_BYTES: usize = 200;
const MAX_MESSAGE_BYTES: usize = 512 * 1024;
const SUBJECT: &str = "Subject:";

macro_rules! built_in {
    ($($name:literal),+ $(,)?) => {
        [$(($name, include_str!(concat!("templates/", $name)))),+]
    };
}

const BUILT_IN: [(&str, &str); 18] = built_in![
    "_action.html",
    "account_exists.html",
    "account_exists.txt",
    "email_change.html",
    "email_change.txt",
    "email_change_asked.html",
    "email_change_asked.txt",
    "email_changed.html",
    "email_changed.txt",
    "layout.html",
    "password_changed.html",
    "password_changed.txt",
    "password_reset.html",
    "password_reset.txt",
    "test.html",
    "test.txt",
    "verification.html",
    "verification.txt",
];

/// The variables of a template. One without a value is `none`.
#[derive(Clone, Debug)]
pub(crate) struct Fields<'a> {
    pub(crate) service: &'a str,
    pub(crate) issuer: &'a str,
    pub(crate) email: &'a str,
    /// The user's display name, where the address is known to be the user's.
    pub(crate) name: Option<&'a str>,
    /// The page to go to with the token in it, where there is such a page.
    pub(crate) link: Option<&'a str>,
    pub(crate) token: Option<&'a str>,
    /// How long it is good, such as `30 minutes`.
    pub(crate) expires_in: Option<&'a str>,
}

impl Fields<'_> {
    fn values(&self) -> Value {
        let or_none = |value: Option<&str>| value.map_or(Value::from(()), Value::from);
        Value::from_pairs([
            ("service", Value::from(self.service)),
            ("issuer", Value::from(self.issuer)),
            ("email", Value::from(self.email)),
            ("name", or_none(self.name)),
            ("link", or_none(self.link)),
            ("token", or_none(self.token)),
            ("expires_in", or_none(self.expires_in)),
        ])
    }
}

#[derive(Debug)]
pub(crate) struct Rendered {
    pub(crate) subject: String,
    pub(crate) text: String,
    /// The same as HTML; `None` where the template is empty.
    pub(crate) html: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum TemplateError {
    #[error("{0} cannot be read")]
    Unreadable(String, #[source] std::io::Error),
    #[error("{0} is not the name of a template: {1}")]
    Unknown(String, String),
    #[error("the template {0} does not work: {1}")]
    Broken(String, String),
}

#[derive(Debug)]
pub(crate) struct Templates(Environment<'static>);

impl Templates {
    /// Reads the templates, those of `folder` in place of the built-in ones, and tries all of them,
    /// with a link for the kinds that `has_link` says.
    pub(crate) fn load(
        folder: Option<&Path>,
        has_link: impl Fn(Kind) -> bool,
    ) -> Result<Self, TemplateError> {
        let mut sources: BTreeMap<String, String> =
            BUILT_IN.map(|(name, source)| (name.to_owned(), source.to_owned())).into();
        if let Some(folder) = folder {
            read_folder(folder, &mut sources)?;
        }
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        // A line that holds a tag alone leaves no empty one.
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(|error| broken("syntax", &error))?);
        environment.set_formatter(|out, state, value| {
            if value.is_none() {
                let detail = "a value is printed that is not there: ask by {% if %} first";
                return Err(Error::new(ErrorKind::InvalidOperation, detail));
            }
            escape_formatter(out, state, value)
        });
        for (name, source) in sources {
            environment
                .add_template_owned(name.clone(), source)
                .map_err(|error| broken(&name, &error))?;
        }
        let templates = Self(environment);
        Kind::ALL.into_iter().try_for_each(|kind| templates.check(kind, has_link(kind)))?;
        Ok(templates)
    }

    /// Renders with every value there, and without the name, which may lack.
    fn check(&self, kind: Kind, has_link: bool) -> Result<(), TemplateError> {
        let token = kind.has_token().then_some("dG9rZW4");
        let full = Fields {
            service: "Example",
            issuer: "https://id.example.com",
            email: "ada@example.com",
            name: Some("Ada"),
            link: token.filter(|_| has_link).map(|_| "https://app.example.com/#token=dG9rZW4"),
            token,
            expires_in: token.map(|_| "30 minutes"),
        };
        self.render(kind, &full)?;
        self.render(kind, &Fields { name: None, ..full })?;
        Ok(())
    }

    pub(crate) fn render(
        &self,
        kind: Kind,
        fields: &Fields<'_>,
    ) -> Result<Rendered, TemplateError> {
        let text = self.render_one(&format!("{}.txt", kind.template()), fields)?;
        let html = self.render_one(&format!("{}.html", kind.template()), fields)?;
        let wrong = |detail: &str| {
            TemplateError::Broken(format!("{}.txt", kind.template()), detail.to_owned())
        };
        let (subject, text) = text
            .split_once('\n')
            .and_then(|(first, rest)| Some((first.strip_prefix(SUBJECT)?.trim(), rest)))
            .ok_or_else(|| wrong("its first line must be 'Subject: ' and the subject"))?;
        if subject.is_empty() {
            return Err(wrong("the subject is empty"));
        }
        if text.len() + html.len() > MAX_MESSAGE_BYTES {
            return Err(wrong("the message is too large"));
        }
        let subject = &subject[..subject.floor_char_boundary(MAX_SUBJECT_BYTES)];
        Ok(Rendered {
            subject: subject.to_owned(),
            text: format!("{}\n", text.trim()),
            html: (!html.trim().is_empty()).then_some(html),
        })
    }

    fn render_one(&self, name: &str, fields: &Fields<'_>) -> Result<String, TemplateError> {
        let template = self.0.get_template(name).map_err(|error| broken(name, &error))?;
        template.render(fields.values()).map_err(|error| broken(name, &error))
    }
}

/// Writes the built-in templates to `folder`, but for those that are there already; returns their
/// names.
pub(crate) fn export(folder: &Path) -> std::io::Result<Vec<&'static str>> {
    fs::create_dir_all(folder)?;
    let mut written = Vec::new();
    for (name, source) in BUILT_IN {
        let path = folder.join(name);
        if !path.try_exists()? {
            fs::write(path, source)?;
            written.push(name);
        }
    }
    Ok(written)
}

/// Takes the templates of `folder`. Names that begin with an underscore are the operator's own, to
/// be included.
fn read_folder(folder: &Path, sources: &mut BTreeMap<String, String>) -> Result<(), TemplateError> {
    let unreadable = |path: &Path| {
        let path = path.display().to_string();
        move |error| TemplateError::Unreadable(path, error)
    };
    for entry in fs::read_dir(folder).map_err(unreadable(folder))? {
        let path = entry.map_err(unreadable(folder))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if !name.ends_with(".txt") && !name.ends_with(".html") {
            continue;
        }
        if !name.starts_with('_') && !sources.contains_key(name) {
            let known: Vec<_> = sources.keys().map(String::as_str).collect();
            return Err(TemplateError::Unknown(path.display().to_string(), known.join(", ")));
        }
        if fs::metadata(&path).map_err(unreadable(&path))?.len() > MAX_FILE_BYTES {
            let error = std::io::Error::other("it is larger than 64 KiB");
            return Err(unreadable(&path)(error));
        }
        let source = fs::read_to_string(&path).map_err(unreadable(&path))?;
        sources.insert(name.to_owned(), source);
    }
    Ok(())
}

fn broken(name: &str, error: &Error) -> TemplateError {
    let mut said = error.kind().to_string();
    // The innermost of what went wrong says the most.
    let mut innermost = error;
    while let Some(cause) = std::error::Error::source(innermost).and_then(|e| e.downcast_ref()) {
        innermost = cause;
    }
    if let Some(detail) = innermost.detail() {
        said = format!("{said}: {detail}");
    }
    if let Some(line) = innermost.line() {
        let template = innermost.name().unwrap_or(name);
        said = format!("{said} ({template}, line {line})");
    }
    TemplateError::Broken(name.to_owned(), said)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIELDS: Fields<'static> = Fields {
        service: "Shop & Co",
        issuer: "https://id.example.com",
        email: "ann@example.com",
        name: Some("<b>Ann</b>"),
        link: Some("https://app.example.com/verify#token=abc"),
        token: Some("abc"),
        expires_in: Some("30 minutes"),
    };

    fn load(name: &str, source: &str) -> Result<Templates, TemplateError> {
        let folder = tempfile::TempDir::new().unwrap();
        fs::write(folder.path().join(name), source).unwrap();
        Templates::load(Some(folder.path()), |_| false)
    }

    #[test]
    fn the_built_in_ones_work_and_escape() {
        let templates = Templates::load(None, |_| true).unwrap();
        for kind in Kind::ALL {
            let rendered = templates.render(kind, &FIELDS).unwrap();
            // The slash is escaped too.
            let html = rendered.html.unwrap().replace("&#x2f;", "/");
            assert!(!rendered.subject.contains('\n') && rendered.text.len() > 40, "{kind:?}");
            assert!(html.contains("Shop &amp; Co") && !html.contains("<b>Ann"), "{html}");
            assert!(!rendered.text.contains("\n\n\n"), "{}", rendered.text);
            if kind.has_token() {
                assert!(rendered.text.contains(FIELDS.link.unwrap()), "{}", rendered.text);
                assert!(html.contains("https://app.example.com/verify#token=abc"), "{html}");
                let bare = templates.render(kind, &Fields { link: None, ..FIELDS }).unwrap();
                assert!(bare.text.contains("\nabc\n") && bare.html.unwrap().contains("abc"));
            }
        }
    }

    #[test]
    fn links_may_be_taken_for_granted_where_pages_are_configured() {
        let folder = tempfile::TempDir::new().unwrap();
        fs::write(folder.path().join("verification.txt"), "Subject: x\n\n{{ link }}").unwrap();
        let load = |has_link: bool| Templates::load(Some(folder.path()), |_| has_link);
        assert!(load(true).is_ok() && load(false).is_err());
        assert!(Templates::load(None, |_| false).is_ok());
    }

    #[test]
    fn a_file_takes_the_place_of_a_built_in_one() {
        let templates =
            load("verification.txt", "Subject: Hi {{ email }}\n\nGo to {{ token }}").unwrap();
        let rendered = templates.render(Kind::Verification, &FIELDS).unwrap();
        assert_eq!(rendered.subject, "Hi ann@example.com");
        assert_eq!(rendered.text, "Go to abc\n");
        assert!(rendered.html.is_some());
        let templates = load("verification.html", "\n").unwrap();
        assert!(templates.render(Kind::Verification, &FIELDS).unwrap().html.is_none());
    }

    #[test]
    fn templates_that_would_fail_later_are_refused_at_the_start() {
        for (name, source, said) in [
            (
                "verification.txt",
                "Subject: x\n{{ tokn }}",
                "`tokn` is undefined (verification.txt, line 2)",
            ),
            ("verification.txt", "Subject: x\n{% if lnik %}{% endif %}", "undefined value"),
            ("verification.txt", "Subject: x\n{{ link }}", "ask by {% if %} first"),
            ("test.txt", "Subject: x\n{{ token }}", "ask by {% if %} first"),
            ("verification.txt", "Subject: x\n{% if %}", "syntax error"),
            ("verification.txt", "Hello\n", "its first line must be 'Subject: '"),
            ("verification.txt", "Subject: \nHello\n", "the subject is empty"),
            ("verification.html", "{% extends 'layuot.html' %}", "template not found"),
            ("layout.html", "{{ nothing }}", "`nothing` is undefined (layout.html, line 1)"),
            (
                "verificaton.txt",
                "Subject: x\n",
                "is not the name of a template: _action.html, account_exists",
            ),
        ] {
            let error = load(name, source).unwrap_err().to_string();
            assert!(error.contains(said) && !error.contains('\n'), "{source}: {error}");
        }
        let error = Templates::load(Some(Path::new("/nowhere")), |_| true).unwrap_err().to_string();
        assert_eq!(error, "/nowhere cannot be read");
    }
}

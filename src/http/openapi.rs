//! The parts that many operations of the OpenAPI document share: the answers that follow from
//! authentication, bodies and stores, the forms of errors, and members that are never null.

use std::collections::HashMap;

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Operation, Parameter};
use utoipa::openapi::schema::{SchemaType, Type};
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{Content, Header, Object, Ref, RefOr, Required, Response, Schema};

use super::error::ErrorForm;
use crate::domain::tokens::scope;
use crate::services::oauth::metadata::path;

/// A time span.
#[derive(Serialize, ToSchema)]
#[allow(dead_code, reason = "describes a member for the documentation")]
#[serde(untagged)]
pub(super) enum Span {
    /// Such as `1h`.
    Text(String),
    /// Whole seconds.
    Seconds(u64),
}

/// These are answered from memory: no store can be missed.
const WITHOUT_STORE: [&str; 7] = [
    path::OPENID_CONFIGURATION,
    path::AUTHORIZATION_SERVER,
    path::JWKS,
    "/health/live",
    "/metrics",
    "/docs",
    "/openapi.json",
];

/// What the last segment of an administrative path names, as the parameter and the answer 404 say it.
const NAMED: [(&str, &str, &str); 3] = [
    ("id", "The user's id", "No user has this id"),
    ("client_id", "The client's id", "No client has this id"),
    ("kid", "The key's name", "No signing key has this `kid`"),
];

/// Adds it to every operation of `document`, whose failures have one of `forms`. What an operation says
/// of a status itself stays.
pub(super) fn complete(
    document: &mut utoipa::openapi::OpenApi,
    forms: &HashMap<&'static str, ErrorForm>,
) {
    for (path, item) in &mut document.paths.paths {
        let form = forms.get(path.as_str()).copied().unwrap_or(ErrorForm::Problem);
        let methods =
            [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.patch];
        for operation in methods.into_iter().flatten() {
            if path.starts_with("/admin/") {
                complete_administrative(operation);
            }
            let caller = Caller::of(operation);
            for (status, description) in usual_answers(path, operation, caller) {
                let answers = &mut operation.responses.responses;
                let usual = || Response::new(description).into();
                answers.entry(status.to_owned()).or_insert_with(usual);
            }
            complete_errors(form, operation, caller);
            drop_nulls(operation);
        }
    }
}

/// The token that an operation of administrators needs, and what its path names.
fn complete_administrative(operation: &mut Operation) {
    operation.security.get_or_insert_with(|| {
        ["user", "service"].map(|name| SecurityRequirement::new(name, [scope::ADMIN])).into()
    });
    for parameter in operation.parameters.iter_mut().flatten() {
        let RefOr::T(parameter) = parameter else { continue };
        if let Some((_, named, unknown)) = NAMED.iter().find(|(name, ..)| *name == parameter.name) {
            parameter.description.get_or_insert_with(|| (*named).to_owned());
            let unknown = || Response::new(*unknown).into();
            operation.responses.responses.entry("404".to_owned()).or_insert_with(unknown);
        }
    }
}

/// How the caller of an operation authenticates.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Caller {
    /// Not at all.
    Anonymous,
    /// By the credentials of a client.
    Client,
    /// By any token whose audience is Signet.
    UserOrClient,
    /// By the token of a user.
    User,
    /// By a token with a scope.
    Scoped,
}

impl Caller {
    fn of(operation: &Operation) -> Self {
        let requirements = serde_json::to_value(&operation.security).unwrap_or_default();
        let named: Vec<(&String, &Value)> = requirements
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_object)
            .flatten()
            .collect();
        let has = |scheme: &str| named.iter().any(|(name, _)| *name == scheme);
        if named.is_empty() {
            Self::Anonymous
        } else if has("client") {
            Self::Client
        } else if named.iter().any(|(_, scopes)| scopes.as_array().is_some_and(|s| !s.is_empty())) {
            Self::Scoped
        } else if has("service") {
            Self::UserOrClient
        } else {
            Self::User
        }
    }

    fn has_token(self) -> bool {
        matches!(self, Self::UserOrClient | Self::User | Self::Scoped)
    }
}

/// Statuses and what they mean, the more telling first where one has two meanings.
fn usual_answers(
    path: &str,
    operation: &Operation,
    caller: Caller,
) -> Vec<(&'static str, &'static str)> {
    let mut answers = Vec::new();
    if operation.request_body.is_some() {
        answers.extend([
            ("400", "The body cannot be read, is in an unsupported charset, or has invalid fields"),
            ("408", "The body did not arrive in time"),
            ("413", "The body is too large"),
            ("415", "The body is of another media type, or compressed"),
        ]);
    }
    match caller {
        Caller::Anonymous | Caller::UserOrClient => {}
        Caller::Client => {
            answers.push(("401", "`invalid_client`: the client was not authenticated"))
        }
        Caller::User => answers.push(("403", "The token was not issued to a user")),
        Caller::Scoped => answers.push((
            "403",
            "The token lacks the scope that this needs, or its user a role that carries it",
        )),
    }
    if caller.has_token() {
        answers.extend([
            ("400", "More than one token was presented"),
            ("401", "The token is missing or not valid"),
        ]);
    }
    if !WITHOUT_STORE.contains(&path) {
        answers.push(("503", "Temporarily unable to answer: try again after `Retry-After`"));
    }
    answers
}

fn complete_errors(form: ErrorForm, operation: &mut Operation, caller: Caller) {
    let (media_type, schema) = match form {
        ErrorForm::Problem => ("application/problem+json", "ProblemBody"),
        ErrorForm::OAuth | ErrorForm::OAuthWithDetail => ("application/json", "ErrorBody"),
    };
    for (status, answer) in &mut operation.responses.responses {
        let RefOr::T(answer) = answer else { continue };
        if status.as_str() < "400" {
            continue;
        }
        let content = || Content::new(Some(Ref::from_schema_name(schema))).into();
        answer.content.entry(media_type.to_owned()).or_insert_with(content);
        let (name, header) = match status.as_str() {
            "401" if caller == Caller::Client => {
                ("WWW-Authenticate", header(Type::String, "Where the client tried the header"))
            }
            "401" | "403" if caller.has_token() => {
                ("WWW-Authenticate", header(Type::String, "The challenge (RFC 6750 section 3)"))
            }
            "429" | "503" => ("Retry-After", header(Type::Integer, "Seconds")),
            _ => continue,
        };
        answer.headers.insert(name.to_owned(), header.into());
    }
}

fn header(schema_type: Type, description: &str) -> Header {
    let schema = Object::with_type(schema_type);
    HeaderBuilder::new().schema(Some(schema)).description(Some(description)).build()
}

/// There is no null in an address or a form, and a body that may be absent is not null either: what
/// is optional there is left out.
fn drop_nulls(operation: &mut Operation) {
    for parameter in operation.parameters.iter_mut().flatten() {
        if let RefOr::T(Parameter { schema: Some(RefOr::T(schema)), .. }) = parameter {
            drop_null(schema);
        }
    }
    let Some(RefOr::T(body)) = &mut operation.request_body else { return };
    for (media_type, content) in &mut body.content {
        let RefOr::T(Content { schema: Some(schema), .. }) = content else { continue };
        if body.required != Some(Required::True)
            && let RefOr::T(Schema::OneOf(one_of)) = schema
            && let Some(position) = one_of.items.iter().position(|item| !is_null(item))
        {
            *schema = one_of.items.swap_remove(position);
        }
        if media_type == "application/x-www-form-urlencoded"
            && let RefOr::T(Schema::Object(object)) = schema
        {
            for property in object.properties.values_mut() {
                if let RefOr::T(property) = property {
                    drop_null(property);
                }
            }
        }
    }
}

fn is_null(schema: &RefOr<Schema>) -> bool {
    matches!(
        schema,
        RefOr::T(Schema::Object(Object { schema_type: SchemaType::Type(Type::Null), .. }))
    )
}

fn drop_null(schema: &mut Schema) {
    let schema_type = match schema {
        Schema::Object(object) => &mut object.schema_type,
        Schema::Array(array) => &mut array.schema_type,
        _ => return,
    };
    if let SchemaType::Array(types) = schema_type {
        types.retain(|known| *known != Type::Null);
        if let [only] = &types[..] {
            *schema_type = SchemaType::Type(only.clone());
        }
    }
}

//! Forms: the parameters of the OAuth endpoints and of `/login`.

use std::collections::{HashMap, HashSet};

use actix_web::HttpRequest;
use actix_web::http::header;
use actix_web::web::Payload;
use serde_json::{Value, json};

use super::super::{BodyError, MAX_BODY, MediaType, body, read};
use super::{Body, Fields};
use crate::base::secret::Secret;
use crate::domain::clients::authentication::form_decode;

const MAX_PARAMETERS: usize = 64;

/// The one parameter that may be repeated (RFC 8707 section 2), and so is a list.
const REPEATABLE: &str = "resource";

/// Reads the form of `request`. A parameter without a value counts as absent (RFC 6749 section 3.2);
/// the endpoint says when one that it requires is missing. Fails where the request has neither a media
/// type nor a body, so that such a request is `invalid_request` before its client is authenticated.
pub(crate) async fn read_form<B: Body>(
    request: &HttpRequest,
    payload: Payload,
) -> Result<B, BodyError> {
    if !request.headers().contains_key(header::CONTENT_TYPE) {
        let text = read(request, payload, MAX_BODY).await?;
        return match text.expose().is_empty() {
            true => Err(BodyError::Absent),
            false => Err(BodyError::WrongType(&[MediaType::Form])),
        };
    }
    let (text, charset) = body(request, payload, &[MediaType::Form], MAX_BODY).await?;
    let parameters = parse(text.expose())?;
    for (name, value) in &parameters {
        charset.check(name)?;
        charset.check(value.expose())?;
    }
    Ok(fields(parameters).body())
}

fn parse(text: &str) -> Result<Vec<(String, Secret<String>)>, BodyError> {
    let mut parameters = Vec::new();
    let mut seen = HashSet::new();
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (name, value) = (decode(name)?, decode(value)?);
        if name != REPEATABLE && !seen.insert(name.clone()) {
            return Err(BodyError::Malformed("a parameter is repeated"));
        }
        if parameters.len() == MAX_PARAMETERS {
            return Err(BodyError::Malformed("there are too many parameters"));
        }
        parameters.push((name, Secret::new(value)));
    }
    Ok(parameters)
}

fn decode(text: &str) -> Result<String, BodyError> {
    form_decode(text).ok_or(BodyError::Malformed("a parameter is not UTF-8"))
}

fn fields(parameters: Vec<(String, Secret<String>)>) -> Fields {
    let mut members: HashMap<String, Value> = HashMap::new();
    for (name, value) in parameters {
        let text = value.expose();
        if text.is_empty() {
            continue;
        }
        let value = Value::String(text.clone());
        if name != REPEATABLE {
            members.insert(name, value);
        } else if let Value::Array(values) = members.entry(name).or_insert_with(|| json!([])) {
            values.push(value);
        }
    }
    Fields { members, errors: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::extract::Member;

    #[test]
    fn forms_are_read_strictly() {
        let read = |text: &str| parse(text).map(fields);
        let mut form = read("a=1&b=x+y%21&empty=&resource=r1&resource=r2&resource=&flag").unwrap();
        for (name, value) in
            [("a", Some("1")), ("b", Some("x y!")), ("empty", None), ("flag", None)]
        {
            assert_eq!(String::read(&mut form, name).as_deref(), value, "{name}");
        }
        assert_eq!(Vec::read(&mut form, "resource").unwrap(), ["r1", "r2"]);
        assert!(parse("a=1&a=1").is_err());
        assert!(parse("a=1&%61=2").is_err(), "the same name in another spelling");
        assert!(parse("a=%ff").is_err(), "not UTF-8");
        let many: Vec<_> = (0..65).map(|n| format!("p{n}=x")).collect();
        assert!(parse(&many.join("&")).is_err());
    }
}

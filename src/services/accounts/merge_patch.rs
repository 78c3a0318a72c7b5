//! JSON Merge Patch (RFC 7396), for what an application keeps of a user.

use serde_json::Value;

use crate::domain::users::Metadata;

/// Changes `metadata`: members of `patch` replace those of the same name, null removes them, and
/// objects are changed member by member.
pub(crate) fn merge_patch(metadata: &mut Metadata, patch: &Metadata) {
    for (name, value) in patch {
        match value {
            Value::Null => drop(metadata.remove(name)),
            Value::Object(inner) => {
                let mut merged = match metadata.remove(name) {
                    Some(Value::Object(present)) => present,
                    _ => Metadata::new(),
                };
                merge_patch(&mut merged, inner);
                metadata.insert(name.clone(), Value::Object(merged));
            }
            value => drop(metadata.insert(name.clone(), value.clone())),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn patches_are_merged_as_rfc_7396_has_it() {
        // Of the examples in its appendix A, those with objects.
        for (present, patch, merged) in [
            (json!({ "a": "b" }), json!({ "a": "c" }), json!({ "a": "c" })),
            (json!({ "a": "b" }), json!({ "b": "c" }), json!({ "a": "b", "b": "c" })),
            (json!({ "a": "b" }), json!({ "a": null }), json!({})),
            (json!({ "a": ["b"] }), json!({ "a": "c" }), json!({ "a": "c" })),
            (json!({ "a": "c" }), json!({ "a": ["b"] }), json!({ "a": ["b"] })),
            (
                json!({ "a": { "b": "c" } }),
                json!({ "a": { "b": "d", "c": null } }),
                json!({ "a": { "b": "d" } }),
            ),
            (json!({ "e": null }), json!({ "a": 1 }), json!({ "e": null, "a": 1 })),
            (json!({}), json!({ "a": { "bb": { "c": null } } }), json!({ "a": { "bb": {} } })),
        ] {
            let object = |value: &Value| value.as_object().cloned().unwrap_or_default();
            let mut metadata = object(&present);
            merge_patch(&mut metadata, &object(&patch));
            assert_eq!(metadata, object(&merged), "{present} {patch}");
        }
    }
}

//! The API server's rules for `metadata`: what a writer may not change, and which names are names
//! (apimachinery `api/validation/objectmeta.go`, `util/validation`).

use std::collections::BTreeSet;

use breakwater_engine::ports::ClusterError;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Map, Value};

/// All annotations of an object together, keys and values, in bytes.
const ANNOTATIONS_MAX: usize = 256 * 1024;

/// What only the server writes. A writer's own values are passed over, as they are on update.
const SERVERS_OWN: [&str; 5] = ["resourceVersion", "generation", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"];

/// Brings `metadata` into the form the server stores: only known fields, no empty lists or maps.
///
/// # Errors
/// When a field has the wrong type.
pub fn normalise(object: &mut Value) -> Result<(), ClusterError> {
    let refused = |error: serde_json::Error| ClusterError::Refused(format!("metadata cannot be decoded: {error}"));
    let metadata = std::mem::replace(&mut object["metadata"], Value::Null);
    let metadata: ObjectMeta = serde_json::from_value(metadata).map_err(refused)?;
    let mut metadata = serde_json::to_value(metadata).map_err(refused)?;
    if let Value::Object(fields) = &mut metadata {
        fields.retain(|_, field| !field.as_array().is_some_and(Vec::is_empty) && !field.as_object().is_some_and(Map::is_empty));
    }
    object["metadata"] = metadata;
    Ok(())
}

/// Puts back what a writer may not change.
///
/// # Errors
/// `Refused` when the writer names another object, or adds a finalizer after deletion began; `Conflict` when it names another
/// uid (the server takes that for a precondition).
pub fn keep_servers_own(new: &mut Value, old: &Value) -> Result<(), ClusterError> {
    for field in ["name", "namespace"] {
        if new["metadata"][field] != old["metadata"][field] {
            return Err(ClusterError::Refused(format!("metadata.{field}: Invalid value: field is immutable")));
        }
    }
    for field in ["apiVersion", "kind"] {
        if new[field] != old[field] {
            return Err(ClusterError::Refused(format!("{field}: the {field} in the data does not match the object's")));
        }
    }
    match new["metadata"].get("uid") {
        Some(uid) if *uid != old["metadata"]["uid"] => return Err(ClusterError::Conflict),
        _ => new["metadata"]["uid"] = old["metadata"]["uid"].clone(),
    }
    for field in SERVERS_OWN {
        match old["metadata"].get(field) {
            Some(value) => new["metadata"][field] = value.clone(),
            None => drop(new["metadata"].as_object_mut().and_then(|fields| fields.remove(field))),
        }
    }
    if is_deleting(old) {
        let held: BTreeSet<&str> = finalizers(old).collect();
        let added: Vec<&str> = finalizers(new).filter(|finalizer| !held.contains(finalizer)).collect();
        if !added.is_empty() {
            return Err(ClusterError::Refused(format!(
                "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers {added:?}"
            )));
        }
    }
    Ok(())
}

/// Whether deletion began.
#[must_use]
pub fn is_deleting(object: &Value) -> bool {
    object["metadata"].get("deletionTimestamp").is_some()
}

/// The object's finalizers.
pub fn finalizers(object: &Value) -> impl Iterator<Item = &str> {
    object["metadata"]["finalizers"].as_array().into_iter().flatten().filter_map(Value::as_str)
}

/// Everything about the names in `metadata` that the server would not take.
#[must_use]
pub fn errors(object: &Value) -> Vec<String> {
    let metadata = &object["metadata"];
    let mut errors = Vec::new();
    let mut refuse = |bad: bool, what: String| {
        if bad {
            errors.push(what);
        }
    };
    let name = metadata["name"].as_str().unwrap_or_default();
    refuse(
        !is_subdomain(name),
        format!("metadata.name: Invalid value: {name:?}: a lowercase RFC 1123 subdomain of at most 253 characters"),
    );
    for (key, value) in entries(&metadata["labels"]) {
        refuse(!is_qualified(key), format!("metadata.labels: Invalid value: {key:?}: not a qualified name"));
        refuse(!value.is_empty() && !is_word(value), format!("metadata.labels: Invalid value: {value:?}: at most 63 of [A-Za-z0-9-_.]"));
    }
    for (key, _) in entries(&metadata["annotations"]) {
        refuse(!is_qualified(&key.to_lowercase()), format!("metadata.annotations: Invalid value: {key:?}: not a qualified name"));
    }
    let size: usize = entries(&metadata["annotations"]).map(|(key, value)| key.len() + value.len()).sum();
    refuse(size > ANNOTATIONS_MAX, format!("metadata.annotations: Too long: may not be more than {ANNOTATIONS_MAX} bytes"));
    for finalizer in finalizers(object) {
        refuse(!is_qualified(finalizer), format!("metadata.finalizers: Invalid value: {finalizer:?}: not a qualified name"));
    }
    let owners = metadata["ownerReferences"].as_array().map(Vec::as_slice).unwrap_or_default();
    for (index, owner) in owners.iter().enumerate() {
        for field in ["apiVersion", "kind", "name", "uid"] {
            refuse(
                owner[field].as_str().is_none_or(str::is_empty),
                format!("metadata.ownerReferences[{index}].{field}: must not be empty"),
            );
        }
    }
    let controllers = owners.iter().filter(|owner| owner["controller"] == true).count();
    refuse(controllers > 1, "metadata.ownerReferences: Only one reference can have Controller set to true".to_owned());
    errors
}

fn entries(map: &Value) -> impl Iterator<Item = (&str, &str)> {
    map.as_object().into_iter().flatten().map(|(key, value)| (key.as_str(), value.as_str().unwrap_or_default()))
}

fn is_subdomain(name: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    name.len() <= 253 && name.split('.').all(label)
}

fn is_word(word: &str) -> bool {
    let ends = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = word.as_bytes();
    bytes.len() <= 63
        && ends(bytes.first())
        && ends(bytes.last())
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}

/// `name`, or `prefix/name` with a DNS subdomain before the slash.
fn is_qualified(name: &str) -> bool {
    match name.split_once('/') {
        Some((prefix, name)) => is_subdomain(prefix) && is_word(name),
        None => is_word(name),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_that_kubernetes_would_not_take_are_refused() {
        let long = "a".repeat(64);
        let cases = [
            (json!({"name": "ok.name-1"}), ""),
            (json!({"name": "Upper"}), "metadata.name"),
            (json!({"name": "a..b"}), "metadata.name"),
            (json!({"name": "a".repeat(254)}), "metadata.name"),
            (json!({"name": "a", "labels": {"breakwater.dev/x": "Some_Value.1"}}), ""),
            (json!({"name": "a", "labels": {"x": "/subscriptions/s"}}), "metadata.labels"),
            (json!({"name": "a", "labels": {"x": long}}), "metadata.labels"),
            (json!({"name": "a", "annotations": {"a b": ""}}), "metadata.annotations"),
            (json!({"name": "a", "annotations": {"a": "x".repeat(ANNOTATIONS_MAX)}}), "metadata.annotations: Too long"),
            (json!({"name": "a", "finalizers": ["-"]}), "metadata.finalizers"),
            (
                json!({"name": "a", "ownerReferences": [{"apiVersion": "v1", "kind": "K", "name": "n", "uid": ""}]}),
                "metadata.ownerReferences[0].uid",
            ),
        ];
        for (metadata, wrong) in cases {
            let errors = errors(&json!({"metadata": metadata}));
            let fits = if wrong.is_empty() { errors.is_empty() } else { errors.len() == 1 && errors[0].starts_with(wrong) };
            assert!(fits, "{wrong}: {errors:?}");
        }
    }

    #[test]
    fn metadata_is_stored_without_what_nobody_knows_and_without_empty_lists() {
        let mut object = json!({"metadata": {"name": "a", "colour": "red", "finalizers": [], "labels": {}}});
        normalise(&mut object).expect("decodes");
        assert_eq!(object, json!({"metadata": {"name": "a"}}));
    }
}

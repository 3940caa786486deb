//! The ARM ids that a request names, wherever they hide.

use serde_json::Value;

use super::read_path;
use crate::{
    id::{IdError, ResourceId},
    wire::Method::Get,
};

/// Every ARM id in a path and a body, however deep: in values, in the keys of objects, inside longer texts and in
/// URLs. The first is the path's resource.
///
/// # Errors
/// A text that looks like an ARM id and is none: the request must not be sent.
pub fn ids_in(path: &str, body: Option<&Value>) -> Result<Vec<ResourceId>, IdError> {
    let (target, ..) = read_path(Get, path).ok_or_else(|| IdError::NoSubscription(path.to_owned()))?;
    let mut found = vec![target];
    if let Some(body) = body {
        walk(body, &mut found)?;
    }
    Ok(found)
}

fn walk(value: &Value, found: &mut Vec<ResourceId>) -> Result<(), IdError> {
    match value {
        Value::String(text) => ids_of_text(text, found),
        Value::Array(values) => values.iter().try_for_each(|v| walk(v, found)),
        Value::Object(fields) => fields.iter().try_for_each(|(key, v)| {
            ids_of_text(key, found)?;
            walk(v, found)
        }),
        _ => Ok(()),
    }
}

/// What ends an id inside a longer text.
const ENDS_AN_ID: &str = "\"'`<>,|{}[]?#&\\";

fn ids_of_text(text: &str, found: &mut Vec<ResourceId>) -> Result<(), IdError> {
    let decoded = percent_encoding::percent_decode_str(text).decode_utf8_lossy();
    let lower = decoded.to_ascii_lowercase();
    if lower.starts_with("/subscriptions/") {
        found.push(text.parse()?);
        return Ok(());
    }
    if lower.starts_with("subscriptions/") || lower.starts_with("/providers/") || lower == "/subscriptions" {
        return Err(IdError::NoSubscription(text.to_owned()));
    }
    let mut from = 0;
    while let Some(at) = lower[from..].find("/subscriptions/").map(|at| from + at) {
        let rest = &decoded[at..];
        let end = rest.find(|c: char| c.is_whitespace() || c.is_control() || ENDS_AN_ID.contains(c)).unwrap_or(rest.len());
        found.push(rest[..end].parse()?);
        from = at + end;
    }
    Ok(())
}

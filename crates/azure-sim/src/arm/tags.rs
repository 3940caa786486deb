//! Tags: kept by Resource Manager for every resource, within its bounds (compute-and-arm.md E.8).

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{
    arm::errors,
    model::Model,
    path::Target,
    wire::{Inbound, Reply},
    world::World,
};

/// How many tags a resource may carry.
pub const MOST_TAGS: usize = 50;
/// How long a tag's name may be.
pub const LONGEST_NAME: usize = 512;
/// How long a tag's value may be.
pub const LONGEST_VALUE: usize = 256;

/// Reads a `tags` object. A value that is no string is refused as ARM does, and so is what breaks the bounds.
pub fn read(tags: &Value) -> Result<BTreeMap<String, String>, Reply> {
    let read = parse(tags)?;
    check(&read)?;
    Ok(read)
}

/// The same without the bounds.
pub fn parse(tags: &Value) -> Result<BTreeMap<String, String>, Reply> {
    let Some(fields) = tags.as_object() else { return Err(errors::invalid_content("The 'tags' property must be an object.")) };
    let mut read: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in fields {
        let value = match value {
            Value::String(text) => text.clone(),
            Value::Null => String::new(),
            _ => return Err(errors::invalid_content(format!("The value of tag '{name}' must be a string."))),
        };
        put(&mut read, name, value);
    }
    Ok(read)
}

/// Names are compared without case; the spelling first stored stays.
fn put(tags: &mut BTreeMap<String, String>, name: &str, value: String) {
    let held = tags.keys().find(|held| held.eq_ignore_ascii_case(name)).cloned();
    tags.insert(held.unwrap_or_else(|| name.to_owned()), value);
}

fn check(tags: &BTreeMap<String, String>) -> Result<(), Reply> {
    if tags.len() > MOST_TAGS {
        let message = format!("The number of tags '{}' on the resource exceeds the maximum of '{MOST_TAGS}'.", tags.len());
        return Err(errors::gateway(400, "InvalidTagCount", message));
    }
    for (name, value) in tags {
        if name.is_empty() || name.len() > LONGEST_NAME {
            let message = format!("Tag name '{name}' must be between 1 and {LONGEST_NAME} characters.");
            return Err(errors::gateway(400, "InvalidTagNameLength", message));
        }
        if name.contains(['<', '>', '%', '&', '\\', '?', '/']) {
            let message = format!("The tag name '{name}' has reserved characters '<,>,%,&,\\,?,/' or control characters.");
            return Err(errors::gateway(400, "InvalidTagNameCharacters", message));
        }
        if value.len() > LONGEST_VALUE {
            let message = format!(
                "Tag value too large. Following tag value '{value}' exceeded the maximum length. Maximum allowed length for tag value - '{LONGEST_VALUE}' characters."
            );
            return Err(errors::gateway(400, "TagValueTooLarge", message));
        }
    }
    Ok(())
}

/// Refuses a body whose `tags` break the bounds.
pub fn check_body(body: &Value) -> Result<(), Reply> {
    match body.get("tags") {
        Some(tags) if !tags.is_null() => read(tags).map(drop),
        _ => Ok(()),
    }
}

/// Stores a body's tags, already checked: a PUT without tags clears them, a PATCH without tags leaves them.
pub fn take_from_body(world: &mut World, id: &str, req: &Inbound) {
    let key = id.to_ascii_lowercase();
    match req.body.get("tags").filter(|tags| !tags.is_null()).map(read) {
        Some(Ok(tags)) => drop(world.tags.insert(key, tags)),
        Some(Err(_)) => {}
        None if req.method == "PUT" => drop(world.tags.remove(&key)),
        None => {}
    }
}

/// `$filter=tagName eq 'x' and tagValue eq 'y'` on lists of groups.
pub fn filter_admits(world: &World, id: &str, req: &Inbound) -> bool {
    let filter = req.query.get("$filter").map_or("", String::as_str);
    let wanted = |word: &str| filter_value(filter, word);
    let Some(name) = wanted("tagName") else { return true };
    let tags = world.tags.get(&id.to_ascii_lowercase());
    let held = tags.and_then(|tags| tags.iter().find(|(held, _)| held.eq_ignore_ascii_case(&name)).map(|(_, value)| value));
    held.is_some_and(|held| wanted("tagValue").is_none_or(|value| *held == value))
}

/// The value of `word eq 'value'` in a filter.
pub fn filter_value(filter: &str, word: &str) -> Option<String> {
    let terms = filter.split(" and ").map(str::trim);
    terms
        .filter_map(|term| term.split_once(" eq "))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case(word))
        .map(|(_, value)| value.trim().trim_matches('\'').replace("''", "'"))
}

/// Answers `{id}/providers/Microsoft.Resources/tags/default`.
pub fn handle(model: &mut Model, req: &Inbound, target: &Target) -> Reply {
    let scope = target.scope_id();
    if !target.names.first().is_some_and(|name| name.eq_ignore_ascii_case("default")) {
        return errors::not_implemented(&req.method, &req.raw_path());
    }
    if let Err(refusal) = model.scope_exists(&target.scope) {
        return refusal;
    }
    let key = scope.to_ascii_lowercase();
    let mut held = model.world.tags.get(&key).cloned().unwrap_or_default();
    match req.method.as_str() {
        "GET" => {}
        "DELETE" => {
            model.world.tags.remove(&key);
            return Reply::empty(200);
        }
        "PUT" | "PATCH" => {
            let sent = match read(req.body.pointer("/properties/tags").unwrap_or(&json!({}))) {
                Ok(sent) => sent,
                Err(refusal) => return refusal,
            };
            let operation = if req.method == "PUT" { "Replace" } else { req.body["operation"].as_str().unwrap_or_default() };
            match operation.to_ascii_lowercase().as_str() {
                "replace" => held = sent,
                "merge" => sent.into_iter().for_each(|(name, value)| put(&mut held, &name, value)),
                "delete" => held.retain(|name, value| !sent.iter().any(|(n, v)| n.eq_ignore_ascii_case(name) && v == value)),
                other => return errors::gateway(400, "InvalidTagsOperation", format!("The tags patch operation '{other}' is not valid.")),
            }
            if let Err(refusal) = check(&held) {
                return refusal;
            }
            model.world.tags.insert(key.clone(), held.clone());
            let now = model.world.now;
            if let Some(resource) = model.world.resource_mut(&key) {
                resource.changed = now;
            }
        }
        other => return errors::method_not_allowed(other),
    }
    let id = format!("{scope}/providers/Microsoft.Resources/tags/default");
    Reply::json(200, json!({"id": id, "name": "default", "type": "Microsoft.Resources/tags", "properties": {"tags": held}}))
}

//! `/subscriptions/{s}/tagNames`: every tag of a subscription, counted, and names that were put there ahead of use.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::{
    arm::errors,
    wire::{Inbound, Reply},
    world::World,
};

/// Names with values that may be used, by lower-case subscription.
pub type Predefined = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

/// Answers a request; the path is `subscriptions/{s}/tagNames[/{name}[/tagValues/{value}]]`.
pub fn handle(world: &mut World, req: &Inbound) -> Reply {
    let subscription = req.path.get(1).map_or("", String::as_str);
    let (name, value) = (req.path.get(3), req.path.get(5));
    match (req.method.as_str(), name, value) {
        ("GET", None, _) => Reply::json(200, json!({"value": list(world, subscription)})),
        ("PUT", Some(name), value) => put(world, subscription, name, value),
        ("DELETE", Some(name), value) => delete(world, subscription, name, value),
        (method, ..) => errors::method_not_allowed(method),
    }
}

/// How often each value of a name is used in a subscription; names are compared without case, the first spelling stays.
fn used(world: &World, subscription: &str) -> BTreeMap<String, BTreeMap<String, usize>> {
    let scope = format!("/subscriptions/{}/", subscription.to_ascii_lowercase());
    let mut names: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
    for (name, value) in world.tags.iter().filter(|(id, _)| id.starts_with(&scope)).flat_map(|(_, tags)| tags) {
        let held = names.keys().find(|held| held.eq_ignore_ascii_case(name)).cloned();
        let values = names.entry(held.unwrap_or_else(|| name.clone())).or_default();
        *values.entry(value.clone()).or_default() += 1;
    }
    let ahead = world.tag_names.get(&subscription.to_ascii_lowercase()).into_iter().flatten();
    for (name, values) in ahead {
        let held = names.keys().find(|held| held.eq_ignore_ascii_case(name)).cloned();
        let shown = names.entry(held.unwrap_or_else(|| name.clone())).or_default();
        for value in values {
            shown.entry(value.clone()).or_default();
        }
    }
    names
}

fn list(world: &World, subscription: &str) -> Vec<Value> {
    used(world, subscription).iter().map(|(name, values)| show(subscription, name, values)).collect()
}

fn show(subscription: &str, name: &str, values: &BTreeMap<String, usize>) -> Value {
    let id = format!("/subscriptions/{subscription}/tagNames/{name}");
    let total: usize = values.values().sum();
    let shown: Vec<Value> = values.iter().map(|(value, count)| show_value(&id, value, *count)).collect();
    json!({"id": id, "tagName": name, "count": {"type": "Total", "value": total}, "values": shown})
}

fn show_value(name_id: &str, value: &str, count: usize) -> Value {
    json!({"id": format!("{name_id}/tagValues/{value}"), "tagValue": value, "count": {"type": "Total", "value": count}})
}

fn put(world: &mut World, subscription: &str, name: &str, value: Option<&String>) -> Reply {
    let names = world.tag_names.entry(subscription.to_ascii_lowercase()).or_default();
    let is_new = !names.contains_key(name);
    let values = names.entry(name.to_owned()).or_default();
    let is_new = value.map_or(is_new, |value| values.insert(value.clone()));
    let status = if is_new { 201 } else { 200 };
    let counts = used(world, subscription).remove(name).unwrap_or_default();
    match value {
        None => Reply::json(status, show(subscription, name, &counts)),
        Some(value) => {
            let id = format!("/subscriptions/{subscription}/tagNames/{name}");
            Reply::json(status, show_value(&id, value, counts.get(value).copied().unwrap_or(0)))
        }
    }
}

/// What resources carry cannot be deleted here; the code of that refusal is a guess.
fn delete(world: &mut World, subscription: &str, name: &str, value: Option<&String>) -> Reply {
    let counts = used(world, subscription).remove(name).unwrap_or_default();
    let in_use = value.map_or_else(|| counts.values().sum::<usize>(), |value| counts.get(value).copied().unwrap_or(0));
    if in_use > 0 {
        return errors::gateway(409, "TagInUse", format!("The tag '{name}' is used by {in_use} resources and cannot be deleted."));
    }
    let Some(names) = world.tag_names.get_mut(&subscription.to_ascii_lowercase()) else { return Reply::empty(204) };
    let removed = match value {
        None => names.remove(name).is_some(),
        Some(value) => names.get_mut(name).is_some_and(|values| values.remove(value)),
    };
    Reply::empty(if removed { 200 } else { 204 })
}

//! `/subscriptions/{s}/resources` and `{rg}/resources`: ARM's own list of everything, in pages (compute-and-arm.md F.4).

use serde_json::{Value, json};

use crate::{
    arm::{
        errors,
        operations::long_time,
        paging,
        tags::{filter_admits, filter_value},
    },
    model::Model,
    path::{Target, joined},
    wire::{Inbound, Reply},
    world::{Kind, Resource, World},
};

/// Lists what a subscription or a group holds and the caller may read.
pub fn list(model: &Model, req: &Inbound, target: &Target) -> Reply {
    if req.method != "GET" {
        return errors::method_not_allowed(&req.method);
    }
    let filter = req.query.get("$filter").cloned().unwrap_or_default();
    const TERMS: [&str; 5] = ["resourcetype", "tagname", "tagvalue", "name", "resourcegroup"];
    let known = |term: &str| term.split_once(" eq ").is_some_and(|(word, _)| TERMS.contains(&word.trim().to_ascii_lowercase().as_str()));
    if !filter.trim().is_empty() && !filter.split(" and ").all(|term| known(term.trim())) {
        return errors::not_implemented("GET", &format!("{} with $filter={filter}", req.raw_path()));
    }
    let scope = joined(&req.path[..req.path.len() - 1]);
    let expand = req.query.get("$expand").map(|words| words.to_ascii_lowercase()).unwrap_or_default();
    let mut items = model.vaults(target, &expand);
    let world = &model.world;
    for kind in Kind::ALL.into_iter().filter(|kind| *kind != Kind::Subnet) {
        items.extend(world.below(&scope, kind).into_iter().map(|found| summary(world, found, &expand)));
    }
    let wanted = |word: &str| filter_value(&filter, word);
    let (kind, name, group) = (wanted("resourceType"), wanted("name"), wanted("resourceGroup"));
    let text = |item: &Value, field: &str| item[field].as_str().unwrap_or_default().to_owned();
    items.retain(|item| kind.as_ref().is_none_or(|kind| text(item, "type").eq_ignore_ascii_case(kind)));
    items.retain(|item| name.as_ref().is_none_or(|name| text(item, "name").eq_ignore_ascii_case(name)));
    items.retain(|item| {
        group.as_ref().is_none_or(|group| text(item, "id").split('/').nth(4).is_some_and(|found| found.eq_ignore_ascii_case(group)))
    });
    items.retain(|item| filter_admits(world, &text(item, "id"), req));
    items.retain(|item| world.access.may(&req.caller.object_id, &format!("{}/read", text(item, "type")), &text(item, "id")));
    items.sort_by_key(|item| text(item, "id").to_ascii_lowercase());
    paging::page(items, req, world.settings.pages.resources)
}

fn summary(world: &World, resource: &Resource, expand: &str) -> Value {
    let full = world.show(resource);
    let mut item = json!({"id": full["id"], "name": full["name"], "type": full["type"], "location": full["location"]});
    for field in ["tags", "sku", "zones", "identity", "plan", "managedBy", "kind"] {
        if let Some(value) = full.get(field) {
            item[field] = value.clone();
        }
    }
    let state = full["properties"]["provisioningState"].clone();
    for (word, value) in [
        ("createdTime", json!(long_time(resource.created))),
        ("changedTime", json!(long_time(resource.changed))),
        ("provisioningState", state),
    ] {
        if expand.contains(&word.to_ascii_lowercase()) {
            item[word] = value;
        }
    }
    item
}

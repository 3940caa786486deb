//! `/subscriptions/{s}/resources` and `{rg}/resources`: ARM's own list of everything, 1,000 a page (compute-and-arm.md F.4).

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use crate::{
    arm::{
        errors,
        operations::long_time,
        tags::{filter_admits, filter_value},
    },
    model::Model,
    path::{Target, joined},
    wire::{Inbound, Reply},
    world::{Kind, Resource, World},
};

/// Items a page (recorded: resources_list__200_page_of_1000_nextlink).
pub const PAGE: usize = 1_000;

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
    page(items, req)
}

fn page(items: Vec<Value>, req: &Inbound) -> Reply {
    let from =
        req.query.get("$skiptoken").and_then(|token| STANDARD_NO_PAD.decode(token).ok()).and_then(|bytes| String::from_utf8(bytes).ok());
    let top = req.query.get("$top").and_then(|top| top.parse().ok()).unwrap_or(PAGE).clamp(1, PAGE);
    let start = from.map_or(0, |last| items.partition_point(|item| item["id"].as_str().unwrap_or_default().to_ascii_lowercase() <= last));
    let value: Vec<Value> = items.iter().skip(start).take(top).cloned().collect();
    let mut body = json!({"value": value});
    if start + value.len() < items.len()
        && let Some(last) = value.last()
    {
        let token = STANDARD_NO_PAD.encode(last["id"].as_str().unwrap_or_default().to_ascii_lowercase());
        let kept = req.query.iter().filter(|(name, _)| *name != "$skiptoken");
        let pairs: String = kept.map(|(name, value)| format!("{}={}&", encoded(name), encoded(value))).collect();
        body["nextLink"] = json!(format!("{}{}?{pairs}%24skiptoken={}", req.origin, req.raw_path(), encoded(&token)));
    }
    Reply::json(200, body)
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string().replace("%2D", "-")
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

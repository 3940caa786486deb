//! `/subscriptions/{s}/resources` and `{rg}/resources`: ARM's own list of everything, in pages (compute-and-arm.md F.4).

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{
    arm::{
        errors,
        filter::{Filter, Seen},
        operations::long_time,
        paging,
    },
    model::Model,
    path::{Target, joined},
    wire::{Inbound, Reply},
    world::{Kind, Resource, World},
};

/// One line of the list, not yet shown.
enum Found<'a> {
    Kept(&'a Resource),
    Vault(Value),
}

impl Found<'_> {
    fn id(&self) -> &str {
        match self {
            Found::Kept(resource) => &resource.id,
            Found::Vault(shown) => shown["id"].as_str().unwrap_or_default(),
        }
    }

    fn kind(&self) -> &str {
        match self {
            Found::Kept(resource) => resource.kind.type_name(),
            Found::Vault(shown) => shown["type"].as_str().unwrap_or_default(),
        }
    }

    fn location(&self) -> &str {
        match self {
            Found::Kept(resource) => resource.text("/location"),
            Found::Vault(shown) => shown["location"].as_str().unwrap_or_default(),
        }
    }
}

/// Lists what a subscription or a group holds and the caller may read.
pub fn list(model: &Model, req: &Inbound, target: &Target) -> Reply {
    if req.method != "GET" {
        return errors::method_not_allowed(&req.method);
    }
    let asked = req.query.get("$filter").map_or("", String::as_str);
    let Some(filter) = Filter::read(asked) else {
        return errors::not_implemented("GET", &format!("{} with $filter={asked}", req.raw_path()));
    };
    let (scope, after) = (joined(&req.path[..req.path.len() - 1]), paging::after(req));
    let expand = req.query.get("$expand").map(|words| words.to_ascii_lowercase()).unwrap_or_default();
    let world = &model.world;
    let listed = everything(model, target, (&scope, after.as_deref()), filter.is("resourcetype"), &expand).filter(|found| {
        let tags = world.tags.get(&found.id().to_ascii_lowercase());
        filter.admits(&Seen { id: found.id(), kind: found.kind(), location: found.location(), tags })
            && world.access.may(&req.caller.object_id, &format!("{}/read", found.kind()), found.id())
    });
    paging::page_of(listed, req, world.settings.pages.resources, |found| match found {
        Found::Kept(resource) => summary(world, resource, &expand),
        Found::Vault(shown) => shown,
    })
}

/// What may be on the page, in order of id: of one type where the filter names one, so that the rest is not looked at.
fn everything<'a>(
    model: &'a Model,
    target: &Target,
    (scope, after): (&str, Option<&str>),
    kind: Option<&str>,
    expand: &str,
) -> impl Iterator<Item = Found<'a>> + use<'a> {
    let one = kind.and_then(|kind| Kind::ALL.into_iter().find(|known| known.type_name().eq_ignore_ascii_case(kind)));
    let kept: Box<dyn Iterator<Item = &Resource>> = match one {
        Some(kind) => Box::new(model.world.page_of(scope, kind, after)),
        // Another type than those: the vaults'.
        None if kind.is_some() => Box::new(std::iter::empty()),
        None => Box::new(model.world.all_below(scope, after)),
    };
    let mut kept = kept.filter(|resource| resource.kind != Kind::Subnet).peekable();
    let key = |vault: &Value| vault["id"].as_str().unwrap_or_default().to_ascii_lowercase();
    let vaults: BTreeMap<String, Value> = model.vaults(target, expand).into_iter().map(|vault| (key(&vault), vault)).collect();
    let mut vaults =
        vaults.into_iter().filter(|(key, _)| after.is_none_or(|after| key.as_str() > after)).collect::<Vec<_>>().into_iter().peekable();
    std::iter::from_fn(move || match (kept.peek(), vaults.peek()) {
        (Some(resource), Some((key, _))) if resource.id.to_ascii_lowercase() < *key => kept.next().map(Found::Kept),
        (Some(_), None) => kept.next().map(Found::Kept),
        _ => vaults.next().map(|(_, vault)| Found::Vault(vault)),
    })
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

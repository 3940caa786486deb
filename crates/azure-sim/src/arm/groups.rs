//! Resource groups: PUT is synchronous, DELETE a chain of `Location` headers (compute-and-arm.md E.3, I.1).

use serde_json::{Value, json};

use crate::{
    arm::{
        errors,
        operations::{Announce, Effect, Family, Start},
        subscriptions::{REGIONS, is_region},
        tags,
    },
    path::{Target, canonical_location},
    wire::{Inbound, Reply},
    world::{Group, Resource, World},
};

/// Answers `/subscriptions/{s}/resourceGroups…`, in both spellings.
pub fn handle(world: &mut World, req: &Inbound, target: &Target) -> Reply {
    let subscription = target.subscription.clone().unwrap_or_default();
    let Some(name) = &target.group else {
        let of_subscription = world.groups.iter().filter(|((s, _), _)| s.eq_ignore_ascii_case(&subscription)).map(|(_, group)| group);
        let value: Vec<Value> =
            of_subscription.filter(|group| tags::filter_admits(world, &group.id, req)).map(|group| show(world, group)).collect();
        return if req.method == "GET" { Reply::json(200, json!({"value": value})) } else { errors::method_not_allowed(&req.method) };
    };
    let found = world.group(&subscription, name).cloned();
    match (req.method.as_str(), found) {
        ("GET", Some(group)) => Reply::json(200, show(world, &group)),
        ("PUT", found) => put(world, req, &subscription, name, found),
        ("PATCH", Some(group)) => match tags::check_body(&req.body) {
            Err(refusal) => refusal,
            Ok(()) => {
                tags::take_from_body(world, &group.id, req);
                Reply::json(200, show(world, &group))
            }
        },
        ("DELETE", Some(group)) => delete(world, req, &subscription, &group),
        ("GET" | "DELETE" | "PATCH", None) => errors::group_not_found(name),
        (method, _) => errors::not_implemented(method, &req.raw_path()),
    }
}

fn show(world: &World, group: &Group) -> Value {
    let state = if group.deleting.is_some() { "Deleting" } else { "Succeeded" };
    let mut shown = json!({
        "id": group.id,
        "name": group.name,
        "type": "Microsoft.Resources/resourceGroups",
        "location": group.location,
        "properties": {"provisioningState": state},
    });
    if let Some(tags) = world.tags.get(&group.id.to_ascii_lowercase()) {
        shown["tags"] = json!(tags);
    }
    shown
}

fn put(world: &mut World, req: &Inbound, subscription: &str, name: &str, found: Option<Group>) -> Reply {
    let Some(location) = req.body["location"].as_str() else {
        return errors::gateway(400, "LocationRequired", "The location property is required for this definition.");
    };
    let canonical = canonical_location(location);
    if !is_region(&canonical) {
        let regions = REGIONS.map(|(known, _)| known).join(",");
        let message =
            format!("The provided location '{location}' is not available for resource group. List of available regions is '{regions}'.");
        return errors::gateway(400, "LocationNotAvailableForResourceGroup", message);
    }
    if let Some(group) = found.as_ref().filter(|group| group.location != canonical) {
        let message =
            format!("Invalid resource group location '{location}'. The Resource group already exists in location '{}'.", group.location);
        return errors::gateway(409, "InvalidResourceGroupLocation", message);
    }
    if let Err(refusal) = tags::check_body(&req.body) {
        return refusal;
    }
    let status = if found.is_some() { 200 } else { 201 };
    let group = found.unwrap_or_else(|| {
        let spelled = world.subscription(subscription).map_or_else(|| subscription.to_owned(), |s| s.id.clone());
        Group { id: format!("/subscriptions/{spelled}/resourceGroups/{name}"), name: name.to_owned(), location: canonical, deleting: None }
    });
    tags::take_from_body(world, &group.id, req);
    let shown = show(world, &group);
    world.groups.insert((subscription.to_ascii_lowercase(), name.to_ascii_lowercase()), group);
    Reply::json(status, shown)
}

fn delete(world: &mut World, req: &Inbound, subscription: &str, group: &Group) -> Reply {
    let operation = group.deleting.clone().unwrap_or_else(|| {
        let seconds = world.settings.durations.group_delete;
        let start = Start {
            family: Family::Group,
            location: group.location.clone(),
            subject: group.id.clone(),
            effect: Effect::RemoveGroup,
            seconds,
        };
        world.start_operation(subscription, start)
    });
    if let Some(group) = world.groups.get_mut(&(subscription.to_ascii_lowercase(), group.name.to_ascii_lowercase())) {
        group.deleting = Some(operation.clone());
    }
    world.announce(Reply::empty(202).with_header("retry-after", "15"), &operation, req, Announce::Location)
}

/// The region a write puts a tracked resource in; a resource cannot move by PUT.
pub fn location_of_write(world: &World, req: &Inbound, before: Option<&Resource>) -> Result<String, Reply> {
    let sent = req.body["location"].as_str().map(canonical_location);
    match (sent, before) {
        (Some(sent), Some(old)) if sent != old.location() => {
            let group = old.id.split('/').nth(4).unwrap_or_default();
            let message = format!(
                "The resource '{}' already exists in location '{}' in resource group '{group}'. A resource with the same name cannot be \
                 created in location '{sent}'. Please select a new resource name.",
                old.name(),
                old.location()
            );
            Err(errors::gateway(409, "InvalidResourceLocation", message))
        }
        (_, Some(old)) => Ok(old.location()),
        (Some(sent), None) if is_region(&sent) => Ok(sent),
        (Some(sent), None) => {
            let regions = REGIONS.map(|(known, _)| known).join(",");
            let kind = Target::read("PUT", &req.path).types.join("/");
            let message = format!(
                "The provided location '{sent}' is not available for resource type '{kind}'. List of available regions for the resource type is '{regions}'."
            );
            Err(errors::gateway(400, "LocationNotAvailableForResourceType", message))
        }
        (None, None) => {
            let _ = world;
            Err(errors::gateway(400, "LocationRequired", "The location property is required for this definition."))
        }
    }
}

impl World {
    /// A group is gone, with everything in it that is kept here; vaults are the business of the model that holds both.
    pub fn remove_group(&mut self, id: &str) {
        let prefix = format!("{}/", id.to_ascii_lowercase());
        let gone: Vec<String> = self.resources.keys().filter(|key| key.starts_with(&prefix)).cloned().collect();
        for key in gone {
            self.remove(&key);
        }
        self.tags.retain(|key, _| *key != id.to_ascii_lowercase() && !key.starts_with(&prefix));
        self.locks.retain(|key, _| !key.starts_with(&prefix));
        self.deployments.retain(|key, _| !key.starts_with(&prefix));
        self.groups.retain(|_, group| !group.id.eq_ignore_ascii_case(id));
    }
}

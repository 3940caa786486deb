//! Resources that move to another group: `moveResources` and `validateMoveResources` of a group, as the SDK documents
//! them (202, a `Location` to poll, 204 at the end, 409 where a resource cannot move). No move was recorded.
//!
//! A machine keeps its `vmId` and its tags and gets another id; what names it follows. Simplified: the two groups are
//! not closed to writes meanwhile, and Azure's refusal of a machine with instant restore points is not modelled.

use serde_json::Value;

use crate::{
    arm::{
        errors,
        operations::{Announce, Effect, Family, Start},
    },
    path::{Target, split_url},
    wire::{Inbound, Reply},
    world::World,
};

/// Answers `POST {group}/moveResources` and `POST {group}/validateMoveResources`.
pub fn handle(world: &mut World, req: &Inbound, target: &Target) -> Reply {
    if req.method != "POST" {
        return errors::method_not_allowed(&req.method);
    }
    let (subscription, group) = (target.subscription.clone().unwrap_or_default(), target.group.clone().unwrap_or_default());
    let Some(source) = world.group(&subscription, &group).cloned() else { return errors::group_not_found(&group) };
    let to = Target::read("GET", &split_url(req.body["targetResourceGroup"].as_str().unwrap_or_default()).0);
    let name = to.group.clone().unwrap_or_default();
    let Some(into) = to.subscription.as_ref().and_then(|id| world.group(id, &name)).map(|group| group.id.clone()) else {
        return errors::group_not_found(&name);
    };
    let ids: Vec<String> = req.body["resources"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
    let effect = match movable(world, &source.id, &ids, &into) {
        Err(refusal) => return refusal,
        Ok(()) if req.path.last().is_some_and(|word| word.eq_ignore_ascii_case("validateMoveResources")) => Effect::Nothing,
        Ok(()) => Effect::Move { ids, into },
    };
    let seconds = world.settings.durations.group_delete;
    let start = Start { family: Family::Group, location: source.location, subject: source.id, effect, seconds };
    let operation = world.start_operation(&subscription, start);
    world.announce(Reply::empty(202).with_header("retry-after", "15"), &operation, req, Announce::Location)
}

/// The codes are guesses.
fn movable(world: &World, source: &str, ids: &[String], into: &str) -> Result<(), Reply> {
    if ids.is_empty() {
        return Err(errors::invalid_content("The resources to move are missing."));
    }
    for id in ids {
        let Some(resource) = world.resource(id) else {
            return Err(errors::gateway(404, "ResourceNotFound", format!("The resource '{id}' to be moved was not found.")));
        };
        let inside = resource.id.to_ascii_lowercase().starts_with(&format!("{}/", source.to_ascii_lowercase()));
        if !inside || source.eq_ignore_ascii_case(into) || resource.pending.is_some() {
            let message = format!("The resource '{id}' cannot be moved to '{into}'.");
            return Err(errors::gateway(409, "ResourceMoveProviderValidationFailed", message));
        }
    }
    Ok(())
}

impl World {
    /// Moves a resource, and what lies under it, to a group; its new id. Whoever names the old id names the new one from
    /// then on. The old one answers `NotFound`; locks on it go.
    pub fn move_to_group(&mut self, id: &str, group: &str) -> Option<String> {
        let old = self.resource(id)?.id.clone();
        let moved = |id: &str| format!("{group}{}", id.find("/providers/").map_or("", |at| &id[at..]));
        let prefix = format!("{}/", old.to_ascii_lowercase());
        let keys: Vec<String> =
            self.resources.keys().filter(|key| key.starts_with(&prefix) || key.eq_ignore_ascii_case(&old)).cloned().collect();
        for key in keys {
            let tags = self.tags.get(&key).cloned();
            let Some(mut resource) = self.remove(&key) else { continue };
            resource.id = moved(&resource.id);
            resource.changed = self.now;
            if let Some(tags) = tags {
                self.tags.insert(resource.id.to_ascii_lowercase(), tags);
            }
            self.insert(resource);
        }
        let new = moved(&old);
        for resource in self.resources.values_mut() {
            resource.body.values_mut().for_each(|value| rename(value, &old, &new));
        }
        // Interfaces may sit in a subnet of another name now.
        self.addresses.clear();
        for (key, interface) in &self.resources {
            if let Some((subnet, address)) = crate::network::seat(interface) {
                self.addresses.entry(subnet).or_default().insert((address, key.clone()));
            }
        }
        Some(new)
    }
}

/// Replaces an id, and ids below it, wherever they stand.
fn rename(value: &mut Value, old: &str, new: &str) {
    match value {
        Value::String(text) => {
            let same = text.get(..old.len()).is_some_and(|start| start.eq_ignore_ascii_case(old));
            if same && matches!(text.as_bytes().get(old.len()), None | Some(b'/')) {
                *text = format!("{new}{}", &text[old.len()..]);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| rename(item, old, new)),
        Value::Object(fields) => fields.values_mut().for_each(|field| rename(field, old, new)),
        _ => {}
    }
}

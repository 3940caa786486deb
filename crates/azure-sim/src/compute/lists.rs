//! Lists of machines and disks. At subscription scope the group in every id is upper-cased (compute-and-arm.md C.6, I.4).

use serde_json::{Value, json};

use crate::{
    arm::{errors, paging},
    compute::{disks, power},
    path::{Target, canonical_location},
    wire::{Inbound, Reply},
    world::{Kind, Resource, World},
};

/// All of a kind in a group or a subscription.
pub fn list(world: &World, req: &Inbound, target: &Target, kind: Kind) -> Reply {
    if req.query.get("$filter").is_some_and(|filter| !filter.trim().is_empty()) {
        return errors::not_implemented("GET", &format!("{} with $filter", req.raw_path()));
    }
    let found = world.page_of(&target.scope_id(), kind, paging::after(req).as_deref());
    paging::page_of(found, req, world.settings.pages.compute, shower(world, req, target.group.is_none()))
}

/// `{S}/providers/Microsoft.Compute/locations/{l}/virtualMachines`
pub fn machines_of_location(world: &World, req: &Inbound, target: &Target) -> Reply {
    let location = canonical_location(target.names.first().map_or("", String::as_str));
    let all = world.page_of(&target.scope_id(), Kind::Machine, paging::after(req).as_deref());
    let found = all.filter(|vm| vm.location() == location);
    paging::page_of(found, req, world.settings.pages.compute, shower(world, req, true))
}

/// How an item of a list is shown.
fn shower<'a>(world: &'a World, req: &Inbound, upper: bool) -> impl Fn(&'a Resource) -> Value {
    let status_only = req.query.get("statusonly").is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let expand = req.query.get("$expand").is_some_and(|value| value.eq_ignore_ascii_case("instanceView"));
    move |resource: &Resource| {
        let mut shown = match (resource.kind, status_only) {
            (Kind::Disk, _) => disks::shown(world, resource),
            (_, true) => power::status_only(world, resource),
            (_, false) => power::shown(world, resource, expand),
        };
        if upper {
            shown["id"] = json!(upper_group(&resource.id));
        }
        shown
    }
}

/// The id with its group's name in upper case.
pub fn upper_group(id: &str) -> String {
    let mut segments: Vec<String> = id.split('/').map(str::to_owned).collect();
    let at = segments.iter().position(|segment| segment.eq_ignore_ascii_case("resourceGroups"));
    if let Some(name) = at.and_then(|at| segments.get_mut(at + 1)) {
        *name = name.to_uppercase();
    }
    segments.join("/")
}

//! Microsoft.Compute: virtual machines and managed disks, with their operations as recorded (compute-and-arm.md B, C, I).

pub mod attach;
pub mod disks;
pub mod images;
pub mod lists;
pub mod machines;
pub mod power;
mod restored;
pub mod storage;

use serde_json::json;

use crate::{
    arm::{
        errors,
        operations::{Announce, Effect, Family, Start},
    },
    path::{Form, Target},
    wire::{Inbound, Reply},
    world::{Kind, World},
};

/// Answers a request under `providers/Microsoft.Compute`. The group, when the path names one, exists.
pub fn handle(world: &mut World, req: &Inbound, target: &Target) -> Reply {
    match (target.type_path().as_str(), target.form(), req.method.as_str()) {
        ("locations/operations" | "locations/diskoperations", Form::Element, "GET") => world.poll(req, target),
        ("locations/virtualmachines", Form::Collection, "GET") => lists::machines_of_location(world, req, target),
        (kind, _, "GET") if images::knows(kind) => images::get(req, target),
        // Extensions are what the estate says; they cannot be put in.
        ("virtualmachines/extensions", Form::Collection, "GET") => match world.resource(&target.resource_id()) {
            Some(vm) => Reply::json(200, json!({"value": vm.body.get("resources").cloned().unwrap_or_else(|| json!([]))})),
            None => missing(world, target, "VM"),
        },
        ("virtualmachines/instanceview", Form::Collection, "GET") => power::instance_view(world, target),
        ("virtualmachines", Form::Collection, "GET") => lists::list(world, req, target, Kind::Machine),
        ("disks", Form::Collection, "GET") => lists::list(world, req, target, Kind::Disk),
        ("virtualmachines", Form::Element, method) => match (method, &target.verb) {
            ("GET", _) => power::get(world, req, target),
            ("PUT", _) => machines::put(world, req, target),
            ("PATCH", _) => machines::patch(world, req, target),
            ("DELETE", _) => machines::delete(world, req, target),
            ("POST", Some(verb)) if verb.eq_ignore_ascii_case("attachDetachDataDisks") => attach::act(world, req, target),
            ("POST", Some(verb)) => power::act(world, req, target, verb),
            _ => errors::method_not_allowed(method),
        },
        ("disks", Form::Element, method) => match method {
            "GET" => get_disk(world, target),
            "PUT" => disks::put(world, req, target),
            "PATCH" => disks::patch(world, req, target),
            "DELETE" => disks::delete(world, req, target),
            _ => errors::not_implemented(method, &req.raw_path()),
        },
        _ => errors::not_implemented(&req.method, &req.raw_path()),
    }
}

/// Whether this part models the type, so that an unknown one is refused before anything else is looked at.
pub fn knows(type_path: &str) -> bool {
    const TYPES: [&str; 7] = [
        "locations/operations",
        "locations/diskoperations",
        "locations/virtualmachines",
        "virtualmachines/instanceview",
        "virtualmachines/extensions",
        "virtualmachines",
        "disks",
    ];
    TYPES.contains(&type_path) || images::knows(type_path)
}

fn get_disk(world: &World, target: &Target) -> Reply {
    match world.resource(&target.resource_id()) {
        Some(disk) => Reply::json(200, disks::shown(world, disk)),
        None => missing(world, target, "Disk"),
    }
}

/// The two 404s: the provider's right after a delete, ARM's own later (compute-and-arm.md A.3).
pub fn missing(world: &World, target: &Target, word: &str) -> Reply {
    let name = target.names.join("/");
    if world.retired.contains_key(&target.resource_id().to_ascii_lowercase()) {
        let message = match word {
            "Disk" => format!("Disk {name} is not found."),
            _ => "The entity was not found in this Azure location.".to_owned(),
        };
        return Reply::error(404, "NotFound", message);
    }
    let type_name = format!("{}/{}", target.namespace.as_deref().unwrap_or_default(), target.types.join("/"));
    errors::resource_not_found(&type_name, &name, target.group.as_deref().unwrap_or_default())
}

/// Deletes a machine or a disk: 204 when there is nothing, else 202 with both headers. A second DELETE follows the first.
fn delete(world: &mut World, req: &Inbound, target: &Target, start: (Family, f64)) -> Reply {
    let id = target.resource_id();
    let Some((subject, location, pending)) = world.resource(&id).map(|r| (r.id.clone(), r.location(), r.pending.clone())) else {
        return Reply::empty(204);
    };
    let running = pending.filter(|op| world.operations.get(op).is_some_and(|op| op.effect == Effect::Remove));
    let operation = running.unwrap_or_else(|| {
        let (family, seconds) = start;
        let start = Start { family, location, subject, effect: Effect::Remove, seconds };
        world.start_operation(target.subscription.as_deref().unwrap_or_default(), start)
    });
    if let Some(resource) = world.resource_mut(&id) {
        resource.set_state("Deleting");
    }
    world.announce(Reply::empty(202), &operation, req, Announce::Both)
}

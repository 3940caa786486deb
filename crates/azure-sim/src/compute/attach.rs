//! `POST …/attachDetachDataDisks`: 200 with the storage profile and an operation to wait for (compute-and-arm.md B.4).

use serde_json::{Value, json};

use super::machines;
use crate::{
    arm::errors,
    path::Target,
    wire::{Inbound, Reply},
    world::World,
};

/// Attaches and detaches data disks of a machine.
pub fn act(world: &mut World, req: &Inbound, target: &Target) -> Reply {
    let Some(vm) = world.resource(&target.resource_id()).cloned() else { return super::missing(world, target, "VM") };
    let held = vm.at("/properties/storageProfile/dataDisks").and_then(Value::as_array).cloned().unwrap_or_default();
    let disks = match detached(held, &req.body).and_then(|held| attached(held, &req.body)) {
        Ok(disks) => disks,
        Err(refusal) => return refusal,
    };
    let mut body = vm.body.clone();
    if let Some(profile) = body.get_mut("properties").and_then(|properties| properties.pointer_mut("/storageProfile")) {
        profile["dataDisks"] = json!(disks);
    }
    let location = vm.location();
    let mut reply = machines::write(world, req, target, (body, location), Some(vm));
    if reply.status == 200 {
        reply.body = reply.body.and_then(|shown| shown.pointer("/properties/storageProfile").cloned());
    }
    reply
}

fn wanted<'a>(body: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> {
    body[field].as_array().into_iter().flatten()
}

fn detached(mut held: Vec<Value>, body: &Value) -> Result<Vec<Value>, Reply> {
    for gone in wanted(body, "dataDisksToDetach") {
        let id = gone["diskId"].as_str().unwrap_or_default();
        let before = held.len();
        held.retain(|disk| !disk["managedDisk"]["id"].as_str().is_some_and(|held| held.eq_ignore_ascii_case(id)));
        if held.len() == before {
            return Err(errors::invalid_parameter("dataDisksToDetach", format!("The disk '{id}' is not attached to the VM.")));
        }
    }
    Ok(held)
}

/// A disk without a LUN gets the first free one.
fn attached(mut held: Vec<Value>, body: &Value) -> Result<Vec<Value>, Reply> {
    for new in wanted(body, "dataDisksToAttach") {
        let Some(id) = new["diskId"].as_str() else {
            return Err(errors::invalid_parameter("dataDisksToAttach.diskId", "Required parameter 'diskId' is missing (null)."));
        };
        let taken = |lun: i64| held.iter().any(|disk| disk["lun"] == lun);
        let lun = new["lun"].as_i64().or_else(|| (0..64).find(|lun| !taken(*lun))).unwrap_or_default();
        if taken(lun) {
            return Err(errors::invalid_parameter("dataDisks.lun", format!("A disk is already attached at LUN {lun}.")));
        }
        let mut disk = json!({"lun": lun, "createOption": "Attach", "managedDisk": {"id": id}});
        for field in ["caching", "deleteOption", "writeAcceleratorEnabled"] {
            if !new[field].is_null() {
                disk[field] = new[field].clone();
            }
        }
        held.push(disk);
    }
    Ok(held)
}

//! Reading machines with their instance view, and the actions that turn them on and off (compute-and-arm.md C.2, C.3).

use serde_json::{Value, json};

use crate::{
    arm::{
        errors,
        operations::{Announce, Effect, Family, Start, long_time},
    },
    compute::machines::Power,
    path::Target,
    wire::{Inbound, Reply},
    world::{Resource, World},
};

/// GET of a machine, maybe with `$expand=instanceView` or `userData`.
pub fn get(world: &World, req: &Inbound, target: &Target) -> Reply {
    let Some(vm) = world.resource(&target.resource_id()) else { return super::missing(world, target, "VM") };
    let words = req.query.get("$expand").map(|value| value.to_ascii_lowercase()).unwrap_or_default();
    let mut body = shown(world, vm, words.contains("instanceview"));
    if let Some(data) = vm.at("/properties/userData").filter(|_| words.contains("userdata")) {
        body["properties"]["userData"] = data.clone();
    }
    let etag = vm.machine.as_ref().map(|machine| machine.etag_text()).unwrap_or_default();
    Reply::json(200, body).with_header("etag", etag)
}

/// A machine as a GET shows it.
pub fn shown(world: &World, vm: &Resource, expand: bool) -> Value {
    let mut shown = world.show(vm);
    if expand {
        shown["properties"]["instanceView"] = view(vm);
    }
    shown
}

/// A machine in a `statusOnly` list. Which model fields it keeps is a guess: only `vmId` is kept beside the state.
pub fn status_only(world: &World, vm: &Resource) -> Value {
    let full = shown(world, vm, true);
    json!({
        "name": full["name"], "id": full["id"], "type": full["type"], "location": full["location"],
        "properties": {"vmId": full["properties"]["vmId"], "provisioningState": full["properties"]["provisioningState"],
            "instanceView": full["properties"]["instanceView"]},
    })
}

/// `GET …/instanceView`
pub fn instance_view(world: &World, target: &Target) -> Reply {
    match world.resource(&target.resource_id()) {
        Some(vm) => Reply::json(200, view(vm)),
        None => super::missing(world, target, "VM"),
    }
}

fn view(vm: &Resource) -> Value {
    let Some(machine) = &vm.machine else { return Value::Null };
    let time = long_time(vm.changed);
    let state = vm.text("/properties/provisioningState").to_ascii_lowercase();
    let provisioning = match state.as_str() {
        "succeeded" => {
            json!({"code": "ProvisioningState/succeeded", "level": "Info", "displayStatus": "Provisioning succeeded", "time": time})
        }
        "failed" => json!({"code": "ProvisioningState/failed", "level": "Error", "displayStatus": "Provisioning failed", "time": time}),
        "creating" => json!({"code": "ProvisioningState/creating", "level": "Info", "displayStatus": "Creating"}),
        "deleting" => json!({"code": "ProvisioningState/deleting", "level": "Info", "displayStatus": "Deleting"}),
        _ => json!({"code": "ProvisioningState/updating", "level": "Info", "displayStatus": "Updating"}),
    };
    let names = std::iter::once(vm.at("/properties/storageProfile/osDisk"))
        .flatten()
        .chain(vm.at("/properties/storageProfile/dataDisks").and_then(Value::as_array).into_iter().flatten())
        .filter_map(|disk| disk.get("name").cloned());
    let ready = json!({"code": "ProvisioningState/succeeded", "level": "Info", "displayStatus": "Provisioning succeeded", "time": time});
    let disks: Vec<Value> = names.map(|name| json!({"name": name, "statuses": [ready]})).collect();
    let power = json!({"code": format!("PowerState/{}", machine.power.word()), "level": "Info", "displayStatus": machine.power.display()});
    let mut view = json!({"disks": disks, "hyperVGeneration": "V2", "statuses": [provisioning, power]});
    // While it is made there is neither name nor agent yet [recorded].
    let is_up = machine.power == Power::Running && state != "creating";
    if is_up && machine.agent_answers() {
        view["computerName"] = json!(vm.text("/properties/osProfile/computerName"));
        view["vmAgent"] = json!({"vmAgentVersion": "2.11.1.12", "extensionHandlers": [], "statuses": [{"code": "ProvisioningState/succeeded",
            "level": "Info", "displayStatus": "Ready", "message": "Guest Agent is running", "time": time}]});
    } else if is_up {
        view["vmAgent"] = json!({"vmAgentVersion": "Unknown", "statuses": [{"code": "ProvisioningState/Unavailable",
            "level": "Warning", "displayStatus": "Not Ready", "message": "VM status blob is found but not yet populated.", "time": time}]});
    }
    view
}

/// POST of an action.
pub fn act(world: &mut World, req: &Inbound, target: &Target, verb: &str) -> Reply {
    let id = target.resource_id();
    let Some(vm) = world.resource(&id) else { return super::missing(world, target, "VM") };
    let power = vm.machine.as_ref().map_or(Power::Running, |machine| machine.power);
    let deleting = vm.text("/properties/provisioningState") == "Deleting";
    let (during, after, retry) = match verb.to_ascii_lowercase().as_str() {
        "start" => (Power::Starting, Power::Running, true),
        "deallocate" => (Power::Deallocating, Power::Deallocated, true),
        "poweroff" => (Power::Stopping, Power::Stopped, false),
        "restart" => (Power::Running, Power::Running, false),
        // What they do happens below the model: only the operation shows. Their codes are the SDK's (compute-and-arm.md §0).
        "redeploy" | "reapply" => (power, power, false),
        _ => return errors::not_implemented("POST", &req.raw_path()),
    };
    if deleting {
        return Reply::error(409, "OperationNotAllowed", "The VM is being deleted.");
    }
    if power == Power::Deallocated && matches!(verb.to_ascii_lowercase().as_str(), "restart" | "poweroff") {
        return Reply::error(409, "OperationNotAllowed", "The operation requires the VM to be running (or set to run).");
    }
    let (location, subject) = (vm.location(), vm.id.clone());
    let seconds = world.settings.durations.vm_power;
    let start = Start { family: Family::Compute, location, subject, effect: Effect::Power(after), seconds };
    let operation = world.start_operation(target.subscription.as_deref().unwrap_or_default(), start);
    if let Some(vm) = world.resource_mut(&id) {
        vm.set_state("Updating");
        if let Some(machine) = &mut vm.machine
            && machine.power != after
        {
            machine.power = during;
        }
    }
    let reply = if retry { Reply::empty(202).with_header("retry-after", "10") } else { Reply::empty(202) };
    world.announce(reply, &operation, req, Announce::Both)
}

//! Machines of the short form: a network, an interface, disks and the machine itself, each by its own PUT.

use serde_json::{Value, json};

use crate::{
    compute,
    compute::machines::Power,
    estate::{
        EstateError, GroupEntry, MachineEntry, Os, PowerEntry, SubscriptionEntry,
        load::{group_id, inbound},
        many::names,
    },
    model::Model,
    network,
    path::{Target, canonical_location},
    wire::Reply,
};

/// Makes all machines of a group.
pub(super) fn make(model: &mut Model, (subscription, group): (&SubscriptionEntry, &GroupEntry), place: &str) -> Result<(), EstateError> {
    for (index, entry) in group.machines.iter().enumerate() {
        let place = format!("{place}.machines[{index}]");
        for name in names(&entry.name, entry.count, &format!("{place}.name"))? {
            one(model, &group_id(subscription, group), group, &MachineEntry { name, ..entry.clone() }, &place)?;
        }
    }
    Ok(())
}

/// Ids of all machines of a group's entry.
pub(super) fn ids(group: &str, machine: &MachineEntry, place: &str) -> Result<Vec<String>, EstateError> {
    let names = names(&machine.name, machine.count, place)?;
    Ok(names.into_iter().map(|name| format!("{group}/providers/Microsoft.Compute/virtualMachines/{name}")).collect())
}

fn one(model: &mut Model, group: &str, entry: &GroupEntry, machine: &MachineEntry, place: &str) -> Result<(), EstateError> {
    let location = canonical_location(machine.location.as_deref().unwrap_or(&entry.location));
    let id = format!("{group}/providers/Microsoft.Compute/virtualMachines/{}", machine.name);
    if model.world.resource(&id).is_some() {
        return Err(EstateError::field(format!("{place}.name"), format!("'{}' is there twice", machine.name)));
    }
    let network = format!("{group}/providers/Microsoft.Network/virtualNetworks/vnet-{location}");
    if model.world.resource(&network).is_none() {
        let subnets = json!([{"name": "default", "properties": {"addressPrefix": "10.0.0.0/16"}}]);
        let body = json!({"location": location, "properties": {"addressSpace": {"addressPrefixes": ["10.0.0.0/8"]}, "subnets": subnets}});
        put(model, &network, body, place)?;
    }
    let interface = format!("{group}/providers/Microsoft.Network/networkInterfaces/{}-nic", machine.name);
    let config = json!({"name": "ipconfig1", "properties": {"privateIPAllocationMethod": "Dynamic", "subnet": {"id": format!("{network}/subnets/default")}}});
    put(model, &interface, json!({"location": location, "properties": {"ipConfigurations": [config]}}), place)?;
    put(model, &id, body(machine, &location, &interface), place)?;
    if !machine.extensions.is_empty()
        && let Some(made) = model.world.resource_mut(&id)
    {
        made.body.insert("resources".to_owned(), extensions(&id, machine, &location));
    }
    if let Some(made) = model.world.resource_mut(&id).and_then(|vm| vm.machine.as_mut()) {
        made.agent = machine.agent;
        made.power = match machine.power {
            PowerEntry::Running => Power::Running,
            PowerEntry::Stopped => Power::Stopped,
            PowerEntry::Deallocated => Power::Deallocated,
        };
    }
    model.world.refresh_disk_states(&id);
    Ok(())
}

/// As a machine's GET shows what is in it (recorded: `vm_get_instanceview_deallocated__200`).
fn extensions(id: &str, machine: &MachineEntry, location: &str) -> Value {
    let shown = machine.extensions.iter().map(|extension| {
        json!({
            "name": extension.name,
            "id": format!("{id}/extensions/{}", extension.name),
            "type": "Microsoft.Compute/virtualMachines/extensions",
            "location": location,
            "properties": {
                "autoUpgradeMinorVersion": true,
                "provisioningState": "Succeeded",
                "publisher": extension.publisher,
                "type": extension.kind,
                "typeHandlerVersion": extension.version,
                "settings": {},
            },
        })
    });
    shown.collect()
}

fn body(machine: &MachineEntry, location: &str, interface: &str) -> Value {
    let (publisher, offer, sku, os) = match machine.os {
        Os::Windows => ("MicrosoftWindowsServer", "WindowsServer", "2022-datacenter-azure-edition", "Windows"),
        Os::Linux => ("Canonical", "ubuntu-24_04-lts", "server", "Linux"),
    };
    let disks = machine.data_disks.iter().enumerate();
    let disks: Vec<Value> =
        disks.map(|(lun, size)| json!({"lun": lun, "createOption": "Empty", "diskSizeGB": size, "caching": "None"})).collect();
    let mut body = json!({
        "location": location,
        "properties": {
            "hardwareProfile": {"vmSize": machine.size},
            "storageProfile": {
                "imageReference": {"publisher": publisher, "offer": offer, "sku": sku, "version": "latest"},
                "osDisk": {"createOption": "FromImage", "osType": os, "managedDisk": {"storageAccountType": "Premium_LRS"}},
                "dataDisks": disks,
            },
            "osProfile": {"computerName": machine.name, "adminUsername": "azureuser"},
            "networkProfile": {"networkInterfaces": [{"id": interface, "properties": {"primary": true}}]},
        },
    });
    if !machine.tags.is_empty() {
        body["tags"] = json!(machine.tags);
    }
    if !machine.zones.is_empty() {
        body["zones"] = json!(machine.zones);
    }
    if let Some(kind) = &machine.security_type {
        body["properties"]["securityProfile"] =
            json!({"securityType": kind, "uefiSettings": {"secureBootEnabled": true, "vTpmEnabled": true}});
    }
    body
}

fn put(model: &mut Model, id: &str, body: Value, place: &str) -> Result<(), EstateError> {
    let req = inbound(&model.world, "PUT", id, body);
    let target = Target::read("PUT", &req.path);
    let reply = if target.in_namespace("Microsoft.Network") {
        network::handle(&mut model.world, &req, &target)
    } else {
        compute::handle(&mut model.world, &req, &target)
    };
    model.world.settle_operations();
    accepted(&reply, place)
}

/// Turns a refusal into an error about a field.
pub(super) fn accepted(reply: &Reply, place: &str) -> Result<(), EstateError> {
    if reply.status < 300 {
        return Ok(());
    }
    let error = reply.body.as_ref().map(|body| &body["error"]).cloned().unwrap_or_default();
    let message = format!("{} {}: {}", reply.status, error["code"].as_str().unwrap_or("-"), error["message"].as_str().unwrap_or("-"));
    Err(EstateError::field(place, message))
}

//! Vaults of the short form, made by the same requests that a client sends, and waited for.

use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::{
    estate::{
        EstateError, GroupEntry, ItemEntry, SubscriptionEntry, VaultEntry,
        load::{group_id, inbound},
        machines::accepted,
    },
    model::Model,
    path::{Target, canonical_location},
    wire::{Neighbours, Reply},
};

/// Makes all vaults of a group.
pub(super) fn make(model: &mut Model, (subscription, group): (&SubscriptionEntry, &GroupEntry), place: &str) -> Result<(), EstateError> {
    for (index, vault) in group.vaults.iter().enumerate() {
        one(model, &group_id(subscription, group), group, vault, &format!("{place}.vaults[{index}]"))?;
    }
    Ok(())
}

fn one(model: &mut Model, group: &str, entry: &GroupEntry, vault: &VaultEntry, place: &str) -> Result<(), EstateError> {
    let id = format!("{group}/providers/Microsoft.RecoveryServices/vaults/{}", vault.name);
    let location = canonical_location(vault.location.as_deref().unwrap_or(&entry.location));
    let properties = if vault.properties.is_null() { json!({"publicNetworkAccess": "Enabled"}) } else { vault.properties.clone() };
    let mut body = json!({"location": location, "sku": {"name": "RS0", "tier": "Standard"}, "properties": properties});
    if !vault.tags.is_empty() {
        body["tags"] = json!(vault.tags);
    }
    send(model, "PUT", &id, body, place)?;
    wait(model, 10);
    if let Some(config) = &vault.config {
        send(model, "PATCH", &format!("{id}/backupconfig/vaultconfig"), json!({"properties": config}), &format!("{place}.config"))?;
    }
    for (index, policy) in vault.policies.iter().enumerate() {
        let path = format!("{id}/backupPolicies/{}", policy.name);
        send(model, "PUT", &path, json!({"properties": policy.properties}), &format!("{place}.policies[{index}]"))?;
    }
    for (index, item) in vault.protected_items.iter().enumerate() {
        protect(model, (&id, group), item, &format!("{place}.protectedItems[{index}]"))?;
    }
    Ok(())
}

fn protect(model: &mut Model, (vault, group): (&str, &str), item: &ItemEntry, place: &str) -> Result<(), EstateError> {
    let named = if item.machine.starts_with('/') {
        item.machine.clone()
    } else {
        format!("{group}/providers/Microsoft.Compute/virtualMachines/{}", item.machine)
    };
    let Some(machine) = model.world.machine(&named) else {
        return Err(EstateError::field(format!("{place}.machine"), format!("no machine '{}'", item.machine)));
    };
    let mut segments = machine.id.split('/').skip(4);
    let (of_group, name) = (segments.next().unwrap_or_default(), machine.id.rsplit('/').next().unwrap_or_default());
    let tail = format!("iaasvmcontainerv2;{of_group};{name}");
    let path = format!("{vault}/backupFabrics/Azure/protectionContainers/IaasVMContainer;{tail}/protectedItems/VM;{tail}");
    let body = json!({"properties": {
        "protectedItemType": "Microsoft.Compute/virtualMachines",
        "sourceResourceId": machine.id,
        "policyId": format!("{vault}/backupPolicies/{}", item.policy),
    }});
    send(model, "PUT", &path, body, place)?;
    wait(model, 15);
    let seen = send(model, "GET", &path, Value::Null, place)?;
    let source =
        seen.body.as_ref().and_then(|body| body.pointer("/properties/sourceResourceId")).and_then(Value::as_str).unwrap_or_default();
    if !source.eq_ignore_ascii_case(&machine.id) {
        return Err(EstateError::field(place, "the machine did not become protected"));
    }
    if item.first_backup {
        let body = json!({"properties": {"objectType": "IaasVMBackupRequest"}});
        send(model, "POST", &format!("{path}/backup"), body, &format!("{place}.firstBackup"))?;
        wait(model, 180);
    }
    Ok(())
}

fn wait(model: &mut Model, minutes: i64) {
    let until = model.world.now.saturating_add(SignedDuration::from_mins(minutes)).unwrap_or(model.world.now);
    model.advance(until);
}

fn send(model: &mut Model, method: &str, path: &str, body: Value, place: &str) -> Result<Reply, EstateError> {
    let req = inbound(&model.world, method, path, body);
    let target = Target::read(method, &req.path);
    let reply = model.recovery_services(&req, &target);
    accepted(&reply, place)?;
    Ok(reply)
}

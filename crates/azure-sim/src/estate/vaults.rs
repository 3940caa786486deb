//! Vaults of the short form, made by the same requests that a client sends, and waited for.

use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::{
    estate::{
        EstateError, GroupEntry, ItemEntry, SubscriptionEntry, VaultEntry,
        load::{group_id, inbound},
        machines::accepted,
        many::names,
    },
    model::Model,
    path::{Target, canonical_location},
    wire::Reply,
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
    let mut properties = if vault.properties.is_null() { json!({"publicNetworkAccess": "Enabled"}) } else { vault.properties.clone() };
    let locked = unlock(&mut properties);
    let mut body = json!({"location": location, "sku": {"name": "RS0", "tier": "Standard"}, "properties": properties});
    if !vault.tags.is_empty() {
        body["tags"] = json!(vault.tags);
    }
    if let Some(identity) = &vault.identity {
        body["identity"] = identity.clone();
    }
    send(model, "PUT", &id, body, place)?;
    wait(model, 10);
    if let Some(immutability) = locked {
        send(model, "PATCH", &id, json!({"properties": {"securitySettings": {"immutabilitySettings": immutability}}}), place)?;
        wait(model, 10);
    }
    if let Some(config) = &vault.config {
        send(model, "PATCH", &format!("{id}/backupconfig/vaultconfig"), json!({"properties": config}), &format!("{place}.config"))?;
    }
    for (index, policy) in vault.policies.iter().enumerate() {
        let path = format!("{id}/backupPolicies/{}", policy.name);
        send(model, "PUT", &path, json!({"properties": policy.properties}), &format!("{place}.policies[{index}]"))?;
    }
    protect(model, (&id, group), vault, place)?;
    if let Some(guard) = &vault.resource_guard {
        let guard = if guard.starts_with('/') {
            guard.clone()
        } else {
            format!("{group}/providers/Microsoft.DataProtection/resourceGuards/{guard}")
        };
        let body = json!({"properties": {"resourceGuardResourceId": guard}});
        send(model, "PUT", &format!("{id}/backupResourceGuardProxies/VaultProxy"), body, &format!("{place}.resourceGuard"))?;
    }
    for (name, location) in &vault.replication_fabrics {
        model.recovery.add_fabric(&id, name, location);
    }
    Ok(())
}

/// Lowers an immutability of `Locked`, which no new vault can have, to `Unlocked`, and gives what was asked for.
fn unlock(properties: &mut Value) -> Option<Value> {
    let immutability = properties.pointer_mut("/securitySettings/immutabilitySettings")?;
    let asked = immutability.clone();
    let locked = asked["state"].as_str().is_some_and(|state| state.eq_ignore_ascii_case("Locked"));
    locked.then(|| {
        immutability["state"] = json!("Unlocked");
        asked
    })
}

/// One machine of an entry, on its way into the vault.
struct Coming {
    source: String,
    path: String,
    place: String,
}

/// Protects all machines of a vault, as many at a time as it has, so that a thousand take no longer than one.
fn protect(model: &mut Model, (vault, group): (&str, &str), entry: &VaultEntry, place: &str) -> Result<(), EstateError> {
    let mut coming = Vec::new();
    let mut copied = Vec::new();
    for (index, item) in entry.protected_items.iter().enumerate() {
        let place = format!("{place}.protectedItems[{index}]");
        for machine in names(&item.machine, item.count, &format!("{place}.machine"))? {
            let one = ask(model, (vault, group), item, &machine, &place)?;
            if item.first_backup {
                copied.push(coming.len());
            }
            coming.push(one);
        }
    }
    if !coming.is_empty() {
        wait(model, 15);
    }
    for one in &coming {
        let seen = send(model, "GET", &one.path, Value::Null, &one.place)?;
        let source = seen.body.as_ref().and_then(|body| body.pointer("/properties/sourceResourceId")).and_then(Value::as_str);
        if !source.is_some_and(|source| source.eq_ignore_ascii_case(&one.source)) {
            return Err(EstateError::field(&one.place, "the machine did not become protected"));
        }
    }
    for one in copied.iter().filter_map(|at| coming.get(*at)) {
        let body = json!({"properties": {"objectType": "IaasVMBackupRequest"}});
        send(model, "POST", &format!("{}/backup", one.path), body, &format!("{}.firstBackup", one.place))?;
    }
    if !copied.is_empty() {
        wait(model, 180);
    }
    Ok(())
}

fn ask(model: &mut Model, (vault, group): (&str, &str), item: &ItemEntry, machine: &str, place: &str) -> Result<Coming, EstateError> {
    let named = if machine.starts_with('/') {
        machine.to_owned()
    } else {
        format!("{group}/providers/Microsoft.Compute/virtualMachines/{machine}")
    };
    let Some(id) = model.world.resource(&named).map(|found| found.id.clone()) else {
        return Err(EstateError::field(format!("{place}.machine"), format!("no machine '{machine}'")));
    };
    let mut segments = id.split('/').skip(4);
    let (of_group, name) = (segments.next().unwrap_or_default(), id.rsplit('/').next().unwrap_or_default());
    let tail = format!("iaasvmcontainerv2;{of_group};{name}");
    let path = format!("{vault}/backupFabrics/Azure/protectionContainers/IaasVMContainer;{tail}/protectedItems/VM;{tail}");
    let body = json!({"properties": {
        "protectedItemType": "Microsoft.Compute/virtualMachines",
        "sourceResourceId": id,
        "policyId": format!("{vault}/backupPolicies/{}", item.policy),
    }});
    send(model, "PUT", &path, body, place)?;
    Ok(Coming { source: id, path, place: place.to_owned() })
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

//! Managed disks: PUT is always 202, the echo says `Updating`, a GET says `Creating` without sizes until the operation
//! has ended (compute-and-arm.md A.3, B.3, I.1, I.2).

use serde_json::{Map, Value, json};

use crate::{
    arm::{
        errors, groups,
        operations::{Announce, Effect, Family, Rig, Start, long_time},
        tags,
    },
    path::{Target, canonical_location},
    wire::{Inbound, Reply},
    world::{Kind, Resource, World},
};

/// A disk as a GET shows it: no sizes while it is being created.
pub fn shown(world: &World, disk: &Resource) -> Value {
    let mut shown = world.show(disk);
    if disk.text("/properties/provisioningState") == "Creating"
        && let Some(properties) = shown.get_mut("properties").and_then(Value::as_object_mut)
    {
        properties.retain(|name, _| {
            !matches!(name.as_str(), "diskSizeGB" | "diskSizeBytes" | "diskIOPSReadWrite" | "diskMBpsReadWrite" | "tier")
        });
    }
    shown
}

/// What a new disk is made from.
pub struct NewDisk<'a> {
    /// Its id.
    pub id: &'a str,
    /// Region.
    pub location: &'a str,
    /// `Premium_LRS`, ...
    pub sku: &'a str,
    /// Provisioned size.
    pub size_gb: i64,
    /// `creationData`
    pub creation: Value,
    /// `uniqueId`, which names made by a VM end with.
    pub unique_id: String,
}

/// A finished disk with the defaults that the service fills in (compute-and-arm.md B.3).
pub fn finished(world: &World, new: NewDisk<'_>) -> Resource {
    let mut body = Map::new();
    body.insert("location".to_owned(), json!(new.location));
    body.insert("sku".to_owned(), json!({"name": new.sku, "tier": tier_of(new.sku)}));
    body.insert(
        "properties".to_owned(),
        json!({
            "creationData": new.creation,
            "diskSizeGB": new.size_gb,
            "encryption": {"type": "EncryptionAtRestWithPlatformKey"},
            "networkAccessPolicy": "AllowAll",
            "publicNetworkAccess": "Enabled",
            "timeCreated": long_time(world.now),
            "provisioningState": "Succeeded",
            "diskState": "Unattached",
            "uniqueId": new.unique_id,
        }),
    );
    let mut disk =
        Resource { id: new.id.to_owned(), kind: Kind::Disk, body, created: world.now, changed: world.now, pending: None, machine: None };
    derive_sizes(&mut disk);
    disk
}

/// The `sku.tier` that the service adds.
fn tier_of(sku: &str) -> &'static str {
    match sku {
        _ if sku.starts_with("Premium") => "Premium",
        _ if sku.starts_with("Ultra") => "Ultra",
        _ => "Standard",
    }
}

/// Fills in what follows from size and sku.
pub fn derive_sizes(disk: &mut Resource) {
    // (up to GiB, tier, IOPS, MB/s) of Premium SSD; the recorded 200 GiB is P15 with 1100 and 125, and P1 120 and 25
    // (disk_list_by_rg__200).
    const PREMIUM: [(i64, &str, i64, i64); 14] = [
        (4, "P1", 120, 25),
        (8, "P2", 120, 25),
        (16, "P3", 120, 25),
        (32, "P4", 120, 25),
        (64, "P6", 240, 50),
        (128, "P10", 500, 100),
        (256, "P15", 1_100, 125),
        (512, "P20", 2_300, 150),
        (1_024, "P30", 5_000, 200),
        (2_048, "P40", 7_500, 250),
        (4_096, "P50", 7_500, 250),
        (8_192, "P60", 16_000, 500),
        (16_384, "P70", 18_000, 750),
        (i64::MAX, "P80", 20_000, 900),
    ];
    let premium = disk.text("/sku/name").starts_with("Premium_");
    let size = disk.at("/properties/diskSizeGB").and_then(Value::as_i64).unwrap_or(0);
    let (_, tier, iops, throughput) = PREMIUM.into_iter().find(|(up_to, ..)| size <= *up_to).unwrap_or(PREMIUM[13]);
    let properties = disk.properties_mut();
    properties.insert("diskSizeBytes".to_owned(), json!(size.saturating_mul(1 << 30)));
    properties.insert("diskIOPSReadWrite".to_owned(), json!(if premium { iops } else { 500 }));
    properties.insert("diskMBpsReadWrite".to_owned(), json!(if premium { throughput } else { 60 }));
    if premium {
        properties.insert("tier".to_owned(), json!(tier));
    }
}

fn busy(world: &World, disk: &Resource) -> Option<Reply> {
    let running = disk.pending.as_ref().and_then(|op| world.operations.get(op)).is_some_and(|op| op.ended.is_none());
    running.then(|| {
        let message = "The request failed due to conflict with a concurrent request. To resolve it, please refer to \
                       https://aka.ms/activitylog to get more details on the conflicting requests.";
        Reply::error(409, "Conflict", message)
    })
}

/// PUT of a disk, new or not.
pub fn put(world: &mut World, req: &Inbound, target: &Target) -> Reply {
    let id = target.resource_id();
    let existing = world.resource(&id).cloned();
    if let Some(refusal) = existing.as_ref().and_then(|disk| busy(world, disk)) {
        return refusal;
    }
    let location = match groups::location_of_write(world, req, existing.as_ref()) {
        Ok(location) => location,
        Err(refusal) => return refusal,
    };
    if let Err(refusal) = tags::check_body(&req.body) {
        return refusal;
    }
    let written = match &existing {
        Some(disk) => changed(disk, req),
        None => created(world, req, &id, &location),
    };
    match written {
        Ok((disk, rig)) => accept(world, req, target, disk, rig),
        Err(refusal) => refusal,
    }
}

/// PATCH of a disk: sku, size, tags and the few properties of its model.
pub fn patch(world: &mut World, req: &Inbound, target: &Target) -> Reply {
    let Some(disk) = world.resource(&target.resource_id()).cloned() else { return super::missing(world, target, "Disk") };
    if let Some(refusal) = busy(world, &disk) {
        return refusal;
    }
    if let Err(refusal) = tags::check_body(&req.body) {
        return refusal;
    }
    match changed(&disk, req) {
        Ok((disk, rig)) => accept(world, req, target, disk, rig),
        Err(refusal) => refusal,
    }
}

fn created(world: &World, req: &Inbound, id: &str, location: &str) -> Result<(Resource, Option<Rig>), Reply> {
    let mut creation = req.body.pointer("/properties/creationData").cloned().unwrap_or_default();
    let option = creation["createOption"].as_str().unwrap_or_default().to_owned();
    let asked = req.body.pointer("/properties/diskSizeGB").and_then(Value::as_i64);
    let source = creation["sourceResourceId"].as_str().and_then(|source| world.resource(source));
    let size = match (option.as_str(), asked, source) {
        ("", ..) => return Err(errors::invalid_parameter("creationData", "Required parameter 'creationData' is missing (null).")),
        ("Empty", None, _) => {
            return Err(errors::invalid_parameter("disk.diskSizeGB", "Required parameter 'disk.diskSizeGB' is missing (null)."));
        }
        ("Empty", Some(size), _) => size,
        ("Copy", _, Some(source)) if source.location() == location => {
            let size = source.at("/properties/diskSizeGB").and_then(Value::as_i64).unwrap_or(0);
            // Refused as documented (compute-and-arm.md B.3); that it is at once and in these words is a guess.
            if asked.is_some_and(|asked| asked < size) {
                let message = format!("The size of the disk must not be smaller than that of its source, {size} GB.");
                return Err(errors::invalid_parameter("disk.diskSizeGB", message));
            }
            asked.unwrap_or(size)
        }
        ("Copy", ..) => {
            let source = creation["sourceResourceId"].as_str().unwrap_or_default();
            return Err(Reply::error(404, "NotFound", format!("Resource {source} is not found.")));
        }
        (other, ..) => return Err(errors::not_implemented("PUT", &format!("a disk with createOption {other}"))),
    };
    let sku = req.body.pointer("/sku/name").and_then(Value::as_str).unwrap_or("Standard_LRS");
    if let Some(source) = source {
        creation["sourceUniqueId"] = json!(source.text("/properties/uniqueId"));
    }
    let unique_id = world.entropy.guid();
    let mut disk = finished(
        world,
        NewDisk { id, location: req.body["location"].as_str().unwrap_or(location), sku, size_gb: size, creation, unique_id },
    );
    let inherited: Vec<(&str, Value)> = ["osType", "hyperVGeneration", "supportedCapabilities", "securityProfile"]
        .into_iter()
        .filter_map(|name| source.and_then(|source| source.at(&format!("/properties/{name}"))).map(|value| (name, value.clone())))
        .collect();
    let sent = req.body.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
    let properties = disk.properties_mut();
    properties.extend(inherited.into_iter().map(|(name, value)| (name.to_owned(), value)));
    properties.extend(
        sent.into_iter()
            .filter(|(name, _)| !matches!(name.as_str(), "creationData" | "provisioningState" | "diskSizeGB" | "uniqueId" | "diskState")),
    );
    if let Some(zones) = req.body.get("zones") {
        disk.body.insert("zones".to_owned(), zones.clone());
    }
    disk.set_state("Creating");
    Ok((disk, None))
}

fn changed(disk: &Resource, req: &Inbound) -> Result<(Resource, Option<Rig>), Reply> {
    let mut disk = disk.clone();
    let had = disk.at("/properties/diskSizeGB").and_then(Value::as_i64).unwrap_or(0);
    let asked = req.body.pointer("/properties/diskSizeGB").and_then(Value::as_i64);
    if let Some(option) = req.body.pointer("/properties/creationData/createOption").and_then(Value::as_str)
        && !option.eq_ignore_ascii_case(disk.text("/properties/creationData/createOption"))
    {
        return Err(errors::targeted(409, "PropertyChangeNotAllowed", "Changing property 'creationData' is not allowed.", "creationData"));
    }
    if asked.is_some_and(|size| size < had) {
        let message = "Disks or snapshot cannot be resized down.".to_owned();
        disk.set_state("Updating");
        return Ok((disk, Some(Rig::Failed { code: "InvalidParameter".to_owned(), message })));
    }
    if let Some(sku) = req.body.pointer("/sku/name") {
        // Only of a disk that no running machine holds (compute-and-arm.md B.4); the words are a guess.
        if disk.text("/properties/diskState") == "Attached" && sku != disk.text("/sku/name") {
            let message = format!(
                "The sku of disk '{}' can only be changed when it is unattached or its VM '{}' is deallocated.",
                disk.name(),
                disk.text("/managedBy")
            );
            return Err(errors::targeted(409, "OperationNotAllowed", message, "sku"));
        }
        disk.body.insert("sku".to_owned(), json!({"name": sku, "tier": tier_of(sku.as_str().unwrap_or_default())}));
    }
    let sent = req.body.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
    let writable = [
        "osType",
        "diskSizeGB",
        "encryption",
        "networkAccessPolicy",
        "diskAccessId",
        "supportsHibernation",
        "publicNetworkAccess",
        "dataAccessAuthMode",
        "supportedCapabilities",
        "tier",
        "burstingEnabled",
    ];
    disk.properties_mut().extend(sent.into_iter().filter(|(name, _)| writable.contains(&name.as_str())));
    derive_sizes(&mut disk);
    disk.set_state("Updating");
    Ok((disk, None))
}

/// Stores the disk, starts the operation and echoes the request.
fn accept(world: &mut World, req: &Inbound, target: &Target, disk: Resource, rig: Option<Rig>) -> Reply {
    let id = disk.id.clone();
    let location = canonical_location(disk.text("/location"));
    world.insert(disk);
    tags::take_from_body(world, &id, req);
    let seconds = world.settings.durations.disk;
    let start = Start { family: Family::Disk, location, subject: id.clone(), effect: Effect::Settle, seconds };
    let operation = world.start_operation(target.subscription.as_deref().unwrap_or_default(), start);
    if let Some(operation) = world.operations.get_mut(&operation) {
        operation.rig = rig;
    }
    let mut echo = req.body.clone();
    echo["name"] = json!(target.names.last());
    echo["id"] = json!(id);
    echo["type"] = json!(Kind::Disk.type_name());
    echo["properties"]["provisioningState"] = json!("Updating");
    let reply = Reply::json(202, echo).with_header("retry-after", "2");
    world.announce(reply, &operation, req, Announce::Both)
}

/// DELETE: refused while attached (compute-and-arm.md I.12).
pub fn delete(world: &mut World, req: &Inbound, target: &Target) -> Reply {
    let id = target.resource_id();
    if let Some(disk) = world.resource(&id) {
        let owner = disk.text("/managedBy");
        if !owner.is_empty() {
            return Reply::error(409, "OperationNotAllowed", format!("Disk {} is attached to VM {owner}.", disk.name()));
        }
    }
    let seconds = world.settings.durations.disk;
    super::delete(world, req, target, (Family::Disk, seconds))
}

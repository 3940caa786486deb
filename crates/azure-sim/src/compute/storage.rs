//! The disks of a machine: made with it, attached, detached, swapped (compute-and-arm.md B.4, I.12).

use serde_json::{Value, json};

use crate::{
    arm::{errors, operations::long_time},
    compute::{
        disks::{NewDisk, finished},
        machines::Power,
    },
    path::canonical_location,
    wire::Reply,
    world::{Resource, World},
};

/// What a write of a machine does to its disks.
#[derive(Debug, Default)]
pub struct StoragePlan {
    /// `storageProfile` as stored: every disk with name and id.
    pub profile: Value,
    create: Vec<Resource>,
    attach: Vec<String>,
    detach: Vec<String>,
}

/// A machine being written.
pub struct Subject<'a> {
    /// Its id.
    pub id: &'a str,
    /// Its region as sent.
    pub location: &'a str,
    /// Its availability zones.
    pub zones: Option<&'a Value>,
    /// The machine before, when it exists.
    pub before: Option<&'a Resource>,
}

impl Subject<'_> {
    fn name(&self) -> &str {
        self.id.rsplit('/').next().unwrap_or_default()
    }

    fn group_id(&self) -> &str {
        self.id.find("/providers/").map_or("", |at| &self.id[..at])
    }

    fn profile(&self) -> Option<&Value> {
        self.before.and_then(|vm| vm.at("/properties/storageProfile"))
    }
}

/// Works out what a `storageProfile` asks for, refusing what Azure refuses.
pub fn plan(world: &World, subject: &Subject<'_>, asked: &Value) -> Result<StoragePlan, Reply> {
    let mut plan = StoragePlan { profile: asked.clone(), ..StoragePlan::default() };
    if let Some(image) = plan.profile.get_mut("imageReference").filter(|image| image["version"] == "latest") {
        image["exactVersion"] = json!(super::images::VERSION);
    }
    plan.profile["osDisk"] = os_disk(world, subject, asked, &mut plan)?;
    let before = subject.profile().and_then(|profile| profile["dataDisks"].as_array()).cloned().unwrap_or_default();
    // A null list leaves the disks alone; an empty one detaches them all.
    let wanted = asked.get("dataDisks").and_then(Value::as_array).cloned().unwrap_or_else(|| before.clone());
    let mut kept = Vec::new();
    for disk in wanted.iter().map(canonical) {
        if disk["toBeDetached"] == true {
            continue;
        }
        if kept.iter().any(|other: &Value| other["lun"] == disk["lun"]) {
            // The words are a guess.
            let message = format!("More than one data disk is to be at LUN {}.", disk["lun"]);
            return Err(errors::invalid_parameter("dataDisks.lun", message));
        }
        let same_lun = before.iter().find(|old| old["lun"] == disk["lun"]);
        kept.push(data_disk(world, subject, &disk, same_lun, &mut plan)?);
    }
    let stays = |id: &str| kept.iter().any(|disk: &Value| same_id(&disk["managedDisk"]["id"], id));
    let gone = before.iter().filter_map(|disk| disk["managedDisk"]["id"].as_str()).filter(|id| !stays(id));
    plan.detach.extend(gone.map(str::to_owned));
    plan.profile["dataDisks"] = json!(kept);
    Ok(plan)
}

fn same_id(value: &Value, id: &str) -> bool {
    value.as_str().is_some_and(|other| other.eq_ignore_ascii_case(id))
}

fn os_disk(world: &World, subject: &Subject<'_>, asked: &Value, plan: &mut StoragePlan) -> Result<Value, Reply> {
    let mut disk = asked.get("osDisk").filter(|disk| disk.is_object()).map_or_else(|| json!({"createOption": "FromImage"}), canonical);
    let before = subject.profile().map(|profile| &profile["osDisk"]);
    let named = disk["managedDisk"]["id"].as_str().map(str::to_owned);
    let old_id = before.and_then(|old| old["managedDisk"]["id"].as_str());
    match (&named, old_id) {
        (None, Some(_)) => return Ok(before.cloned().unwrap_or_default()),
        (Some(new), Some(old)) if new.eq_ignore_ascii_case(old) => {}
        (Some(new), old) => {
            let power = subject.before.and_then(|vm| vm.machine.as_ref()).map(|machine| machine.power);
            if power.is_some_and(|power| !matches!(power, Power::Stopped | Power::Deallocated)) {
                let message = format!("The OS disk of VM '{}' can only be changed when the VM is stopped or deallocated.", subject.name());
                return Err(errors::targeted(409, "OperationNotAllowed", message, "osDisk"));
            }
            let found = attachable(world, subject, new)?;
            disk["name"] = json!(found.name());
            disk["diskSizeGB"] = found.at("/properties/diskSizeGB").cloned().unwrap_or_default();
            disk["managedDisk"] = json!({"id": found.id, "storageAccountType": found.text("/sku/name")});
            plan.attach.push(found.id.clone());
            plan.detach.extend(old.map(str::to_owned));
        }
        (None, None) => {
            let windows =
                asked.pointer("/imageReference/publisher").and_then(Value::as_str).is_some_and(|p| p.to_lowercase().contains("windows"));
            let os = disk["osType"].as_str().map_or(if windows { "Windows" } else { "Linux" }, |os| os).to_owned();
            let size = disk["diskSizeGB"].as_i64().unwrap_or(if os == "Windows" { 127 } else { 30 });
            let mut made =
                made_disk(world, subject, &disk, &format!("{}_OsDisk_1_", subject.name()), (size, json!({"createOption": "FromImage"})));
            made.properties_mut().extend([("osType".to_owned(), json!(os)), ("hyperVGeneration".to_owned(), json!("V2"))]);
            disk["osType"] = json!(os);
            describe(&mut disk, &made);
            plan.create.push(made);
        }
    }
    default_field(&mut disk, "caching", "ReadWrite");
    default_field(&mut disk, "deleteOption", "Detach");
    default_field(&mut disk, "createOption", "Attach");
    Ok(disk)
}

fn data_disk(world: &World, subject: &Subject<'_>, asked: &Value, before: Option<&Value>, plan: &mut StoragePlan) -> Result<Value, Reply> {
    let mut disk = asked.clone();
    let named = asked["managedDisk"]["id"].as_str();
    match (named, before) {
        (None, Some(old)) => return Ok(old.clone()),
        (Some(new), Some(old)) if same_id(&old["managedDisk"]["id"], new) => {}
        (Some(new), _) => {
            let found = attachable(world, subject, new)?;
            disk["name"] = json!(found.name());
            disk["diskSizeGB"] = found.at("/properties/diskSizeGB").cloned().unwrap_or_default();
            disk["managedDisk"] = json!({"id": found.id, "storageAccountType": found.text("/sku/name")});
            plan.attach.push(found.id.clone());
        }
        (None, None) => {
            let Some(size) = asked["diskSizeGB"].as_i64() else {
                return Err(errors::invalid_parameter(
                    "dataDisk.diskSizeGB",
                    "Required parameter 'dataDisk.diskSizeGB' is missing (null).",
                ));
            };
            let made = made_disk(
                world,
                subject,
                asked,
                &format!("{}_disk{}_", subject.name(), plan.create.len() + 1),
                (size, json!({"createOption": "Empty"})),
            );
            describe(&mut disk, &made);
            plan.create.push(made);
        }
    }
    default_field(&mut disk, "caching", "None");
    default_field(&mut disk, "deleteOption", "Detach");
    default_field(&mut disk, "createOption", "Attach");
    disk["toBeDetached"] = json!(false);
    Ok(disk)
}

fn default_field(disk: &mut Value, name: &str, value: &str) {
    if disk.get(name).is_none_or(Value::is_null) {
        disk[name] = json!(value);
    }
}

/// A disk as asked for, with the words as Azure spells them: az sends `fromImage`, `attach` and `diskSizeGb`, and ARM
/// looks at neither the case of a field's name nor that of an enum.
fn canonical(disk: &Value) -> Value {
    let mut disk = disk.clone();
    if let Some(size) = disk.as_object_mut().and_then(|fields| fields.remove("diskSizeGb")) {
        disk["diskSizeGB"] = size;
    }
    for (field, words) in [
        ("createOption", &["FromImage", "Attach", "Empty", "Copy", "Restore"][..]),
        ("deleteOption", &["Delete", "Detach"]),
        ("caching", &["None", "ReadOnly", "ReadWrite"]),
        ("osType", &["Linux", "Windows"]),
    ] {
        let sent = disk[field].as_str();
        if let Some(word) = words.iter().find(|word| sent.is_some_and(|sent| sent.eq_ignore_ascii_case(word))) {
            disk[field] = json!(word);
        } else if disk[field].is_null() {
            disk.as_object_mut().map(|fields| fields.remove(field));
        }
    }
    disk
}

fn describe(disk: &mut Value, made: &Resource) {
    disk["name"] = json!(made.name());
    disk["diskSizeGB"] = made.at("/properties/diskSizeGB").cloned().unwrap_or_default();
    disk["managedDisk"]["id"] = json!(made.id);
    disk["managedDisk"]["storageAccountType"] = json!(made.text("/sku/name"));
}

/// A disk made by its machine; its name ends with its `uniqueId` (compute-and-arm.md B.3), unless one was asked for.
fn made_disk(world: &World, subject: &Subject<'_>, asked: &Value, stem: &str, (size_gb, creation): (i64, Value)) -> Resource {
    let unique_id = world.entropy.guid();
    let name = asked["name"].as_str().map_or_else(|| format!("{stem}{}", unique_id.replace('-', "")), str::to_owned);
    let id = format!("{}/providers/Microsoft.Compute/disks/{name}", subject.group_id());
    let sku = asked.pointer("/managedDisk/storageAccountType").and_then(Value::as_str).unwrap_or("Premium_LRS");
    let mut made = finished(world, NewDisk { id: &id, location: &canonical_location(subject.location), sku, size_gb, creation, unique_id });
    if let Some(zones) = subject.zones {
        made.body.insert("zones".to_owned(), zones.clone());
    }
    made
}

fn attachable<'a>(world: &'a World, subject: &Subject<'_>, id: &str) -> Result<&'a Resource, Reply> {
    let region = canonical_location(subject.location);
    let Some(disk) = world.resource(id).filter(|disk| disk.location() == region) else {
        return Err(errors::targeted(404, "NotFound", "The entity was not found in this Azure location.", id));
    };
    if let Some(zone) = zone_apart(disk, subject) {
        // The words are a guess; that zones must match is documented (compute-and-arm.md B.4).
        let message = format!("Disk '{}' in zone '{zone}' cannot be attached to VM '{}', which is not in it.", disk.name(), subject.name());
        return Err(errors::targeted(400, "BadRequest", message, "zones"));
    }
    let owner = disk.text("/managedBy");
    if owner.is_empty() || owner.eq_ignore_ascii_case(subject.id) {
        return Ok(disk);
    }
    let message = format!(
        "Cannot attach data disk '{}' to VM '{}' because the disk is currently being attached to VM '{owner}'.",
        disk.name(),
        subject.name()
    );
    Err(errors::targeted(409, "AttachDiskWhileBeingAttached", message, "dataDisk"))
}

/// The disk's zone, when the machine is in another or in none. A zone-redundant disk is in all; a disk
/// without a zone is let through, though Azure might not.
fn zone_apart(disk: &Resource, subject: &Subject<'_>) -> Option<String> {
    let first = |zones: Option<&Value>| zones.and_then(|zones| zones.get(0)).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (held, wanted) = (first(disk.body.get("zones")), first(subject.zones));
    (!held.is_empty() && held != wanted && !disk.text("/sku/name").ends_with("_ZRS")).then_some(held)
}

/// Carries a plan out.
pub fn apply(world: &mut World, vm_id: &str, plan: StoragePlan) {
    let StoragePlan { create, attach, detach, .. } = plan;
    let made: Vec<String> = create.iter().map(|disk| disk.id.clone()).collect();
    for disk in create {
        world.insert(disk);
    }
    for id in detach {
        world.release_disk(&id);
    }
    for id in made.into_iter().chain(attach) {
        if let Some(disk) = world.resource_mut(&id) {
            disk.body.insert("managedBy".to_owned(), json!(vm_id));
        }
    }
    world.refresh_disk_states(vm_id);
}

/// Ids of the disks that a machine names.
fn disks_of(vm: &Resource) -> Vec<String> {
    let profile = vm.at("/properties/storageProfile");
    let data = profile.and_then(|profile| profile["dataDisks"].as_array()).into_iter().flatten();
    let disks = profile.map(|profile| &profile["osDisk"]).into_iter().chain(data);
    disks.filter_map(|disk| disk["managedDisk"]["id"].as_str().map(str::to_owned)).collect()
}

impl World {
    /// The disk belongs to no machine any more.
    pub fn release_disk(&mut self, id: &str) {
        let now = long_time(self.now);
        if let Some(disk) = self.resource_mut(id) {
            disk.body.remove("managedBy");
            disk.properties_mut().insert("diskState".to_owned(), json!("Unattached"));
            disk.properties_mut().insert("LastOwnershipUpdateTime".to_owned(), json!(now));
        }
    }

    /// `Attached`, or `Reserved` while the machine is deallocated (compute-and-arm.md B.2).
    pub fn refresh_disk_states(&mut self, vm_id: &str) {
        let deallocated =
            self.resource(vm_id).and_then(|vm| vm.machine.as_ref()).is_some_and(|machine| machine.power == Power::Deallocated);
        let state = if deallocated { "Reserved" } else { "Attached" };
        let now = long_time(self.now);
        for id in self.resource(vm_id).map(disks_of).unwrap_or_default() {
            let disk = self.resource_mut(&id).filter(|disk| disk.text("/managedBy").eq_ignore_ascii_case(vm_id));
            if let Some(disk) = disk.filter(|disk| disk.text("/properties/diskState") != state) {
                disk.properties_mut().insert("diskState".to_owned(), json!(state));
                disk.properties_mut().insert("LastOwnershipUpdateTime".to_owned(), json!(now));
            }
        }
    }
}

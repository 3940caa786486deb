//! Virtual machines: PUT, PATCH, DELETE and what their operations do at the end (compute-and-arm.md C, I.1, I.9, I.12).

use serde_json::{Map, Value, json};

use crate::{
    arm::{
        errors, groups,
        operations::{Announce, Effect, Family, Start, long_time},
        tags,
    },
    compute::storage::{self, StoragePlan, Subject},
    path::{Target, canonical_location},
    wire::{Inbound, Reply},
    world::{Kind, Resource, World},
};

/// Power states (compute-and-arm.md C.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Power {
    /// On.
    Running,
    /// Being turned on.
    Starting,
    /// Shut down but still allocated.
    Stopped,
    /// Being shut down.
    Stopping,
    /// Off and released.
    Deallocated,
    /// Being released.
    Deallocating,
}

impl Power {
    /// The word after `PowerState/`.
    pub fn word(self) -> &'static str {
        match self {
            Power::Running => "running",
            Power::Starting => "starting",
            Power::Stopped => "stopped",
            Power::Stopping => "stopping",
            Power::Deallocated => "deallocated",
            Power::Deallocating => "deallocating",
        }
    }

    /// `VM running`, ...
    pub fn display(self) -> String {
        format!("VM {}", self.word())
    }
}

/// Whether the guest agent is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Agent {
    /// It answers when the machine runs.
    #[default]
    Ready,
    /// It never answers.
    Absent,
}

/// What only a machine has.
#[derive(Clone, Debug)]
pub struct Machine {
    /// Its power state.
    pub power: Power,
    /// Its guest agent.
    pub agent: Agent,
    /// Counts model changes (compute-and-arm.md C.1).
    pub etag: u64,
}

impl Machine {
    /// The quoted counter.
    pub fn etag_text(&self) -> String {
        format!("\"{}\"", self.etag)
    }

    /// Whether the agent answers now.
    pub fn agent_answers(&self) -> bool {
        self.agent == Agent::Ready && self.power == Power::Running
    }
}

/// PUT of a machine: 201 `Creating` or 200 `Updating`, with `Azure-AsyncOperation` alone.
pub fn put(world: &mut World, req: &Inbound, target: &Target) -> Reply {
    let before = world.resource(&target.resource_id()).cloned();
    if let Err(refusal) = precondition(req, before.as_ref()).and_then(|()| tags::check_body(&req.body)) {
        return refusal;
    }
    let location = match groups::location_of_write(world, req, before.as_ref()) {
        Ok(location) => location,
        Err(refusal) => return refusal,
    };
    let body = req.body.as_object().cloned().unwrap_or_default();
    let written = before.as_ref().map_or_else(|| required(&body), |vm| unchanged(vm, &req.body));
    let written = written.and_then(|()| known_users(world, body.get("identity")));
    if let Err(refusal) = written {
        return refusal;
    }
    write(world, req, target, (body, location), before)
}

/// PATCH of a machine: the body is merged into the model; `tags` replace the whole set.
pub fn patch(world: &mut World, req: &Inbound, target: &Target) -> Reply {
    let Some(vm) = world.resource(&target.resource_id()).cloned() else { return super::missing(world, target, "VM") };
    let checked = precondition(req, Some(&vm)).and_then(|()| unchanged(&vm, &req.body)).and_then(|()| tags::check_body(&req.body));
    let checked = checked.and_then(|()| known_users(world, req.body.get("identity")));
    if let Err(refusal) = checked {
        return refusal;
    }
    let mut body = Value::Object(vm.body.clone());
    merge(&mut body, &req.body);
    let location = vm.location();
    let merged = body.as_object().cloned().unwrap_or_default();
    write(world, req, target, (merged, location), Some(vm))
}

/// RFC 7396 over objects.
pub(crate) fn merge(target: &mut Value, patch: &Value) {
    match (target.as_object_mut(), patch.as_object()) {
        (Some(fields), Some(changes)) => {
            for (name, change) in changes.iter().filter(|(name, _)| name.as_str() != "tags") {
                match change {
                    Value::Null => drop(fields.remove(name)),
                    change => merge(fields.entry(name.clone()).or_insert(Value::Null), change),
                }
            }
        }
        _ => *target = patch.clone(),
    }
}

/// `If-Match` and `If-None-Match` (compute-and-arm.md C.1, E.8).
fn precondition(req: &Inbound, before: Option<&Resource>) -> Result<(), Reply> {
    let etag = before.and_then(|vm| vm.machine.as_ref()).map(Machine::etag_text);
    let matches = |wanted: &str| wanted == "*" && etag.is_some() || etag.as_deref().is_some_and(|etag| etag == wanted);
    let refused = req.headers.get("if-match").is_some_and(|wanted| !matches(wanted))
        || req.headers.get("if-none-match").is_some_and(|unwanted| matches(unwanted));
    let message = "The condition set in the request headers is not satisfied by the resource.";
    if refused { Err(Reply::error(412, "PreconditionFailed", message)) } else { Ok(()) }
}

fn required(body: &Map<String, Value>) -> Result<(), Reply> {
    let properties = body.get("properties").cloned().unwrap_or_default();
    let needed = [
        ("vmSize", "/hardwareProfile/vmSize"),
        ("networkProfile", "/networkProfile/networkInterfaces/0/id"),
        ("storageProfile", "/storageProfile"),
    ];
    for (name, pointer) in needed {
        if properties.pointer(pointer).is_none_or(Value::is_null) {
            return Err(errors::invalid_parameter(name, format!("Required parameter '{name}' is missing (null).")));
        }
    }
    Ok(())
}

/// Fields that may not change once a machine exists (compute-and-arm.md E.4, `PropertyChangeNotAllowed`).
fn unchanged(vm: &Resource, body: &Value) -> Result<(), Reply> {
    const FIXED: [(&str, &str); 6] = [
        ("priority", "/properties/priority"),
        ("osProfile.computerName", "/properties/osProfile/computerName"),
        ("osProfile.adminUsername", "/properties/osProfile/adminUsername"),
        ("availabilitySet.id", "/properties/availabilitySet/id"),
        ("imageReference", "/properties/storageProfile/imageReference/offer"),
        ("zones", "/zones"),
    ];
    let held = Value::Object(vm.body.clone());
    for (name, pointer) in FIXED {
        if let (Some(sent), Some(kept)) = (body.pointer(pointer), held.pointer(pointer))
            && sent != kept
        {
            return Err(errors::targeted(409, "PropertyChangeNotAllowed", format!("Changing property '{name}' is not allowed."), name));
        }
    }
    let deleting = vm.text("/properties/provisioningState") == "Deleting";
    if deleting { Err(Reply::error(409, "OperationNotAllowed", "The VM is being deleted.")) } else { Ok(()) }
}

/// Stores a machine as it shall be, with its disks and interfaces, and starts the operation.
pub(super) fn write(
    world: &mut World,
    req: &Inbound,
    target: &Target,
    (body, location): (Map<String, Value>, String),
    before: Option<Resource>,
) -> Reply {
    let id = before.as_ref().map_or_else(|| target.resource_id(), |vm| vm.id.clone());
    if let Err(refusal) = interfaces_free(world, &id, &body) {
        return refusal;
    }
    let asked = body.get("properties").and_then(|p| p.get("storageProfile")).cloned().unwrap_or_else(|| json!({}));
    let zones = body.get("zones").or(before.as_ref().and_then(|vm| vm.body.get("zones")));
    let subject = Subject { id: &id, location: &location, zones, before: before.as_ref() };
    let plan = match storage::plan(world, &subject, &asked) {
        Ok(plan) => plan,
        Err(refusal) => return refusal,
    };
    let is_new = before.is_none();
    let held = before.as_ref().map(interfaces).unwrap_or_default();
    let vm = model(world, req, &id, body, &plan, before);
    let etag = vm.machine.as_ref().map(Machine::etag_text).unwrap_or_default();
    world.insert(vm);
    storage::apply(world, &id, plan);
    world.join_interfaces(&id, &held);
    tags::take_from_body(world, &id, req);
    let seconds = if is_new { world.settings.durations.vm_create } else { world.settings.durations.vm_update };
    let start = Start { family: Family::Compute, location, subject: id.clone(), effect: Effect::Settle, seconds };
    let operation = world.start_operation(target.subscription.as_deref().unwrap_or_default(), start);
    let mut echo = world.resource(&id).map(|vm| world.show(vm)).unwrap_or_default();
    if !is_new {
        return world.announce(Reply::json(200, echo).with_header("etag", etag), &operation, req, Announce::Status);
    }
    // The 201 does not name the disks yet (recorded vm_put_create_from_image__201_creating).
    if let Some(disk) = echo.pointer_mut("/properties/storageProfile/osDisk").and_then(Value::as_object_mut)
        && disk.get("createOption").is_some_and(|option| option == "FromImage")
    {
        disk.remove("name");
        disk.get_mut("managedDisk").and_then(Value::as_object_mut).map(|managed| managed.remove("id"));
    }
    let reply = Reply::json(201, echo).with_header("retry-after", "10").with_header("etag", etag);
    world.announce(reply, &operation, req, Announce::Status)
}

/// Ids of the interfaces that a machine names, in lower case.
fn interfaces(vm: &Resource) -> Vec<String> {
    let named = vm.at("/properties/networkProfile/networkInterfaces").and_then(Value::as_array).into_iter().flatten();
    named.filter_map(|nic| nic["id"].as_str().map(str::to_ascii_lowercase)).collect()
}

/// The one of them that is marked as primary, in lower case; the first where none is.
fn primary_interface(vm: &Resource) -> Option<String> {
    let named = vm.at("/properties/networkProfile/networkInterfaces")?.as_array()?;
    let marked = named.iter().find(|nic| nic.pointer("/properties/primary") == Some(&Value::Bool(true)));
    marked.or(named.first())?["id"].as_str().map(str::to_ascii_lowercase)
}

fn interfaces_free(world: &World, id: &str, body: &Map<String, Value>) -> Result<(), Reply> {
    let interfaces = body.get("properties").and_then(|p| p.pointer("/networkProfile/networkInterfaces")).and_then(Value::as_array);
    for interface in interfaces.into_iter().flatten().filter_map(|nic| nic["id"].as_str()) {
        let Some(nic) = world.resource(interface).filter(|found| found.kind == Kind::Interface) else {
            return Err(errors::targeted(404, "NotFound", "The entity was not found in this Azure location.", interface));
        };
        let owner = nic.text("/properties/virtualMachine/id");
        if !owner.is_empty() && !owner.eq_ignore_ascii_case(id) {
            let message = format!("Network Interface {} is used by existing resource {owner}.", nic.id);
            return Err(Reply::error(400, "NicInUse", message));
        }
    }
    Ok(())
}

/// Refuses an assigned identity that the estate does not have: what Azure says then was not recorded.
fn known_users(world: &World, identity: Option<&Value>) -> Result<(), Reply> {
    let users = identity.and_then(|identity| identity["userAssignedIdentities"].as_object()).into_iter().flatten();
    let unknown = users.filter(|(_, user)| !user.is_null()).find(|(id, _)| !world.identities.contains_key(&id.to_ascii_lowercase()));
    unknown.map_or(Ok(()), |(id, _)| Err(errors::not_implemented("what Azure says to", &format!("{id}, which does not exist"))))
}

/// What Azure fills into an identity: ids of the machine's own and of those assigned to it, of which those that are not of its type
/// go.
fn fill_identity(world: &World, tenant: &str, identity: &mut Map<String, Value>, kept: Option<Value>) {
    let kind = identity.get("type").and_then(Value::as_str).unwrap_or_default().to_ascii_lowercase();
    for field in ["principalId", "tenantId"] {
        identity.remove(field);
    }
    if kind.contains("systemassigned") {
        identity.insert("principalId".to_owned(), kept.unwrap_or_else(|| json!(world.entropy.guid())));
        identity.insert("tenantId".to_owned(), json!(tenant));
    }
    if !kind.contains("userassigned") {
        identity.remove("userAssignedIdentities");
    }
    for (id, user) in identity.get_mut("userAssignedIdentities").and_then(Value::as_object_mut).into_iter().flatten() {
        if let Some((principal, client)) = world.identities.get(&id.to_ascii_lowercase()) {
            *user = json!({"principalId": principal, "clientId": client});
        }
    }
}

/// The stored model: read-only fields kept, passwords dropped, service defaults added.
fn model(world: &World, req: &Inbound, id: &str, body: Map<String, Value>, plan: &StoragePlan, before: Option<Resource>) -> Resource {
    let mut body: Map<String, Value> =
        body.into_iter().filter(|(name, _)| !matches!(name.as_str(), "name" | "id" | "type" | "tags" | "etag" | "resources")).collect();
    let mut vm = Resource {
        id: id.to_owned(),
        kind: Kind::Machine,
        body: Map::new(),
        created: world.now,
        changed: world.now,
        pending: None,
        machine: None,
    };
    if let Some(identity) = body.get_mut("identity").and_then(Value::as_object_mut) {
        let kept = before.as_ref().and_then(|old| old.at("/identity/principalId")).cloned();
        fill_identity(world, &req.caller.tenant_id, identity, kept);
    }
    if body.get("identity").and_then(|identity| identity.get("type")).is_some_and(|kind| kind == "None") {
        body.remove("identity");
    }
    vm.body = body;
    let (created, vm_id, state) = match &before {
        Some(old) => (old.text("/properties/timeCreated").to_owned(), old.text("/properties/vmId").to_owned(), "Updating"),
        None => (long_time(world.now), world.entropy.guid(), "Creating"),
    };
    let os = plan.profile["osDisk"]["osType"].as_str().unwrap_or("Linux").to_owned();
    let os_profile = before.as_ref().and_then(|old| old.at("/properties/osProfile")).cloned();
    let properties = vm.properties_mut();
    properties.remove("instanceView");
    properties.insert("storageProfile".to_owned(), plan.profile.clone());
    properties.insert("provisioningState".to_owned(), json!(state));
    properties.insert("vmId".to_owned(), json!(vm_id));
    properties.insert("timeCreated".to_owned(), json!(created));
    if let Some(profile) = os_profile.or_else(|| properties.get("osProfile").map(|sent| stored_os_profile(sent, &os))) {
        properties.insert("osProfile".to_owned(), profile);
    }
    let etag = before.as_ref().and_then(|old| old.machine.as_ref()).map_or(1, |machine| machine.etag + 1);
    let (power, agent) =
        before.as_ref().and_then(|old| old.machine.as_ref()).map_or((Power::Running, Agent::Ready), |m| (m.power, m.agent));
    // What was put into it stays in it.
    if let Some(extensions) = before.as_ref().and_then(|old| old.body.get("resources")) {
        vm.body.insert("resources".to_owned(), extensions.clone());
    }
    vm.created = before.as_ref().map_or(world.now, |old| old.created);
    vm.pending = before.and_then(|old| old.pending);
    vm.machine = Some(Machine { power, agent, etag });
    vm
}

fn stored_os_profile(sent: &Value, os: &str) -> Value {
    let mut profile = sent.clone();
    if let Some(fields) = profile.as_object_mut() {
        fields.retain(|name, _| !matches!(name.as_str(), "adminPassword" | "customData"));
        fields.entry("secrets").or_insert_with(|| json!([]));
        fields.entry("allowExtensionOperations").or_insert(json!(true));
        fields.entry("requireGuestProvisionSignal").or_insert(json!(true));
        let patching =
            json!({"patchMode": if os == "Windows" { "AutomaticByOS" } else { "ImageDefault" }, "assessmentMode": "ImageDefault"});
        let (name, first) = if os == "Windows" {
            ("windowsConfiguration", "enableAutomaticUpdates")
        } else {
            ("linuxConfiguration", "disablePasswordAuthentication")
        };
        let settings = fields.entry(name).or_insert_with(|| json!({}));
        let defaults = [
            (first, json!(os == "Windows")),
            ("provisionVMAgent", json!(true)),
            ("patchSettings", patching),
            ("enableVMAgentPlatformUpdates", json!(false)),
        ];
        for (name, value) in defaults {
            if settings[name].is_null() {
                settings[name] = value;
            }
        }
    }
    profile
}

/// DELETE of a machine.
pub fn delete(world: &mut World, req: &Inbound, target: &Target) -> Reply {
    let seconds = world.settings.durations.vm_delete;
    let reply = super::delete(world, req, target, (Family::Compute, seconds));
    if reply.status == 202 { reply.with_header("retry-after", "10") } else { reply }
}

impl World {
    /// A write has ended well.
    pub fn settle(&mut self, id: &str) {
        let now = self.now;
        if let Some(resource) = self.resource_mut(id) {
            resource.pending = None;
            resource.changed = now;
            resource.set_state("Succeeded");
        }
    }

    /// A power operation has ended well.
    pub fn set_power(&mut self, id: &str, power: Power) {
        if let Some(machine) = self.resource_mut(id).and_then(|vm| vm.machine.as_mut()) {
            machine.power = power;
        }
        self.settle(id);
        self.refresh_disk_states(id);
    }

    /// Takes a resource away; a machine lets go of its disks and NICs, or takes those with `deleteOption: Delete` along.
    pub fn remove_with_dependents(&mut self, id: &str) {
        let Some(gone) = self.remove(id) else { return };
        if gone.kind == Kind::Network {
            let subnets: Vec<String> = self.below(id, Kind::Subnet).into_iter().map(|subnet| subnet.id.clone()).collect();
            subnets.iter().for_each(|subnet| drop(self.remove(subnet)));
        }
        if gone.kind != Kind::Machine {
            return;
        }
        let doomed = |entry: &Value| {
            entry.pointer("/properties/deleteOption").or(entry.get("deleteOption")).is_some_and(|option| option == "Delete")
        };
        let profile = gone.at("/properties/storageProfile").cloned().unwrap_or_default();
        let nics = gone.at("/properties/networkProfile/networkInterfaces").and_then(Value::as_array).cloned().unwrap_or_default();
        let data = profile["dataDisks"].as_array().cloned().unwrap_or_default();
        let listed: Vec<Value> = std::iter::once(profile["osDisk"].clone()).chain(data).chain(nics).collect();
        for entry in &listed {
            let named = [&entry["id"], &entry["managedDisk"]["id"]].into_iter().find_map(Value::as_str);
            let Some(found) = named.and_then(|named| self.resource(named)) else { continue };
            let owners = [found.text("/managedBy"), found.text("/properties/virtualMachine/id")];
            let (held, mine) = (found.id.clone(), owners.iter().any(|owner| owner.eq_ignore_ascii_case(id)));
            if mine && doomed(entry) {
                self.remove(&held);
            } else if mine {
                self.release_disk_or_interface(&held);
            }
        }
    }

    fn release_disk_or_interface(&mut self, id: &str) {
        match self.resource(id).map(|resource| resource.kind) {
            Some(Kind::Disk) => self.release_disk(id),
            Some(Kind::Interface) => drop(self.resource_mut(id).and_then(|nic| nic.properties_mut().remove("virtualMachine"))),
            _ => {}
        }
    }

    /// Marks the machine's interfaces as its own, and lets go of those of `held` that it no longer names.
    pub fn join_interfaces(&mut self, vm_id: &str, held: &[String]) {
        let named = self.resource(vm_id).map(interfaces).unwrap_or_default();
        let primary = self.resource(vm_id).and_then(primary_interface);
        for key in &named {
            if let Some(nic) = self.resource_mut(key).filter(|found| found.kind == Kind::Interface) {
                nic.properties_mut().insert("virtualMachine".to_owned(), json!({"id": vm_id}));
                nic.properties_mut().insert("primary".to_owned(), json!(primary.as_ref() == Some(key)));
            }
        }
        for key in held.iter().filter(|key| !named.contains(key)) {
            if let Some(nic) = self.resource_mut(key).filter(|nic| nic.text("/properties/virtualMachine/id").eq_ignore_ascii_case(vm_id)) {
                nic.properties_mut().remove("virtualMachine");
            }
        }
    }
}

/// The canonical region of a request body, or of the group.
pub fn region(body: &Value, fallback: &str) -> String {
    body["location"].as_str().map_or_else(|| fallback.to_owned(), canonical_location)
}

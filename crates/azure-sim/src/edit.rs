//! Edits behind everybody's back: no authentication, no journal, no locks, no operation.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::{
    arm::{self, policies::PolicyAssignment, tags},
    azure::Azure,
    compute::machines::Power,
    estate::load::inbound,
    model::Model,
    path::{Target, joined, split_url},
    recovery::operation_id,
    world::{Kind, Resource, World},
};

/// One edit: of a group, a machine, disk, network object, storage account, vault, policy, protected item, recovery point,
/// lock, role assignment, or assignment of an Azure Policy that denies. A recovery point that is deleted has expired;
/// `coresLeft` in the body of a subscription sets what its quota leaves: `{"coresLeft": {"westeurope": 1}}`.
/// A PUT of a vault, policy or protected item that is not there makes it at once, by the rules that a client meets and
/// without its rights: another tool, or Azure Policy, was faster. `spent` in the body of a vault or item uses up a
/// share of its limits of a day: `{"policyWrites": 45, "protectionChanges": 900}`, `{"onDemandBackups": 9}`; of a
/// subscription, its requests.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Edit {
    /// What to do.
    pub method: Verb,
    /// The resource's ARM id.
    pub id: String,
    /// PUT: everything but id, name and type. PATCH: what changes, merged; `power` sets a machine's power state.
    #[serde(default)]
    pub body: Value,
}

/// What an edit does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Verb {
    /// Replaces or creates.
    Put,
    /// Merges.
    Patch,
    /// Removes.
    Delete,
    /// Moves a machine, disk or network object to another group: `{"resourceGroup": "/subscriptions/…/resourceGroups/x"}`.
    Move,
}

/// Carries an edit out and shows what is there afterwards.
///
/// # Errors
/// In words, when there is no such resource or it cannot be edited so.
pub fn apply(azure: &mut Azure, mut edit: Edit) -> Result<Value, String> {
    azure.changed = true;
    let (path, _) = split_url(&edit.id);
    edit.id = joined(&path);
    let target = Target::read("GET", &path);
    let Some(namespace) = target.namespace.clone() else { return group(azure, &edit, &target) };
    if namespace.eq_ignore_ascii_case("Microsoft.RecoveryServices") {
        return recovery(azure, &edit);
    }
    if namespace.eq_ignore_ascii_case("Microsoft.Authorization") {
        return authorization(azure, &edit);
    }
    let Some(kind) = Kind::of(&namespace, &target.type_path()) else { return Err(format!("{} is of no type that can be edited", edit.id)) };
    let world = &mut azure.model.world;
    match edit.method {
        Verb::Delete => {
            world.resource(&edit.id).ok_or_else(|| format!("there is no {}", edit.id))?;
            world.remove_with_dependents(&edit.id);
            Ok(json!({"deleted": edit.id}))
        }
        Verb::Move => {
            let group = edit.body["resourceGroup"].as_str().unwrap_or_default();
            let to = Target::read("GET", &split_url(group).0);
            let found = to.subscription.zip(to.group).and_then(|(subscription, name)| world.group(&subscription, &name));
            let group = found.map(|group| group.id.clone()).ok_or("resourceGroup must be the id of a group that exists")?;
            let id = world.move_to_group(&edit.id, &group).ok_or_else(|| format!("there is no {}", edit.id))?;
            Ok(json!({"id": id}))
        }
        Verb::Put => put(world, &edit, kind),
        Verb::Patch => patch(world, &edit),
    }
}

fn group(azure: &mut Azure, edit: &Edit, target: &Target) -> Result<Value, String> {
    let (subscription, name) = (target.subscription.clone().unwrap_or_default(), target.group.clone().unwrap_or_default());
    if target.group.is_none() && azure.model.world.subscription(&subscription).is_some() {
        return subscription_spent(azure, &subscription, edit);
    }
    let world = &mut azure.model.world;
    let id = world.group(&subscription, &name).map(|group| group.id.clone()).ok_or_else(|| format!("there is no {}", edit.id))?;
    match edit.method {
        Verb::Delete => {
            world.remove_group(&id);
            Ok(json!({"deleted": id}))
        }
        _ => set_tags(world, &id, &edit.body).map(|()| json!({"id": id, "tags": world.tags.get(&id.to_ascii_lowercase())})),
    }
}

/// Somebody else's requests in a subscription: `{"spent": {"reads": 3700, "Microsoft.RecoveryServices/vaults/backupJobs/read": 400}}`.
fn subscription_spent(azure: &mut Azure, subscription: &str, edit: &Edit) -> Result<Value, String> {
    let (spent, cores) = (edit.body["spent"].as_object(), edit.body["coresLeft"].as_object());
    if edit.method != Verb::Patch || (spent.is_none() && cores.is_none()) {
        return Err("of a subscription only `spent` and `coresLeft` can be edited".to_owned());
    }
    for (region, left) in cores.into_iter().flatten() {
        let left = left.as_i64().ok_or("coresLeft takes numbers")?;
        if let Some(found) = azure.model.world.subscriptions.get_mut(&subscription.to_ascii_lowercase()) {
            found.cores_left.insert(crate::path::canonical_location(region), left);
        }
    }
    for (what, count) in spent.into_iter().flatten() {
        let count = count.as_u64().and_then(|count| u32::try_from(count).ok()).ok_or("spent takes numbers")?;
        let world = &azure.model.world;
        azure.throttle.spend(subscription, what, count, (world.now, &world.settings.throttling));
    }
    Ok(json!({"id": edit.id, "spent": spent, "coresLeft": cores}))
}

/// Locks, role assignments and definitions: as their own PUT and DELETE, but asked by nobody.
fn authorization(azure: &mut Azure, edit: &Edit) -> Result<Value, String> {
    if target_type(&edit.id).eq_ignore_ascii_case("policyAssignments") {
        return policy_assignment(&mut azure.model.world, edit);
    }
    let method = match edit.method {
        Verb::Put => "PUT",
        Verb::Delete => "DELETE",
        Verb::Patch | Verb::Move => return Err("PUT or DELETE a lock or a role assignment".to_owned()),
    };
    let req = inbound(&azure.model.world, method, &edit.id, edit.body.clone());
    let target = Target::read(method, &req.path);
    let owner = arm::owner(&target, &req.path).ok_or_else(|| format!("{} is of no type that can be edited", edit.id))?;
    let reply = arm::dispatch(&mut azure.model, &req, &target, owner);
    match reply.status {
        200 | 201 => Ok(reply.body.unwrap_or_else(|| json!({"deleted": edit.id}))),
        204 => Err(format!("there is no {}", edit.id)),
        _ => Err(reply.body.unwrap_or_default()["error"]["message"].as_str().unwrap_or("refused").to_owned()),
    }
}

fn target_type(id: &str) -> String {
    Target::read("GET", &split_url(id).0).type_path()
}

/// What Azure Policy denies below a scope from now on, or no more:
/// `{"displayName": "Vaults need a ticket", "deny": "Microsoft.RecoveryServices/vaults"}`, with a `withoutTag` or not.
fn policy_assignment(world: &mut World, edit: &Edit) -> Result<Value, String> {
    let (scope, name) = (edit.id.rsplit_once("/providers/").unwrap_or_default().0, edit.id.rsplit('/').next().unwrap_or_default());
    let is_it = |p: &PolicyAssignment| p.name.eq_ignore_ascii_case(name) && p.scope.eq_ignore_ascii_case(scope);
    let before = world.policy_assignments.len();
    world.policy_assignments.retain(|p| !is_it(p));
    match edit.method {
        Verb::Put => {
            let resource_type = edit.body["deny"].as_str().ok_or("deny must name a resource type")?.to_owned();
            let display_name = edit.body["displayName"].as_str().unwrap_or(name).to_owned();
            let (name, scope) = (name.to_owned(), scope.to_owned());
            let without_tag = edit.body["withoutTag"].as_str().map(str::to_owned);
            world.policy_assignments.push(PolicyAssignment { name, display_name, scope, resource_type, without_tag });
            Ok(json!({"id": edit.id}))
        }
        Verb::Delete if world.policy_assignments.len() < before => Ok(json!({"deleted": edit.id})),
        Verb::Delete => Err(format!("there is no {}", edit.id)),
        Verb::Patch | Verb::Move => Err("PUT or DELETE a policy assignment".to_owned()),
    }
}

fn recovery(azure: &mut Azure, edit: &Edit) -> Result<Value, String> {
    let model = &mut azure.model;
    if edit.method == Verb::Delete {
        model.recovery.remove(&edit.id).map_err(|error| error.to_string())?;
        model.world.tags.remove(&edit.id.to_ascii_lowercase());
        return Ok(json!({"deleted": edit.id}));
    }
    if edit.method == Verb::Put && !model.recovery.has(&edit.id) {
        return made(model, edit);
    }
    for (limit, count) in edit.body["spent"].as_object().into_iter().flatten() {
        let count = count.as_u64().and_then(|count| usize::try_from(count).ok()).ok_or("spent takes numbers")?;
        model.recovery.spend(&edit.id, limit, count).map_err(|error| error.to_string())?;
    }
    set_tags(&mut model.world, &edit.id, &edit.body)?;
    let mut changes = Vec::new();
    for (name, value) in edit.body.as_object().into_iter().flatten().filter(|(name, _)| !matches!(name.as_str(), "tags" | "spent")) {
        if name == "properties" {
            leaves("/properties", value, &mut changes);
        } else {
            changes.push((format!("/{name}"), value.clone()));
        }
    }
    for (pointer, value) in &changes {
        model.recovery.edit(&model.world, &edit.id, pointer, value.clone()).map_err(|error| error.to_string())?;
    }
    Ok(json!({"id": edit.id, "changed": changes.into_iter().map(|(pointer, _)| pointer).collect::<Vec<_>>()}))
}

/// Sends the PUT of nobody and ends its operation at once.
fn made(model: &mut Model, edit: &Edit) -> Result<Value, String> {
    let req = inbound(&model.world, "PUT", &edit.id, edit.body.clone());
    let reply = model.recovery_services(&req, &Target::read("PUT", &req.path));
    if reply.status >= 300 {
        return Err(reply.body.unwrap_or_default()["error"]["message"].as_str().unwrap_or("refused").to_owned());
    }
    if let Some(operation) = operation_id(&reply) {
        model.recovery.finish_operation(&model.world, &operation).map_err(|error| error.to_string())?;
    }
    Ok(json!({"id": edit.id}))
}

fn leaves(pointer: &str, value: &Value, into: &mut Vec<(String, Value)>) {
    match value.as_object().filter(|fields| !fields.is_empty()) {
        Some(fields) => fields.iter().for_each(|(name, inner)| leaves(&format!("{pointer}/{name}"), inner, into)),
        None => into.push((pointer.to_owned(), value.clone())),
    }
}

fn set_tags(world: &mut World, id: &str, body: &Value) -> Result<(), String> {
    if let Some(sent) = body.get("tags") {
        // Without ARM's bounds: what it would refuse can be shown all the same.
        let read = tags::parse(sent).map_err(|reply| reply.body.unwrap_or_default()["error"]["message"].to_string())?;
        world.tags.insert(id.to_ascii_lowercase(), read);
    }
    Ok(())
}

fn put(world: &mut World, edit: &Edit, kind: Kind) -> Result<Value, String> {
    let fields = edit.body.as_object().cloned().ok_or("a PUT needs a body")?;
    let body: Map<String, Value> =
        fields.into_iter().filter(|(name, _)| !matches!(name.as_str(), "id" | "name" | "type" | "tags" | "etag" | "power")).collect();
    let before = world.resource(&edit.id).cloned();
    if kind == Kind::Machine && before.is_none() {
        return Err("a machine cannot be conjured up by an edit: PUT it through ARM".to_owned());
    }
    let id = before.as_ref().map_or_else(|| edit.id.clone(), |old| old.id.clone());
    let created = before.as_ref().map_or(world.now, |old| old.created);
    let resource = Resource { id, kind, body, created, changed: world.now, pending: None, machine: before.and_then(|old| old.machine) };
    world.insert(resource);
    finish(world, edit)
}

fn patch(world: &mut World, edit: &Edit) -> Result<Value, String> {
    let now = world.now;
    let resource = world.resource_mut(&edit.id).ok_or_else(|| format!("there is no {}", edit.id))?;
    let mut body = Value::Object(std::mem::take(&mut resource.body));
    crate::compute::machines::merge(&mut body, &edit.body);
    resource.body = body.as_object().cloned().unwrap_or_default();
    resource.body.remove("power");
    resource.changed = now;
    finish(world, edit)
}

fn finish(world: &mut World, edit: &Edit) -> Result<Value, String> {
    set_tags(world, &edit.id, &edit.body)?;
    if let Some(word) = edit.body.get("power").and_then(Value::as_str) {
        let power = [Power::Running, Power::Stopped, Power::Deallocated].into_iter().find(|power| power.word() == word);
        let power = power.ok_or("power is running, stopped or deallocated")?;
        let machine = world.resource_mut(&edit.id).and_then(|vm| vm.machine.as_mut()).ok_or("only machines have power")?;
        machine.power = power;
        world.refresh_disk_states(&edit.id);
    }
    Ok(world.resource(&edit.id).map(|resource| world.show(resource)).unwrap_or_default())
}

/// Everything stored, for `GET /state`.
pub fn summary(azure: &Azure) -> Value {
    let world = &azure.model.world;
    let subscriptions: Vec<Value> =
        world.subscriptions.values().map(|s| json!({"id": s.id, "displayName": s.display_name, "tenantId": s.tenant_id})).collect();
    let groups: Vec<Value> = world.groups.values().map(|group| json!({"id": group.id, "location": group.location})).collect();
    let resources: Vec<Value> = world
        .resources
        .values()
        .map(|resource| {
            let mut shown = world.show(resource);
            if let Some(machine) = &resource.machine {
                shown["power"] = json!(machine.power.word());
            }
            shown
        })
        .collect();
    let vaults: Vec<Value> = azure
        .model
        .recovery
        .resources(world)
        .into_iter()
        .map(|vault| json!({"id": vault.id, "location": vault.location, "tags": vault.tags}))
        .collect();
    let locks: Vec<Value> = world.locks.values().map(|lock| json!({"id": lock.id, "scope": lock.scope})).collect();
    let assignments: Vec<Value> = world
        .access
        .assignments
        .values()
        .map(|given| json!({"id": given.id, "scope": given.scope, "principalId": given.principal, "role": world.access.role(&given.role).map(|role| &role.name)}))
        .collect();
    let principals: Vec<Value> = azure
        .directory()
        .all()
        .map(|p| json!({"name": p.name, "clientId": p.client_id, "objectId": p.object_id, "tenantId": p.tenant_id}))
        .collect();
    let running = world.operations.values().filter(|operation| operation.ended.is_none());
    let operations: Vec<Value> = running.map(|op| json!({"id": op.id, "subject": op.subject, "due": op.due})).collect();
    json!({
        "now": world.now, "subscriptions": subscriptions, "resourceGroups": groups, "resources": resources, "vaults": vaults, "locks": locks,
        "principals": principals, "roleAssignments": assignments, "runningOperations": operations,
        "journal": azure.journal().next_seq() - 1,
    })
}

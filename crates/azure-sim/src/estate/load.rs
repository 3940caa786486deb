//! From an estate file to a running world. Resources are made by the same handlers that answer clients.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::{
    arm::{
        locks::Lock,
        policies::PolicyAssignment,
        subscriptions::{is_region, namespaces},
    },
    azure::{Azure, Options},
    estate::{AssignmentEntry, DenyEntry, Estate, EstateError, GroupEntry, LockEntry, RoleEntry, SubscriptionEntry, machines, vaults},
    identity::{
        authorise::{Assignment, Role, RoleFile},
        directory::{Directory, Nature, Principal},
    },
    model::Model,
    path::{Target, canonical_location},
    recovery,
    wire::{Caller, Inbound},
    world::{Group, KeyVault, Subscription, World},
};

/// Builds the simulator.
pub(crate) fn build(estate: Estate, options: Options) -> Result<Azure, EstateError> {
    let directory = directory(&estate)?;
    let has_vaults = estate.subscriptions.iter().flat_map(|s| &s.resource_groups).any(|group| !group.vaults.is_empty());
    // Making vaults and protecting machines takes world time; the estate stands complete when the world starts.
    let hours = estate.history_hours.max(if has_vaults { 24 } else { 0 });
    let begin = options.start.saturating_sub(SignedDuration::from_hours(hours)).unwrap_or(options.start);
    let settings = if estate.settings.recovery.is_null() {
        options.recovery
    } else {
        recovery::Settings::from_json(&estate.settings.recovery)
            .map_err(|error| EstateError::field("settings.recovery", error.to_string()))?
    };
    let mut world = World::new(begin, options.seed, estate.settings.clone());
    world.identities = estate
        .managed_identities
        .iter()
        .filter_map(|who| Some((who.resource_id.as_ref()?.to_ascii_lowercase(), (who.object_id.clone(), who.client_id.clone()))))
        .collect();
    let apps = estate.apps.iter().map(|app| &app.object_id);
    world.principals = apps.chain(estate.managed_identities.iter().map(|who| &who.object_id)).map(|id| id.to_ascii_lowercase()).collect();
    let mut model = Model { world, recovery: recovery::State::new(settings) };
    for (index, entry) in estate.subscriptions.iter().enumerate() {
        subscription(&mut model.world, entry, &estate.tenant_id, &format!("subscriptions[{index}]"))?;
    }
    access(&mut model.world, &estate, &directory)?;
    let scale = std::mem::take(&mut model.world.settings.durations.scale);
    each_group(&estate, |entry, group, place| machines::make(&mut model, (entry, group), place))?;
    model.world.settings.durations.scale = scale;
    each_group(&estate, |entry, group, place| guards(&mut model, (entry, group), place))?;
    each_group(&estate, |entry, group, place| vaults::make(&mut model, (entry, group), place))?;
    if model.world.now > options.start {
        return Err(EstateError::field("historyHours", "the vaults of this estate take longer to set up than that: give more hours"));
    }
    model.advance(options.start);
    model.world.clear_operations();
    // Locks come last: they would forbid the making of what they lie on.
    each_group(&estate, |entry, group, place| {
        let id = group_id(entry, group);
        group.locks.iter().for_each(|held| lock(&mut model.world, &id, held));
        for machine in &group.machines {
            for vm in machines::ids(&id, machine, place)? {
                machine.locks.iter().for_each(|held| lock(&mut model.world, &vm, held));
            }
        }
        Ok(())
    })?;
    for entry in &estate.subscriptions {
        entry.locks.iter().for_each(|held| lock(&mut model.world, &format!("/subscriptions/{}", entry.id), held));
    }
    // So do policies, which judge what is written from now on.
    model.world.policy_assignments = estate.policy_assignments.iter().map(policy).collect();
    Ok(Azure::from_parts(model, directory))
}

/// What stands beside the vaults of a group: guards before them, the vaults of their keys, accounts to restore through.
fn guards(model: &mut Model, (subscription, group): (&SubscriptionEntry, &GroupEntry), place: &str) -> Result<(), EstateError> {
    let scope = group_id(subscription, group);
    for (index, guard) in group.resource_guards.iter().enumerate() {
        let id = format!("{scope}/providers/Microsoft.DataProtection/resourceGuards/{}", guard.name);
        let properties = json!({"description": guard.description, "vaultCriticalOperationExclusionList": guard.excluded});
        let req = inbound(&model.world, "PUT", &id, json!({"location": group.location, "properties": properties}));
        let reply = crate::guards::handle(&mut model.world, &req, &Target::read("PUT", &req.path));
        machines::accepted(&reply, &format!("{place}.resourceGuards[{index}]"))?;
    }
    for vault in &group.key_vaults {
        let id = format!("{scope}/providers/Microsoft.KeyVault/vaults/{}", vault.name);
        model.world.key_vaults.insert(vault.name.to_ascii_lowercase(), KeyVault { id, keys: vault.keys.clone() });
    }
    for (index, account) in group.storage_accounts.iter().enumerate() {
        let location = account.location.as_deref().unwrap_or(&group.location);
        let location = region(location, &format!("{place}.storageAccounts[{index}].location"))?;
        let made = crate::storage::account(&scope, account, &location, model.world.now);
        model.world.insert(made);
    }
    Ok(())
}

fn policy(entry: &DenyEntry) -> PolicyAssignment {
    PolicyAssignment {
        name: entry.name.clone(),
        display_name: entry.display_name.clone().unwrap_or_else(|| entry.name.clone()),
        scope: entry.scope.clone(),
        resource_type: entry.deny.clone(),
        without_tag: entry.without_tag.clone(),
    }
}

fn each_group(
    estate: &Estate,
    mut make: impl FnMut(&SubscriptionEntry, &GroupEntry, &str) -> Result<(), EstateError>,
) -> Result<(), EstateError> {
    for (s, entry) in estate.subscriptions.iter().enumerate() {
        for (g, group) in entry.resource_groups.iter().enumerate() {
            make(entry, group, &format!("subscriptions[{s}].resourceGroups[{g}]"))?;
        }
    }
    Ok(())
}

/// `/subscriptions/…/resourceGroups/name`
pub(super) fn group_id(subscription: &SubscriptionEntry, group: &GroupEntry) -> String {
    format!("/subscriptions/{}/resourceGroups/{}", subscription.id, group.name)
}

/// A request of nobody, in the tenant of its subscription: made while loading, or for an edit.
pub(crate) fn inbound(world: &World, method: &str, path: &str, body: Value) -> Inbound {
    let tenant_id = path.split('/').nth(2).and_then(|id| world.subscription(id)).map(|found| found.tenant_id.clone()).unwrap_or_default();
    Inbound {
        method: method.to_owned(),
        path: path.split('/').filter(|segment| !segment.is_empty()).map(str::to_owned).collect(),
        query: BTreeMap::from([("api-version".to_owned(), "2024-04-01".to_owned())]),
        headers: BTreeMap::new(),
        body,
        caller: Caller { tenant_id, ..Caller::default() },
        now: world.now,
        origin: "https://localhost".to_owned(),
    }
}

fn subscription(world: &mut World, entry: &SubscriptionEntry, tenant: &str, place: &str) -> Result<(), EstateError> {
    guid(&entry.id, &format!("{place}.id"))?;
    let mut registered: std::collections::BTreeSet<String> = namespaces().map(str::to_ascii_lowercase).collect();
    for (index, namespace) in entry.unregistered.iter().enumerate() {
        if !registered.remove(&namespace.to_ascii_lowercase()) {
            return Err(EstateError::field(format!("{place}.unregistered[{index}]"), format!("'{namespace}' is not modelled")));
        }
    }
    let stored = Subscription {
        id: entry.id.clone(),
        display_name: entry.display_name.clone(),
        tenant_id: entry.tenant_id.clone().unwrap_or_else(|| tenant.to_owned()),
        registered,
        partition: world.entropy.guid(),
        cores_left: entry.cores_left.iter().map(|(region, cores)| (canonical_location(region), *cores)).collect(),
    };
    if world.subscriptions.insert(entry.id.to_ascii_lowercase(), stored).is_some() {
        return Err(EstateError::field(format!("{place}.id"), format!("'{}' is there twice", entry.id)));
    }
    for (index, group) in entry.resource_groups.iter().enumerate() {
        let id = group_id(entry, group);
        if !group.tags.is_empty() {
            world.tags.insert(id.to_ascii_lowercase(), group.tags.clone());
        }
        let location = region(&group.location, &format!("{place}.resourceGroups[{index}].location"))?;
        let stored = Group { id, name: group.name.clone(), location, deleting: None };
        if world.groups.insert((entry.id.to_ascii_lowercase(), group.name.to_ascii_lowercase()), stored).is_some() {
            return Err(EstateError::field(format!("{place}.resourceGroups[{index}].name"), format!("'{}' is there twice", group.name)));
        }
    }
    Ok(())
}

/// A region in canonical form; one that Azure does not have is a mistake of the estate.
fn region(text: &str, field: &str) -> Result<String, EstateError> {
    let canonical = canonical_location(text);
    if is_region(&canonical) { Ok(canonical) } else { Err(EstateError::field(field, format!("'{text}' is no region"))) }
}

fn guid(text: &str, field: &str) -> Result<(), EstateError> {
    uuid::Uuid::parse_str(text).map(drop).map_err(|_| EstateError::field(field, format!("'{text}' is not a GUID")))
}

fn lock(world: &mut World, scope: &str, entry: &LockEntry) {
    let id = format!("{scope}/providers/Microsoft.Authorization/locks/{}", entry.name);
    let stored = Lock { id: id.clone(), scope: scope.to_owned(), name: entry.name.clone(), level: entry.level, notes: entry.notes.clone() };
    world.locks.insert(id.to_ascii_lowercase(), stored);
}

fn directory(estate: &Estate) -> Result<Directory, EstateError> {
    let mut directory = Directory::default();
    guid(&estate.tenant_id, "tenantId")?;
    for (index, app) in estate.apps.iter().enumerate() {
        guid(&app.client_id, &format!("apps[{index}].clientId"))?;
        guid(&app.object_id, &format!("apps[{index}].objectId"))?;
        directory.add(Principal {
            client_id: app.client_id.clone(),
            object_id: app.object_id.clone(),
            tenant_id: app.tenant_id.clone().unwrap_or_else(|| estate.tenant_id.clone()),
            name: app.name.clone(),
            secrets: app.secrets.clone(),
            federated: app.federated_credentials.clone(),
            nature: Nature::App,
        });
    }
    for (index, identity) in estate.managed_identities.iter().enumerate() {
        guid(&identity.client_id, &format!("managedIdentities[{index}].clientId"))?;
        guid(&identity.object_id, &format!("managedIdentities[{index}].objectId"))?;
        directory.add(Principal {
            client_id: identity.client_id.clone(),
            object_id: identity.object_id.clone(),
            tenant_id: estate.tenant_id.clone(),
            name: identity.name.clone(),
            secrets: Vec::new(),
            federated: identity.federated_credentials.clone(),
            nature: Nature::ManagedIdentity { resource_id: identity.resource_id.clone() },
        });
    }
    Ok(directory)
}

fn access(world: &mut World, estate: &Estate, directory: &Directory) -> Result<(), EstateError> {
    for (index, entry) in estate.role_definitions.iter().enumerate() {
        for role in roles(&estate.base, entry, &format!("roleDefinitions[{index}]"))? {
            world.access.roles.insert(role.id.clone(), role);
        }
    }
    for (index, entry) in estate.role_assignments.iter().enumerate() {
        assignment(world, entry, directory, &format!("roleAssignments[{index}]"))?;
    }
    Ok(())
}

fn assignment(world: &mut World, entry: &AssignmentEntry, directory: &Directory, place: &str) -> Result<(), EstateError> {
    let principal = directory
        .find(&entry.principal)
        .ok_or_else(|| EstateError::field(format!("{place}.principal"), format!("no app or managed identity '{}'", entry.principal)))?;
    let role = world.access.role(&entry.role).cloned().ok_or_else(|| {
        let known: Vec<&str> = world.access.roles.values().map(|role| role.name.as_str()).collect();
        EstateError::field(format!("{place}.role"), format!("no role '{}'; there are: {}", entry.role, known.join(", ")))
    })?;
    if !entry.scope.starts_with('/') {
        return Err(EstateError::field(format!("{place}.scope"), format!("'{}' must begin with /", entry.scope)));
    }
    let name = world.entropy.guid();
    let scope = if entry.scope == "/" { "/".to_owned() } else { entry.scope.trim_end_matches('/').to_owned() };
    let id = format!("{}/providers/Microsoft.Authorization/roleAssignments/{name}", scope.trim_end_matches('/'));
    let given = Assignment {
        id: id.clone(),
        name,
        scope,
        role: role.id,
        principal: principal.object_id.clone(),
        principal_type: "ServicePrincipal".to_owned(),
        created: world.now,
    };
    world.access.assignments.insert(id.to_ascii_lowercase(), given);
    Ok(())
}

fn roles(base: &Path, entry: &RoleEntry, place: &str) -> Result<Vec<Role>, EstateError> {
    let broken = |path: &Path, error: String| EstateError::field(place, format!("{}: {error}", path.display()));
    let read = |path: &Path| -> Result<Role, EstateError> {
        let text = std::fs::read_to_string(path).map_err(|error| broken(path, error.to_string()))?;
        let file: RoleFile = serde_json::from_str(&text).map_err(|error| broken(path, error.to_string()))?;
        Ok(file.into_role())
    };
    match entry {
        RoleEntry::Inline(file) => Ok(vec![file.clone().into_role()]),
        RoleEntry::File { file } => Ok(vec![read(&located(base, file))?]),
        RoleEntry::Folder { folder } => {
            let folder = located(base, folder);
            let entries = std::fs::read_dir(&folder).map_err(|error| broken(&folder, error.to_string()))?;
            let mut paths: Vec<_> = entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
            paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
            paths.sort();
            paths.iter().map(PathBuf::as_path).map(read).collect()
        }
    }
}

/// A path of an estate file: beside the file or in a folder above it, else from the working directory upwards, so that a
/// rendered copy of an estate still finds the roles of its workspace. When it is nowhere: beside the file.
fn located(base: &Path, wanted: &Path) -> PathBuf {
    let here = std::path::absolute(base).unwrap_or_else(|_| base.to_path_buf());
    let working = std::env::current_dir().unwrap_or_default();
    let above = here.ancestors().chain(working.ancestors());
    above.map(|folder| folder.join(wanted)).find(|path| path.exists()).unwrap_or_else(|| base.join(wanted))
}

//! Microsoft.DataProtection/resourceGuards: which critical operations of vaults need a second person (backup.md §6.4).

use serde_json::{Value, json};

use crate::{
    arm::{errors, groups, paging, tags},
    path::{Form, Target},
    wire::{GuardView, Inbound, Reply},
    world::{Kind, Resource, World},
};

/// A critical operation of a vault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guarded {
    /// DELETE of a protected item.
    DeleteItem,
    /// A protected item under a policy that keeps or makes fewer points.
    UpdateItem,
    /// A policy that keeps or makes fewer points.
    UpdatePolicy,
    /// The guard itself taken off the vault.
    DeleteProxy,
    /// A security PIN.
    SecurityPin,
    /// Soft delete or enhanced security lowered.
    DisableSoftDelete,
    /// Protection stopped with its points retained.
    StopWithRetain,
    /// Immutability taken back.
    ReduceImmutability,
    /// A restore.
    Restore,
    /// Another key.
    ModifyEncryption,
}

impl Guarded {
    /// All of them, in the order of a recorded proxy; the last is the SDK's and in no recording.
    pub const ALL: [Guarded; 10] = [
        Guarded::DeleteItem,
        Guarded::UpdateItem,
        Guarded::UpdatePolicy,
        Guarded::DeleteProxy,
        Guarded::SecurityPin,
        Guarded::DisableSoftDelete,
        Guarded::StopWithRetain,
        Guarded::ReduceImmutability,
        Guarded::Restore,
        Guarded::ModifyEncryption,
    ];

    /// `vaultCriticalOperation`
    pub fn operation(self) -> &'static str {
        match self {
            Guarded::DeleteItem => "Microsoft.RecoveryServices/vaults/backupFabrics/protectionContainers/protectedItems/delete",
            Guarded::UpdateItem => "Microsoft.RecoveryServices/vaults/backupFabrics/protectionContainers/protectedItems/write",
            Guarded::UpdatePolicy => "Microsoft.RecoveryServices/vaults/backupPolicies/write",
            Guarded::DeleteProxy => "Microsoft.RecoveryServices/vaults/backupResourceGuardProxies/delete",
            Guarded::SecurityPin => "Microsoft.RecoveryServices/vaults/backupSecurityPIN/action",
            Guarded::DisableSoftDelete => "Microsoft.RecoveryServices/vaults/backupconfig/write",
            Guarded::StopWithRetain => {
                "Microsoft.RecoveryServices/vaults/backupFabrics/protectionContainers/protectedItems/write#stopProtectionWithRetainData"
            }
            Guarded::ReduceImmutability => "Microsoft.RecoveryServices/vaults/write#reduceImmutabilityState",
            Guarded::Restore => {
                "Microsoft.RecoveryServices/vaults/backupFabrics/protectionContainers/protectedItems/recoveryPoints/restore/action"
            }
            Guarded::ModifyEncryption => "Microsoft.RecoveryServices/vaults/write#modifyEncryptionSettings",
        }
    }

    /// The type of its requests below the guard. That of the last is a guess by the pattern of the others.
    pub fn requests(self) -> &'static str {
        match self {
            Guarded::DeleteItem => "deleteProtectedItemRequests",
            Guarded::UpdateItem => "updateProtectedItemRequests",
            Guarded::UpdatePolicy => "updateProtectionPolicyRequests",
            Guarded::DeleteProxy => "deleteResourceGuardProxyRequests",
            Guarded::SecurityPin => "getBackupSecurityPINRequests",
            Guarded::DisableSoftDelete => "disableSoftDeleteRequests",
            Guarded::StopWithRetain => "stopProtectionWithRetainDataRequests",
            Guarded::ReduceImmutability => "reduceImmutabilityStateRequests",
            Guarded::Restore => "triggerRestoreRequests",
            Guarded::ModifyEncryption => "modifyEncryptionSettingsRequests",
        }
    }

    /// Whether no guard may leave it out (the service's own page on multi-user authorisation names these two).
    pub fn is_mandatory(self) -> bool {
        matches!(self, Guarded::DeleteProxy | Guarded::DisableSoftDelete)
    }

    /// `{guard}/{requests}/default`, its group's word in lower case as recorded.
    pub fn request_id(self, guard: &str) -> String {
        format!("{}/{}/default", guard.replace("/resourceGroups/", "/resourcegroups/"), self.requests())
    }
}

impl GuardView {
    /// Whether it guards an operation.
    pub fn guards(&self, operation: Guarded) -> bool {
        operation.is_mandatory() || !self.excluded.iter().any(|excluded| excluded.eq_ignore_ascii_case(operation.operation()))
    }
}

/// Whether this part models the type.
pub fn knows(type_path: &str) -> bool {
    type_path == "resourceguards" || requested(type_path).is_some()
}

fn requested(type_path: &str) -> Option<Guarded> {
    let requests = type_path.strip_prefix("resourceguards/")?;
    Guarded::ALL.into_iter().find(|operation| operation.requests().eq_ignore_ascii_case(requests))
}

/// Answers a request under `providers/Microsoft.DataProtection/resourceGuards`.
pub fn handle(world: &mut World, req: &Inbound, target: &Target) -> Reply {
    let kind = target.type_path();
    if kind != "resourceguards" {
        return match (requested(&kind), req.method.as_str()) {
            (Some(operation), "GET") => request(world, target, operation),
            _ => errors::not_implemented(&req.method, &req.raw_path()),
        };
    }
    match (target.form(), req.method.as_str()) {
        (Form::Collection, "GET") => {
            let found = world.page_of(&target.scope_id(), Kind::Guard, paging::after(req).as_deref());
            paging::page_of(found, req, world.settings.pages.compute, |guard| show(world, guard))
        }
        (Form::Element, "GET") => match world.resource(&target.resource_id()) {
            Some(guard) => Reply::json(200, show(world, guard)),
            None => missing(target),
        },
        (Form::Element, "PUT") => put(world, req, target),
        (Form::Element, "PATCH") => match world.resource(&target.resource_id()) {
            Some(_) => put(world, req, target),
            None => missing(target),
        },
        // Whether a guard that stands before a vault can be deleted is not documented here: it can.
        (Form::Element, "DELETE") => Reply::empty(if world.remove(&target.resource_id()).is_some() { 200 } else { 204 }),
        _ => errors::not_implemented(&req.method, &req.raw_path()),
    }
}

fn missing(target: &Target) -> Reply {
    errors::resource_not_found(Kind::Guard.type_name(), &target.names.join("/"), target.group.as_deref().unwrap_or_default())
}

/// Requests of an operation: there is one of each, and its name is `default` (the SDK's examples).
fn request(world: &World, target: &Target, operation: Guarded) -> Reply {
    let Some(name) = target.names.first() else { return missing(target) };
    let guard = format!("{}/providers/{}/{name}", target.scope_id(), Kind::Guard.type_name());
    let Some(view) = world.resource(&guard).map(view).filter(|view| view.guards(operation)) else { return missing(target) };
    let id = operation.request_id(&view.id);
    let shown = json!({"id": id, "name": "default", "type": format!("{}/{}", Kind::Guard.type_name(), operation.requests())});
    match (target.form(), target.names.last()) {
        (Form::Collection, _) => Reply::json(200, json!({"value": [shown]})),
        (Form::Element, Some(name)) if name.eq_ignore_ascii_case("default") => Reply::json(200, shown),
        _ => missing(target),
    }
}

fn put(world: &mut World, req: &Inbound, target: &Target) -> Reply {
    let before = world.resource(&target.resource_id()).cloned();
    let location = match groups::location_of_write(world, req, before.as_ref()).and_then(|at| tags::check_body(&req.body).map(|()| at)) {
        Ok(location) => location,
        Err(refusal) => return refusal,
    };
    let excluded = &req.body["properties"]["vaultCriticalOperationExclusionList"];
    let names = |operation: &Guarded| excluded.as_array().is_some_and(|list| list.iter().any(|named| *named == operation.operation()));
    if let Some(mandatory) = Guarded::ALL.into_iter().filter(|operation| operation.is_mandatory()).find(names) {
        // The code is a guess.
        return errors::invalid_parameter(
            "vaultCriticalOperationExclusionList",
            format!("'{}' cannot be excluded.", mandatory.operation()),
        );
    }
    let (status, created) = before.as_ref().map_or((201, world.now), |old| (200, old.created));
    let mut guard = before.unwrap_or_else(|| {
        let body = [("location".to_owned(), json!(location))].into_iter().collect();
        Resource { id: target.resource_id(), kind: Kind::Guard, body, created, changed: world.now, pending: None, machine: None }
    });
    for field in ["vaultCriticalOperationExclusionList", "description"] {
        if let Some(sent) = req.body.pointer(&format!("/properties/{field}")).filter(|sent| !sent.is_null()) {
            guard.properties_mut().insert(field.to_owned(), sent.clone());
        }
    }
    guard.changed = world.now;
    let id = guard.id.clone();
    let shown = guard.clone();
    world.insert(guard);
    tags::take_from_body(world, &id, req);
    Reply::json(status, show(world, &shown))
}

/// What Recovery Services sees of a guard.
pub fn view(guard: &Resource) -> GuardView {
    let excluded = guard.at("/properties/vaultCriticalOperationExclusionList").and_then(Value::as_array);
    GuardView {
        id: guard.id.clone(),
        description: guard.text("/properties/description").to_owned(),
        excluded: excluded.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect(),
    }
}

fn show(world: &World, guard: &Resource) -> Value {
    let seen = view(guard);
    let operations = Guarded::ALL.into_iter().filter(|operation| seen.guards(*operation)).map(|operation| {
        let kind = format!("{}/{}", Kind::Guard.type_name(), operation.requests());
        json!({"vaultCriticalOperation": operation.operation(), "requestResourceType": kind})
    });
    let mut shown = world.show(guard);
    shown["properties"] = json!({
        "provisioningState": "Succeeded",
        "description": seen.description,
        "resourceGuardOperations": operations.collect::<Vec<_>>(),
        "vaultCriticalOperationExclusionList": seen.excluded,
    });
    shown
}

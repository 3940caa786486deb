//! Which action a request is, at which scope (compute-and-arm.md G.1): the generic rule and where Azure differs.

use serde_json::Value;

use crate::{
    arm::{Owner, errors},
    guards::Guarded,
    path::{Form, Target, joined},
    wire::{Inbound, Reply},
    world::World,
};

/// What must hold for a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Check {
    /// Nothing: the answer itself shows only what the caller may see.
    Nothing,
    /// Any role at, above or below a scope; the action is what a refusal names.
    Reaches {
        /// The action named in a refusal.
        action: String,
        /// The scope.
        scope: String,
    },
    /// This action at this scope.
    May {
        /// The action.
        action: String,
        /// The scope.
        scope: String,
    },
}

/// The check of a request.
pub fn check(req: &Inbound, target: &Target, owner: Owner) -> Check {
    let subscription = target.subscription.as_ref().map_or_else(|| "/".to_owned(), |id| format!("/subscriptions/{id}"));
    let may = |action: &str, scope: String| Check::May { action: action.to_owned(), scope };
    let reaches = |action: &str, scope: String| Check::Reaches { action: action.to_owned(), scope };
    match owner {
        Owner::Subscriptions if target.subscription.is_none() => Check::Nothing,
        Owner::Subscriptions => match (&target.namespace, req.method.as_str()) {
            (Some(namespace), "POST") => may(&format!("{namespace}/register/action"), subscription),
            (Some(_), _) => reaches("Microsoft.Resources/subscriptions/providers/read", subscription),
            (None, _) => reaches("Microsoft.Resources/subscriptions/read", subscription),
        },
        Owner::Groups => {
            let action = format!("Microsoft.Resources/subscriptions/resourceGroups/{}", verb(&req.method));
            if target.group.is_none() {
                Check::Reaches { action, scope: subscription }
            } else {
                Check::May { action, scope: target.scope_id() }
            }
        }
        Owner::Moves => {
            let word = req.path.last().map_or("", String::as_str);
            let word = if word.eq_ignore_ascii_case("moveResources") { "moveResources" } else { "validateMoveResources" };
            may(&format!("Microsoft.Resources/subscriptions/resourceGroups/{word}/action"), joined(&req.path[..4]))
        }
        Owner::Resources => reaches("Microsoft.Resources/subscriptions/resources/read", joined(&req.path[..req.path.len() - 1])),
        Owner::GroupOperations => reaches("Microsoft.Resources/subscriptions/operationresults/read", subscription),
        // Following what one started takes no role at the subscription, where the URL is: a role in it does (learn.microsoft.com,
        // "Track asynchronous Azure operations", permission for tracking). Whose operation it is nobody asks, as with a group's.
        Owner::Compute | Owner::Network | Owner::Storage if follows(req, target) => reaches(&generic(req, target), subscription),
        Owner::TagNames if req.method == "GET" => reaches("Microsoft.Resources/subscriptions/tagNames/read", subscription),
        Owner::TagNames => {
            let below = if req.path.len() > 4 { "/tagValues" } else { "" };
            may(&format!("Microsoft.Resources/subscriptions/tagNames{below}/{}", verb(&req.method)), subscription)
        }
        Owner::Tags => may(&format!("Microsoft.Resources/tags/{}", verb(&req.method)), target.scope_id()),
        _ => {
            let action = generic(req, target);
            let whole = target.form() == Form::Collection && target.names.is_empty() && target.scope.len() == 2;
            let scope = target.resource_id();
            if whole && req.method == "GET" { Check::Reaches { action, scope } } else { Check::May { action, scope } }
        }
    }
}

/// Whether a request asks how an operation of Compute, Network or Storage goes.
fn follows(req: &Inbound, target: &Target) -> bool {
    const POLLS: [&str; 3] = ["locations/operations", "locations/diskoperations", "locations/asyncoperations"];
    req.method == "GET" && target.form() == Form::Element && POLLS.contains(&target.type_path().as_str())
}

fn verb(method: &str) -> &'static str {
    match method {
        "PUT" | "PATCH" => "write",
        "DELETE" => "delete",
        _ => "read",
    }
}

/// `{namespace}/{types…}/{read|write|delete}`, and `…/{verb}/action` for a POST.
fn generic(req: &Inbound, target: &Target) -> String {
    let namespace = target.namespace.as_deref().unwrap_or_default();
    let types = target.types.join("/");
    match &target.verb {
        Some(action) => format!("{namespace}/{types}/{action}/action").replace("//", "/"),
        None => format!("{namespace}/{types}/{}", verb(&req.method)),
    }
}

/// The refusal of a request, if its caller may not send it.
pub fn refusal(world: &World, req: &Inbound, target: &Target, owner: Owner) -> Option<Reply> {
    let who = &req.caller.object_id;
    match check(req, target, owner) {
        Check::Nothing => None,
        Check::Reaches { scope, .. } if world.access.reaches_into(who, &scope) => None,
        Check::Reaches { .. } if owner == Owner::Subscriptions && target.namespace.is_none() => {
            Some(errors::subscription_not_found(target.subscription.as_deref().unwrap_or_default()))
        }
        Check::May { action, scope } if world.access.may(who, &action, &scope) => {
            foreign_guard(world, req, target, (&action, &scope)).or_else(|| linked_refusal(world, req, target, owner, (&action, &scope)))
        }
        Check::Reaches { action, scope } | Check::May { action, scope } => Some(errors::authorization_failed(&req.caller, &action, &scope)),
    }
}

/// The actions that a request asks of its caller's roles, linked ones last.
pub fn named(req: &Inbound, target: &Target, owner: Owner) -> Vec<String> {
    let own = match check(req, target, owner) {
        Check::Nothing => None,
        Check::Reaches { action, .. } | Check::May { action, .. } => Some(action),
    };
    own.into_iter().chain(linked(req, target, owner).into_iter().map(|(action, _)| action.to_owned())).collect()
}

/// Keeps of a list over a subscription what the caller may read.
pub fn filter_list(world: &World, req: &Inbound, target: &Target, owner: Owner, reply: &mut Reply) {
    let Check::Reaches { action, scope } = check(req, target, owner) else { return };
    let filtered =
        matches!(owner, Owner::Groups | Owner::Compute | Owner::Network | Owner::Recovery | Owner::Guards | Owner::Locks | Owner::Storage);
    if !filtered || reply.status != 200 || world.access.may(&req.caller.object_id, &action, &scope) {
        return;
    }
    if let Some(items) = reply.body.as_mut().and_then(|body| body.get_mut("value")).and_then(Value::as_array_mut) {
        items.retain(|item| item["id"].as_str().is_some_and(|id| world.access.may(&req.caller.object_id, &action, id)));
    }
}

/// Ids inside a body that need a right of their own (compute-and-arm.md G.1, linked-scope checks).
fn linked(req: &Inbound, target: &Target, owner: Owner) -> Vec<(&'static str, String)> {
    if let Some(needs) = restoring(req, target, owner) {
        return needs;
    }
    let unlocks = owner == Owner::Recovery && target.verb.as_deref().is_some_and(|verb| verb.eq_ignore_ascii_case("unlockDelete"));
    if !matches!(req.method.as_str(), "PUT" | "PATCH") && !unlocks {
        // The right to write into the other group is documented with the action.
        let into = req.body["targetResourceGroup"].as_str().filter(|_| owner == Owner::Moves);
        return into.map(|id| ("Microsoft.Resources/subscriptions/resourceGroups/write", id.to_owned())).into_iter().collect();
    }
    let text = |value: &Value, pointer: &str| value.pointer(pointer).and_then(Value::as_str).filter(|id| !id.is_empty()).map(str::to_owned);
    let each = |pointer: &str| req.body.pointer(pointer).and_then(Value::as_array).cloned().unwrap_or_default();
    // Documented for machines; that ARM asks it for whatever is given an identity, also for one that the resource has already,
    // and asks nothing where null takes one away, is concluded.
    let users = req.body.pointer("/identity/userAssignedIdentities").and_then(Value::as_object).into_iter().flatten();
    let given = users.filter(|(_, value)| !value.is_null()).map(|(id, _)| id.clone());
    let mut needs: Vec<(&'static str, String)> =
        given.map(|id| ("Microsoft.ManagedIdentity/userAssignedIdentities/assign/action", id)).collect();
    if owner == Owner::Recovery {
        // "On which the linked access check is performed" [sdk]. That it asks for the request's action is concluded: Reader
        // does not do, and all that Backup MUA Operator has beyond reading are actions of Microsoft.DataProtection.
        let at = if unlocks { "/resourceGuardOperationRequests" } else { "/properties/resourceGuardOperationRequests" };
        needs.extend(each(at).iter().filter_map(Value::as_str).map(|id| (requesting(id), id.to_owned())));
        needs.extend(text(&req.body, "/properties/resourceGuardResourceId").map(|id| ("Microsoft.DataProtection/resourceGuards/read", id)));
    }
    match target.type_path().as_str() {
        "virtualmachines" => {
            let nics = each("/properties/networkProfile/networkInterfaces");
            needs.extend(nics.iter().filter_map(|nic| text(nic, "/id")).map(|id| ("Microsoft.Network/networkInterfaces/join/action", id)));
            let disks = each("/properties/storageProfile/dataDisks")
                .into_iter()
                .chain(req.body.pointer("/properties/storageProfile/osDisk").cloned());
            needs.extend(disks.filter_map(|disk| text(&disk, "/managedDisk/id")).map(|id| ("Microsoft.Compute/disks/write", id)));
        }
        "disks" => {
            // The action is `disks/…` even where the source is a snapshot (compute-and-arm.md G.1).
            let source = text(&req.body, "/properties/creationData/sourceResourceId");
            needs.extend(source.map(|id| ("Microsoft.Compute/disks/beginGetAccess/action", id)));
        }
        "networkinterfaces" => {
            for config in each("/properties/ipConfigurations") {
                needs
                    .extend(text(&config, "/properties/subnet/id").map(|id| ("Microsoft.Network/virtualNetworks/subnets/join/action", id)));
                needs.extend(
                    text(&config, "/properties/publicIPAddress/id").map(|id| ("Microsoft.Network/publicIPAddresses/join/action", id)),
                );
            }
            let group = text(&req.body, "/properties/networkSecurityGroup/id");
            needs.extend(group.map(|id| ("Microsoft.Network/networkSecurityGroups/join/action", id)));
        }
        // A guess: nothing recorded says which linked rights a protected item needs; these two are what it reads.
        "vaults/backupfabrics/protectioncontainers/protecteditems" => {
            needs.extend(text(&req.body, "/properties/sourceResourceId").map(|id| ("Microsoft.Compute/virtualMachines/read", id)));
            needs.extend(text(&req.body, "/properties/policyId").map(|id| ("Microsoft.RecoveryServices/Vaults/backupPolicies/read", id)));
        }
        _ => {}
    }
    needs
}

/// What a restore needs beyond its vault: the service's table of minimum roles, "Minimum role requirements for Azure VM
/// backup", names the writes and the join at these scopes, also on a machine that is gone; the last two reads are not in it.
/// That Azure asks for each of them before the 202 is a guess.
fn restoring(req: &Inbound, target: &Target, owner: Owner) -> Option<Vec<(&'static str, String)>> {
    let verb = target.verb.as_ref().filter(|_| owner == Owner::Recovery)?.to_ascii_lowercase();
    let asked = match verb.as_str() {
        "restore" | "provisioninstantitemrecovery" => &req.body["properties"],
        "backupcrossregionrestore" => &req.body["restoreRequest"],
        _ => return None,
    };
    const FIELDS: [(&str, &str); 10] = [
        ("/sourceResourceId", "Microsoft.Compute/virtualMachines/write"),
        ("/virtualMachineId", "Microsoft.Compute/virtualMachines/write"),
        ("/targetResourceGroupId", "Microsoft.Resources/subscriptions/resourceGroups/write"),
        ("/targetVirtualMachineId", "Microsoft.Compute/virtualMachines/write"),
        ("/virtualNetworkId", "Microsoft.Network/virtualNetworks/read"),
        ("/subnetId", "Microsoft.Network/virtualNetworks/subnets/join/action"),
        ("/storageAccountId", "Microsoft.Storage/storageAccounts/write"),
        ("/identityBasedRestoreDetails/targetStorageAccountId", "Microsoft.Storage/storageAccounts/read"),
        ("/diskEncryptionSetId", "Microsoft.Compute/diskEncryptionSets/read"),
        ("/securedVMDetails/securedVMOsDiskEncryptionSetId", "Microsoft.Compute/diskEncryptionSets/read"),
    ];
    let named = |pointer: &str| asked.pointer(pointer).and_then(Value::as_str).filter(|id| !id.is_empty()).map(str::to_owned);
    let mut needs: Vec<(&'static str, String)> = FIELDS.iter().filter_map(|(pointer, action)| Some((*action, named(pointer)?))).collect();
    let guards = asked["resourceGuardOperationRequests"].as_array().into_iter().flatten().filter_map(Value::as_str);
    needs.extend(guards.map(|id| (requesting(id), id.to_owned())));
    Some(needs)
}

/// The action of a guard's request: `{guard}/{type}/default`.
fn requesting(id: &str) -> &'static str {
    let kind = id.trim_end_matches('/').rsplit('/').nth(1).unwrap_or_default();
    match Guarded::ALL.into_iter().find(|operation| operation.requests().eq_ignore_ascii_case(kind)) {
        Some(Guarded::DeleteItem) => "Microsoft.DataProtection/resourceGuards/deleteProtectedItemRequests/action",
        Some(Guarded::UpdateItem) => "Microsoft.DataProtection/resourceGuards/updateProtectedItemRequests/action",
        Some(Guarded::UpdatePolicy) => "Microsoft.DataProtection/resourceGuards/updateProtectionPolicyRequests/action",
        Some(Guarded::DeleteProxy) => "Microsoft.DataProtection/resourceGuards/deleteResourceGuardProxyRequests/action",
        Some(Guarded::SecurityPin) => "Microsoft.DataProtection/resourceGuards/getBackupSecurityPINRequests/action",
        Some(Guarded::DisableSoftDelete) => "Microsoft.DataProtection/resourceGuards/disableSoftDeleteRequests/action",
        Some(Guarded::StopWithRetain) => "Microsoft.DataProtection/resourceGuards/stopProtectionWithRetainDataRequests/action",
        Some(Guarded::ReduceImmutability) => "Microsoft.DataProtection/resourceGuards/reduceImmutabilityStateRequests/action",
        Some(Guarded::Restore) => "Microsoft.DataProtection/resourceGuards/triggerRestoreRequests/action",
        Some(Guarded::ModifyEncryption) => "Microsoft.DataProtection/resourceGuards/modifyEncryptionSettingsRequests/action",
        None => "Microsoft.DataProtection/resourceGuards/requests/action",
    }
}

/// A guard in a subscription of another tenant than the caller's, in recorded words.
fn foreign_guard(world: &World, req: &Inbound, target: &Target, (_, scope): (&str, &str)) -> Option<Reply> {
    let guard =
        req.body.pointer("/properties/resourceGuardResourceId")?.as_str().filter(|_| target.in_namespace("Microsoft.RecoveryServices"))?;
    let subscription = guard.split('/').nth(2).and_then(|id| world.subscription(id))?;
    let tenant = &req.caller.tenant_id;
    (!subscription.tenant_id.eq_ignore_ascii_case(tenant)).then(|| {
        let message = format!(
            "The client has permission to perform action 'Microsoft.DataProtection/resourceGuards/read' on scope '{scope}', however the \
             current tenant '{tenant}' is not authorized to access linked subscription '{}'.",
            subscription.id
        );
        errors::gateway(403, "LinkedAuthorizationFailed", message)
    })
}

fn linked_refusal(world: &World, req: &Inbound, target: &Target, owner: Owner, own: (&str, &str)) -> Option<Reply> {
    let missing = linked(req, target, owner).into_iter().find(|(action, scope)| !world.access.may(&req.caller.object_id, action, scope));
    missing.map(|(action, scope)| errors::linked_authorization_failed(&req.caller, own, (action, &scope)))
}

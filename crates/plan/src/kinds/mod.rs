//! One short file a kind, and the words that they share.

mod approval;
mod azure_access;
mod backup_policy;
mod backup_run;
mod backup_run_report;
mod first_backup;
mod gone;
mod hand_off;
mod machine_conditions;
mod machine_disks;
mod machine_item;
mod machine_place;
mod machine_report;
mod policy_changes;
mod policy_health;
mod policy_members;
mod protected_machine;
mod protection;
mod recovery_points;
mod recovery_vault;
mod restore_checks;
mod restore_demands;
mod restore_files;
mod restore_made;
mod restore_mark;
mod restore_paired;
mod restore_report;
mod restore_run;
mod restore_source;
mod restore_target;
mod restore_validation;
mod run_jobs;
mod runs;
mod selected;
mod takeover;
mod vault_defences;
mod vault_deletion;
mod vault_guard;
mod vault_writes;

use breakwater_api::{BackupPolicy, BackupPolicySpec, Reason, RecoveryVault, RecoveryVaultSpec, references::AllowedNamespaces};
use breakwater_arm::{ResourceId, names, versions};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::{
    defence::{self, TagOwner},
    facts::{Facts, Fresh, List, Need},
    graph::Hold,
    keys,
    kind::{Kind, Meta, View},
    sighting::Known,
};

/// Drift in what is read by id is seen within this.
pub const DRIFT_WITHIN: SignedDuration = SignedDuration::from_mins(5);

/// A vault as other kinds see it.
pub type VaultView = View<RecoveryVault>;

/// A policy as other kinds see it.
pub type PolicyView = View<BackupPolicy>;

/// Whether an object of another namespace says that this one may refer to it.
pub fn is_admitted_by(allowed: Option<&AllowedNamespaces>, its_namespace: &str, own: &str, facts: &Facts) -> bool {
    its_namespace == own || facts.namespaces.get(own).is_some_and(|labels| AllowedNamespaces::admit(allowed, labels))
}

/// What a reference finds nothing for, or nothing that admits it: the two are told alike.
pub fn no_such(field: &str, kind: &str, name: &str, namespace: &str, own: &str) -> Hold {
    let remedy = if namespace == own { "create it" } else { "create it, or let its spec.allowedNamespaces admit this namespace" };
    let or = if namespace == own { String::new() } else { format!(", or does not admit namespace {own}") };
    let message = format!("{field} names {kind} {name}, which does not exist in namespace {namespace}{or}: {remedy}");
    Hold::wait(Reason::ReferenceNotFound, message)
}

/// The vault that a spec declares.
pub fn vault_id(meta: &Meta, spec: &RecoveryVaultSpec) -> Result<ResourceId, Hold> {
    let name = spec.azure_name.as_deref().unwrap_or(&meta.name);
    let id = ResourceId::group(&spec.subscription_id, &spec.resource_group).and_then(|group| group.resource(names::VAULT, name));
    id.map_err(|e| Hold::stuck(Reason::InvalidSpec, format!("subscriptionId, resourceGroup and azureName make no id: {e}")))
}

/// The policy that a spec declares, in its vault: `azureName`, else `bw-<hash8>-<name>`.
pub fn policy_id(estate: &str, meta: &Meta, spec: &BackupPolicySpec, vault: &ResourceId) -> Result<ResourceId, Hold> {
    let derived = || {
        let hash = keys::hash8(&[estate, &meta.namespace, BackupPolicy::NAME, &meta.name]);
        format!("bw-{hash}-{}", meta.name.replace('.', "-"))
    };
    let name = spec.azure_name.clone().unwrap_or_else(derived);
    vault.child("backupPolicies", &name).map_err(|e| Hold::stuck(Reason::InvalidSpec, format!("azureName makes no id: {e}")))
}

/// The items of a vault: one listing for all machines in it.
pub fn items_of(vault: &ResourceId) -> List {
    let query = vec![("$filter".to_owned(), "backupManagementType eq 'AzureIaasVM'".to_owned())];
    List { path: format!("{vault}/backupProtectedItems"), query, api_version: versions::RECOVERY_SERVICES, partial: false }
}

/// The items of a vault, of whatever workload: what a vault that goes would take along.
pub fn all_items_of(vault: &ResourceId) -> List {
    List { query: Vec::new(), ..items_of(vault) }
}

/// The machines of a subscription, with their tags: 1,000 a page (compute-and-arm.md F.4).
pub fn machines_of(subscription_id: &str) -> List {
    let query = vec![
        ("$filter".to_owned(), "resourceType eq 'Microsoft.Compute/virtualMachines'".to_owned()),
        ("$expand".to_owned(), "createdTime,changedTime,provisioningState".to_owned()),
    ];
    List { path: format!("/subscriptions/{subscription_id}/resources"), query, api_version: versions::RESOURCES, partial: false }
}

/// The run-time status of every machine of a subscription: one cheap listing (compute-and-arm.md C.2).
pub fn power_states_of(subscription_id: &str) -> List {
    let query = vec![("statusOnly".to_owned(), "true".to_owned())];
    let path = format!("/subscriptions/{subscription_id}/providers/Microsoft.Compute/virtualMachines");
    List { path, query, api_version: versions::VIRTUAL_MACHINES, partial: true }
}

/// A need to know a resource, drift included.
pub fn kept(id: &ResourceId) -> Need {
    Need::Read { id: id.clone(), fresh: Fresh::Within(DRIFT_WITHIN) }
}

/// The tags that mark what we make.
pub fn owner_tags(estate: &str, owner: &str, writer: &str) -> Value {
    json!({ defence::TAG_ESTATE: estate, defence::TAG_OWNER: owner, defence::TAG_WRITER: writer })
}

/// Whether a vault that was seen is ours to write into; a hold that says whose it is otherwise.
pub fn vault_is_ours(vault: &ResourceId, facts: &Facts, estate: &str, owner: &str, writer: &str) -> Option<Hold> {
    let Known::Present(_, body) = facts.resource(vault) else { return None };
    match defence::tag_owner(body, estate, owner, writer) {
        TagOwner::Ours => None,
        TagOwner::OtherWriter(other) => Some(Hold::stuck(
            Reason::OwnedByOtherCluster,
            format!(
                "{vault} is written by another cluster (tag {}={other}): this one only reads it, until its RecoveryVault's question takeover is answered",
                defence::TAG_WRITER
            ),
        )),
        TagOwner::NotOurs => Some(Hold::stuck(Reason::NotOurs, format!("{vault} exists and is not ours: see its RecoveryVault"))),
    }
}

/// Text of an error of Azure that a fact carries, as a hold.
pub fn unreadable(id: &ResourceId, facts: &Facts) -> Hold {
    match facts.trouble(id) {
        Some(t) => Hold::trouble(t, format!("{id}: {}", t.message)),
        None => Hold::wait(Reason::NotYetObserved, format!("{id} was not read yet")),
    }
}

/// Status is for people: whole seconds, though Azure and the clock tell finer ones.
pub fn seconds(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

/// A status as a kind reports it.
pub(crate) fn as_map<T: serde::Serialize>(status: &T) -> serde_json::Map<String, Value> {
    serde_json::to_value(status).ok().and_then(|v| v.as_object().cloned()).unwrap_or_default()
}

/// A body's text at a pointer.
pub fn text<'a>(body: &'a Value, pointer: &str) -> Option<&'a str> {
    body.pointer(pointer)?.as_str()
}

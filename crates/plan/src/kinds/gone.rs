//! Where something went that is not where it was: moved, or soft-deleted, as far as Azure tells. Looked for only once a
//! direct read says that it is gone.

use breakwater_api::{ProtectedMachine, Reason, RecoveryVault};
use breakwater_arm::{ResourceId, bodies::VirtualMachine, versions};
use jiff::SignedDuration;
use serde_json::Value;

use super::{machine_place::Place, machines_of, text};
use crate::{
    defence::{TagOwner, tag_owner},
    facts::{Facts, Fresh, List, Need},
    graph::Hold,
    kind::Subject,
};

/// Machines of one name in a subscription that are read to find the one that moved.
const MOST_NAMESAKES: usize = 5;

/// How old the read of a namesake may be.
const NAMESAKE_WITHIN: SignedDuration = SignedDuration::from_hours(1);

/// The first api-version that lists deleted vaults (backup.md §1.1).
const DELETED_VAULTS: &str = "2025-08-01";

fn vaults_of(vault: &ResourceId) -> List {
    let path = format!("/subscriptions/{}/providers/Microsoft.RecoveryServices/vaults", vault.subscription_id());
    List { path, query: Vec::new(), api_version: versions::RECOVERY_SERVICES, partial: false }
}

fn deleted_vaults_of(vault: &ResourceId, location: &str) -> List {
    let region = location.to_ascii_lowercase().replace(' ', "");
    let path = format!("/subscriptions/{}/providers/Microsoft.RecoveryServices/locations/{region}/deletedVaults", vault.subscription_id());
    List { path, query: Vec::new(), api_version: DELETED_VAULTS, partial: false }
}

/// What was there and is gone: nothing is made in its place, and everything that stands on it says so.
pub(super) fn missing(id: &ResourceId, object: &str) -> Hold {
    let message = format!(
        "{id} was there and is gone, with what it held: it is not made again empty; see whether it was deleted, moved or soft-deleted in Azure; {object} stays as it is until it is back or deleted"
    );
    Hold::stuck(Reason::Missing, message)
}

/// What is asked about a vault that was there and is gone.
pub(super) fn vault_needs(s: &Subject<RecoveryVault>, id: &ResourceId, known: &Facts) -> Vec<Need> {
    let lists = || [vaults_of(id), deleted_vaults_of(id, &s.spec.location)];
    let is_gone = s.status.vault.is_some() && known.read(id).is_absent();
    is_gone.then(|| lists().map(|list| Need::Inventory { list, watch: None })).into_iter().flatten().collect()
}

/// A vault that was there and is gone: moved, where one of its name carries its marks elsewhere; soft-deleted, where Azure
/// lists it so; else only gone.
pub(super) fn vault_hold(s: &Subject<RecoveryVault>, id: &ResourceId, facts: &Facts) -> Option<Hold> {
    if s.status.vault.is_none() || !facts.read(id).is_absent() {
        return None;
    }
    let owner = s.owner();
    let marked = |body: &Value| tag_owner(body, &s.estate, &owner, &s.writer) != TagOwner::NotOurs;
    let same = |other: &ResourceId| other != id && other.name().eq_ignore_ascii_case(id.name());
    let elsewhere = facts.list(&vaults_of(id)).into_iter().flatten().find(|(other, body)| same(other) && marked(&body.open()));
    if let Some((other, _)) = elsewhere {
        let admitted = s.access.as_ref().is_some_and(|a| a.admits("Read", other));
        let there = if admitted { other.to_string() } else { "a group outside what the AzureAccess allows".to_owned() };
        let message = format!(
            "{id} moved to {there}, with what it holds: nothing is made in its place; move it back, or make a RecoveryVault with adopt: IfNotWeaker for where it is now"
        );
        return Some(Hold::stuck(Reason::Moved, message));
    }
    let names_it = |body: &Value| text(body, "/properties/vaultId").is_some_and(|v| v.eq_ignore_ascii_case(id.as_str()));
    let mut deleted = facts.list(&deleted_vaults_of(id, &s.spec.location)).into_iter().flatten().map(|(_, body)| body.open());
    if let Some(body) = deleted.find(names_it) {
        let (at, until) = (text(&body, "/properties/vaultDeletionTime"), text(&body, "/properties/purgeAt"));
        let message = format!(
            "{id} was deleted in Azure ({}) and is kept until {}: undelete it in Azure before then; nothing is made in its place",
            at.unwrap_or("nobody knows when"),
            until.unwrap_or("Azure purges it")
        );
        return Some(Hold::stuck(Reason::SoftDeleted, message));
    }
    Some(missing(id, &format!("RecoveryVault {}", s.meta.name)))
}

/// Machines of the same name in other groups of the subscription.
fn namesakes(s: &Subject<ProtectedMachine>, p: &Place, facts: &Facts) -> Vec<ResourceId> {
    let listed = facts.list(&machines_of(p.machine.subscription_id())).into_iter().flatten().map(|(id, _)| id);
    let same = |id: &&ResourceId| **id != p.machine && id.name().eq_ignore_ascii_case(p.machine.name());
    let admitted = |id: &&ResourceId| s.access.as_ref().is_some_and(|a| a.admits("Read", id));
    listed.filter(same).filter(admitted).take(MOST_NAMESAKES).cloned().collect()
}

fn known_vm_id(s: &Subject<ProtectedMachine>) -> Option<&str> {
    s.status.machine.as_ref()?.vm_id.as_deref()
}

/// A machine keeps its `vmId` when it moves (compute-and-arm.md C.1): of a machine that is gone, its namesakes are read.
pub(super) fn machine_needs(s: &Subject<ProtectedMachine>, p: &Place, known: &Facts) -> Vec<Need> {
    if known_vm_id(s).is_none() || !known.read(&p.machine).is_absent() {
        return Vec::new();
    }
    let read = |id| Need::Read { id, fresh: Fresh::Within(NAMESAKE_WITHIN) };
    namesakes(s, p, known).into_iter().map(read).collect()
}

/// A machine that a direct read says is gone, and where it went if that is known.
pub(super) fn machine_hold(s: &Subject<ProtectedMachine>, p: &Place, facts: &Facts) -> Option<Hold> {
    if !facts.read(&p.machine).is_absent() {
        return None;
    }
    let is_it = |id: &ResourceId| {
        let vm = facts.read(id).into_present().and_then(|body| VirtualMachine::parse(body).ok());
        let vm_id = vm.and_then(|vm| vm.properties.vm_id);
        known_vm_id(s).is_some_and(|was| vm_id.is_some_and(|is| is.eq_ignore_ascii_case(was)))
    };
    let message = match namesakes(s, p, facts).into_iter().find(is_it) {
        Some(now) => {
            let message = format!(
                "{} is {now} now, the same machine (vmId): Azure Backup takes that for another one; its points under the old id stay restorable; let a policy mean the new id, and delete this object when the points are not needed",
                p.machine
            );
            return Some(Hold::stuck(Reason::Moved, message));
        }
        None => format!("{} does not exist: its recovery points, if any, stay restorable", p.machine),
    };
    Some(Hold::stuck(Reason::MachineNotFound, message))
}

/// A machine that Site Recovery made for a drill has its disks named so (site-recovery.md, `tfoDiskName`).
pub(super) fn is_drill_copy(vm: &VirtualMachine) -> bool {
    let os_disk = vm.properties.storage_profile.as_ref().and_then(|s| s.os_disk.as_ref());
    let id = os_disk.and_then(|d| d.managed_disk.as_ref()?.id.as_ref()?.0.rsplit('/').next().map(str::to_owned));
    let name = id.or_else(|| os_disk.and_then(|d| d.name.clone())).unwrap_or_default();
    name.to_ascii_lowercase().ends_with("-asrtest")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_drill_copy_is_known_by_the_name_of_its_disk() {
        let vm = |disk: &str| {
            let id = format!("/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/disks/{disk}");
            VirtualMachine::parse(&json!({ "properties": { "storageProfile": { "osDisk": { "managedDisk": { "id": id } } } } })).unwrap()
        };
        assert!(is_drill_copy(&vm("web-1_OsDisk_1-ASRtest")));
        assert!(!is_drill_copy(&vm("web-1_OsDisk_1")) && !is_drill_copy(&vm("asrtest-1")));
    }
}

//! The one normative table: which method on which type is which act.

use super::{
    Act::{self, Backup, Protect, Read, ReadData, ReplaceDisks, Restore},
    Effect,
};
use crate::{
    names::{BACKUP_JOB, LOCATION, RECOVERY_POINT, VAULT, VIRTUAL_MACHINE},
    wire::Method::{self, Get, Patch, Post, Put},
};
use Form::{All, Do, One};

/// What the path of a row names.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Form {
    /// One resource.
    One,
    /// The resources of a type below a resource.
    All,
    /// An action on one resource.
    Do(&'static str),
}

pub(super) type Row = (Method, &'static str, Form, Act, Effect);

const fn read(resource_type: &'static str, form: Form) -> Row {
    (Get, resource_type, form, Read, Effect::Read)
}

const fn ask(resource_type: &'static str, action: &'static str) -> Row {
    (Post, resource_type, Do(action), Read, Effect::Read)
}

/// A POST that changes nothing and hands out what more than `Read` is needed for.
const fn hand_out(resource_type: &'static str, action: &'static str, act: Act) -> Row {
    (Post, resource_type, Do(action), act, Effect::Read)
}

const fn write(method: Method, resource_type: &'static str, act: Act) -> Row {
    (method, resource_type, One, act, Effect::Write)
}

const fn action(resource_type: &'static str, action: &'static str, act: Act) -> Row {
    (Post, resource_type, Do(action), act, Effect::Write)
}

/// The types of which one resource may be deleted: [`Act::Delete`], without a row. A row that reads a type makes it not
/// deletable: networks, accounts and identities are looked at and are never ours to remove.
pub(super) const DELETABLE: [&str; 9] = [
    "Microsoft.Resources/resourceGroups",
    "Microsoft.Resources/tags",
    "Microsoft.Authorization/locks",
    "Microsoft.Compute/disks",
    "Microsoft.Compute/virtualMachines",
    "Microsoft.RecoveryServices/vaults",
    "Microsoft.RecoveryServices/vaults/backupResourceGuardProxies",
    "Microsoft.RecoveryServices/vaults/backupPolicies",
    "Microsoft.RecoveryServices/vaults/backupFabrics/protectionContainers/protectedItems",
];

/// The one normative table of everything but `DELETE`.
pub(super) const TABLE: &[Row] = &[
    read("Microsoft.Resources/subscriptions", One),
    read("Microsoft.Resources/resourceGroups", One),
    read("Microsoft.Resources/resourceGroups", All),
    read("Microsoft.Resources/resources", All),
    read("Microsoft.Resources/tags", One),
    write(Patch, "Microsoft.Resources/tags", Protect), // Merge only: `refine`
    read("Microsoft.Authorization/locks", One),
    read("Microsoft.Authorization/locks", All),
    read("Microsoft.Storage/storageAccounts", One),
    read("Microsoft.Network/virtualNetworks", One),
    read("Microsoft.Network/virtualNetworks/subnets", One),
    read("Microsoft.Network/networkInterfaces", One),
    read("Microsoft.ManagedIdentity/userAssignedIdentities", One),
    read("Microsoft.Compute/diskAccesses", One),
    read("Microsoft.Compute/diskEncryptionSets", One),
    read("Microsoft.Compute/locations/usages", All),
    read("Microsoft.Compute/disks", One),
    read("Microsoft.Compute/disks", All),
    read("Microsoft.Compute/virtualMachines", One),
    read("Microsoft.Compute/virtualMachines", All),
    read("Microsoft.Compute/virtualMachines/instanceView", All),
    action(VIRTUAL_MACHINE, "deallocate", ReplaceDisks), // before its disks are replaced
    action(VIRTUAL_MACHINE, "start", ReplaceDisks),      // and after
    read("Microsoft.RecoveryServices/vaults", One),
    read("Microsoft.RecoveryServices/vaults", All),
    read("Microsoft.RecoveryServices/vaults/usages", All),
    read("Microsoft.RecoveryServices/vaults/operationStatus", One),
    read("Microsoft.RecoveryServices/vaults/operationResults", One),
    write(Put, "Microsoft.RecoveryServices/vaults", Protect),
    write(Patch, "Microsoft.RecoveryServices/vaults", Protect),
    read("Microsoft.RecoveryServices/vaults/backupconfig", One),
    write(Put, "Microsoft.RecoveryServices/vaults/backupconfig", Protect),
    write(Patch, "Microsoft.RecoveryServices/vaults/backupconfig", Protect),
    read("Microsoft.RecoveryServices/vaults/backupstorageconfig", One),
    write(Put, "Microsoft.RecoveryServices/vaults/backupstorageconfig", Protect),
    write(Patch, "Microsoft.RecoveryServices/vaults/backupstorageconfig", Protect),
    read("Microsoft.RecoveryServices/vaults/backupEncryptionConfigs", One),
    read("Microsoft.RecoveryServices/vaults/backupResourceGuardProxies", All),
    read("Microsoft.RecoveryServices/vaults/backupResourceGuardProxies", One),
    write(Put, "Microsoft.RecoveryServices/vaults/backupResourceGuardProxies", Protect),
    read("Microsoft.RecoveryServices/vaults/backupPolicies", One),
    read("Microsoft.RecoveryServices/vaults/backupPolicies", All),
    write(Put, "Microsoft.RecoveryServices/vaults/backupPolicies", Protect),
    read("Microsoft.RecoveryServices/vaults/backupPolicies/operations", One),
    read("Microsoft.RecoveryServices/vaults/backupPolicies/operationResults", One),
    ask("Microsoft.RecoveryServices/locations", "backupStatus"),
    read("Microsoft.RecoveryServices/locations/deletedVaults", All),
    read("Microsoft.RecoveryServices/vaults/backupProtectableItems", All),
    read("Microsoft.RecoveryServices/vaults/backupProtectionContainers", All),
    read("Microsoft.RecoveryServices/vaults/backupDeletedProtectionContainers", All),
    read("Microsoft.RecoveryServices/vaults/replicationFabrics", All),
    action("Microsoft.RecoveryServices/vaults/backupFabrics", "refreshContainers", Protect),
    read("Microsoft.RecoveryServices/vaults/backupFabrics/operationResults", One),
    read("Microsoft.RecoveryServices/vaults/backupProtectedItems", All),
    read("Microsoft.RecoveryServices/vaults/backupFabrics/protectionContainers/protectedItems", One),
    write(Put, "Microsoft.RecoveryServices/vaults/backupFabrics/protectionContainers/protectedItems", Protect), // or Delete: `refine`
    read("Microsoft.RecoveryServices/vaults/backupFabrics/protectionContainers/protectedItems/operationsStatus", One),
    read("Microsoft.RecoveryServices/vaults/backupFabrics/protectionContainers/protectedItems/operationResults", One),
    action("Microsoft.RecoveryServices/vaults/backupFabrics/protectionContainers/protectedItems", "backup", Backup),
    ask("Microsoft.RecoveryServices/vaults/backupFabrics/protectionContainers/protectedItems", "recoveryPointsRecommendedForMove"),
    read("Microsoft.RecoveryServices/vaults/backupFabrics/protectionContainers/protectedItems/recoveryPoints", One),
    read("Microsoft.RecoveryServices/vaults/backupFabrics/protectionContainers/protectedItems/recoveryPoints", All),
    action(RECOVERY_POINT, "restore", Restore), // or ReplaceDisks: `refine`
    action(RECOVERY_POINT, "provisionInstantItemRecovery", ReadData),
    action(RECOVERY_POINT, "revokeInstantItemRecovery", ReadData),
    hand_out(RECOVERY_POINT, "listInstantItemRecoveryOperationResult", ReadData), // scripts and passwords
    hand_out(RECOVERY_POINT, "accessToken", Restore),
    ask(VAULT, "backupTriggerValidateOperation"),
    read("Microsoft.RecoveryServices/vaults/backupValidateOperationsStatuses", One),
    read("Microsoft.RecoveryServices/vaults/backupValidateOperationResults", One),
    action(LOCATION, "backupCrossRegionRestore", Restore), // never ReplaceDisks: `refine`
    ask(LOCATION, "backupCrrJob"),
    ask(LOCATION, "backupCrrJobs"),
    read("Microsoft.RecoveryServices/locations/backupAadProperties", All),
    read("Microsoft.RecoveryServices/locations/backupCrrOperationsStatus", One),
    read("Microsoft.RecoveryServices/locations/backupCrrOperationResults", One),
    read("Microsoft.RecoveryServices/vaults/backupOperations", One),
    read("Microsoft.RecoveryServices/vaults/backupOperationResults", One),
    read("Microsoft.RecoveryServices/vaults/backupJobs", One),
    read("Microsoft.RecoveryServices/vaults/backupJobs", All),
    read("Microsoft.RecoveryServices/vaults/backupJobs/operationResults", One),
    read("Microsoft.RecoveryServices/vaults/backupJobs/operationsStatus", One),
    action(BACKUP_JOB, "cancel", Backup),
];

//! Where azure-sim's answers are meant to differ from recorded ones, each with its reason.

/// A path of a type's answers: `type` is a prefix of the operation (empty: any), `path` covers what lies below it.
#[derive(Clone, Copy, Debug)]
pub struct Difference {
    /// Where the operation begins, in lower case.
    pub operation: &'static str,
    /// A key path as in [`super::shape::Shape`].
    pub path: &'static str,
    /// Why.
    pub why: &'static str,
}

impl Difference {
    /// Whether it speaks of that path of that operation.
    pub fn covers(&self, operation: &str, path: &str) -> bool {
        let below = path.strip_prefix(self.path).is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '[']));
        operation.starts_with(self.operation) && below
    }
}

const fn but(operation: &'static str, path: &'static str, why: &'static str) -> Difference {
    Difference { operation, path, why }
}

/// Recorded, and not shown by azure-sim.
pub const ABSENT: &[Difference] = &[
    but("errors", "/error/details", "of no code a caller acts on; azure-sim fills it where the nested code matters"),
    but("errors", "/error/innerError", "always null where recorded"),
    but("errors", "/error/target", "some services name a parameter, others do not, for one and the same code"),
    but("microsoft.recoveryservices/vaults/usages", "/unit", "a number in API version 2016-06-01, a word since"),
    but(
        "microsoft.recoveryservices/vaults/operationstatus",
        "header location",
        "with API version 2026-05-01 a running creation names no other place",
    ),
    but(
        "microsoft.recoveryservices/vaults/backupprotecteditems",
        "/properties/kpisHealths",
        "after a stop azure-sim says nothing of the last backup's finding",
    ),
    but(
        "microsoft.compute/disks",
        "/properties/creationData/sourceUniqueId",
        "a copy of a snapshot names it in the 202 already: snapshots are not modelled",
    ),
    but("microsoft.compute/disks", "/properties/isArmResource", "gone with API version 2022"),
    but("microsoft.compute/disks", "/properties/creationData/imageReference", "images are not resources in azure-sim"),
    but("microsoft.compute/disks", "/properties/supportedCapabilities", "of the image, which is not modelled; kept when a caller sends it"),
    but("microsoft.compute/disks", "/properties/supportsHibernation", "of the image, which is not modelled; kept when a caller sends it"),
    but("microsoft.compute/locations/diskoperations", "/properties/output/properties/supportedCapabilities", "as with the disk itself"),
    but(
        "microsoft.compute/locations/diskoperations",
        "/properties/output/properties/completionPercent",
        "instant access snapshots are not modelled",
    ),
    but(
        "microsoft.compute/locations/diskoperations",
        "/properties/output/properties/creationData/logicalSectorSize",
        "Premium SSD v2 and Ultra disks are not modelled",
    ),
    but(
        "microsoft.compute/locations/diskoperations",
        "/properties/output/properties/diskIOPSReadOnly",
        "Premium SSD v2 and Ultra disks are not modelled",
    ),
    but(
        "microsoft.compute/locations/diskoperations",
        "/properties/output/properties/diskMBpsReadOnly",
        "Premium SSD v2 and Ultra disks are not modelled",
    ),
    but("microsoft.compute/locations/diskoperations", "/properties/output/properties/maxShares", "shared disks are not modelled"),
    but(
        "microsoft.compute/locations/diskoperations",
        "/properties/output/properties/readOnly",
        "instant access snapshots are not modelled",
    ),
    but("microsoft.compute/virtualmachines", "/properties/instanceView/osName", "what the guest reports of its own system is not modelled"),
    but(
        "microsoft.compute/virtualmachines",
        "/properties/instanceView/osVersion",
        "what the guest reports of its own system is not modelled",
    ),
    but("microsoft.compute/virtualmachines", "/properties/storageProfile/osDisk/vhd", "unmanaged disks are not modelled"),
    but("microsoft.compute/virtualmachines", "/properties/storageProfile/dataDisks[]/vhd", "unmanaged disks are not modelled"),
    but("microsoft.compute/virtualmachines", "/properties/storageProfile/osDisk/diffDiskSettings", "ephemeral disks are not modelled"),
    but(
        "microsoft.recoveryservices/vaults/backupjobs",
        "/properties/errorDetails[]/recommendations",
        "azure-sim's findings have no advice; the sentences beside it are what people are shown",
    ),
    but("microsoft.recoveryservices/vaults/backupprotecteditems", "/properties/isRehydrate", "asked for, never answered in a recording"),
    but(
        "microsoft.recoveryservices/vaults/backupprotecteditems",
        "/properties/isDeferredDeleteScheduleUpcoming",
        "documented, in no recording",
    ),
    but(
        "microsoft.recoveryservices/vaults/backupfabrics/protectioncontainers/protecteditems",
        "/properties/isRehydrate",
        "asked for, never answered in a recording",
    ),
    but(
        "microsoft.recoveryservices/vaults/backupfabrics/protectioncontainers/protecteditems",
        "/properties/isDeferredDeleteScheduleUpcoming",
        "documented, in no recording",
    ),
    but("microsoft.recoveryservices/vaults", "/properties/moveState", "moving a vault is not modelled"),
    but("microsoft.recoveryservices/vaults/backupjobs", "/properties/actionsInfo[]", "numbers in API version 2016, words since"),
    but(
        "microsoft.recoveryservices/vaults/backupjobs",
        "/properties/extendedInfo/tasksList[]/progressPercentage",
        "documented, in no recording",
    ),
    but(
        "microsoft.recoveryservices/vaults/backupfabrics/protectioncontainers/protecteditems/recoverypoints",
        "/properties/recoveryPointTierDetails",
        "old API versions have numbers for words, and a tier may tell more of itself (backup.md §12.1)",
    ),
    but(
        "microsoft.compute/virtualmachines",
        "/properties/storageProfile/diskControllerType",
        "a later machine's; kept when a caller sends it",
    ),
    but(
        "microsoft.compute/virtualmachines",
        "/properties/diagnosticsProfile/bootDiagnostics/storageUri",
        "storage accounts are not modelled",
    ),
    but("microsoft.compute/virtualmachines", "/resources", "extensions are not modelled"),
    but("microsoft.compute/virtualmachines", "/nextLink", "azure-sim's lists of Compute have one page"),
    but("subscriptions/resources", "/identity/userAssignedIdentities/*", "Entra's ids of an assigned identity are not looked up"),
    but("subscriptions/resources", "/nextLink", "azure-sim's lists of resources have one page"),
    but("microsoft.network/networkinterfaces", "/kind", "a later API version's"),
    but("microsoft.network/networkinterfaces", "/properties/allowPort25Out", "a later API version's"),
    but("microsoft.network/networkinterfaces", "/properties/auxiliaryMode", "a later API version's"),
    but("microsoft.authorization/roleassignments", "/properties/updatedBy", "who assigned is not kept: always null"),
    but("microsoft.authorization/roledefinitions", "/properties/createdBy", "who defined a role, and when, is not kept"),
    but("microsoft.authorization/roledefinitions", "/properties/createdOn", "who defined a role, and when, is not kept"),
    but("microsoft.authorization/roledefinitions", "/properties/updatedBy", "who defined a role, and when, is not kept"),
    but("microsoft.authorization/roledefinitions", "/properties/updatedOn", "who defined a role, and when, is not kept"),
];

/// Shown by azure-sim, and in no recording of the type.
pub const ALONE: &[Difference] = &[
    but("", "/nextLink", "documented for every list (ARM RPC, paging); few recordings are long enough"),
    but("", "/tags/*", "anything may be tagged; the recorded ones were not"),
    but("microsoft.authorization/roledefinitions", "/properties/description", "the recorded role has none: null"),
    but("microsoft.authorization/roledefinitions", "/properties/permissions[]/notActions", "the recorded role has none: an empty list"),
    but("microsoft.authorization/roledefinitions", "/properties/permissions[]/dataActions[]", "the recorded role has none: an empty list"),
    but(
        "microsoft.compute/locations/diskoperations",
        "/error",
        "recorded of a disk, with an API version whose operations lay elsewhere (microsoft.compute/locations/operations)",
    ),
    but(
        "microsoft.compute/locations/diskoperations",
        "/properties/output",
        "the whole disk as a GET shows it; the recorded disks were bare",
    ),
    but(
        "microsoft.compute/locations/diskoperations?monitor",
        "/managedBy",
        "the whole disk as a GET shows it; the recorded one is a snapshot",
    ),
    but("microsoft.compute/locations/diskoperations?monitor", "/zones", "the whole disk as a GET shows it; the recorded one is a snapshot"),
    but(
        "microsoft.compute/locations/diskoperations?monitor",
        "/properties",
        "the whole disk as a GET shows it; the recorded one is a snapshot",
    ),
    but("microsoft.compute/virtualmachines", "/properties/securityProfile", "trusted launch: documented, no recorded machine has it"),
    but("microsoft.compute/virtualmachines", "/zones", "documented; no recorded machine has one"),
    but("microsoft.network/virtualnetworks", "/properties/subnets[]", "the recorded network has no subnet yet"),
    but("subscriptions/resources", "/identity", "documented fields of a generic resource; the recorded page has few of them"),
    but("subscriptions/resources", "/kind", "documented fields of a generic resource; the recorded page has no storage account"),
    but("subscriptions/resources", "/managedBy", "documented fields of a generic resource; the recorded page has few of them"),
    but("subscriptions/resources", "/sku", "documented fields of a generic resource; the recorded page has few of them"),
    but("subscriptions/resources", "/zones", "documented fields of a generic resource; the recorded page has few of them"),
    but(
        "microsoft.recoveryservices/vaults/backuppolicies",
        "/properties/snapshotConsistencyType",
        "documented (backup.md §7.1), in no recording",
    ),
    but(
        "microsoft.recoveryservices/vaults/backupfabrics/protectioncontainers/protecteditems",
        "/properties/extendedInfo",
        "documented: shown when asked for, and nobody who recorded asked",
    ),
    but("microsoft.recoveryservices/vaults/backuppolicies", "/properties/retentionPolicy", "backup.md §7: tiers that no recording uses"),
    but("microsoft.recoveryservices/vaults/backuppolicies", "/properties/schedulePolicy", "backup.md §7: schedules that no recording uses"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_covers_what_lies_below_it_and_no_longer_name() {
        let difference = but("microsoft.compute/disks", "/properties/a", "a test");
        assert!(difference.covers("microsoft.compute/disks[]", "/properties/a[]/b"));
        assert!(!difference.covers("microsoft.compute/disks", "/properties/ab"));
        assert!(!difference.covers("microsoft.compute/virtualmachines", "/properties/a"));
    }
}

//! Which api-version is sent for which resource type.

use crate::id::ResourceType;

/// Vaults and everything of Backup below them (backup.md §1.1).
pub const RECOVERY_SERVICES: &str = "2024-04-01";
/// Restores in the other region: the "passive stamp", which newer versions do not have (backup.md §1.1, §14). The same
/// paths of items and points answer from the other region under this version.
pub const RECOVERY_SERVICES_CROSS_REGION: &str = "2021-11-15";
/// The first with `listInstantItemRecoveryOperationResult`: the scripts of a mount are asked for, and polls lack them
/// (backup.md §1.1, §15.2).
pub const RECOVERY_SERVICES_SCRIPTS: &str = "2026-08-01";
/// What Site Recovery keeps of a vault (site-recovery.md §5).
pub const SITE_RECOVERY: &str = "2025-08-01";
/// Virtual machines, and what a region admits of them (compute-and-arm.md §0).
pub const VIRTUAL_MACHINES: &str = "2024-07-01";
/// Disks, disk accesses and disk encryption sets (compute-and-arm.md §0).
pub const DISKS: &str = "2025-01-02";
/// Subscriptions, resource groups, the resource list and tags (compute-and-arm.md §0).
pub const RESOURCES: &str = "2022-09-01";
/// Locks (compute-and-arm.md §0).
pub const LOCKS: &str = "2020-05-01";

/// Virtual networks and their subnets, network interfaces (compute-and-arm.md §0).
pub const NETWORK: &str = "2024-01-01";
/// Storage accounts (listed as stable by Pulumi's azure-native, storage.getStorageAccount; nothing of it was recorded).
pub const STORAGE: &str = "2023-05-01";
/// User-assigned identities (learn.microsoft.com, templates, change log of the type; nothing of it was recorded).
pub const MANAGED_IDENTITY: &str = "2023-01-31";

/// The api-version to send for a resource type; `None` for a type that nothing here uses.
pub fn api_version(resource_type: &ResourceType) -> Option<&'static str> {
    let mut words = resource_type.as_str().split('/');
    let namespace = words.next()?.to_ascii_lowercase();
    let first = words.next()?.to_ascii_lowercase();
    let second = words.next().unwrap_or_default().to_ascii_lowercase();
    match (namespace.as_str(), first.as_str()) {
        ("microsoft.recoveryservices", "locations") if second.starts_with("backupcrr") => Some(RECOVERY_SERVICES_CROSS_REGION),
        ("microsoft.recoveryservices", "locations") if second == "backupaadproperties" => Some(RECOVERY_SERVICES_CROSS_REGION),
        ("microsoft.recoveryservices", "vaults") if second.starts_with("replication") => Some(SITE_RECOVERY),
        ("microsoft.recoveryservices", "vaults" | "locations") => Some(RECOVERY_SERVICES),
        ("microsoft.compute", "virtualmachines" | "locations") => Some(VIRTUAL_MACHINES),
        ("microsoft.compute", "disks" | "diskaccesses" | "diskencryptionsets") => Some(DISKS),
        ("microsoft.network", "virtualnetworks" | "networkinterfaces") => Some(NETWORK),
        ("microsoft.storage", "storageaccounts") => Some(STORAGE),
        ("microsoft.managedidentity", "userassignedidentities") => Some(MANAGED_IDENTITY),
        ("microsoft.resources", "subscriptions" | "resourcegroups" | "resources" | "tags") => Some(RESOURCES),
        ("microsoft.authorization", "locks") => Some(LOCKS),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ResourceId;

    #[test]
    fn each_type_in_use_has_one_version_and_others_have_none() {
        let vm = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/a/providers/microsoft.compute/VIRTUALMACHINES/b";
        let region = "/subscriptions/11111111-1111-1111-1111-111111111111/providers/Microsoft.RecoveryServices/locations/westeurope";
        let group = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/a/providers";
        let cases = [
            (region.to_owned(), Some(RECOVERY_SERVICES)),
            (format!("{region}/deletedVaults/v"), Some(RECOVERY_SERVICES)),
            (format!("{region}/backupCrrOperationsStatus/x"), Some(RECOVERY_SERVICES_CROSS_REGION)),
            (format!("{region}/backupAadProperties/x"), Some(RECOVERY_SERVICES_CROSS_REGION)),
            (format!("{group}/Microsoft.Network/virtualNetworks/v/subnets/s"), Some(NETWORK)),
            (format!("{group}/Microsoft.Network/publicIPAddresses/p"), None),
            (format!("{group}/Microsoft.Storage/storageAccounts/s"), Some(STORAGE)),
            (format!("{group}/Microsoft.Compute/diskEncryptionSets/d"), Some(DISKS)),
            (format!("{group}/Microsoft.ManagedIdentity/userAssignedIdentities/u"), Some(MANAGED_IDENTITY)),
            (String::from(vm), Some(VIRTUAL_MACHINES)),
            (format!("{vm}/providers/Microsoft.Resources/tags/default"), Some(RESOURCES)),
            (format!("{vm}/providers/Microsoft.Authorization/locks/x"), Some(LOCKS)),
            (format!("{vm}/providers/Microsoft.RecoveryServices/vaults/v/backupPolicies/p"), Some(RECOVERY_SERVICES)),
            (format!("{vm}/providers/Microsoft.RecoveryServices/vaults/v/replicationFabrics/f"), Some(SITE_RECOVERY)),
            (format!("{vm}/providers/Microsoft.Web/sites/s"), None),
        ];
        for (id, wanted) in cases {
            assert_eq!(api_version(&id.parse::<ResourceId>().unwrap().resource_type()), wanted, "{id}");
        }
    }
}

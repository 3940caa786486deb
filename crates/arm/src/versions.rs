//! Which api-version is sent for which resource type.

use crate::id::ResourceType;

/// Vaults and everything of Backup below them (backup.md §1.1).
pub const RECOVERY_SERVICES: &str = "2024-04-01";
/// Virtual machines (compute-and-arm.md §0).
pub const VIRTUAL_MACHINES: &str = "2024-07-01";
/// Disks (compute-and-arm.md §0).
pub const DISKS: &str = "2025-01-02";
/// Subscriptions, resource groups, the resource list and tags (compute-and-arm.md §0).
pub const RESOURCES: &str = "2022-09-01";
/// Locks (compute-and-arm.md §0).
pub const LOCKS: &str = "2020-05-01";

/// The api-version to send for a resource type; `None` for a type that nothing here uses.
pub fn api_version(resource_type: &ResourceType) -> Option<&'static str> {
    let mut words = resource_type.as_str().split('/');
    let namespace = words.next()?.to_ascii_lowercase();
    let first = words.next()?.to_ascii_lowercase();
    match (namespace.as_str(), first.as_str()) {
        ("microsoft.recoveryservices", "vaults" | "locations") => Some(RECOVERY_SERVICES),
        ("microsoft.compute", "virtualmachines") => Some(VIRTUAL_MACHINES),
        ("microsoft.compute", "disks") => Some(DISKS),
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
        let cases = [
            (String::from(vm), Some(VIRTUAL_MACHINES)),
            (format!("{vm}/providers/Microsoft.Resources/tags/default"), Some(RESOURCES)),
            (format!("{vm}/providers/Microsoft.Authorization/locks/x"), Some(LOCKS)),
            (format!("{vm}/providers/Microsoft.RecoveryServices/vaults/v/backupPolicies/p"), Some(RECOVERY_SERVICES)),
            (format!("{vm}/providers/Microsoft.Web/sites/s"), None),
        ];
        for (id, wanted) in cases {
            assert_eq!(api_version(&id.parse::<ResourceId>().unwrap().resource_type()), wanted, "{id}");
        }
    }
}

//! Backup's names for a machine: its container and its protected item (backup.md §1.3).

use crate::id::{IdError, ResourceId};

/// The resource type of a fabric: there is one, `Azure`.
pub const FABRIC: &str = "Microsoft.RecoveryServices/vaults/backupFabrics";
/// The resource type of a protected item.
pub const PROTECTED_ITEM: &str = "Microsoft.RecoveryServices/vaults/backupFabrics/protectionContainers/protectedItems";
/// The resource type of a vault.
pub const VAULT: &str = "Microsoft.RecoveryServices/vaults";
/// The resource type of a backup policy.
pub const BACKUP_POLICY: &str = "Microsoft.RecoveryServices/vaults/backupPolicies";
/// The resource type of a backup job.
pub const BACKUP_JOB: &str = "Microsoft.RecoveryServices/vaults/backupJobs";
/// The resource type of a recovery point.
pub const RECOVERY_POINT: &str = "Microsoft.RecoveryServices/vaults/backupFabrics/protectionContainers/protectedItems/recoveryPoints";
/// The resource type of a region as the backup service has it: `/subscriptions/{s}/providers/{this}/{region}`.
pub const LOCATION: &str = "Microsoft.RecoveryServices/locations";
/// The resource type of a virtual machine.
pub const VIRTUAL_MACHINE: &str = "Microsoft.Compute/virtualMachines";
/// The resource type of a disk.
pub const DISK: &str = "Microsoft.Compute/disks";

/// The tag that names the restore which made a resource, by its once-key.
pub const TAG_RESTORE: &str = "breakwater-restore";

/// How every name of a machine begins, without the prefix of what it is a name for.
pub const MACHINE_PREFIX: &str = "iaasvmcontainerv2;";

/// What both names share: `iaasvmcontainerv2;{resource group};{name}`, lower-cased as the service does.
fn machine_name(vm: &ResourceId) -> String {
    let group = vm.resource_group().unwrap_or_default().to_ascii_lowercase();
    format!("{MACHINE_PREFIX}{group};{}", vm.name().to_ascii_lowercase())
}

/// `IaasVMContainer;iaasvmcontainerv2;{rg};{vm}`
pub fn container_name(vm: &ResourceId) -> String {
    format!("IaasVMContainer;{}", machine_name(vm))
}

/// The container as jobs name it: without its prefix (backup.md §11.1).
pub fn job_container(vm: &ResourceId) -> String {
    machine_name(vm)
}

/// `VM;iaasvmcontainerv2;{rg};{vm}`
pub fn item_name(vm: &ResourceId) -> String {
    format!("VM;{}", machine_name(vm))
}

/// The id of a region as the backup service has it.
///
/// # Errors
/// When a part cannot be a segment of an id.
pub fn location_id(subscription_id: &str, region: &str) -> Result<ResourceId, IdError> {
    format!("/subscriptions/{subscription_id}/providers/{LOCATION}/{region}").parse()
}

/// What a vault's jobs in its paired region are known by here. No id of Azure's: nothing is ever asked at it.
///
/// # Errors
/// When the region cannot be a segment of an id.
pub fn vault_in(vault: &ResourceId, region: &str) -> Result<ResourceId, IdError> {
    vault.child(SECONDARY, region)
}

/// The vault and the region of what [`vault_in`] made.
pub fn vault_and_region(id: &ResourceId) -> Option<(ResourceId, ResourceId)> {
    let is_it = id.resource_type() == *format!("{VAULT}/{SECONDARY}");
    let vault = id.parent().filter(|_| is_it)?;
    let location = location_id(vault.subscription_id(), id.name()).ok()?;
    Some((vault, location))
}

const SECONDARY: &str = "breakwaterSecondaryRegions";

/// The id of the fabric of Azure machines in a vault.
///
/// # Errors
/// When `vault` cannot have children.
pub fn fabric_id(vault: &ResourceId) -> Result<ResourceId, IdError> {
    vault.child("backupFabrics", "Azure")
}

/// The id of a machine's protected item in a vault, whether it exists or not.
///
/// # Errors
/// When the machine's name cannot be part of an id.
pub fn item_id(vault: &ResourceId, vm: &ResourceId) -> Result<ResourceId, IdError> {
    fabric_id(vault)?.child("protectionContainers", &container_name(vm))?.child("protectedItems", &item_name(vm))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vault_in_its_other_region_is_told_apart_from_the_vault() {
        let vault: ResourceId =
            "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/b/providers/Microsoft.RecoveryServices/vaults/v"
                .parse()
                .unwrap();
        let there = vault_in(&vault, "northeurope").unwrap();
        let (back, location) = vault_and_region(&there).unwrap();
        assert_eq!((back, location.name(), location.resource_type() == *LOCATION), (vault.clone(), "northeurope", true));
        assert_eq!(vault_and_region(&vault), None);
    }

    #[test]
    fn an_item_is_named_after_the_lower_cased_group_and_machine() {
        let sub = "/subscriptions/11111111-1111-1111-1111-111111111111";
        let vm = format!("{sub}/resourceGroups/Shop-RG/providers/Microsoft.Compute/virtualMachines/DB1").parse().unwrap();
        let vault: ResourceId = format!("{sub}/resourceGroups/b/providers/Microsoft.RecoveryServices/vaults/v").parse().unwrap();
        let item = item_id(&vault, &vm).unwrap();
        assert_eq!(
            item.as_str(),
            format!(
                "{vault}/backupFabrics/Azure/protectionContainers/IaasVMContainer;iaasvmcontainerv2;shop-rg;db1/protectedItems/VM;iaasvmcontainerv2;shop-rg;db1"
            )
        );
        assert_eq!(item.resource_type(), *PROTECTED_ITEM);
        assert_eq!(item.ancestor(VAULT), Some(vault));
    }
}

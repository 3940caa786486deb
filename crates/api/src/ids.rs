//! Patterns and bounds of the names that Azure gives meaning to. The schema refuses what Azure certainly refuses;
//! ids become `ResourceId`s in `plan`.

/// A subscription's or tenant's guid.
pub const GUID: &str = r"^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$";

/// A resource group's name: up to 90 letters (of any script), digits, `_ - . ( )`, not ending with a dot.
pub const RESOURCE_GROUP: &str = r"^[-_\p{L}\p{N}().]{0,89}[-_\p{L}\p{N}()]$";

/// A resource group's name in a grant or selector, where `*` stands for any run of characters.
pub const RESOURCE_GROUP_GLOB: &str = r"^[-_\p{L}\p{N}().*]{1,90}$";

/// A region's short name: `westeurope`.
pub const LOCATION: &str = r"^[a-z][a-z0-9]{1,49}$";

/// A vault's name: 2 to 50 letters, digits and hyphens, starting with a letter (backup.md §1.3).
pub const VAULT_NAME: &str = r"^[A-Za-z][A-Za-z0-9-]{1,49}$";

/// A backup policy's name: 3 to 150 letters, digits, `-`, `_` and `!`, starting with a letter (backup.md §1.3).
pub const POLICY_NAME: &str = r"^[a-zA-Z][-_!a-zA-Z0-9]{2,149}$";

/// A virtual machine's full ARM id.
pub const MACHINE_ID: &str =
    r"(?i)^/subscriptions/[0-9a-f-]{36}/resourceGroups/[^/?#%&<>\\]{1,90}/providers/Microsoft\.Compute/virtualMachines/[^/?#%&<>\\]{1,64}$";

/// An IANA zone name: `Europe/Amsterdam`, `UTC`, `Etc/GMT+5`. Whether it exists is checked in code.
pub const TIME_ZONE: &str = r"^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$";

/// A time of day that Azure Backup takes: `HH:00` or `HH:30` (backup.md §7.3).
pub const TIME_OF_DAY: &str = r"^([01][0-9]|2[0-3]):(00|30)$";

/// The name of an object in Kubernetes.
pub const OBJECT_NAME: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";

/// The name of a namespace in Kubernetes.
pub const NAMESPACE: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";

/// A key in Key Vault or a managed HSM.
pub const KEY_URI: &str = r"^https://[A-Za-z0-9.-]+/keys/[A-Za-z0-9-]{1,127}(/[A-Za-z0-9]{1,64})?$";

/// Who reads a key: the vault's own identity, or a user-assigned one by its full ARM id.
pub const KEY_READER: &str = r"(?i)^(System(Assigned)?|/subscriptions/[0-9a-f-]{36}/resourceGroups/[^/?#%&<>\\]{1,90}/providers/Microsoft\.ManagedIdentity/userAssignedIdentities/[^/?#%&<>\\]{1,128})$";

/// Whether it is the vault's own identity, in either of the words that people use for it.
pub fn is_system(reader: &str) -> bool {
    ["System", "SystemAssigned"].iter().any(|word| word.eq_ignore_ascii_case(reader))
}

/// A storage account's full ARM id.
pub const STORAGE_ACCOUNT_ID: &str =
    r"(?i)^/subscriptions/[0-9a-f-]{36}/resourceGroups/[^/?#%&<>\\]{1,90}/providers/Microsoft\.Storage/storageAccounts/[a-z0-9]{3,24}$";

/// A subnet's full ARM id.
pub const SUBNET_ID: &str = r"(?i)^/subscriptions/[0-9a-f-]{36}/resourceGroups/[^/?#%&<>\\]{1,90}/providers/Microsoft\.Network/virtualNetworks/[^/?#%&<>\\]{1,64}/subnets/[^/?#%&<>\\]{1,80}$";

/// A disk access resource's full ARM id.
pub const DISK_ACCESS_ID: &str =
    r"(?i)^/subscriptions/[0-9a-f-]{36}/resourceGroups/[^/?#%&<>\\]{1,90}/providers/Microsoft\.Compute/diskAccesses/[^/?#%&<>\\]{1,80}$";

/// A disk encryption set's full ARM id.
pub const DISK_ENCRYPTION_SET_ID: &str = r"(?i)^/subscriptions/[0-9a-f-]{36}/resourceGroups/[^/?#%&<>\\]{1,90}/providers/Microsoft\.Compute/diskEncryptionSets/[^/?#%&<>\\]{1,80}$";

/// A resource guard's full ARM id.
pub const RESOURCE_GUARD_ID: &str = r"(?i)^/subscriptions/[0-9a-f-]{36}/resourceGroups/[^/?#%&<>\\]{1,90}/providers/Microsoft\.DataProtection/resourceGuards/[^/?#%&<>\\]{1,63}$";

/// A kind of ours: `BackupPolicy`.
pub const KIND: &str = r"^[A-Z][A-Za-z0-9]*$";

/// SHA-256 in lower-case hex.
pub const DIGEST: &str = r"^[0-9a-f]{64}$";

/// The longest ARM id we take.
pub const MAX_ID: usize = 1024;

//! The config resources of a vault (backup.md §6).

use super::Resource;
use crate::{id::IdText, word::Word};

/// `backupconfig/vaultconfig`
pub type VaultConfig = Resource<VaultConfigProperties>;
/// `backupstorageconfig/vaultstorageconfig`
pub type StorageConfig = Resource<StorageConfigProperties>;
/// `backupEncryptionConfigs/backupResourceEncryptionConfig`
pub type EncryptionConfig = Resource<EncryptionConfigProperties>;

body! {
    /// Soft delete, seen from Backup.
    VaultConfigProperties {
        /// `Enabled` or `Disabled`.
        enhanced_security_state: Word,
        /// `Enabled`, `Disabled`, `AlwaysON`.
        soft_delete_feature_state: Word,
        /// Days.
        soft_delete_retention_period_in_days: i64,
        /// False once it is always on.
        is_soft_delete_feature_state_editable: bool,
    }
    /// Redundancy, seen from Backup.
    StorageConfigProperties {
        /// The redundancy.
        storage_model_type: Word,
        /// The redundancy again.
        storage_type: Word,
        /// `Locked` after the first protection.
        storage_type_state: Word,
        /// Cross-region restore.
        cross_region_restore_flag: bool,
    }
    /// Encryption, seen from Backup.
    EncryptionConfigProperties {
        /// `MicrosoftManaged` or `CustomerManaged`.
        encryption_at_rest_type: Word,
        /// The key's URL.
        key_uri: String,
        /// `NotEnabled`, `Succeeded`, `Failed`, ...
        last_update_status: Word,
        /// `Enabled` or `Disabled`.
        infrastructure_encryption_state: Word,
        /// The identity that uses the key.
        user_assigned_identity: IdText,
        /// The vault's own identity uses it.
        use_system_assigned_identity: bool,
    }
}

//! A Recovery Services vault (backup.md §5). Lists lack the security and redundancy settings (§5.2).

use super::Resource;
use crate::{id::IdText, word::Word};

/// A vault.
pub type Vault = Resource<VaultProperties>;

body! {
    /// What a vault adds.
    VaultProperties {
        /// `Provisioning`, `Succeeded`, ...
        provisioning_state: Word,
        /// Where copies of the data lie.
        redundancy_settings: RedundancySettings,
        /// Soft delete, immutability.
        security_settings: SecuritySettings,
        /// Restores to other subscriptions.
        restore_settings: RestoreSettings,
        /// `Enabled` or `Disabled`.
        public_network_access: Word,
        /// `Unassigned` while nothing was ever protected, then `V1` or `V2`.
        backup_storage_version: Word,
        /// The key; absent for platform keys.
        encryption: VaultEncryption,
        /// Of a vault that is or was moved.
        move_state: Word,
        /// `None`, `Minimum`, `Adequate`, `Maximum`.
        secure_score: Word,
    }
    /// Where copies of the data lie.
    RedundancySettings {
        /// `GeoRedundant`, `ZoneRedundant`, `LocallyRedundant`.
        standard_tier_storage_redundancy: Word,
        /// `Enabled` is one-way.
        cross_region_restore: Word,
    }
    /// Soft delete, immutability, multi-user authorisation.
    SecuritySettings {
        /// Soft delete.
        soft_delete_settings: SoftDeleteSettings,
        /// Null means disabled.
        immutability_settings: ImmutabilitySettings,
        /// `Enabled` when a resource guard stands before the vault.
        multi_user_authorization: Word,
    }
    /// Soft delete.
    SoftDeleteSettings {
        /// `Enabled`, `Disabled`, `AlwaysON`.
        soft_delete_state: Word,
        /// Days that a deleted item is kept.
        soft_delete_retention_period_in_days: i64,
        /// `Enabled`, `Disabled`, `AlwaysON`.
        enhanced_security_state: Word,
    }
    /// Immutability.
    ImmutabilitySettings {
        /// `Disabled`, `Unlocked`, `Locked`.
        state: Word,
    }
    /// Restores.
    RestoreSettings {
        /// To other subscriptions.
        cross_subscription_restore_settings: CrossSubscriptionRestore,
    }
    /// Restores to other subscriptions.
    CrossSubscriptionRestore {
        /// `Enabled`, `Disabled`, `PermanentlyDisabled`.
        cross_subscription_restore_state: Word,
    }
    /// The key that encrypts the vault.
    VaultEncryption {
        /// Where the key is.
        key_vault_properties: VaultKey,
        /// Who may use it.
        kek_identity: VaultIdentityOfKey,
        /// `Enabled` or `Disabled`.
        infrastructure_encryption: Word,
    }
    /// Where the key is.
    VaultKey {
        /// Its URL.
        key_uri: String,
    }
    /// Who may use the key.
    VaultIdentityOfKey {
        /// The vault's own identity.
        use_system_assigned_identity: bool,
        /// Or that one.
        user_assigned_identity: IdText,
    }
}

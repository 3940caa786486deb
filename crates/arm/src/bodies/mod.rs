//! Typed bodies of what the controllers read, and of what restores send. What is read forgives: unknown fields are
//! ignored, every field may be missing or null (which means *unknown*, never a default), words are open, ids and times are
//! kept as received.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::id::{IdText, ResourceId};

/// Declares a body: every field an `Option`, camelCase on the wire, absent when `None`.
macro_rules! body {
    ($($(#[$meta:meta])* $name:ident { $($(#[$field_meta:meta])* $field:ident: $ty:ty),* $(,)? })*) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        pub struct $name {
            $($(#[$field_meta])* #[serde(skip_serializing_if = "Option::is_none")] pub $field: Option<$ty>,)*
        }
    )*};
}

mod backup_status;
mod cross_region;
mod item;
mod job;
mod lock;
mod mount;
mod network;
mod page;
mod point;
mod policy;
mod resources;
mod restore;
mod storage;
mod tags;
mod validation;
mod vault;
mod vaultconfig;
mod vm;

pub use backup_status::BackupStatus;
pub use cross_region::{
    AadProperties, aad_properties_request, access_token_body, access_token_request, cross_region_body, cross_region_request, crr_job_body,
    crr_job_request, crr_jobs_request,
};
pub use item::{
    DiskExclusion, HealthDetail, ItemExtendedInfo, ItemExtendedProperties, KpiHealth, ProtectedItem, ProtectedItemProperties,
    ResourceHealthDetail,
};
pub use job::{Job, JobError, JobExtendedInfo, JobProperties, JobTask, Restored, job_is_over};
pub use lock::{Lock, LockProperties};
pub use mount::{ClientScript, provision_body, provision_request, revoke_request, scripts_request};
pub use network::{ComputeUsage, Subnet, SubnetProperties, UsageName, VirtualNetwork, VirtualNetworkProperties};
pub use page::Page;
pub use point::{
    KeyAndSecret, KeyOfPoint, MoveReadiness, PointDisk, PointDisks, PointExpiry, PointTier, RecoveryPoint, RecoveryPointProperties,
    SecretOfPoint,
};
pub use policy::{
    DailySchedule, DayOfMonth, HourlySchedule, InstantRpDetails, LongRetention, Policy, PolicyProperties, RetentionDuration,
    RetentionPolicy, RetentionSchedule, ScheduleDaily, SchedulePolicy, ScheduleWeekly, TieringPolicy, WeeklySchedule,
};
pub use resources::{ResourceGroup, ResourceGroupProperties, ResourceListItem, Subscription};
pub use restore::{
    DataDiskEncryption, DiskEncryption, DiskNetworkAccess, EncryptionDetails, ExtendedLocation, IdentityBasedRestore, RecoveryType,
    Rehydration, RehydrationPriority, RestoreBody, RestoreFrom, RestoreIdentity, SecuredVmDetails, Staging, restore_body, restore_request,
    validate_body, validate_request,
};
pub use storage::{NetworkAcls, StorageAccount, StorageAccountProperties};
pub use tags::{Tags, TagsProperties};
pub use validation::{ValidationResult, ValidationResults};
pub use vault::{
    CrossSubscriptionRestore, ImmutabilitySettings, RedundancySettings, RestoreSettings, SecuritySettings, SoftDeleteSettings, Vault,
    VaultEncryption, VaultIdentityOfKey, VaultKey, VaultProperties,
};
pub use vaultconfig::{
    EncryptionConfig, EncryptionConfigProperties, StorageConfig, StorageConfigProperties, VaultConfig, VaultConfigProperties,
};
pub use vm::{
    DataDisk, DiskSettings, HardwareProfile, InstanceStatus, InstanceView, ManagedDisk, OsDisk, SecurityProfile, StorageProfile, VhdUri,
    VirtualMachine, VirtualMachineProperties, VmAgent, replicating_extension,
};

/// What every ARM resource looks like from outside.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, bound(deserialize = "P: DeserializeOwned + Default"))]
pub struct Resource<P> {
    /// Its id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<IdText>,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its resource type.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub resource_type: Option<String>,
    /// Its region.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// Its tags.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<BTreeMap<String, String>>,
    /// Its version, as the body tells it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// Its zones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zones: Option<Vec<String>>,
    /// Its size or tier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sku: Option<Sku>,
    /// Its kind, of types that have several: `StorageV2`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Its managed identity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<ManagedIdentity>,
    /// What its type adds.
    #[serde(deserialize_with = "null_is_default")]
    pub properties: P,
}

impl<P> Resource<P> {
    /// Its id, parsed.
    pub fn resource_id(&self) -> Option<ResourceId> {
        self.id.as_ref()?.id()
    }
}

impl<P: DeserializeOwned + Default> Resource<P> {
    /// Reads a body.
    ///
    /// # Errors
    /// When a field has a form that its type cannot hold.
    pub fn parse(body: &Value) -> Result<Self, serde_json::Error> {
        Self::deserialize(body)
    }
}

body! {
    /// Size or tier of a resource.
    Sku {
        /// `RS0`, `Standard`.
        name: String,
        /// `Standard`.
        tier: String,
    }
    /// The managed identity of a resource.
    ManagedIdentity {
        /// `SystemAssigned`, `None`, ... (backup.md §5.1).
        #[serde(rename = "type")]
        identity_type: crate::word::Word,
        /// Of the system-assigned one.
        principal_id: String,
        /// Its tenant.
        tenant_id: String,
        /// The others, by id.
        user_assigned_identities: BTreeMap<String, Value>,
    }
}

pub(crate) fn null_is_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(d: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(d)?.unwrap_or_default())
}

#[cfg(test)]
mod restore_tests;
#[cfg(test)]
mod tests;

//! What a restore asks for (backup.md §13): an `IaasVMRestoreRequest`, and the requests that carry one.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    id::ResourceId,
    time::ArmDuration,
    versions::RECOVERY_SERVICES,
    wire::{Method, Request},
};

/// How a point comes back (`recoveryType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RecoveryType {
    /// As a new machine.
    AlternateLocation,
    /// As disks, and a template that makes a machine of them.
    RestoreDisks,
    /// Under the machine that it is of, in place of its disks.
    OriginalLocation,
}

/// An `IaasVMRestoreRequest`. What is `None` is not sent.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RestoreBody {
    /// From which tier; decides `objectType`.
    #[serde(flatten)]
    pub from: RestoreFrom,
    /// The point's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recovery_point_id: Option<String>,
    /// How it comes back.
    pub recovery_type: RecoveryType,
    /// The machine that the point is of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_resource_id: Option<ResourceId>,
    /// The new machine, which must not exist: `AlternateLocation` alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_virtual_machine_id: Option<ResourceId>,
    /// Where disks and machine go. Without it, `RestoreDisks` leaves blobs in the staging account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_resource_group_id: Option<ResourceId>,
    /// The staging account, and who uses it.
    #[serde(flatten)]
    pub staging: Option<Staging>,
    /// The new machine's network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub virtual_network_id: Option<ResourceId>,
    /// The new machine's subnet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subnet_id: Option<ResourceId>,
    /// Of classic machines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_domain_name_id: Option<String>,
    /// The vault's region; of a restore in the other region, that one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Of classic machines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub affinity_group: Option<String>,
    /// Of classic machines: false.
    pub create_new_cloud_service: bool,
    /// To the account that an unmanaged disk came from: false.
    pub original_storage_account_option: bool,
    /// Managed disks of what were blobs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restore_with_managed_disks: Option<bool>,
    /// Keys of a machine that is encrypted inside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encryption_details: Option<EncryptionDetails>,
    /// Data disks by LUN; empty for the OS disk alone, `None` for all. `RestoreDisks` alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restore_disk_lun_list: Option<Vec<i64>>,
    /// Encrypts the restored disks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_encryption_set_id: Option<ResourceId>,
    /// One zone, or `NoZone`; `None` for where the machine was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zones: Option<Vec<String>>,
    /// An edge zone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extended_location: Option<ExtendedLocation>,
    /// Of confidential machines.
    #[serde(rename = "securedVMDetails", skip_serializing_if = "Option::is_none")]
    pub secured_vm_details: Option<SecuredVmDetails>,
    /// How the restored disks are reached: needed when the point has `isPrivateAccessEnabledOnAnyDisk`, and only then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_disk_network_access_settings: Option<DiskNetworkAccess>,
    /// Where a resource guard stands before restores: its requests, approved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_guard_operation_requests: Option<Vec<String>>,
}

impl RestoreBody {
    /// A body of that type, from a tier that is read at once, with everything else left out.
    pub fn new(recovery_type: RecoveryType) -> Self {
        RestoreBody {
            from: RestoreFrom::Ready,
            recovery_point_id: None,
            recovery_type,
            source_resource_id: None,
            target_virtual_machine_id: None,
            target_resource_group_id: None,
            staging: None,
            virtual_network_id: None,
            subnet_id: None,
            target_domain_name_id: None,
            region: None,
            affinity_group: None,
            create_new_cloud_service: false,
            original_storage_account_option: false,
            restore_with_managed_disks: None,
            encryption_details: None,
            restore_disk_lun_list: None,
            disk_encryption_set_id: None,
            zones: None,
            extended_location: None,
            secured_vm_details: None,
            target_disk_network_access_settings: None,
            resource_guard_operation_requests: None,
        }
    }
}

/// From which tier a point is restored, as the body says it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "objectType")]
pub enum RestoreFrom {
    /// From the snapshot or the vault.
    #[serde(rename = "IaasVMRestoreRequest")]
    Ready,
    /// From the archive, which is brought back first.
    #[serde(rename = "IaasVMRestoreWithRehydrationRequest")]
    Archive {
        /// How.
        #[serde(rename = "recoveryPointRehydrationInfo")]
        rehydration: Rehydration,
    },
}

/// How a point is brought back from the archive.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rehydration {
    rehydration_priority: RehydrationPriority,
    rehydration_retention_duration: ArmDuration,
}

impl Rehydration {
    /// With that priority, to stay restorable for so many days. `None` outside 10 to 30 (backup.md §13).
    pub fn new(priority: RehydrationPriority, days: u8) -> Option<Self> {
        let duration = || ArmDuration(format!("P{days}D"));
        (10..=30).contains(&days).then(|| Rehydration { rehydration_priority: priority, rehydration_retention_duration: duration() })
    }
}

/// How fast a point is brought back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RehydrationPriority {
    /// In hours.
    Standard,
    /// Sooner, and dearer.
    High,
}

/// The staging account, and who uses it: the service by itself, or an identity of the vault. Never both.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Staging {
    /// The service by itself.
    Account {
        /// The account.
        #[serde(rename = "storageAccountId")]
        account: ResourceId,
    },
    /// An identity of the vault.
    ByIdentity {
        /// Which.
        #[serde(rename = "identityInfo")]
        identity: RestoreIdentity,
        /// The account.
        #[serde(rename = "identityBasedRestoreDetails")]
        details: IdentityBasedRestore,
    },
}

/// An identity of the vault.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RestoreIdentity {
    /// `true` for the vault's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_system_assigned_identity: Option<bool>,
    /// Another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub managed_identity_resource_id: Option<ResourceId>,
}

impl RestoreIdentity {
    /// The vault's own.
    pub fn system_assigned() -> Self {
        RestoreIdentity { is_system_assigned_identity: Some(true), managed_identity_resource_id: None }
    }

    /// A user-assigned one.
    pub fn user_assigned(id: ResourceId) -> Self {
        RestoreIdentity { is_system_assigned_identity: None, managed_identity_resource_id: Some(id) }
    }
}

/// What an identity uses.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct IdentityBasedRestore {
    /// The staging account.
    pub target_storage_account_id: ResourceId,
}

/// How restored disks are reached over the network.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "targetDiskNetworkAccessOption")]
pub enum DiskNetworkAccess {
    /// As the disks of the point were.
    SameAsOnSourceDisks,
    /// Through a disk access alone.
    EnablePrivateAccessForAllDisks {
        /// The disk access.
        #[serde(rename = "targetDiskAccessId")]
        disk_access: ResourceId,
    },
    /// From everywhere.
    EnablePublicAccessForAllDisks,
}

body! {
    /// Keys of a machine that is encrypted inside.
    EncryptionDetails {
        /// It is.
        encryption_enabled: bool,
        /// The key that wraps.
        kek_url: String,
        /// The wrapped secret.
        secret_key_url: String,
        /// The vault of the key.
        kek_vault_id: ResourceId,
        /// The vault of the secret.
        secret_key_vault_id: ResourceId,
    }
    /// An edge zone.
    ExtendedLocation {
        /// Its name.
        name: String,
        /// `EdgeZone`.
        #[serde(rename = "type")]
        location_type: String,
    }
    /// Of confidential machines.
    SecuredVmDetails {
        /// Encrypts the OS disk.
        #[serde(rename = "securedVMOsDiskEncryptionSetId")]
        os_disk_encryption_set_id: ResourceId,
        /// Encrypts the others (from api-version 2026-07-01 on; REST examples of DataDiskEncryption).
        data_disk_encryption_settings: DataDiskEncryption,
    }
    /// What encrypts data disks.
    DataDiskEncryption {
        /// All of them, unless told one by one.
        data_disk_encryption_set_id: ResourceId,
        /// The identity that uses the keys.
        data_disk_encryption_identity: ResourceId,
        /// One by one.
        per_disk_encryption_set_ids: Vec<DiskEncryption>,
    }
    /// What encrypts one data disk.
    DiskEncryption {
        /// The disk's place.
        lun: i64,
        /// The disk encryption set.
        disk_encryption_set_id: ResourceId,
    }
}

/// The body of `POST {point}/restore`.
pub fn restore_body(restore: &RestoreBody) -> Value {
    json!({"properties": restore})
}

/// Restores: 202, an operation that ends at once, and a job whose id is the operation's (backup.md §13).
pub fn restore_request(point: &ResourceId, restore: &RestoreBody) -> Request {
    Request::new(Method::Post, format!("{point}/restore"), RECOVERY_SERVICES).with_body(restore_body(restore))
}

/// The body of `POST {vault}/backupTriggerValidateOperation`.
pub fn validate_body(point: &ResourceId, restore: &RestoreBody) -> Value {
    json!({"id": point, "properties": {"objectType": "ValidateIaasVMRestoreOperationRequest", "restoreRequest": restore}})
}

/// Asks what a restore would find wrong: 202, then a status (`Family::Validation`). Changes nothing.
pub fn validate_request(vault: &ResourceId, point: &ResourceId, restore: &RestoreBody) -> Request {
    Request::new(Method::Post, format!("{vault}/backupTriggerValidateOperation"), RECOVERY_SERVICES)
        .with_body(validate_body(point, restore))
}

//! The fields that we use, by kind of body. A pattern is a JSON pointer in which `*` stands for every member.

use breakwater_arm::bodies;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

/// What a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A vault.
    Vault,
    /// `backupconfig/vaultconfig`
    VaultConfig,
    /// `backupstorageconfig/vaultstorageconfig`
    StorageConfig,
    /// `backupEncryptionConfigs/backupResourceEncryptionConfig`
    EncryptionConfig,
    /// A backup policy.
    Policy,
    /// A protected item.
    Item,
    /// A backup job.
    Job,
    /// A recovery point.
    Point,
    /// The answer of `backupStatus`.
    BackupStatus,
    /// A virtual machine.
    Machine,
    /// A line of the resource list.
    Listed,
    /// A resource group.
    Group,
    /// A subscription.
    Subscription,
    /// A lock.
    Lock,
    /// Tags.
    Tags,
}

/// What a value must be, besides kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Anything.
    Any,
    /// An id, a URL of one, or empty.
    Id,
    /// A time, or a way to say "never".
    Time,
    /// A duration.
    Span,
    /// A guid.
    Guid,
    /// A text that is not empty.
    Word,
}

/// Whether it may be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Without it the body is useless.
    Must,
    /// It may be missing in a list only.
    Alone,
    /// It may be.
    May,
}

/// One field in use.
pub type Field = (&'static str, Form, Need);

use Form::{Any, Guid, Id, Span, Time, Word};
use Need::{Alone, May, Must};

const VAULT: &[Field] = &[
    ("/id", Id, Must),
    ("/name", Word, Must),
    ("/type", Word, Must),
    ("/location", Word, Must),
    ("/tags/*", Any, May),
    ("/etag", Any, May),
    ("/sku/name", Any, May),
    ("/sku/tier", Any, May),
    ("/identity/type", Word, May),
    ("/identity/principalId", Any, May),
    ("/properties/provisioningState", Word, Must),
    ("/properties/redundancySettings/standardTierStorageRedundancy", Word, May),
    ("/properties/redundancySettings/crossRegionRestore", Word, May),
    ("/properties/securitySettings/softDeleteSettings/softDeleteState", Word, May),
    ("/properties/securitySettings/softDeleteSettings/softDeleteRetentionPeriodInDays", Any, May),
    ("/properties/securitySettings/softDeleteSettings/enhancedSecurityState", Word, May),
    ("/properties/securitySettings/immutabilitySettings/state", Word, May),
    ("/properties/securitySettings/multiUserAuthorization", Word, May),
    ("/properties/restoreSettings/crossSubscriptionRestoreSettings/crossSubscriptionRestoreState", Word, May),
    ("/properties/publicNetworkAccess", Word, May),
    ("/properties/backupStorageVersion", Word, May),
    ("/properties/encryption/keyVaultProperties/keyUri", Any, May),
    ("/properties/encryption/kekIdentity/useSystemAssignedIdentity", Any, May),
    ("/properties/encryption/kekIdentity/userAssignedIdentity", Id, May),
    ("/properties/encryption/infrastructureEncryption", Word, May),
    ("/properties/moveState", Word, May),
];

const VAULT_CONFIG: &[Field] = &[
    ("/id", Id, Must),
    ("/properties/enhancedSecurityState", Word, Must),
    ("/properties/softDeleteFeatureState", Word, May),
    ("/properties/softDeleteRetentionPeriodInDays", Any, May),
    ("/properties/isSoftDeleteFeatureStateEditable", Any, May),
];

const STORAGE_CONFIG: &[Field] = &[
    ("/id", Id, Must),
    ("/properties/storageModelType", Word, May),
    ("/properties/storageType", Word, Must),
    ("/properties/storageTypeState", Word, Must),
    ("/properties/crossRegionRestoreFlag", Any, May),
];

const ENCRYPTION_CONFIG: &[Field] = &[
    ("/id", Id, Must),
    ("/properties/encryptionAtRestType", Word, Must),
    ("/properties/keyUri", Any, May),
    ("/properties/lastUpdateStatus", Word, May),
    ("/properties/infrastructureEncryptionState", Word, May),
    ("/properties/useSystemAssignedIdentity", Any, May),
    ("/properties/userAssignedIdentity", Id, May),
];

const POLICY: &[Field] = &[
    ("/id", Id, Must),
    ("/name", Word, Must),
    ("/properties/backupManagementType", Word, Must),
    ("/properties/policyType", Word, May),
    ("/properties/schedulePolicy/schedulePolicyType", Word, Must),
    ("/properties/schedulePolicy/scheduleRunFrequency", Word, Must),
    ("/properties/schedulePolicy/scheduleRunDays/*", Word, May),
    ("/properties/schedulePolicy/scheduleRunTimes/*", Time, May),
    ("/properties/schedulePolicy/hourlySchedule/interval", Any, May),
    ("/properties/schedulePolicy/hourlySchedule/scheduleWindowStartTime", Time, May),
    ("/properties/schedulePolicy/hourlySchedule/scheduleWindowDuration", Any, May),
    ("/properties/schedulePolicy/dailySchedule/scheduleRunTimes/*", Time, May),
    ("/properties/schedulePolicy/weeklySchedule/scheduleRunDays/*", Word, May),
    ("/properties/schedulePolicy/weeklySchedule/scheduleRunTimes/*", Time, May),
    ("/properties/retentionPolicy/retentionPolicyType", Word, Must),
    ("/properties/retentionPolicy/*/retentionTimes/*", Time, May),
    ("/properties/retentionPolicy/*/retentionDuration/count", Any, May),
    ("/properties/retentionPolicy/*/retentionDuration/durationType", Word, May),
    ("/properties/retentionPolicy/*/daysOfTheWeek/*", Word, May),
    ("/properties/retentionPolicy/*/monthsOfYear/*", Word, May),
    ("/properties/retentionPolicy/*/retentionScheduleFormatType", Word, May),
    ("/properties/retentionPolicy/*/retentionScheduleDaily/daysOfTheMonth/*/date", Any, May),
    ("/properties/retentionPolicy/*/retentionScheduleDaily/daysOfTheMonth/*/isLast", Any, May),
    ("/properties/retentionPolicy/*/retentionScheduleWeekly/daysOfTheWeek/*", Word, May),
    ("/properties/retentionPolicy/*/retentionScheduleWeekly/weeksOfTheMonth/*", Word, May),
    ("/properties/tieringPolicy/*/tieringMode", Word, May),
    ("/properties/tieringPolicy/*/duration", Any, May),
    ("/properties/tieringPolicy/*/durationType", Word, May),
    ("/properties/instantRpRetentionRangeInDays", Any, May),
    ("/properties/instantRPDetails/azureBackupRGNamePrefix", Any, May),
    ("/properties/instantRPDetails/azureBackupRGNameSuffix", Any, May),
    ("/properties/timeZone", Any, May),
    ("/properties/protectedItemsCount", Any, May),
    ("/properties/snapshotConsistencyType", Any, May),
];

const ITEM: &[Field] = &[
    ("/id", Id, Must),
    ("/name", Word, Must),
    ("/properties/protectionState", Word, Must),
    ("/properties/sourceResourceId", Id, Must),
    ("/properties/virtualMachineId", Id, May),
    ("/properties/backupManagementType", Word, Must),
    ("/properties/protectedItemType", Word, Must),
    ("/properties/friendlyName", Any, May),
    ("/properties/protectionStatus", Any, May),
    ("/properties/healthStatus", Any, May),
    ("/properties/healthDetails/*/code", Any, May),
    ("/properties/healthDetails/*/title", Any, May),
    ("/properties/healthDetails/*/message", Any, May),
    ("/properties/healthDetails/*/recommendations/*", Any, May),
    ("/properties/lastBackupStatus", Any, May),
    ("/properties/lastBackupTime", Time, May),
    ("/properties/lastRecoveryPoint", Time, May),
    ("/properties/protectedItemDataId", Any, May),
    ("/properties/extendedProperties/diskExclusionProperties/diskLunList/*", Any, May),
    ("/properties/extendedProperties/diskExclusionProperties/isInclusionList", Any, May),
    ("/properties/containerName", Any, May),
    ("/properties/policyId", Id, May),
    ("/properties/policyName", Any, May),
    ("/properties/policyType", Any, May),
    ("/properties/vaultId", Id, May),
    ("/properties/isArchiveEnabled", Any, May),
    ("/properties/softDeleteRetentionPeriod", Any, May),
    ("/properties/isScheduledForDeferredDelete", Any, May),
    ("/properties/deferredDeleteTimeInUTC", Time, May),
    ("/properties/deferredDeleteTimeRemaining", Span, May),
    ("/properties/extendedInfo/oldestRecoveryPoint", Time, May),
    ("/properties/extendedInfo/recoveryPointCount", Any, May),
    ("/properties/extendedInfo/policyInconsistent", Any, May),
];

const JOB: &[Field] = &[
    ("/id", Id, Must),
    ("/name", Word, Must),
    ("/properties/operation", Word, Must),
    ("/properties/status", Word, Must),
    ("/properties/startTime", Time, Must),
    ("/properties/endTime", Time, May),
    ("/properties/duration", Span, May),
    ("/properties/activityId", Any, May),
    ("/properties/containerName", Any, May),
    ("/properties/entityFriendlyName", Any, May),
    ("/properties/backupManagementType", Word, May),
    ("/properties/jobType", Word, May),
    ("/properties/errorDetails/*/errorCode", Any, May),
    ("/properties/errorDetails/*/errorTitle", Any, May),
    ("/properties/errorDetails/*/errorString", Any, May),
    ("/properties/errorDetails/*/recommendations/*", Any, May),
    ("/properties/extendedInfo/tasksList/*/taskId", Any, May),
    ("/properties/extendedInfo/tasksList/*/status", Word, May),
    ("/properties/extendedInfo/tasksList/*/startTime", Time, May),
    ("/properties/extendedInfo/tasksList/*/endTime", Time, May),
    ("/properties/extendedInfo/tasksList/*/progressPercentage", Any, May),
    ("/properties/extendedInfo/propertyBag/*", Any, May),
    ("/properties/extendedInfo/internalPropertyBag/*", Any, May),
    ("/properties/extendedInfo/progressPercentage", Any, May),
    ("/properties/extendedInfo/dynamicErrorMessage", Any, May),
];

const POINT: &[Field] = &[
    ("/id", Id, Must),
    ("/name", Word, Must),
    ("/properties/recoveryPointType", Word, Must),
    ("/properties/recoveryPointTime", Time, Must),
    ("/properties/recoveryPointTierDetails/*/type", Any, May),
    ("/properties/recoveryPointTierDetails/*/status", Any, May),
    ("/properties/recoveryPointProperties/expiryTime", Time, May),
    ("/properties/recoveryPointProperties/ruleName", Any, May),
    ("/properties/recoveryPointProperties/isSoftDeleted", Any, May),
    ("/properties/recoveryPointDiskConfiguration/numberOfDisksIncludedInBackup", Any, May),
    ("/properties/recoveryPointDiskConfiguration/numberOfDisksAttachedToVm", Any, May),
    ("/properties/recoveryPointDiskConfiguration/includedDiskList/*/lun", Any, May),
    ("/properties/recoveryPointDiskConfiguration/includedDiskList/*/name", Any, May),
    ("/properties/recoveryPointDiskConfiguration/excludedDiskList/*/lun", Any, May),
    ("/properties/recoveryPointDiskConfiguration/excludedDiskList/*/name", Any, May),
    ("/properties/recoveryPointMoveReadinessInfo/*/isReadyForMove", Any, May),
    ("/properties/isManagedVirtualMachine", Any, May),
    ("/properties/isSourceVMEncrypted", Any, May),
    ("/properties/isInstantIlrSessionActive", Any, May),
    ("/properties/virtualMachineSize", Any, May),
    ("/properties/osType", Any, May),
    ("/properties/zones/*", Any, May),
    ("/properties/securityType", Any, May),
    ("/properties/isPrivateAccessEnabledOnAnyDisk", Any, May),
];

const BACKUP_STATUS: &[Field] = &[
    ("/protectionStatus", Word, Must),
    ("/vaultId", Id, May),
    ("/fabricName", Any, May),
    ("/containerName", Any, May),
    ("/protectedItemName", Any, May),
    ("/policyName", Any, May),
    ("/errorCode", Any, May),
    ("/errorMessage", Any, May),
];

const MACHINE: &[Field] = &[
    ("/id", Id, Must),
    ("/name", Word, Must),
    ("/type", Word, Must),
    ("/location", Word, Must),
    ("/tags/*", Any, May),
    ("/zones/*", Any, May),
    ("/properties/vmId", Word, Alone),
    ("/properties/provisioningState", Word, Alone),
    ("/properties/timeCreated", Time, May),
    ("/properties/hardwareProfile/vmSize", Any, May),
    ("/properties/storageProfile/osDisk/osType", Word, May),
    ("/properties/storageProfile/osDisk/name", Any, May),
    ("/properties/storageProfile/osDisk/managedDisk/id", Id, May),
    ("/properties/storageProfile/osDisk/vhd/uri", Any, May),
    ("/properties/storageProfile/osDisk/diffDiskSettings/option", Any, May),
    ("/properties/storageProfile/dataDisks/*/lun", Any, May),
    ("/properties/storageProfile/dataDisks/*/name", Any, May),
    ("/properties/storageProfile/dataDisks/*/managedDisk/id", Id, May),
    ("/properties/storageProfile/dataDisks/*/vhd/uri", Any, May),
    ("/properties/storageProfile/dataDisks/*/toBeDetached", Any, May),
    ("/properties/securityProfile/securityType", Any, May),
    ("/properties/instanceView/statuses/*/code", Word, May),
    ("/properties/instanceView/vmAgent/vmAgentVersion", Any, May),
];

const LISTED: &[Field] = &[
    ("/id", Id, Must),
    ("/name", Any, Must),
    ("/type", Word, Must),
    ("/location", Any, May),
    ("/tags/*", Any, May),
    ("/zones/*", Any, May),
    ("/createdTime", Time, May),
    ("/changedTime", Time, May),
    ("/provisioningState", Any, May),
];

const GROUP: &[Field] = &[
    ("/id", Id, Must),
    ("/name", Word, Must),
    ("/location", Word, Must),
    ("/tags/*", Any, May),
    ("/properties/provisioningState", Word, May),
];

const SUBSCRIPTION: &[Field] =
    &[("/id", Id, Must), ("/subscriptionId", Guid, Must), ("/displayName", Any, May), ("/state", Word, Must), ("/tenantId", Any, May)];

const LOCK: &[Field] = &[("/id", Id, Must), ("/name", Word, Must), ("/properties/level", Word, Must), ("/properties/notes", Any, May)];

const TAGS: &[Field] = &[("/id", Id, Must), ("/properties/tags/*", Any, May)];

impl Kind {
    /// The kind of a resource type, as of one resource or of the members of a list.
    pub fn of(resource_type: &str) -> Option<Kind> {
        const ITEMS: &str = "microsoft.recoveryservices/vaults/backupfabrics/protectioncontainers/protecteditems";
        let lower = resource_type.to_ascii_lowercase();
        Some(match lower.as_str() {
            "microsoft.recoveryservices/vaults" => Kind::Vault,
            "microsoft.recoveryservices/vaults/backupconfig" => Kind::VaultConfig,
            "microsoft.recoveryservices/vaults/backupstorageconfig" => Kind::StorageConfig,
            "microsoft.recoveryservices/vaults/backupencryptionconfigs" => Kind::EncryptionConfig,
            "microsoft.recoveryservices/vaults/backuppolicies" => Kind::Policy,
            "microsoft.recoveryservices/vaults/backupprotecteditems" | ITEMS => Kind::Item,
            "microsoft.recoveryservices/vaults/backupjobs" => Kind::Job,
            _ if lower.strip_prefix(ITEMS) == Some("/recoverypoints") => Kind::Point,
            "microsoft.compute/virtualmachines" => Kind::Machine,
            "microsoft.resources/resources" => Kind::Listed,
            "microsoft.resources/resourcegroups" => Kind::Group,
            "microsoft.resources/subscriptions" => Kind::Subscription,
            "microsoft.resources/tags" => Kind::Tags,
            "microsoft.authorization/locks" => Kind::Lock,
            _ => return None,
        })
    }

    /// The fields in use.
    pub fn fields(self) -> &'static [Field] {
        match self {
            Kind::Vault => VAULT,
            Kind::VaultConfig => VAULT_CONFIG,
            Kind::StorageConfig => STORAGE_CONFIG,
            Kind::EncryptionConfig => ENCRYPTION_CONFIG,
            Kind::Policy => POLICY,
            Kind::Item => ITEM,
            Kind::Job => JOB,
            Kind::Point => POINT,
            Kind::BackupStatus => BACKUP_STATUS,
            Kind::Machine => MACHINE,
            Kind::Listed => LISTED,
            Kind::Group => GROUP,
            Kind::Subscription => SUBSCRIPTION,
            Kind::Lock => LOCK,
            Kind::Tags => TAGS,
        }
    }

    /// The body through our types and back.
    pub fn through_types(self, body: &Value) -> Result<Value, serde_json::Error> {
        match self {
            Kind::Vault => through::<bodies::Vault>(body),
            Kind::VaultConfig => through::<bodies::VaultConfig>(body),
            Kind::StorageConfig => through::<bodies::StorageConfig>(body),
            Kind::EncryptionConfig => through::<bodies::EncryptionConfig>(body),
            Kind::Policy => through::<bodies::Policy>(body),
            Kind::Item => through::<bodies::ProtectedItem>(body),
            Kind::Job => through::<bodies::Job>(body),
            Kind::Point => through::<bodies::RecoveryPoint>(body),
            Kind::BackupStatus => through::<bodies::BackupStatus>(body),
            Kind::Machine => through::<bodies::VirtualMachine>(body),
            Kind::Listed => through::<bodies::ResourceListItem>(body),
            Kind::Group => through::<bodies::ResourceGroup>(body),
            Kind::Subscription => through::<bodies::Subscription>(body),
            Kind::Lock => through::<bodies::Lock>(body),
            Kind::Tags => through::<bodies::Tags>(body),
        }
    }
}

fn through<T: DeserializeOwned + Serialize>(body: &Value) -> Result<Value, serde_json::Error> {
    serde_json::to_value(serde_json::from_value::<T>(body.clone())?)
}

/// Every place in a body that a pattern means, with what stands there; null stands for nothing.
pub fn places<'a>(body: &'a Value, pattern: &str) -> Vec<(String, &'a Value)> {
    let mut found = vec![(String::new(), body)];
    for segment in pattern.split('/').skip(1) {
        let mut next = Vec::new();
        for (at, value) in found {
            match (segment, value) {
                ("*", Value::Array(members)) => next.extend(members.iter().enumerate().map(|(i, v)| (format!("{at}/{i}"), v))),
                ("*", Value::Object(members)) => next.extend(members.iter().map(|(key, v)| (format!("{at}/{}", escaped(key)), v))),
                _ => next.extend(value.get(segment).map(|v| (format!("{at}/{segment}"), v))),
            }
        }
        found = next;
    }
    found.retain(|(_, value)| !value.is_null());
    found
}

fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}
